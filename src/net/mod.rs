//! Sockets that goroutines wait for without blocking a worker: TCP, UDP and Unix sockets.
//!
//! A call first tries the non-blocking system call with the caller's own buffer; only when that
//! would block does it wait for readiness on the ring of the worker it runs on. So no buffer
//! belongs to an idle connection, and dropping a pending read or accept loses nothing: the bytes,
//! or the connection, are still in the socket.
//!
//! All methods take `&self`: several goroutines may use one socket at once. Sockets are [`Clone`]: a
//! clone is another handle to the same socket, which is closed when the last handle is dropped, or by
//! `close`, which also ends the calls that wait.
//!
//! Options that std has are methods. The others can be set by way of [`AsFd`](std::os::fd::AsFd), as by
//! `socket2::SockRef::from(&socket)`, and calls that are missing be made by `read_with` and `write_with`.
//! For descriptors of other kinds there is [`io::AsyncFd`](crate::io::AsyncFd).
//!
//! A socket belongs to the runtime it was made in, whichever thread uses it later.
//!
//! | file | holds |
//! |---|---|
//! | `endpoint.rs` | the calls that all sockets share, once each |
//! | `face.rs` | the methods that several types share, as macros |
//! | `address.rs` | what may stand for an address, and name resolution |
//! | `acceptor.rs` | accepting, the back-off when descriptors run out, [`Incoming`] |
//! | `tcp/` | [`TcpListener`], [`TcpStream`], [`TcpSocket`], [`dial`] |
//! | `udp.rs` | [`UdpSocket`] |
//! | `unix/` | [`UnixListener`], [`UnixStream`], [`UnixSocket`], [`UnixDatagram`], their addresses |
//! | `split.rs` | [`ReadHalf`] and [`WriteHalf`] |
//!
//! Must not hold a lock across a system call, and must not name a ring: all waiting is
//! `gorin_reactor::Socket`'s.

mod acceptor;
pub(crate) mod address;
mod endpoint;
mod face;
mod split;
mod tcp;
mod udp;
pub(crate) mod unix;

pub use acceptor::Incoming;
pub use address::{ToSocketAddrs, lookup};
pub use split::{ReadHalf, ReuniteError, WriteHalf};
pub use std::net::Shutdown;
pub use tcp::{ConnectError, TcpListener, TcpSocket, TcpStream, dial};
pub use udp::UdpSocket;
pub use unix::{Credentials, UnixDatagram, UnixListener, UnixSocket, UnixStream};

use std::io;
use std::net::SocketAddr;

use socket2::SockAddr;

/// The IP address in `address`, as every socket of TCP and UDP has one.
fn ip_address(address: SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the system gave an internet socket an address that is not IPv4 or IPv6",
        )
    })
}
