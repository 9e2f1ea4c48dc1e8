//! TCP sockets that goroutines wait for without blocking a worker.
//!
//! A call first tries the non-blocking system call with the caller's own buffer; only when that
//! would block does it wait for readiness on the ring of the worker it runs on. So no buffer
//! belongs to an idle connection, and dropping a pending read or accept loses nothing: the bytes,
//! or the connection, are still in the socket.
//!
//! A socket belongs to the runtime it was made in, whichever thread uses it later.
//!
//! | file | holds |
//! |---|---|
//! | `address.rs` | what may stand for an address, and name resolution |
//! | `listener.rs` | [`TcpListener`], the back-off when descriptors run out |
//! | `stream.rs` | [`TcpStream`] |
//! | `split.rs` | [`ReadHalf`] and [`WriteHalf`] |
//!
//! Must not hold a lock across a system call, and must not name a ring: all waiting is
//! `gorin_reactor::Socket`'s.

mod address;
mod listener;
mod split;
mod stream;

pub use address::ToSocketAddrs;
pub use listener::{Incoming, TcpListener};
pub use split::{ReadHalf, WriteHalf};
pub use std::net::Shutdown;
pub use stream::TcpStream;

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockAddr, Type};

/// A new TCP socket for `address`, non-blocking and closed on exec.
fn tcp_socket(address: &SocketAddr) -> io::Result<socket2::Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    socket2::Socket::new(Domain::for_address(*address), kind, Some(Protocol::TCP))
}

/// The IP address in `address`, as every TCP socket has one.
fn ip_address(address: SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the system gave a TCP socket an address that is not IPv4 or IPv6",
        )
    })
}
