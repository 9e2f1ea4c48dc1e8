//! [`TcpStream`]: a connection whose reads and writes suspend the goroutine, not the worker.
//!
//! One descriptor, shared by the clones of the stream. All I/O is a non-blocking call that is tried
//! first, except for reads after one that has emptied the socket, and repeated when the socket is
//! ready; the socket's own state in the reactor keeps who waits.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::{dial, tcp_socket};
use crate::net::address::ToSocketAddrs;
use crate::net::endpoint::Endpoint;
use crate::net::face::{call_face, socket_face, stream_face, transfer_face};
use crate::net::ip_address;

/// A TCP connection.
///
/// `read`, `write` and the like take `&self`: one goroutine may read while another writes, and
/// several may wait for the same direction. [`Clone`] gives another handle to the same connection;
/// the connection is closed when the last handle is dropped, or by [`close`](TcpStream::close).
///
/// The stream implements [`AsyncRead`](crate::io::AsyncRead) and
/// [`AsyncWrite`](crate::io::AsyncWrite), and so does `&TcpStream`.
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
///
/// Two goroutines, one for each direction, and a deadline:
///
/// ```
/// use gorin::io::AsyncReadExt;
/// use std::time::{Duration, Instant};
/// # use gorin::net::{TcpListener, TcpStream};
/// # gorin::run(async {
/// # let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
/// # let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
/// # let (echo, _) = listener.accept().await.unwrap();
/// # gorin::go(async move { let mut b = [0; 9]; let n = echo.read(&mut b).await.unwrap();
/// #     echo.write_all(&b[..n]).await.unwrap(); });
/// stream.set_read_deadline(Some(Instant::now() + Duration::from_secs(10)));
/// let (mut reader, writer) = stream.into_split();
/// let sent = gorin::go(async move { writer.write_all(b"hi").await });
/// let mut reply = String::new();
/// reader.read_to_string(&mut reply).await.unwrap();
/// sent.await.unwrap().unwrap();
/// assert_eq!(reply, "hi");
/// # });
/// ```
#[derive(Clone)]
pub struct TcpStream {
    endpoint: Endpoint,
}

impl TcpStream {
    /// Connects to one of `addresses`: they are tried in order, the families of addresses taking
    /// turns, and the next one also when the last one has been silent for 250 ms; the first
    /// connection wins and the other attempts are closed ("happy eyeballs", RFC 8305).
    ///
    /// # Errors
    /// That of resolving the name; or one that lists what was tried and why it failed, of the kind
    /// of the last failure, with a [`ConnectError`](crate::net::ConnectError) inside; without a
    /// runtime on this thread an error that says so.
    ///
    /// # Cancel safety
    /// Dropping the future gives all attempts up.
    pub async fn connect(addresses: impl ToSocketAddrs) -> io::Result<TcpStream> {
        dial::connect(addresses).await
    }

    /// As [`connect`](TcpStream::connect), within `limit`, resolving the name included.
    ///
    /// # Errors
    /// As [`connect`](TcpStream::connect); when the time is up one of the kind `TimedOut` that lists
    /// what was tried, too.
    ///
    /// # Cancel safety
    /// Dropping the future gives all attempts up.
    pub async fn connect_timeout(
        addresses: impl ToSocketAddrs,
        limit: Duration,
    ) -> io::Result<TcpStream> {
        dial::connect_timeout(addresses, limit).await
    }

    pub(super) async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
        let socket = tcp_socket(&address)?;
        let endpoint = Endpoint::connect(socket, &address.into()).await?;
        Ok(TcpStream::from_endpoint(endpoint))
    }

    pub(super) fn from_endpoint(endpoint: Endpoint) -> TcpStream {
        TcpStream { endpoint }
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// True if small writes are sent at once, without waiting for earlier ones to be acknowledged.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.endpoint.options().tcp_nodelay()
    }

    /// Sets whether small writes are sent at once.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.endpoint.options().set_tcp_nodelay(nodelay)
    }

    /// True if what arrives is acknowledged at once, and not later together with what is sent
    /// (`TCP_QUICKACK`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn quickack(&self) -> io::Result<bool> {
        self.endpoint.options().tcp_quickack()
    }

    /// Sets whether what arrives is acknowledged at once. It does not last: the kernel goes back to
    /// its own judgement by and by.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.endpoint.options().set_tcp_quickack(quickack)
    }

    /// How long closing the socket may wait for unsent data; see `SO_LINGER`.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.endpoint.options().linger()
    }

    /// Sets `SO_LINGER`, in whole seconds; `Some(Duration::ZERO)` makes closing reset the
    /// connection, by [`close`](TcpStream::close) or by dropping the last handle.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.endpoint.options().set_linger(linger)
    }

    /// Time to live of outgoing packets, in hops.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.endpoint.options().ttl_v4()
    }

    /// Sets the time to live of outgoing packets, in hops.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        self.endpoint.options().set_ttl_v4(hops)
    }

    /// How long an idle connection waits before the kernel asks whether the peer is still there;
    /// `None`: it never asks.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        let options = self.endpoint.options();
        if !options.keepalive()? {
            return Ok(None);
        }
        options.tcp_keepalive_time().map(Some)
    }

    /// Sets after how much idle time the kernel asks whether the peer is still there (`SO_KEEPALIVE`,
    /// `TCP_KEEPIDLE`), in whole seconds and at least one, or that it never does.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        let options = self.endpoint.options();
        let Some(idle) = idle else {
            return options.set_keepalive(false);
        };
        let idle = idle.max(Duration::from_secs(1));
        options.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(idle))
    }
}

socket_face!(TcpStream, std: std::net::TcpStream, address: SocketAddr = ip_address);
transfer_face!(TcpStream, address: SocketAddr = ip_address);
call_face!(TcpStream);
stream_face!(TcpStream);

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
