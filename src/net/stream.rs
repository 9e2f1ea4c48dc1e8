//! [`TcpStream`]: a connection whose reads and writes suspend the goroutine, not the worker.
//!
//! One descriptor, shared by the clones of the stream. All I/O is a non-blocking call that is tried
//! first, except for reads after one that has emptied the socket, and repeated when the socket is
//! ready; the socket's own state in the reactor keeps who waits.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::io::{AsyncRead, AsyncWrite};
use gorin_reactor::{Direction, Socket, ops};
use socket2::SockRef;

use super::address::{ToSocketAddrs, resolve};
use super::split::{ReadHalf, WriteHalf};
use super::{ip_address, tcp_socket};

/// A TCP connection.
///
/// `read`, `write` and the like take `&self`: one goroutine may read while another writes, and
/// several may wait for the same direction. [`Clone`] gives another handle to the same connection;
/// the connection is closed when the last handle is dropped, or by [`close`](TcpStream::close).
///
/// The stream implements [`AsyncRead`] and [`AsyncWrite`], and so does `&TcpStream`.
///
/// Nagle's algorithm is on until [`set_nodelay`](TcpStream::set_nodelay) turns it off, as in std.
///
/// ```
/// use gorin::net::{TcpListener, TcpStream};
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (server, _) = listener.accept().await?;
///     client.write_all(b"hi").await?;
///     let mut buf = [0; 8];
///     assert_eq!(server.read(&mut buf).await?, 2);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct TcpStream {
    socket: Arc<Socket>,
}

impl TcpStream {
    /// Connects to the first of `addresses` that accepts.
    ///
    /// # Errors
    /// The error of the last address tried, or of resolving the name; without a runtime on this
    /// thread an error that says so.
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up.
    pub async fn connect(addresses: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in resolve(&addresses).await? {
            result = TcpStream::connect_to(&address).await;
            if result.is_ok() {
                break;
            }
        }
        result
    }

    async fn connect_to(address: &SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::from_fd(tcp_socket(address)?.into())?;
        ops::connect(&stream.socket, address).await?;
        Ok(stream)
    }

    /// Takes over a connection made by std; it is set non-blocking.
    ///
    /// # Errors
    /// If the descriptor cannot be set non-blocking, or this thread belongs to no runtime.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        TcpStream::from_fd(stream.into())
    }

    /// Gives the connection to std. It stays non-blocking, because other handles may share it; it
    /// lives until the last of them and the returned one are dropped.
    ///
    /// # Errors
    /// If no descriptor is left.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        let fd = self.as_fd().try_clone_to_owned()?;
        // Or dropping this handle would end the connection for the duplicate, too.
        self.socket.set_duplicated();
        Ok(fd.into())
    }

    /// A stream over a connected, non-blocking socket.
    pub(super) fn from_fd(fd: OwnedFd) -> io::Result<TcpStream> {
        let socket = Arc::new(Socket::new(fd)?);
        Ok(TcpStream { socket })
    }

    /// Reads what has arrived, at most `buf.len()` bytes. Zero means the peer will send no more
    /// (or that `buf` is empty).
    ///
    /// # Cancel safety
    /// Nothing is lost: a dropped read leaves the bytes in the socket.
    ///
    /// # Errors
    /// Those of `recv(2)`, and an error if the stream is closed meanwhile.
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let room = buf.len();
        let read = |fd: BorrowedFd<'_>| recv(fd, buf);
        let result = self.socket.io(Direction::Read, read).await;
        self.note_short_read(&result, room);
        result
    }

    /// Reads what has arrived without taking it out: the next read gets the same bytes.
    ///
    /// Costs two more system calls than [`read`](TcpStream::read).
    ///
    /// # Cancel safety
    /// Has no effect that could be lost.
    ///
    /// # Errors
    /// As [`read`](TcpStream::read).
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        // std's `peek` on a duplicate that lives for the call: `recv(2)` with a flag into an
        // initialised buffer is to be had from socket2 only with `unsafe`.
        let peek = |fd: BorrowedFd<'_>| {
            let duplicate = std::net::TcpStream::from(fd.try_clone_to_owned()?);
            duplicate.peek(buf)
        };
        self.socket.io(Direction::Read, peek).await
    }

    /// Writes what the socket has room for, at least one byte unless `buf` is empty.
    ///
    /// Success means that the kernel has the bytes, not that the peer does.
    ///
    /// # Cancel safety
    /// Nothing is written by a future that is dropped before it is ready.
    ///
    /// # Errors
    /// Those of `send(2)`, `BrokenPipe` among them (no signal is raised), and an error if the
    /// stream is closed meanwhile.
    pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let write = |fd: BorrowedFd<'_>| send(fd, buf);
        self.socket.io(Direction::Write, write).await
    }

    /// Writes all of `buf`. Calls of several goroutines may mix with each other.
    ///
    /// # Cancel safety
    /// Not cancel-safe: a dropped call may have written a prefix. Where that matters use
    /// [`write`](TcpStream::write) and keep count.
    ///
    /// # Errors
    /// As [`write`](TcpStream::write); a prefix may have been written.
    pub async fn write_all(&self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let written = self.write(buf).await?;
            buf = &buf[written..];
        }
        Ok(())
    }

    /// Ends one or both directions; pending and later calls of that direction see the end.
    /// `Shutdown::Write` tells the peer that no more will come, while reading goes on.
    ///
    /// # Errors
    /// Those of `shutdown(2)`: `NotConnected` if the peer is gone already.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        SockRef::from(self).shutdown(how)
    }

    /// Ends the connection for all handles, now; pending and later calls, of this and other
    /// goroutines, end with an error. Closing twice has no effect.
    ///
    /// Data that nobody has read is dropped; the peer sees a normal end of stream.
    pub fn close(&self) {
        self.socket.close();
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// `NotConnected` if the peer is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        ip_address(SockRef::from(self).peer_addr()?)
    }

    /// The address of this end.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip_address(SockRef::from(self).local_addr()?)
    }

    /// True if small writes are sent at once, without waiting for earlier ones to be acknowledged.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn nodelay(&self) -> io::Result<bool> {
        SockRef::from(self).tcp_nodelay()
    }

    /// Sets whether small writes are sent at once.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        SockRef::from(self).set_tcp_nodelay(nodelay)
    }

    /// How long closing the socket may wait for unsent data; see `SO_LINGER`.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self).linger()
    }

    /// Sets `SO_LINGER`, in whole seconds; `Some(Duration::ZERO)` makes closing reset the
    /// connection.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(self).set_linger(linger)
    }

    /// Time to live of outgoing packets, in hops.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn ttl(&self) -> io::Result<u32> {
        SockRef::from(self).ttl_v4()
    }

    /// Sets the time to live of outgoing packets, in hops.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        SockRef::from(self).set_ttl_v4(hops)
    }

    /// The two directions as two values, to be moved into two goroutines. Dropping the
    /// [`WriteHalf`] ends that direction; the connection is closed when both are dropped.
    ///
    /// ```
    /// use gorin::io::{AsyncReadExt, AsyncWriteExt};
    /// # use gorin::net::{TcpListener, TcpStream};
    /// # gorin::run(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// # let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    /// # let (echo, _) = listener.accept().await.unwrap();
    /// # gorin::go(async move { let mut b = [0; 9]; let n = echo.read(&mut b).await.unwrap();
    /// #     echo.write_all(&b[..n]).await.unwrap(); });
    /// let (mut reader, mut writer) = stream.split();
    /// let sent = gorin::go(async move { writer.write_all(b"hi").await });
    /// let mut reply = String::new();
    /// reader.read_to_string(&mut reply).await.unwrap();
    /// sent.await.unwrap().unwrap();
    /// assert_eq!(reply, "hi");
    /// # });
    /// ```
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        (ReadHalf::new(self.clone()), WriteHalf::new(self))
    }

    fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let room = buf.len();
        let read = |fd: BorrowedFd<'_>| recv(fd, buf);
        let result = ready!(self.socket.poll_io(Direction::Read, cx, read));
        self.note_short_read(&result, room);
        Poll::Ready(result)
    }

    /// A read that got less than it had room for has emptied the socket, most likely.
    fn note_short_read(&self, result: &io::Result<usize>, room: usize) {
        if matches!(result, Ok(read) if (1..room).contains(read)) {
            self.socket.set_drained();
        }
    }

    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let write = |fd: BorrowedFd<'_>| send(fd, buf);
        self.socket.poll_io(Direction::Write, cx, write)
    }
}

/// `recv(2)` into `buf`.
fn recv(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    let socket = SockRef::from(&fd);
    let mut socket: &socket2::Socket = &socket;
    socket.read(buf)
}

/// `send(2)` from `buf`, without the signal that a gone peer would raise.
fn send(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    SockRef::from(&fd).send_with_flags(buf, libc::MSG_NOSIGNAL)
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsyncRead for &TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_recv(cx, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_io(Direction::Read, cx, |fd| {
            let socket = SockRef::from(&fd);
            let mut socket: &socket2::Socket = &socket;
            socket.read_vectored(bufs)
        })
    }
}

impl AsyncWrite for &TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_io(Direction::Write, cx, |fd| {
            SockRef::from(&fd).send_vectored_with_flags(bufs, libc::MSG_NOSIGNAL)
        })
    }

    /// Ready at once: nothing is buffered here.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the writing direction; reading goes on.
    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown(Shutdown::Write))
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_recv(cx, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_read_vectored(cx, bufs)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write_vectored(cx, bufs)
    }

    /// Ready at once: nothing is buffered here.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(cx)
    }

    /// Ends the writing direction; reading goes on.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_close(cx)
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TcpStream");
        if let Ok(address) = self.local_addr() {
            out.field("local", &address);
        }
        if let Ok(address) = self.peer_addr() {
            out.field("peer", &address);
        }
        out.finish()
    }
}
