//! TCP: [`TcpListener`] and [`TcpStream`], and how they come about: [`TcpSocket`], [`dial()`].

mod dial;
mod listener;
mod socket;
mod stream;

pub use dial::{ConnectError, dial};
pub use listener::TcpListener;
pub use socket::TcpSocket;
pub use stream::TcpStream;

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Type};

use super::endpoint::new_socket;

/// A new TCP socket for `address`, non-blocking and closed on exec.
fn tcp_socket(address: &SocketAddr) -> io::Result<socket2::Socket> {
    let domain = Domain::for_address(*address);
    new_socket(domain, Type::STREAM, Some(Protocol::TCP))
}
