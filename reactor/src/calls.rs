//! System calls on sockets that std and socket2 do not offer for a borrowed descriptor and an
//! initialised buffer: each is one call, which is for [`Socket::io`](crate::Socket::io) to repeat.

use std::io::{self, IoSliceMut};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use socket2::{SockAddr, SockAddrStorage};

use crate::driver::Direction;

/// The result of a system call that answers -1 for an error.
fn check(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_negative| io::Error::last_os_error())
}

/// What the calling thread has had of the CPUs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadUsage {
    /// CPU time.
    pub(crate) ran: Duration,
    /// How often others were let run though it could have gone on.
    pub(crate) preemptions: i64,
}

/// `getrusage(2)` of the calling thread: 0.3 µs.
pub(crate) fn thread_usage() -> ThreadUsage {
    // SAFETY: all zeroes is a usage of nothing.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: `usage` is valid for writing during the call, which cannot fail: both arguments are good.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    let duration = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    ThreadUsage {
        ran: duration(usage.ru_utime) + duration(usage.ru_stime),
        preemptions: usage.ru_nivcsw,
    }
}

/// `recv(2)` into `buf`.
///
/// # Errors
/// Those of the system call.
pub fn recv(fd: BorrowedFd<'_>, buf: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    let (pointer, len) = (buf.as_mut_ptr().cast(), buf.len());
    // SAFETY: `pointer` is valid for writing `len` bytes during the call.
    check(unsafe { libc::recv(fd.as_raw_fd(), pointer, len, flags) })
}

/// `recvmsg(2)` into `bufs`, one after the other.
///
/// # Errors
/// Those of the system call.
pub fn recv_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    // SAFETY: all zeroes is a message header without anything.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    // An `IoSliceMut` is an `iovec`, by std's promise.
    message.msg_iov = bufs.as_mut_ptr().cast();
    message.msg_iovlen = bufs.len().min(libc::UIO_MAXIOV as usize) as _;
    // SAFETY: the header names buffers that are valid for writing during the call, and nothing else.
    check(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, 0) })
}

/// `recvfrom(2)` into `buf`: how much, and from whom.
///
/// # Errors
/// Those of the system call.
pub fn recv_from(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    flags: libc::c_int,
) -> io::Result<(usize, SockAddr)> {
    let (pointer, room) = (buf.as_mut_ptr().cast(), buf.len());
    let mut address = SockAddrStorage::zeroed();
    let mut len = address.size_of();
    // SAFETY: `pointer` is valid for writing `room` bytes during the call, `address` for `len`.
    let received = check(unsafe {
        let address = (&raw mut address).cast();
        libc::recvfrom(fd.as_raw_fd(), pointer, room, flags, address, &raw mut len)
    })?;
    // SAFETY: the kernel has written an address of `len` bytes, or none over the zeroes.
    let address = unsafe { SockAddr::new(address, len) };
    Ok((received, address))
}

/// Who made the other end of a Unix socket, as `SO_PEERCRED` tells.
///
/// # Errors
/// Those of `getsockopt(2)`.
pub fn peer_credentials(fd: BorrowedFd<'_>) -> io::Result<libc::ucred> {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `credentials`, which may have any value.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut len,
        )
    };
    check(result as libc::ssize_t).map(|_zero| credentials)
}

/// `poll(2)` without waiting. That it failed is as good as nothing found.
pub(crate) fn poll_all(polled: &mut [libc::pollfd]) {
    let len = polled.len() as libc::nfds_t;
    // SAFETY: as many entries as are announced, valid for reading and writing during the call.
    unsafe { libc::poll(polled.as_mut_ptr(), len, 0) };
}

/// `poll(2)` without waiting: done if `fd` is worth trying in `direction`, which an error or the end
/// of the stream make it too.
///
/// # Errors
/// `WouldBlock` if it is not.
pub fn poll_now(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<()> {
    let events = match direction {
        Direction::Read => libc::POLLIN | libc::POLLRDHUP,
        Direction::Write => libc::POLLOUT,
    };
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: one entry, valid for reading and writing during the call.
    match check(unsafe { libc::poll(&raw mut poll, 1, 0) } as libc::ssize_t)? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}
