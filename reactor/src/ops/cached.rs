//! Transfers that are done at once or not at all: what the page cache has, without the ring.
//!
//! A read of cached data costs 190 ns as a system call and 340 as an operation of the ring, which
//! also needs a cell, a wake and a turn of its goroutine. So callers try this first, as sockets try
//! `recv(2)`, and submit an operation only for what would have to wait for a disk.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::file::MAX_TRANSFER;

/// `preadv2(2)` or `pwritev2(2)`.
type Call = unsafe extern "C" fn(
    libc::c_int,
    *const libc::iovec,
    libc::c_int,
    libc::off64_t,
    libc::c_int,
) -> libc::ssize_t;

/// Reads from `offset` of `file`, or from its own position, what is in the page cache. May read
/// less than there is: the rest is not cached.
///
/// Not for files that were opened with `O_DIRECT`: the call would wait for the disk.
///
/// # Errors
/// `WouldBlock` if the disk is needed, `Unsupported` if the file system cannot tell, and those of
/// `pread(2)`: [`read`](super::read) will say what is really wrong.
pub fn read_cached(file: impl AsFd, buffer: &mut [u8], offset: Option<u64>) -> io::Result<usize> {
    now(
        libc::preadv2,
        file,
        buffer.as_mut_ptr(),
        buffer.len(),
        offset,
    )
}

/// Writes to `offset` of `file`, or at its own position, what the page cache takes without waiting.
///
/// # Errors
/// As [`read_cached`]. Many file systems (ext4) never take anything so.
pub fn write_cached(file: impl AsFd, buffer: &[u8], offset: Option<u64>) -> io::Result<usize> {
    let start = buffer.as_ptr().cast_mut();
    now(libc::pwritev2, file, start, buffer.len(), offset)
}

fn now(
    call: Call,
    file: impl AsFd,
    start: *mut u8,
    len: usize,
    offset: Option<u64>,
) -> io::Result<usize> {
    let offset = match offset.map(i64::try_from) {
        None => -1,
        Some(Ok(offset)) => offset,
        Some(Err(_)) => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let part = libc::iovec {
        iov_base: start.cast(),
        iov_len: len.min(MAX_TRANSFER),
    };
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: one part, of memory that the callers have borrowed for as long as the call takes; it
    // is written to only by the call that was given a unique borrow.
    let result = unsafe { call(fd, &raw const part, 1, offset, libc::RWF_NOWAIT) };
    usize::try_from(result).map_err(|_negative| io::Error::last_os_error())
}
