//! Files and directories, as in [`std::fs`], without blocking a worker.
//!
//! What the kernel can do by itself (opening, reading, writing, renaming, …) is an operation on the
//! ring of the worker that the goroutine runs on. What it cannot (listing a directory, copying a
//! file, following a path to its end) runs on threads like those of [`unblock`](crate::unblock).
//!
//! Names, arguments and errors are std's, except that buffers are owned where std borrows them: an
//! operation outlives the future that waits for it, so a buffer goes into the call and comes back
//! with its result. For borrowed buffers a [`File`] implements the traits of [`io`](crate::io).
//!
//! ```
//! use gorin::fs;
//!
//! # fn main() -> std::io::Result<()> {
//! # let dir = std::env::temp_dir().join(format!("gorin-fs-doc-{}", std::process::id()));
//! gorin::run(async {
//!     fs::create_dir_all(dir.join("a/b")).await?;
//!     fs::write(dir.join("a/b/ring"), "five").await?;
//!     assert_eq!(fs::read_to_string(dir.join("a/b/ring")).await?, "five");
//!     fs::remove_dir_all(&dir).await
//! })
//! # }
//! ```
//!
//! # Reading what is cached
//! A small read is first tried without the ring, which succeeds at once if the page cache has the
//! data, and fails at once if it has not. So reading a file that was read before costs one system
//! call.
//!
//! # Behind a goroutine that computes
//! An operation completes on the ring of the worker that has submitted it, and unlike a socket it
//! cannot be moved to another one. If a goroutine then computes on that worker without awaiting, the
//! file waits until it is done: compute in [`unblock`](crate::unblock) or
//! [`block_in_place`](crate::block_in_place).
//!
//! # Cancel safety
//! Dropping a future never leaks: the descriptor of a dropped `open` is closed, a buffer is freed
//! when the kernel is done with it. But the kernel, or the thread, may do what it was asked to do:
//! the file of a dropped `rename` may have its old name or the new one, a dropped `write` may have
//! written a part.
//!
//! # Errors
//! Those of std for the same call; `NotConnected` on a thread that belongs to no runtime, with a
//! text that says what to do; `ECANCELED` if the runtime ends meanwhile. Where no thread can be started for a
//! call that blocks, neither by the kernel nor by gorin, one that names the limit.
//!
//! | file | holds |
//! |---|---|
//! | `file.rs` | [`File`]: opening, reading and writing at an offset, and what one can ask of it |
//! | `options.rs` | [`OpenOptions`] |
//! | `stream.rs` | reading and writing a file from its position, as futures' traits |
//! | `range.rs` | [`FileRange`]: parts of files for [`io::splice`](crate::io::splice()) |
//! | `content.rs` | whole files: [`read`], [`write`](write()), [`copy`] |
//! | `names.rs` | [`rename`], [`remove_file`], links, permissions |
//! | `directory.rs` | [`read_dir`], [`DirBuilder`] |
//! | `metadata.rs` | [`Metadata`] |
//!
//! Must not block a worker: a system call that may wait for a disk goes to the ring or the pool.

mod content;
mod directory;
mod file;
mod metadata;
mod names;
mod options;
mod range;
mod stream;

pub use content::{copy, read, read_to_string, write};
pub use directory::{
    DirBuilder, DirEntry, ReadDir, create_dir, create_dir_all, read_dir, remove_dir, remove_dir_all,
};
pub use file::File;
/// As [`exists`], by the name that it has elsewhere.
#[doc(no_inline)]
pub use metadata::exists as try_exists;
pub use metadata::{FileType, Metadata, exists, metadata, symlink_metadata};
pub use names::{
    canonicalize, chown, hard_link, lchown, read_link, remove_file, rename, set_permissions,
    symlink,
};
pub use options::OpenOptions;
pub use range::FileRange;
pub use std::fs::{FileTimes, Permissions};

use std::io;

use crate::blocking::not_made;
use crate::goroutine::Spec;
use crate::runtime::Handle;

/// Runs `call`, which blocks and waits for no goroutine, on a thread for that.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let runtime =
        Handle::try_current().ok_or_else(|| gorin_reactor::no_runtime("this operation"))?;
    match runtime.errand(Spec::new(), call).await {
        Ok(result) => result,
        Err(error) => Err(not_made(error)),
    }
}
