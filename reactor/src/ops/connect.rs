//! Connecting a socket.

use std::io;
use std::os::fd::BorrowedFd;

use socket2::{SockAddr, SockRef};

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
/// use socket2::{Domain, Type};
///
/// # fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut worker = Reactor::new(Config::default())?.attach(0)?;
/// worker.block_on(async {
///     let kind = Type::STREAM.nonblocking();
///     let socket = Socket::new(socket2::Socket::new(Domain::IPV4, kind, None)?.into())?;
///     ops::connect(&socket, &listener.local_addr()?.into()).await?;
///     listener.accept().map(drop)
/// })
/// # }
/// ```
///
/// # Errors
/// Those of `connect(2)`, for example `ConnectionRefused` or `TimedOut`. A Unix socket whose
/// listener's queue is full gives `WouldBlock` (`EAGAIN`), since there is no readiness to wait for:
/// try again later.
///
/// # Cancel safety
/// A dropped call goes on in the kernel until the socket is closed. Called again, it waits for the
/// same connection.
pub async fn connect(socket: &Socket, address: &SockAddr) -> io::Result<()> {
    let full = socket
        .io(Direction::Write, |fd| attempt(fd, address))
        .await?;
    match full {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

/// One call of `connect(2)`. `Some`: the error that means "later" and has no readiness to wait for.
fn attempt(fd: BorrowedFd<'_>, address: &SockAddr) -> io::Result<Option<io::Error>> {
    let Err(error) = SockRef::from(&fd).connect(address) else {
        return Ok(None);
    };
    match error.raw_os_error() {
        Some(libc::EISCONN) => Ok(None),
        Some(libc::EINPROGRESS | libc::EALREADY | libc::EINTR) => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Some(libc::EAGAIN) if address.is_unix() => Ok(Some(error)),
        // After a failed attempt the second call reports why it failed, once.
        _ => Err(error),
    }
}
