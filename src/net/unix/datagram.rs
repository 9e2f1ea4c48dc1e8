//! [`UnixDatagram`].

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, SockAddr, Type};

use super::{Pause, from_kernel, path_address, to_kernel};
use crate::net::endpoint::{self, Endpoint, new_socket};
use crate::net::face::{call_face, datagram_face, socket_face, transfer_face};

/// A Unix socket for datagrams: they arrive, in order, or sending waits.
///
/// All methods take `&self`; [`Clone`] gives another handle to the same socket.
///
/// ```
/// use gorin::net::UnixDatagram;
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let (left, right) = UnixDatagram::pair()?;
///     left.send(b"one").await?;
///     left.send(b"two").await?;
///     let mut buf = [0; 16];
///     assert_eq!(right.recv(&mut buf).await?, 3);
///     assert_eq!(&buf[..3], b"one");
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct UnixDatagram {
    endpoint: Endpoint,
}

impl UnixDatagram {
    /// A socket at `path`, where a file is made; it must not exist. Removing it is the caller's.
    ///
    /// # Errors
    /// `AddrInUse` if there is a file already, other errors of `bind(2)`; `InvalidInput` if the path
    /// has more than 107 bytes; without a runtime on this thread an error that says so.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_to(&path_address(path.as_ref())?)
    }

    /// As [`bind`](UnixDatagram::bind), at any address.
    ///
    /// # Errors
    /// As [`bind`](UnixDatagram::bind).
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_to(&to_kernel(address)?)
    }

    fn bind_to(address: &SockAddr) -> io::Result<UnixDatagram> {
        let socket = new_socket(Domain::UNIX, Type::DGRAM, None)?;
        socket.bind(address)?;
        Endpoint::new(socket).map(UnixDatagram::from_endpoint)
    }

    /// A socket without an address: it can send, but nobody can send to it.
    ///
    /// # Errors
    /// Those of `socket(2)`; without a runtime on this thread an error that says so.
    pub fn unbound() -> io::Result<UnixDatagram> {
        let socket = new_socket(Domain::UNIX, Type::DGRAM, None)?;
        Endpoint::new(socket).map(UnixDatagram::from_endpoint)
    }

    /// Two sockets that are connected to each other, without names.
    ///
    /// # Errors
    /// Those of `socketpair(2)`; without a runtime on this thread an error that says so.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let (left, right) = socket2::Socket::pair(Domain::UNIX, kind, None)?;
        let (left, right) = (Endpoint::new(left)?, Endpoint::new(right)?);
        Ok((
            UnixDatagram::from_endpoint(left),
            UnixDatagram::from_endpoint(right),
        ))
    }

    fn from_endpoint(endpoint: Endpoint) -> UnixDatagram {
        UnixDatagram { endpoint }
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Makes the socket at `path` the peer that [`send`](UnixDatagram::send) sends to, and the only
    /// one that can send to this.
    ///
    /// # Errors
    /// Those of `connect(2)`.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.endpoint
            .options()
            .connect(&path_address(path.as_ref())?)
    }

    /// As [`connect`](UnixDatagram::connect), to any address.
    ///
    /// # Errors
    /// Those of `connect(2)`.
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        self.endpoint.options().connect(&to_kernel(address)?)
    }

    /// Sends a datagram to the socket at `path`; gives its length.
    ///
    /// # Cancel safety
    /// Nothing is sent by a future that is dropped before it is ready.
    ///
    /// # Errors
    /// As [`send`](UnixDatagram::send); `NotFound` and `ConnectionRefused` if there is nobody.
    pub async fn send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let address = path_address(path.as_ref())?;
        self.send_to_kernel(buf, &address).await
    }

    /// As [`send_to`](UnixDatagram::send_to), to any address.
    ///
    /// # Cancel safety
    /// Nothing is sent by a future that is dropped before it is ready.
    ///
    /// # Errors
    /// As [`send_to`](UnixDatagram::send_to).
    pub async fn send_to_addr(&self, buf: &[u8], address: &SocketAddr) -> io::Result<usize> {
        let address = to_kernel(address)?;
        self.send_to_kernel(buf, &address).await
    }

    /// Readiness tells of room in this socket and in that of the only peer, if it has one. A full
    /// queue of somebody else's it does not tell of: waiting for it would be a busy loop.
    async fn send_to_kernel(&self, buf: &[u8], address: &SockAddr) -> io::Result<usize> {
        let mut pause = Pause::new();
        let mut has_room = false;
        loop {
            let mut send = endpoint::send_to(buf, address);
            let call = |fd: BorrowedFd<'_>| match send(fd) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                result => result.map(Some),
            };
            if let Some(sent) = self.endpoint.write(call).await? {
                return Ok(sent);
            }
            if has_room {
                pause.wait(&self.endpoint).await?;
            }
            self.writable().await?;
            has_room = true;
        }
    }

    /// Sends a datagram to the socket at `path`, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room; else as [`send_to`](UnixDatagram::send_to).
    pub fn try_send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let address = path_address(path.as_ref())?;
        self.endpoint.try_write(endpoint::send_to(buf, &address))
    }

    /// As [`try_send_to`](UnixDatagram::try_send_to), to any address.
    ///
    /// # Errors
    /// As [`try_send_to`](UnixDatagram::try_send_to).
    pub fn try_send_to_addr(&self, buf: &[u8], address: &SocketAddr) -> io::Result<usize> {
        let address = to_kernel(address)?;
        self.endpoint.try_write(endpoint::send_to(buf, &address))
    }
}

socket_face!(UnixDatagram, std: std::os::unix::net::UnixDatagram, address: SocketAddr = from_kernel);
transfer_face!(UnixDatagram, address: SocketAddr = from_kernel);
call_face!(UnixDatagram);
datagram_face!(UnixDatagram, address: SocketAddr = from_kernel);

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("UnixDatagram");
        if let Ok(address) = self.local_addr() {
            out.field("local", &address);
        }
        if let Ok(address) = self.peer_addr() {
            out.field("peer", &address);
        }
        out.finish()
    }
}
