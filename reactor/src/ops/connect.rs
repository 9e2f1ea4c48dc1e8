//! Connecting a socket.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::driver::Direction;
use crate::socket::Socket;

/// Connects `socket` to `address`.
///
/// Waits for readiness rather than handing the connection to the kernel as an operation: a dropped
/// call then leaves nothing in flight that pins the socket (which can be closed at once), no
/// completion that nobody wants, and a worker that computes does not hold it up, because waiting
/// sockets are taken over from it. The price is a second system call, beside a round trip through
/// the network.
///
/// ```
/// use std::net::TcpListener;
/// use gorin_reactor::{Config, Reactor, Socket, ops};
///
/// # fn main() -> std::io::Result<()> {
/// # use std::os::fd::{FromRawFd, OwnedFd};
/// # let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
/// # let fd = || unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_INET, kind, 0)) };
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut worker = Reactor::new(Config::default())?.attach(0)?;
/// worker.block_on(async {
///     let socket = Socket::new(fd())?; // a new non-blocking socket
///     ops::connect(&socket, &listener.local_addr()?).await?;
///     listener.accept().map(drop)
/// })
/// # }
/// ```
///
/// # Errors
/// Those of `connect(2)`, for example `ConnectionRefused` or `TimedOut`.
///
/// # Cancel safety
/// A dropped call goes on in the kernel until the socket is closed. Called again, it waits for the
/// same connection.
pub async fn connect(socket: &Socket, address: &SocketAddr) -> io::Result<()> {
    let address = Address::from(address);
    socket
        .io(Direction::Write, |fd| match address.connect(fd) {
            Err(error) => match error.raw_os_error() {
                Some(libc::EISCONN) => Ok(()),
                Some(libc::EINPROGRESS | libc::EALREADY | libc::EINTR) => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                // After a failed attempt the second call reports why it failed, once.
                _ => Err(error),
            },
            Ok(()) => Ok(()),
        })
        .await
}

/// An address as the kernel has it.
enum Address {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
}

impl From<&SocketAddr> for Address {
    fn from(address: &SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self::V4(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(v4.ip().octets()),
                },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(v6) => Self::V6(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            }),
        }
    }
}

impl Address {
    /// One call of `connect(2)`.
    fn connect(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let (address, len) = match self {
            Self::V4(v4) => ((&raw const *v4).cast(), mem::size_of_val(v4)),
            Self::V6(v6) => ((&raw const *v6).cast(), mem::size_of_val(v6)),
        };
        // SAFETY: `address` points to `len` bytes, which outlive the call.
        let result = unsafe { libc::connect(fd.as_raw_fd(), address, len as libc::socklen_t) };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}
