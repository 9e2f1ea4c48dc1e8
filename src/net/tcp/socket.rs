//! [`TcpSocket`]: a socket before it listens or is connected, for options that must be set by then.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use super::{TcpListener, TcpStream, tcp_socket};
use crate::net::endpoint::Endpoint;
use crate::net::ip_address;

/// A TCP socket that neither listens nor is connected yet: the builder of a [`TcpListener`] or
/// [`TcpStream`] with options.
///
/// Only [`listen`](TcpSocket::listen) and [`connect`](TcpSocket::connect) need a runtime. Options
/// that have no method here can be set by way of [`AsFd`], with `socket2::SockRef` for example.
///
/// Two listeners at one port, among which the kernel distributes the connections:
///
/// ```
/// use gorin::net::TcpSocket;
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let first = TcpSocket::new_v4()?;
///     first.set_reuse_port(true)?;
///     first.bind("127.0.0.1:0".parse().unwrap())?;
///     let first = first.listen(1024)?;
///
///     let second = TcpSocket::new_v4()?;
///     second.set_reuse_port(true)?;
///     second.bind(first.local_addr()?)?;
///     let second = second.listen(1024)?;
///     assert_eq!(first.local_addr()?, second.local_addr()?);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct TcpSocket {
    socket: socket2::Socket,
}

impl TcpSocket {
    /// For IPv4.
    ///
    /// # Errors
    /// Those of `socket(2)`.
    pub fn new_v4() -> io::Result<TcpSocket> {
        TcpSocket::for_address(&([0, 0, 0, 0], 0).into())
    }

    /// For IPv6; for IPv4 too, unless [`set_only_v6`](TcpSocket::set_only_v6) says no.
    ///
    /// # Errors
    /// Those of `socket(2)`.
    pub fn new_v6() -> io::Result<TcpSocket> {
        TcpSocket::for_address(&([0_u16; 8], 0).into())
    }

    fn for_address(address: &SocketAddr) -> io::Result<TcpSocket> {
        let socket = tcp_socket(address)?;
        Ok(TcpSocket { socket })
    }

    /// Allows to bind an address whose last connections are not forgotten yet (`SO_REUSEADDR`).
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_reuse_address(&self, reuse: bool) -> io::Result<()> {
        self.socket.set_reuse_address(reuse)
    }

    /// Allows to bind an address that others have bound with this option (`SO_REUSEPORT`).
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_reuse_port(&self, reuse: bool) -> io::Result<()> {
        self.socket.set_reuse_port(reuse)
    }

    /// Sets whether an IPv6 socket refuses IPv4 (`IPV6_V6ONLY`).
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_only_v6(&self, only: bool) -> io::Result<()> {
        self.socket.set_only_v6(only)
    }

    /// Sets whether small writes are sent at once. Connections of a listener inherit it.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.set_tcp_nodelay(nodelay)
    }

    /// Sets after how much idle time the kernel asks whether the peer is still there, in whole
    /// seconds and at least one. Connections of a listener inherit it.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_keepalive(&self, idle: Duration) -> io::Result<()> {
        let idle = idle.max(Duration::from_secs(1));
        self.socket
            .set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(idle))
    }

    /// Sets the size of the kernel's buffer for what arrives, in bytes. It limits the window that is
    /// negotiated, so it must be set before; connections of a listener inherit it.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.socket.set_recv_buffer_size(bytes)
    }

    /// Sets the size of the kernel's buffer for what is sent, in bytes. Connections of a listener
    /// inherit it.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.socket.set_send_buffer_size(bytes)
    }

    /// Takes a local address; port 0 lets the system choose one.
    ///
    /// # Errors
    /// Those of `bind(2)`.
    pub fn bind(&self, address: SocketAddr) -> io::Result<()> {
        self.socket.bind(&address.into())
    }

    /// The local address.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip_address(self.socket.local_addr()?)
    }

    /// Listens, with room for `backlog` connections that wait to be accepted; the kernel lowers it
    /// to `net.core.somaxconn`.
    ///
    /// # Errors
    /// Those of `listen(2)`; without a runtime on this thread an error that says so.
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        self.socket
            .listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Endpoint::new(self.socket).map(TcpListener::from_endpoint)
    }

    /// Connects to `address`.
    ///
    /// # Errors
    /// Those of `connect(2)`; without a runtime on this thread an error that says so.
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up.
    pub async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        let endpoint = Endpoint::connect(self.socket, &address.into()).await?;
        Ok(TcpStream::from_endpoint(endpoint))
    }
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for TcpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Takes over a TCP socket that was made elsewhere and neither listens nor is connected yet; it is set
/// non-blocking, the only thing that can fail.
impl TryFrom<OwnedFd> for TcpSocket {
    type Error = io::Error;

    fn try_from(fd: OwnedFd) -> io::Result<TcpSocket> {
        let socket = socket2::Socket::from(fd);
        socket.set_nonblocking(true)?;
        Ok(TcpSocket { socket })
    }
}

impl From<TcpSocket> for OwnedFd {
    fn from(socket: TcpSocket) -> OwnedFd {
        socket.socket.into()
    }
}
