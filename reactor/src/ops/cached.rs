//! Reads that are done at once or not at all: what the page cache has, without the ring.
//!
//! A read of cached data costs 190 ns as a system call and 340 as an operation of the ring, which
//! also needs a cell, a wake and a turn of its goroutine. So callers try this first, as sockets try
//! `recv(2)`, and submit an operation only for what would have to wait for a disk.
//!
//! Not so for writes: ext4 and tmpfs refuse all of them.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::file::MAX_TRANSFER;

/// Reads from `offset` of `file`, or from its own position, what is in the page cache. May read
/// less than there is: the rest is not cached.
///
/// Not for files that were opened with `O_DIRECT`: the call would wait for the disk.
///
/// # Errors
/// `WouldBlock` if the disk is needed, `Unsupported` if the file system cannot tell, and those of
/// `pread(2)`: [`read`](super::read) will say what is really wrong.
pub fn read_cached(file: impl AsFd, buffer: &mut [u8], offset: Option<u64>) -> io::Result<usize> {
    let offset = match offset.map(i64::try_from) {
        None => -1,
        Some(Ok(offset)) => offset,
        Some(Err(_)) => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len().min(MAX_TRANSFER),
    };
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: one part, of memory that is borrowed for as long as the call takes.
    let result = unsafe { libc::preadv2(fd, &raw const part, 1, offset, libc::RWF_NOWAIT) };
    usize::try_from(result).map_err(|_negative| io::Error::last_os_error())
}

/// Whether [`read_cached`] is to be tried on a file that somebody else has opened: it bypasses the
/// page cache if it was opened with `O_DIRECT`.
pub fn uses_cache(file: impl AsFd) -> bool {
    // SAFETY: the command takes no argument and changes nothing.
    let flags = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_GETFL) };
    flags & libc::O_DIRECT == 0
}
