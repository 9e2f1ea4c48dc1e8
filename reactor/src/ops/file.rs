//! Operations on files, and on descriptors in general.

use std::ffi::CString;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::run::Run;
use crate::driver::Request;
use crate::op::Opcode;

/// What the kernel transfers at most in one call; it shortens longer ones itself.
const MAX_TRANSFER: usize = 0x7fff_f000;

/// Opens `path`, as `open(2)` does, with `O_CLOEXEC` added to `flags`.
///
/// # Errors
/// `InvalidInput` if `path` contains a zero byte; else see the [module](super).
///
/// # Cancel safety
/// A dropped call may have created or truncated the file; the descriptor is closed.
pub fn open(
    path: impl AsRef<Path>,
    flags: libc::c_int,
    mode: libc::mode_t,
) -> impl Future<Output = io::Result<OwnedFd>> + Send + 'static {
    let path = CString::new(path.as_ref().as_os_str().as_bytes());
    async move {
        let path = path.map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "the path contains a zero byte")
        })?;
        let flags = flags | libc::O_CLOEXEC;
        Run::new(Open { path, flags, mode }).await
    }
}

struct Open {
    path: CString,
    flags: libc::c_int,
    mode: libc::mode_t,
}

impl Opcode for Open {
    type Output = io::Result<OwnedFd>;

    fn request(&mut self) -> Request {
        Request::Open {
            path: self.path.as_ptr(),
            flags: self.flags,
            mode: self.mode,
        }
    }

    fn finish(self, result: io::Result<u32>) -> io::Result<OwnedFd> {
        let fd = result? as RawFd;
        // SAFETY: the kernel has just made this descriptor for this operation, whose result is
        // disposed of once: here.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    fn orphan(self, result: io::Result<u32>) {
        drop(self.finish(result));
    }

    fn lost(error: io::Error) -> io::Result<OwnedFd> {
        Err(error)
    }
}

/// Reads from `offset` of `file` into `buffer`, over what it contains; gives the number of bytes
/// read, 0 at the end of the file, and the buffer, whose length does not change.
///
/// May read less than the buffer holds: at the end of the file, and more than 2 GiB at a time
/// never.
///
/// # Errors
/// `InvalidInput` if `offset` is beyond what a file can have (2^63 - 1). The buffer comes back with
/// every error but one: if the runtime is torn down by force while the kernel is writing to it, an
/// empty one comes instead.
///
/// # Cancel safety
/// A dropped call has no effect on the file; the buffer is freed when the kernel is done with it.
pub fn read_at(
    file: &Arc<OwnedFd>,
    buffer: Vec<u8>,
    offset: u64,
) -> impl Future<Output = (io::Result<usize>, Vec<u8>)> + Send + 'static + use<> {
    transfer(file, buffer, offset, Way::FromFile)
}

/// Writes `buffer` to `file` from `offset`; gives the number of bytes written, and the buffer.
///
/// May write less than the buffer holds: when the disk is full, and more than 2 GiB at a time
/// never.
///
/// # Errors
/// As [`read_at`].
///
/// # Cancel safety
/// A dropped call may have written all, a part or nothing.
pub fn write_at(
    file: &Arc<OwnedFd>,
    buffer: Vec<u8>,
    offset: u64,
) -> impl Future<Output = (io::Result<usize>, Vec<u8>)> + Send + 'static + use<> {
    transfer(file, buffer, offset, Way::ToFile)
}

/// Which way the bytes go.
#[derive(Clone, Copy)]
enum Way {
    FromFile,
    ToFile,
}

fn transfer(
    file: &Arc<OwnedFd>,
    buffer: Vec<u8>,
    offset: u64,
    way: Way,
) -> impl Future<Output = (io::Result<usize>, Vec<u8>)> + Send + 'static + use<> {
    let file = file.clone();
    async move {
        if let Err(error) = check_offset(offset) {
            return (Err(error), buffer);
        }
        Run::new(Transfer {
            file,
            buffer,
            offset,
            way,
        })
        .await
    }
}

struct Transfer {
    file: Arc<OwnedFd>,
    buffer: Vec<u8>,
    offset: u64,
    way: Way,
}

impl Opcode for Transfer {
    type Output = (io::Result<usize>, Vec<u8>);

    fn request(&mut self) -> Request {
        let (fd, offset) = (self.file.as_raw_fd(), self.offset);
        let len = transfer_len(&self.buffer);
        match self.way {
            Way::FromFile => Request::Read {
                fd,
                buffer: self.buffer.as_mut_ptr(),
                len,
                offset,
            },
            Way::ToFile => Request::Write {
                fd,
                buffer: self.buffer.as_ptr(),
                len,
                offset,
            },
        }
    }

    fn finish(self, result: io::Result<u32>) -> Self::Output {
        (result.map(|count| count as usize), self.buffer)
    }

    fn lost(error: io::Error) -> Self::Output {
        (Err(error), Vec::new())
    }
}

/// As much of `buffer` as one operation transfers.
fn transfer_len(buffer: &[u8]) -> u32 {
    buffer.len().min(MAX_TRANSFER) as u32
}

/// Refuses what the kernel would take for a negative number. It means "the file's own position" by
/// -1, so an overflow of the caller's would go somewhere unexpected instead of failing.
fn check_offset(offset: u64) -> io::Result<()> {
    match i64::try_from(offset) {
        Ok(_) => Ok(()),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a file's offset is below 2^63",
        )),
    }
}

/// Waits until all data and metadata of `file` are on its disk.
///
/// # Errors
/// See the [module](super).
pub fn fsync(file: &Arc<OwnedFd>) -> impl Future<Output = io::Result<()>> + Send + 'static + use<> {
    sync(file, false)
}

/// Waits until the data of `file`, and the metadata that is needed to read it, are on its disk.
///
/// # Errors
/// See the [module](super).
pub fn fdatasync(
    file: &Arc<OwnedFd>,
) -> impl Future<Output = io::Result<()>> + Send + 'static + use<> {
    sync(file, true)
}

fn sync(file: &Arc<OwnedFd>, data_only: bool) -> Run<Sync> {
    let file = file.clone();
    Run::new(Sync { file, data_only })
}

struct Sync {
    file: Arc<OwnedFd>,
    data_only: bool,
}

impl Opcode for Sync {
    type Output = io::Result<()>;

    fn request(&mut self) -> Request {
        Request::Sync {
            fd: self.file.as_raw_fd(),
            data_only: self.data_only,
        }
    }

    fn finish(self, result: io::Result<u32>) -> io::Result<()> {
        result.map(drop)
    }

    fn lost(error: io::Error) -> io::Result<()> {
        Err(error)
    }
}

/// Closes `fd` and gives the error that closing it reports, which dropping it would swallow.
///
/// # Errors
/// See the [module](super). The descriptor is closed in any case.
///
/// # Cancel safety
/// A dropped call closes all the same.
pub fn close(fd: OwnedFd) -> impl Future<Output = io::Result<()>> + Send + 'static {
    Run::new(Close { fd })
}

struct Close {
    fd: OwnedFd,
}

impl Opcode for Close {
    type Output = io::Result<()>;

    const CANCEL: bool = false;

    fn request(&mut self) -> Request {
        Request::Close {
            fd: self.fd.as_raw_fd(),
        }
    }

    fn finish(self, result: io::Result<u32>) -> io::Result<()> {
        match &result {
            // Never submitted, or cancelled by the runtime's teardown before it began.
            Err(error) if !reached_the_kernel(error) => drop(self.fd),
            // Linux has freed the descriptor even if it reports an error.
            _ => {
                let _freed = self.fd.into_raw_fd();
            }
        }
        result.map(drop)
    }

    fn orphan(self, result: io::Result<u32>) {
        drop(self.finish(result));
    }

    fn lost(error: io::Error) -> io::Result<()> {
        Err(error)
    }
}

/// True if `error` is what `close(2)` itself reported.
fn reached_the_kernel(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .is_some_and(|code| code != libc::ECANCELED)
}
