//! Receiving and sending with buffers that the operation owns.
//!
//! On a worker of the socket's reactor these are operations of its ring, submitted with all others
//! of the tick. Elsewhere (a thread that is no worker, a driver that has no such operations), and
//! for a socket that has bytes left of a dropped receive, they wait for readiness and make the
//! system call, like the calls on borrowed buffers; the buffer comes back all the same.
//!
//! # Cancel safety
//! A dropped receive loses no bytes of a stream: what it has taken, or takes before the kernel
//! cancels it, goes to the next read of the socket (`early.rs`). A dropped send may have sent all, a
//! prefix or nothing.
//!
//! Rejected: one multishot receive per connection, into buffers that the connections of a ring share.
//! Servers without a runtime (`bench/contenders/raw/`), CPU per request, 9 interleaved rounds, in units
//! of one that has a single receive in flight: multishot 1.04 and 1.03 with 50 connections (64 B, 4 KiB),
//! 1.09 and 1.19 with 1,000; in units of epoll 0.99, 1.02, 0.96 and 1.00. So it pays nowhere, and it
//! would bind a connection to the ring of one worker, and need a limit to what each may hoard.
//!
//! An operation that waits ends when the socket is closed or a deadline of the socket passes: it
//! lists itself with those who wait for readiness, and when it is woken looks whether it may go on.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::Poll;

use gorin_base::primitive::PlainArc;

use super::file::MAX_TRANSFER;
use super::run::Run;
use crate::buffer::{self, IoBuf, IoBufMut};
use crate::calls;
use crate::driver::{Direction, Request};
use crate::early::Early;
use crate::op::Opcode;
use crate::socket::{Link, Socket};

/// Receives what has arrived into `buffer`, over what it contains; gives the number of bytes, 0 at
/// the end of the stream, and the buffer, whose length does not change.
///
/// For streams: of a datagram that a dropped call has taken the boundaries would be lost.
///
/// # Errors
/// As [`Socket::io`]; `InvalidInput` for an empty vector that has a capacity: its length was forgotten. The
/// buffer comes back with every error but one: if the runtime is torn down by force while the kernel uses it,
/// an empty one comes instead.
///
/// # Cancel safety
/// No bytes are lost: see the module. The buffer of a dropped call is freed when the kernel is done
/// with it.
pub async fn recv_owned<B: IoBufMut>(socket: &Socket, mut buffer: B) -> (io::Result<usize>, B) {
    if let Err(error) = buffer::has_length(&buffer) {
        return (Err(error), buffer);
    }
    if socket.completes() && !has_early(socket) {
        let result;
        (result, buffer) = receive(socket, buffer).await;
        // Another receive was dropped meanwhile: its bytes come first.
        let again = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        if !result.as_ref().is_err_and(again) {
            return (result, buffer);
        }
    }
    let call = |fd: BorrowedFd<'_>| match socket.read_early(buffer.bytes_mut(), false) {
        Some(read) => read,
        None => calls::recv(fd, buffer.bytes_mut(), 0),
    };
    let result = match socket.io(Direction::Read, call).await {
        Ok(0) => socket.end_of_stream(),
        result => result,
    };
    (result, buffer)
}

fn has_early(socket: &Socket) -> bool {
    socket.early().is_some_and(Early::is_present)
}

/// Receives by an operation of the ring. `WouldBlock`: another one has left bytes, to be read first.
async fn receive<B: IoBufMut>(socket: &Socket, buffer: B) -> (io::Result<usize>, B) {
    let early = socket.early_or_new().clone();
    let mut receive = Receive {
        run: Run::new(Receiving {
            file: socket.file().clone(),
            buffer,
            early: early.clone(),
            link: socket.link(),
        }),
        early,
    };
    let look = || {
        socket.verdict(Direction::Read)?;
        match has_early(socket) {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    };
    drive(socket, Direction::Read, &mut receive.run, look).await
}

/// Sends `buffer` from `start` on; gives the number of bytes sent, which may be less, and the
/// buffer.
///
/// # Errors
/// As [`recv_owned`]; `BrokenPipe` raises no signal.
///
/// # Panics
/// If `start` is beyond the end of the buffer.
///
/// # Cancel safety
/// A dropped call may have sent all, a prefix or nothing.
pub async fn send_owned<B: IoBuf>(
    socket: &Socket,
    buffer: B,
    start: usize,
) -> (io::Result<usize>, B) {
    send(socket, buffer, start, Way::Copied).await
}

/// As [`send_owned`], but the network card reads the buffer itself (`SEND_ZC`, Linux 6.0), which is
/// the caller's again when the peer has acknowledged all. Pays for large buffers on a real network;
/// on loopback it copies all the same and costs 1.3 to 1.5 times as much. What cannot do that (an
/// older kernel, a Unix socket) sends as usual.
///
/// # Errors
/// As [`send_owned`].
///
/// # Panics
/// As [`send_owned`].
///
/// # Cancel safety
/// As [`send_owned`].
pub async fn send_zero_copy<B: IoBuf>(
    socket: &Socket,
    buffer: B,
    start: usize,
) -> (io::Result<usize>, B) {
    let (result, buffer) = send(socket, buffer, start, Way::ZeroCopy).await;
    let unsupported = matches!(
        result.as_ref().map_err(io::Error::raw_os_error),
        Err(Some(libc::EOPNOTSUPP | libc::EINVAL))
    );
    if unsupported {
        return send(socket, buffer, start, Way::Copied).await;
    }
    (result, buffer)
}

async fn send<B: IoBuf>(
    socket: &Socket,
    buffer: B,
    start: usize,
    way: Way,
) -> (io::Result<usize>, B) {
    let len = buffer.bytes().len();
    assert!(start <= len, "sending from {start} of {len} bytes");
    if !socket.completes() {
        let bytes = &buffer.bytes()[start..];
        let call = |fd: BorrowedFd<'_>| calls::send(fd, bytes);
        let result = socket.io(Direction::Write, call).await;
        return (result, buffer);
    }
    let mut run = Run::new(Sending {
        file: socket.file().clone(),
        buffer,
        start,
        way,
        _link: socket.link(),
    });
    let look = || socket.may_wait(Direction::Write);
    drive(socket, Direction::Write, &mut run, look).await
}

/// Waits for an operation on `socket`, and cancels it when `look` says why it may not go on: the
/// socket was closed, for example, or its deadline passes.
async fn drive<B, C>(
    socket: &Socket,
    direction: Direction,
    run: &mut Run<C>,
    look: impl Fn() -> io::Result<()>,
) -> (io::Result<usize>, B)
where
    C: Opcode<Output = (io::Result<usize>, B)>,
{
    let mut waiter = socket.waiter(direction);
    let mut verdict = look();
    if verdict.is_err() {
        run.never_submit();
    }
    let (result, buffer) = poll_fn(|cx| {
        if let Poll::Ready(output) = Pin::new(&mut *run).poll(cx) {
            return Poll::Ready(output);
        }
        if verdict.is_ok() {
            waiter.list(cx.waker());
            verdict = look();
            if verdict.is_err() {
                run.cancel();
            }
        }
        Poll::Pending
    })
    .await;
    match (result, verdict) {
        // It was cancelled before it had an effect, or ended by the shutdown or reset that closing is.
        (Err(_) | Ok(0), Err(error)) => (Err(error), buffer),
        (ended @ (Err(_) | Ok(0)), Ok(())) => (socket.verdict(direction).and(ended), buffer),
        (result, _) => (result, buffer),
    }
}

/// The operation of a receive, whose end is awaited by later reads when it is dropped in flight.
struct Receive<B: IoBufMut> {
    run: Run<Receiving<B>>,
    early: PlainArc<Early>,
}

impl<B: IoBufMut> Drop for Receive<B> {
    fn drop(&mut self) {
        if self.run.is_in_flight() {
            self.early.expect();
        }
    }
}

struct Receiving<B> {
    file: PlainArc<OwnedFd>,
    buffer: B,
    early: PlainArc<Early>,
    link: Link,
}

impl<B: IoBufMut> Opcode for Receiving<B> {
    type Output = (io::Result<usize>, B);

    fn request(&mut self) -> Request {
        let buffer = self.buffer.bytes_mut();
        Request::Recv {
            fd: self.file.as_raw_fd(),
            buffer: buffer.as_mut_ptr(),
            len: buffer.len().min(MAX_TRANSFER) as u32,
        }
    }

    fn finish(self, result: io::Result<u32>) -> Self::Output {
        (result.map(|len| len as usize), self.buffer)
    }

    fn orphan(self, result: io::Result<u32>) {
        let received = result
            .map(|len| &self.buffer.bytes()[..len as usize])
            .map_err(|error| error.raw_os_error().unwrap_or(libc::ECANCELED));
        self.early.deposit(received);
        self.link.wake(Direction::Read);
    }

    fn lost(error: io::Error) -> Self::Output {
        (Err(error), B::default())
    }
}

#[derive(Clone, Copy)]
enum Way {
    Copied,
    ZeroCopy,
}

struct Sending<B> {
    file: PlainArc<OwnedFd>,
    buffer: B,
    start: usize,
    way: Way,
    /// Keeps the descriptor from being closed, and its socket from being taken for unused.
    _link: Link,
}

impl<B: IoBuf> Opcode for Sending<B> {
    type Output = (io::Result<usize>, B);

    fn request(&mut self) -> Request {
        let bytes = &self.buffer.bytes()[self.start..];
        Request::Send {
            fd: self.file.as_raw_fd(),
            buffer: bytes.as_ptr(),
            len: bytes.len().min(MAX_TRANSFER) as u32,
            zero_copy: matches!(self.way, Way::ZeroCopy),
        }
    }

    fn finish(self, result: io::Result<u32>) -> Self::Output {
        (result.map(|len| len as usize), self.buffer)
    }

    fn lost(error: io::Error) -> Self::Output {
        (Err(error), B::default())
    }
}
