//! System calls on sockets that std and socket2 do not offer for a borrowed descriptor and an
//! initialised buffer, or not without libc's wrappers: each is one call, which is for
//! [`Socket::io`](crate::Socket::io) to repeat.
//!
//! What moves bytes goes past libc's wrappers. They let a thread be cancelled (`pthread_cancel`) while it
//! waits, which ours never do in these calls, and pay two atomic exchanges each time for it: 35 to 45 ns per
//! call. The calls of nearly every request are rustix's, which has them inline; with addresses or several
//! buffers they are ours (`direct`), because rustix has those in types of its own.
//!
//! None waits (`MSG_DONTWAIT`), also if who shares the socket has made it blocking, as `set_nonblocking(false)`
//! of a duplicate does: else a worker would, with all that waits for it. (`accept4(2)` has no such flag, and
//! `splice(2)` one that TCP does not mind: of a socket that others made blocking these do wait.)

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags};
use socket2::{SockAddr, SockAddrStorage};

use crate::driver::Direction;

/// The result of a system call that answers -1 for an error.
fn check(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_negative| io::Error::last_os_error())
}

/// System call `number`. On Linux these have the same arguments everywhere but for their widths.
///
/// # Safety
/// As the call with these arguments.
unsafe fn direct(number: libc::c_long, arguments: [usize; 6]) -> io::Result<usize> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: by contract.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    check(result as libc::ssize_t)
}

fn number(fd: BorrowedFd<'_>) -> usize {
    fd.as_raw_fd() as usize
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

/// No signal if the peer is gone, and no waiting.
const SEND_FLAGS: libc::c_int = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

/// `recv(2)` into `buf`.
///
/// # Errors
/// Those of the system call.
#[inline]
pub fn recv(fd: BorrowedFd<'_>, buf: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    let flags = RecvFlags::from_bits_retain(flags as u32) | RecvFlags::DONTWAIT;
    let (received, _) = rustix::net::recv(fd, buf, flags)?;
    Ok(received)
}

/// So many buffers one call takes; those behind them it does not touch.
pub const MOST_BUFFERS: usize = libc::UIO_MAXIOV as usize;

/// The room of those of `bufs` that one call fills: a read that got less has come short.
pub fn room(bufs: &[IoSliceMut<'_>]) -> usize {
    let filled = bufs.iter().take(MOST_BUFFERS);
    filled.map(|buf| buf.len()).sum()
}

/// `recvmsg(2)` into `bufs`, one after the other, as many of them as one call [takes](MOST_BUFFERS).
///
/// # Errors
/// Those of the system call.
pub fn recv_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    // An `IoSliceMut` is an `iovec`, by std's promise.
    let message = message(bufs.as_mut_ptr().cast(), bufs.len());
    let arguments = [
        number(fd),
        (&raw const message).expose_provenance(),
        libc::MSG_DONTWAIT as usize,
        0,
        0,
        0,
    ];
    // SAFETY: the header names buffers that are valid for writing during the call, and nothing else.
    unsafe { direct(libc::SYS_recvmsg, arguments) }
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
    let (pointer, room) = (buf.as_mut_ptr().expose_provenance(), buf.len());
    let mut address = SockAddrStorage::zeroed();
    let mut len = address.size_of();
    let (from, from_len) = (
        (&raw mut address).expose_provenance(),
        (&raw mut len).expose_provenance(),
    );
    let flags = (flags | libc::MSG_DONTWAIT) as usize;
    let arguments = [number(fd), pointer, room, flags, from, from_len];
    // SAFETY: `pointer` is valid for writing `room` bytes during the call, `address` for `len`.
    let received = unsafe { direct(libc::SYS_recvfrom, arguments) }?;
    // SAFETY: the kernel has written an address of `len` bytes, or none over the zeroes.
    let address = unsafe { SockAddr::new(address, len) };
    Ok((received, address))
}

/// `send(2)`, without the signal that a gone peer would raise.
///
/// # Errors
/// Those of the system call.
#[inline]
pub fn send(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(rustix::net::send(fd, buf, flags)?)
}

/// As [`send`], from several buffers, one after the other: `sendmsg(2)`.
///
/// # Errors
/// Those of the system call.
pub fn send_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    // An `IoSlice` is an `iovec`, by std's promise; nothing is written to it.
    let message = message(bufs.as_ptr().cast_mut().cast(), bufs.len());
    let flags = SEND_FLAGS as usize;
    let arguments = [
        number(fd),
        (&raw const message).expose_provenance(),
        flags,
        0,
        0,
        0,
    ];
    // SAFETY: the header names buffers that are valid for reading during the call, and nothing else.
    unsafe { direct(libc::SYS_sendmsg, arguments) }
}

/// As [`send`], to `address`: `sendto(2)`.
///
/// # Errors
/// Those of the system call.
pub fn send_to(fd: BorrowedFd<'_>, buf: &[u8], address: &SockAddr) -> io::Result<usize> {
    let (pointer, flags) = (buf.as_ptr().expose_provenance(), SEND_FLAGS as usize);
    let (to, to_len) = (address.as_ptr().expose_provenance(), address.len() as usize);
    let arguments = [number(fd), pointer, buf.len(), flags, to, to_len];
    // SAFETY: both are valid for reading so many bytes during the call.
    unsafe { direct(libc::SYS_sendto, arguments) }
}

/// A header that names `len` buffers, as many of them as one call takes.
fn message(buffers: *mut libc::iovec, len: usize) -> libc::msghdr {
    // SAFETY: all zeroes is a message header without anything.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = buffers;
    message.msg_iovlen = len.min(MOST_BUFFERS) as _;
    message
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

/// True if `poll(2)` finds `fd` readable. For a descriptor that may have been closed meanwhile the
/// answer means nothing, and does no harm.
pub(crate) fn is_readable(fd: RawFd) -> bool {
    wait_readable(fd, Duration::ZERO)
}

/// `poll(2)`: until `fd` is readable, a signal comes, or `limit` is over, in whole milliseconds rounded up.
/// True if it is readable; that the call failed is as good as that the time is over.
pub(crate) fn wait_readable(fd: RawFd, limit: Duration) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let millis = limit.as_micros().div_ceil(1000);
    // SAFETY: one entry, valid for reading and writing during the call.
    let ready = unsafe { libc::poll(&raw mut poll, 1, millis as libc::c_int) };
    ready == 1 && poll.revents & libc::POLLIN != 0
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
