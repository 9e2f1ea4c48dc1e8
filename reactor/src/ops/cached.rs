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

/// Whether `len` bytes from `offset` of `file` are in the page cache, so that a call that cannot say
/// "not now" (`splice(2)`) will not wait for a disk. False where nobody can tell: before Linux 6.5, and
/// beyond the end of the file.
///
/// A hint: pages may be evicted in this moment. And a page that is being read counts as cached; since
/// reading ahead goes forward, the last one is asked for by [`read_cached`].
pub fn is_cached(file: impl AsFd, offset: u64, len: u64) -> bool {
    /// `struct cachestat_range`.
    #[repr(C)]
    struct Span {
        offset: u64,
        len: u64,
    }
    /// `struct cachestat`.
    #[repr(C)]
    #[derive(Default)]
    struct Pages {
        cached: u64,
        others: [u64; 4],
    }
    /// The same number on every architecture.
    const SYS_CACHESTAT: libc::c_long = 451;
    let Some(last) = len.checked_sub(1).and_then(|rest| offset.checked_add(rest)) else {
        return false;
    };
    if !matches!(read_cached(&file, &mut [0], Some(last)), Ok(1)) {
        return false;
    }
    let (span, mut pages) = (Span { offset, len }, Pages::default());
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: reads the one structure and fills the other.
    let result = unsafe { libc::syscall(SYS_CACHESTAT, fd, &raw const span, &raw mut pages, 0) };
    // SAFETY: takes a number.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    result == 0 && pages.cached > last / page_bytes - offset / page_bytes
}

/// Whether [`read_cached`] is to be tried on a file that somebody else has opened: it bypasses the
/// page cache if it was opened with `O_DIRECT`.
pub fn uses_cache(file: impl AsFd) -> bool {
    // SAFETY: the command takes no argument and changes nothing.
    let flags = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_GETFL) };
    flags & libc::O_DIRECT == 0
}
