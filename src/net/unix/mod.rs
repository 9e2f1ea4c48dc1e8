//! Unix sockets: [`UnixListener`], [`UnixStream`], [`UnixDatagram`], and [`UnixSocket`], of which the
//! first two can be made.
//!
//! Addresses are std's [`SocketAddr`]: a path, a name in Linux's abstract namespace, or none. What
//! is made from a path creates a file, which stays when the socket is closed, as in std. A path of 108
//! bytes, which the kernel takes and std does not, is told as no name.

mod datagram;
mod listener;
mod socket;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::UnixListener;
pub use socket::UnixSocket;
pub use stream::{Credentials, UnixStream};

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use gorin_reactor::Direction;
use socket2::SockAddr;

use crate::net::endpoint::Endpoint;

/// Waiting for what has no readiness: room in the queue of a listener, or of a datagram socket that
/// is not this one's only peer. Twice as long each time.
struct Pause(Duration);

impl Pause {
    fn new() -> Pause {
        Pause(Duration::from_millis(1))
    }

    /// Fails if the calls of `endpoint` that write are not allowed any more.
    async fn wait(&mut self, endpoint: &Endpoint) -> io::Result<()> {
        endpoint.pause(self.0, Direction::Write).await?;
        self.0 = (self.0 * 2).min(Duration::from_millis(64));
        Ok(())
    }
}

/// A path as the kernel has it.
fn path_address(path: &Path) -> io::Result<SockAddr> {
    // A path that begins with a zero byte would name something in the abstract namespace.
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path contains a zero byte",
        ));
    }
    SockAddr::unix(path)
}

/// std's form of an address in the kernel's.
pub(crate) fn to_kernel(address: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(path) = address.as_pathname() {
        return path_address(path);
    }
    match address.as_abstract_name() {
        Some(name) => {
            let bytes = [&[0], name].concat();
            SockAddr::unix(Path::new(OsStr::from_bytes(&bytes)))
        }
        None => SockAddr::unix(Path::new("")),
    }
}

/// The kernel's form of an address in std's; unnamed if std has none.
pub(crate) fn from_kernel(address: SockAddr) -> io::Result<SocketAddr> {
    let named = match (address.as_pathname(), address.as_abstract_namespace()) {
        (Some(path), _) => SocketAddr::from_pathname(path),
        (None, Some(name)) => SocketAddr::from_abstract_name(name),
        (None, None) => SocketAddr::from_pathname(""),
    };
    // The kernel takes paths of 108 bytes, std of 107. A peer chooses its name itself: it must not be
    // able to end an accept loop by that, nor to have a datagram thrown away that was received.
    named.or_else(|_too_long| SocketAddr::from_pathname(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(address: &SocketAddr) -> SocketAddr {
        from_kernel(to_kernel(address).unwrap()).unwrap()
    }

    #[test]
    fn addresses_go_to_the_kernel_and_come_back() {
        let path = SocketAddr::from_pathname("a/socket").unwrap();
        assert_eq!(
            there_and_back(&path).as_pathname(),
            Some(Path::new("a/socket"))
        );
        for name in [&b"name"[..], b"with\0zero", b""] {
            let address = SocketAddr::from_abstract_name(name).unwrap();
            assert_eq!(there_and_back(&address).as_abstract_name(), Some(name));
        }
        let unnamed = SocketAddr::from_pathname("").unwrap();
        assert!(there_and_back(&unnamed).is_unnamed());
    }

    #[test]
    fn paths_that_cannot_be_addresses_are_refused() {
        for path in ["\0abstract", "a\0b", &"x".repeat(200)] {
            let error = path_address(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
