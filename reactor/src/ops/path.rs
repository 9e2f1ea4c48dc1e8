//! Operations on names: what a file is, and making, renaming and removing it.
//!
//! Relative paths begin at the process's working directory at the time when the kernel takes the
//! operation.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Arc;

use super::call::{Call, Calling};
use super::run::Run;
use super::{Descriptor, PathString, path_string};
use crate::driver::{PathRequest, Request};
use crate::op::Opcode;

/// What the kernel knows of the file at `path`, or of the link itself if `path` is a symbolic link
/// and `follow` is false: `statx(2)` with all basic fields and the time of birth.
///
/// # Errors
/// See the [module](super).
pub fn stat(
    path: impl AsRef<Path>,
    follow: bool,
) -> impl Future<Output = io::Result<libc::statx>> + Send + 'static {
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    Run::of(path_string(path).map(|path| Stat::new(None, path, flags)))
}

/// What the kernel knows of an open file: see [`stat`].
///
/// # Errors
/// See the [module](super).
pub fn stat_file<F>(file: &Arc<F>) -> impl Future<Output = io::Result<libc::statx>> + Send + 'static
where
    F: AsFd + Send + Sync + 'static,
{
    let file: Descriptor = file.clone();
    Run::new(Stat::new(
        Some(file),
        PathString::default(),
        libc::AT_EMPTY_PATH,
    ))
}

struct Stat {
    /// `None`: the working directory.
    file: Option<Descriptor>,
    path: PathString,
    flags: libc::c_int,
    result: MaybeUninit<libc::statx>,
}

impl Stat {
    fn new(file: Option<Descriptor>, path: PathString, flags: libc::c_int) -> Self {
        Self {
            file,
            path,
            flags,
            // What a file system leaves out is zero.
            result: MaybeUninit::zeroed(),
        }
    }
}

impl Opcode for Stat {
    type Output = io::Result<libc::statx>;

    fn request(&mut self) -> Request {
        let dir = self
            .file
            .as_ref()
            .map_or(libc::AT_FDCWD, |file| file.as_fd().as_raw_fd());
        Request::Path(PathRequest::Stat {
            dir,
            path: self.path.as_ptr(),
            flags: self.flags,
            into: self.result.as_mut_ptr(),
        })
    }

    fn finish(self, result: io::Result<u32>) -> Self::Output {
        // SAFETY: integers only, all of which are valid as the zeros that they were before.
        result.map(|_| unsafe { self.result.assume_init() })
    }

    fn lost(error: io::Error) -> Self::Output {
        Err(error)
    }
}

/// Gives `from` the name `to`, in place of what had it: `rename(2)`.
///
/// # Errors
/// See the [module](super).
pub fn rename(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
) -> impl Future<Output = io::Result<()>> + Send + 'static {
    on_two(from, to, |from, to| Call::Rename { from, to })
}

/// Makes the symbolic link `link`, which says `target`.
///
/// # Errors
/// See the [module](super).
pub fn symlink(
    target: impl AsRef<Path>,
    link: impl AsRef<Path>,
) -> impl Future<Output = io::Result<()>> + Send + 'static {
    on_two(target, link, |target, link| Call::Symlink { target, link })
}

/// Gives the file `original` another name. A symbolic link is not followed.
///
/// # Errors
/// See the [module](super).
pub fn link(
    original: impl AsRef<Path>,
    link: impl AsRef<Path>,
) -> impl Future<Output = io::Result<()>> + Send + 'static {
    on_two(original, link, |original, link| Call::Link {
        original,
        link,
    })
}

/// Removes the name of a file that is no directory: `unlink(2)`.
///
/// # Errors
/// See the [module](super).
pub fn unlink(path: impl AsRef<Path>) -> impl Future<Output = io::Result<()>> + Send + 'static {
    on_one(path, |path| Call::Unlink {
        path,
        directory: false,
    })
}

/// Removes an empty directory: `rmdir(2)`.
///
/// # Errors
/// See the [module](super).
pub fn rmdir(path: impl AsRef<Path>) -> impl Future<Output = io::Result<()>> + Send + 'static {
    on_one(path, |path| Call::Unlink {
        path,
        directory: true,
    })
}

/// Makes a directory with the permissions `mode`, less what the process's umask takes away.
///
/// # Errors
/// See the [module](super).
pub fn mkdir(
    path: impl AsRef<Path>,
    mode: libc::mode_t,
) -> impl Future<Output = io::Result<()>> + Send + 'static {
    on_one(path, |path| Call::MakeDir { path, mode })
}

fn on_one(path: impl AsRef<Path>, call: impl FnOnce(PathString) -> Call) -> Calling {
    Run::of(path_string(path).map(call))
}

fn on_two(
    first: impl AsRef<Path>,
    second: impl AsRef<Path>,
    call: impl FnOnce(PathString, PathString) -> Call,
) -> Calling {
    Run::of(path_string(first).and_then(|first| Ok(call(first, path_string(second)?))))
}
