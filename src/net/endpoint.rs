//! [`Endpoint`]: what all sockets have in common, as calls on bytes.
//!
//! Each call exists once, as a function from buffers to a closure that makes the system call; it can
//! be awaited, polled, or tried. The typed sockets add addresses and options (`face.rs`).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use gorin_base::pool::PooledBuf;
use gorin_reactor::{Direction, Io, IoBuf, IoBufMut, Socket, calls, ops};
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

use crate::io::splice;
use crate::io::turns::Turns;
use crate::io::write_all::{WriteAll, write_all};
use crate::time::timeout;

/// A handle to a socket; its clones are handles to the same one.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    shared: Arc<Shared>,
}

/// What all handles share.
#[derive(Debug)]
struct Shared {
    socket: Socket,
    /// Whose message is being written; for streams.
    writing: Turns,
}

/// One system call on a socket's descriptor, which may be repeated.
pub(super) trait Call<R>: FnMut(BorrowedFd<'_>) -> io::Result<R> {}

impl<R, F: FnMut(BorrowedFd<'_>) -> io::Result<R>> Call<R> for F {}

/// A new socket, non-blocking and closed on exec.
pub(super) fn new_socket(
    domain: Domain,
    kind: Type,
    protocol: Option<Protocol>,
) -> io::Result<socket2::Socket> {
    socket2::Socket::new(domain, kind.nonblocking().cloexec(), protocol)
}

impl Endpoint {
    /// Over a descriptor that is non-blocking already.
    pub(super) fn new(fd: impl Into<OwnedFd>) -> io::Result<Endpoint> {
        let shared = Arc::new(Shared {
            socket: Socket::new(fd.into())?,
            writing: Turns::new(),
        });
        Ok(Endpoint { shared })
    }

    /// As [`new`](Self::new), over what was somebody else's before: dropping it must not end the connection
    /// of who has kept a duplicate. Who listens may do so for other processes, too (a service manager's
    /// socket, a restart's): closing must not end that, either.
    pub(super) fn adopt(fd: impl Into<OwnedFd>) -> io::Result<Endpoint> {
        let endpoint = Endpoint::new(fd)?;
        endpoint.socket().set_adopted();
        if endpoint.options().is_listener()? {
            endpoint.socket().set_duplicated();
        }
        Ok(endpoint)
    }

    /// A new endpoint that is connected to `address`.
    pub(super) async fn connect(
        socket: socket2::Socket,
        address: &SockAddr,
    ) -> io::Result<Endpoint> {
        let endpoint = Endpoint::new(socket)?;
        endpoint.connect_to(address).await?;
        Ok(endpoint)
    }

    /// Connects this one.
    pub(super) async fn connect_to(&self, address: &SockAddr) -> io::Result<()> {
        ops::connect(self.socket(), address).await
    }

    #[inline]
    fn socket(&self) -> &Socket {
        &self.shared.socket
    }

    /// Repeats `call` until it does not block.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it has had no effect.
    pub(super) fn read<R, F: Call<R>>(&self, call: F) -> Io<'_, F, R> {
        self.socket().io(Direction::Read, call)
    }

    /// As [`read`](Self::read), for what waits for room.
    pub(super) fn write<R, F: Call<R>>(&self, call: F) -> Io<'_, F, R> {
        self.socket().io(Direction::Write, call)
    }

    pub(super) fn poll_read<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl Call<R>,
    ) -> Poll<io::Result<R>> {
        self.socket().poll_io(Direction::Read, cx, call)
    }

    pub(super) fn poll_write<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl Call<R>,
    ) -> Poll<io::Result<R>> {
        self.socket().poll_io(Direction::Write, cx, call)
    }

    pub(super) fn try_read<R>(&self, call: impl Call<R>) -> io::Result<R> {
        self.socket().try_io(Direction::Read, call)
    }

    pub(super) fn try_write<R>(&self, call: impl Call<R>) -> io::Result<R> {
        self.socket().try_io(Direction::Write, call)
    }

    pub(super) fn readable(&self) -> impl Future<Output = io::Result<()>> {
        self.socket().ready(Direction::Read)
    }

    pub(super) fn writable(&self) -> impl Future<Output = io::Result<()>> {
        self.socket().ready(Direction::Write)
    }

    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_ready(Direction::Read, cx)
    }

    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_ready(Direction::Write, cx)
    }

    /// Receives from a stream, and notes when that has emptied the socket.
    pub(super) fn recv_stream(&self, buf: &mut [u8]) -> impl Call<usize> {
        move |fd| {
            if let Some(early) = self.socket().read_early(buf, false) {
                return early;
            }
            let received = calls::recv(fd, buf, 0);
            self.received(received, buf.len())
        }
    }

    /// As [`recv_stream`](Self::recv_stream), at most `limit` bytes, into a buffer of the thread's pool.
    pub(super) fn recv_stream_pooled(&self, limit: usize) -> impl Call<PooledBuf> {
        move |fd| {
            let mut buf = PooledBuf::take(limit);
            let len = self.recv_stream(&mut buf)(fd)?;
            buf.truncate(len);
            Ok(buf)
        }
    }

    /// As [`recv_stream`](Self::recv_stream), but leaves the bytes where they are.
    pub(super) fn peek_stream(&self, buf: &mut [u8]) -> impl Call<usize> {
        move |fd| match self.socket().read_early(buf, true) {
            Some(early) => early,
            None => self.unless_closed(calls::recv(fd, buf, libc::MSG_PEEK)),
        }
    }

    /// As [`recv_stream`](Self::recv_stream), into several buffers.
    pub(super) fn recv_stream_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> impl Call<usize> {
        let room = calls::room(bufs);
        move |fd| {
            // What is left of a dropped receive goes into one buffer: a short read.
            let first = bufs.iter_mut().find(|buf| !buf.is_empty());
            let first = first.map_or(&mut [][..], |buf| buf);
            if let Some(early) = self.socket().read_early(first, false) {
                return early;
            }
            self.received(calls::recv_vectored(fd, bufs), room)
        }
    }

    /// Moves what a stream has received into `pipe`, at most `room` bytes.
    pub(super) fn splice_out(&self, pipe: BorrowedFd<'_>, room: usize) -> impl Call<usize> {
        move |fd| {
            if let Some(early) = self.early_into(pipe, room) {
                return early;
            }
            let moved = self.unless_closed(splice::call(fd, pipe, room))?;
            // It may have come short because the pipe has few places, and each piece takes one: as good as
            // a read that filled its buffer.
            self.socket().note_read(moved, moved);
            Ok(moved)
        }
    }

    /// Writes what is left of a dropped receive into `pipe`.
    fn early_into(&self, pipe: BorrowedFd<'_>, room: usize) -> Option<io::Result<usize>> {
        // As much as a pipe takes in one piece.
        let mut buf = [0; libc::PIPE_BUF];
        let len = room.min(buf.len());
        let early = match self.socket().read_early(&mut buf[..len], false)? {
            Ok(len) => &buf[..len],
            Err(error) => return Some(Err(error)),
        };
        let written = rustix::io::write(pipe, early).map_err(io::Error::from);
        let kept = written.as_ref().map_or(0, |len| *len);
        self.socket().put_back_early(&early[kept..]);
        Some(written)
    }

    /// The result of a read of a stream into `room` bytes. One that got less than it had room for has emptied
    /// the socket, most likely, and one that got all perhaps, too.
    ///
    /// Rejected: `TCP_INQ`, which would tell, but makes a read 150 ns dearer.
    #[inline]
    fn received(&self, received: io::Result<usize>, room: usize) -> io::Result<usize> {
        if let Ok(len) = received {
            self.socket().note_read(len, room);
        }
        self.unless_closed(received)
    }

    /// `received`, unless that is an end which is none.
    #[inline]
    fn unless_closed(&self, received: io::Result<usize>) -> io::Result<usize> {
        match received {
            Ok(0) => self.socket().end_of_stream(),
            received => received,
        }
    }

    /// True if both are handles to one socket.
    pub(super) fn is_same(&self, other: &Endpoint) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    pub(super) fn recv_owned<B: IoBufMut>(
        &self,
        buf: B,
    ) -> impl Future<Output = (io::Result<usize>, B)> {
        ops::recv_owned(self.socket(), buf)
    }

    pub(super) fn send_owned<B: IoBuf>(
        &self,
        buf: B,
    ) -> impl Future<Output = (io::Result<usize>, B)> {
        ops::send_owned(self.socket(), buf, 0)
    }

    /// Sends all of `buf`, with nothing of other such calls in between.
    pub(super) fn send_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        let call = write_all(buf, calls::send);
        WriteAll::new(&self.shared.writing, self.write(call))
    }

    /// As [`send_all`](Self::send_all), from a buffer that the call owns.
    pub(super) async fn send_all_owned<B: IoBuf>(
        &self,
        mut buf: B,
        zero_copy: bool,
    ) -> (io::Result<()>, B) {
        let _turn = self.shared.writing.take().await;
        let mut sent = 0;
        while sent < buf.bytes().len() {
            let result;
            (result, buf) = match zero_copy {
                true => ops::send_zero_copy(self.socket(), buf, sent).await,
                false => ops::send_owned(self.socket(), buf, sent).await,
            };
            match result {
                Ok(len) => sent += len,
                Err(error) => return (Err(error), buf),
            }
        }
        (Ok(()), buf)
    }

    /// The descriptor, for options and names.
    pub(super) fn options(&self) -> SockRef<'_> {
        SockRef::from(self)
    }

    pub(super) fn set_read_deadline(&self, deadline: Option<Instant>) {
        self.socket().set_deadline(Direction::Read, deadline);
    }

    pub(super) fn set_write_deadline(&self, deadline: Option<Instant>) {
        self.socket().set_deadline(Direction::Write, deadline);
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket().shutdown(how)
    }

    /// Waits for `time`, or until calls of `direction` are not allowed any more: then gives their error.
    pub(super) async fn pause(&self, time: Duration, direction: Direction) -> io::Result<()> {
        match timeout(time, self.socket().ended(direction)).await {
            Ok(error) => Err(error),
            Err(_time_is_up) => Ok(()),
        }
    }

    pub(super) fn close(&self) {
        self.socket().close();
    }

    /// Another descriptor of the same socket, which lives on when all handles are dropped.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        let fd = self.as_fd().try_clone_to_owned()?;
        // Or dropping the last handle would end the connection for the duplicate, too.
        self.socket().set_duplicated();
        Ok(fd)
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

/// Receives with `flags`.
pub(super) fn recv(buf: &mut [u8], flags: libc::c_int) -> impl Call<usize> {
    move |fd| calls::recv(fd, buf, flags)
}

/// Receives a datagram into several buffers.
pub(super) fn recv_datagram_vectored(bufs: &mut [IoSliceMut<'_>]) -> impl Call<usize> {
    move |fd| {
        all_in_one_call(bufs.len())?;
        calls::recv_vectored(fd, bufs)
    }
}

/// A datagram cannot be continued by another call, so what one call does not take is refused, as the kernel
/// refuses it.
fn all_in_one_call(buffers: usize) -> io::Result<()> {
    match buffers <= calls::MOST_BUFFERS {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::EMSGSIZE)),
    }
}

/// Receives with `flags`, and tells from whom.
pub(super) fn recv_from(buf: &mut [u8], flags: libc::c_int) -> impl Call<(usize, SockAddr)> {
    move |fd| calls::recv_from(fd, buf, flags)
}

/// Receives a datagram, at most `limit` bytes of it, into a buffer of the thread's pool.
pub(super) fn recv_pooled(limit: usize) -> impl Call<PooledBuf> {
    move |fd| {
        let mut buf = PooledBuf::take(limit);
        let len = calls::recv(fd, &mut buf, 0)?;
        buf.truncate(len);
        Ok(buf)
    }
}

/// As [`recv_pooled`], and tells from whom.
pub(super) fn recv_from_pooled(limit: usize) -> impl Call<(PooledBuf, SockAddr)> {
    move |fd| {
        let mut buf = PooledBuf::take(limit);
        let (len, address) = calls::recv_from(fd, &mut buf, 0)?;
        buf.truncate(len);
        Ok((buf, address))
    }
}

/// Sends, without the signal that a gone peer would raise.
pub(super) fn send(buf: &[u8]) -> impl Call<usize> {
    move |fd| calls::send(fd, buf)
}

/// As [`send`], from several buffers.
pub(super) fn send_vectored(bufs: &[IoSlice<'_>]) -> impl Call<usize> {
    move |fd| calls::send_vectored(fd, bufs)
}

/// As [`send_vectored`], a datagram.
pub(super) fn send_datagram_vectored(bufs: &[IoSlice<'_>]) -> impl Call<usize> {
    move |fd| {
        all_in_one_call(bufs.len())?;
        calls::send_vectored(fd, bufs)
    }
}

/// Sends what is in `pipe`, at most `len` bytes.
pub(super) fn splice_in(pipe: BorrowedFd<'_>, len: usize) -> impl Call<usize> {
    move |fd| splice::call(pipe, fd, len)
}

/// As [`send`], to `address`.
pub(super) fn send_to(buf: &[u8], address: &SockAddr) -> impl Call<usize> {
    move |fd| calls::send_to(fd, buf, address)
}
