//! [`UnixSocket`]: a Unix socket before it listens or is connected.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, SockAddr, Type};

use super::{UnixListener, UnixStream, from_kernel, path_address, to_kernel};
use crate::net::endpoint::{Endpoint, new_socket};

/// A Unix socket that neither listens nor is connected yet: the builder of a [`UnixListener`] with a
/// queue of its own length, or of a [`UnixStream`] that has an address itself.
///
/// Only [`listen`](UnixSocket::listen) and [`connect`](UnixSocket::connect) need a runtime. Options can
/// be set by way of [`AsFd`]. (A [`UnixDatagram`](super::UnixDatagram) can do all of that later.)
///
/// ```
/// use gorin::net::UnixSocket;
/// use std::os::linux::net::SocketAddrExt;
/// use std::os::unix::net::SocketAddr;
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let name = |end| SocketAddr::from_abstract_name(format!("gorin-{end}-{}", std::process::id()));
///     let socket = UnixSocket::new_stream()?;
///     socket.bind_addr(&name("server")?)?;
///     let listener = socket.listen(16)?;
///
///     let socket = UnixSocket::new_stream()?;
///     socket.bind_addr(&name("client")?)?;
///     let client = socket.connect_addr(&name("server")?).await?;
///     let (_server, peer) = listener.accept().await?;
///     assert_eq!(peer.as_abstract_name(), client.local_addr()?.as_abstract_name());
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct UnixSocket {
    socket: socket2::Socket,
}

impl UnixSocket {
    /// For a stream of bytes.
    ///
    /// # Errors
    /// Those of `socket(2)`.
    pub fn new_stream() -> io::Result<UnixSocket> {
        let socket = new_socket(Domain::UNIX, Type::STREAM, None)?;
        Ok(UnixSocket { socket })
    }

    /// Gives the socket the address `path`, where a file is made; it must not exist. Removing it is
    /// the caller's.
    ///
    /// # Errors
    /// `AddrInUse` if there is a file already, other errors of `bind(2)`; `InvalidInput` if the path
    /// has more than 107 bytes.
    pub fn bind(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.socket.bind(&path_address(path.as_ref())?)
    }

    /// As [`bind`](UnixSocket::bind), at any address.
    ///
    /// # Errors
    /// As [`bind`](UnixSocket::bind).
    pub fn bind_addr(&self, address: &SocketAddr) -> io::Result<()> {
        self.socket.bind(&to_kernel(address)?)
    }

    /// The address of the socket.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        from_kernel(self.socket.local_addr()?)
    }

    /// Listens, with room for `backlog` connections that wait to be accepted; the kernel lowers it
    /// to `net.core.somaxconn`.
    ///
    /// # Errors
    /// Those of `listen(2)`: `InvalidInput` without an address; without a runtime on this thread an
    /// error that says so.
    pub fn listen(self, backlog: u32) -> io::Result<UnixListener> {
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        self.socket.listen(backlog)?;
        Endpoint::new(self.socket).map(UnixListener::from_endpoint)
    }

    /// Connects to the listener at `path`; waits if its queue is full.
    ///
    /// # Errors
    /// As [`UnixStream::connect`].
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up.
    pub async fn connect(self, path: impl AsRef<Path>) -> io::Result<UnixStream> {
        let address = path_address(path.as_ref());
        self.connect_to(&address?).await
    }

    /// As [`connect`](UnixSocket::connect), to any address.
    ///
    /// # Errors
    /// As [`UnixStream::connect`].
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up.
    pub async fn connect_addr(self, address: &SocketAddr) -> io::Result<UnixStream> {
        self.connect_to(&to_kernel(address)?).await
    }

    async fn connect_to(self, address: &SockAddr) -> io::Result<UnixStream> {
        UnixStream::connect_by(Endpoint::new(self.socket)?, address).await
    }
}

impl AsFd for UnixSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UnixSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Takes over a Unix socket for streams that was made elsewhere and neither listens nor is connected
/// yet; it is set non-blocking, the only thing that can fail.
impl TryFrom<OwnedFd> for UnixSocket {
    type Error = io::Error;

    fn try_from(fd: OwnedFd) -> io::Result<UnixSocket> {
        let socket = socket2::Socket::from(fd);
        socket.set_nonblocking(true)?;
        Ok(UnixSocket { socket })
    }
}

impl From<UnixSocket> for OwnedFd {
    fn from(socket: UnixSocket) -> OwnedFd {
        socket.socket.into()
    }
}
