//! [`UnixStream`], and who is at its other end.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use gorin_reactor::calls;
use socket2::{Domain, SockAddr, Type};

use super::{Pause, from_kernel, path_address, to_kernel};
use crate::net::endpoint::{Endpoint, new_socket};
use crate::net::face::{call_face, socket_face, stream_face, transfer_face};

/// A connection over a Unix socket.
///
/// As with [`TcpStream`](crate::net::TcpStream) all methods take `&self`, [`Clone`] gives another
/// handle, and both it and `&UnixStream` implement [`AsyncRead`](crate::io::AsyncRead) and
/// [`AsyncWrite`](crate::io::AsyncWrite).
///
/// ```
/// use gorin::net::UnixStream;
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let (left, right) = UnixStream::pair()?;
///     left.write_all(b"hi").await?;
///     let mut buf = [0; 2];
///     right.read_exact(&mut buf).await?;
///     assert_eq!(&buf, b"hi");
///     assert_eq!(right.peer_cred()?.pid, std::process::id() as i32);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct UnixStream {
    endpoint: Endpoint,
}

impl UnixStream {
    /// Connects to the listener at `path`; waits if its queue is full.
    ///
    /// # Errors
    /// Those of `connect(2)`: `NotFound` if there is no such file, `ConnectionRefused` if nobody
    /// listens there; `InvalidInput` if the path has more than 107 bytes; without a runtime on this
    /// thread an error that says so.
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        let address = path_address(path.as_ref());
        UnixStream::connect_to(&address?).await
    }

    /// As [`connect`](UnixStream::connect), to any address.
    ///
    /// # Errors
    /// As [`connect`](UnixStream::connect).
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up.
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        UnixStream::connect_to(&to_kernel(address)?).await
    }

    async fn connect_to(address: &SockAddr) -> io::Result<UnixStream> {
        let socket = new_socket(Domain::UNIX, Type::STREAM, None)?;
        UnixStream::connect_by(Endpoint::new(socket)?, address).await
    }

    /// Connects by a socket that is not connected yet. One that was refused for want of room may try
    /// again.
    pub(super) async fn connect_by(
        endpoint: Endpoint,
        address: &SockAddr,
    ) -> io::Result<UnixStream> {
        let mut pause = Pause::new();
        loop {
            match endpoint.connect_to(address).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    pause.wait(&endpoint).await?;
                }
                result => return result.map(|()| UnixStream::from_endpoint(endpoint)),
            }
        }
    }

    /// Two ends of one connection, without names.
    ///
    /// # Errors
    /// Those of `socketpair(2)`; without a runtime on this thread an error that says so.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let (left, right) = socket2::Socket::pair(Domain::UNIX, kind, None)?;
        let (left, right) = (Endpoint::new(left)?, Endpoint::new(right)?);
        Ok((
            UnixStream::from_endpoint(left),
            UnixStream::from_endpoint(right),
        ))
    }

    pub(super) fn from_endpoint(endpoint: Endpoint) -> UnixStream {
        UnixStream { endpoint }
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Which process made the other end, and for which user and group (`SO_PEERCRED`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn peer_cred(&self) -> io::Result<Credentials> {
        let found = calls::peer_credentials(self.as_fd())?;
        Ok(Credentials {
            pid: found.pid,
            uid: found.uid,
            gid: found.gid,
        })
    }
}

/// Who has made a socket, at the time when it was made; from [`UnixStream::peer_cred`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Credentials {
    /// The process; 0 if it is not visible from here.
    pub pid: i32,
    /// The effective user.
    pub uid: u32,
    /// The effective group.
    pub gid: u32,
}

socket_face!(UnixStream, std: std::os::unix::net::UnixStream, address: SocketAddr = from_kernel);
transfer_face!(UnixStream, address: SocketAddr = from_kernel);
call_face!(UnixStream);
stream_face!(UnixStream);

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("UnixStream");
        if let Ok(address) = self.local_addr() {
            out.field("local", &address);
        }
        if let Ok(address) = self.peer_addr() {
            out.field("peer", &address);
        }
        out.finish()
    }
}
