//! [`UnixListener`].

use std::fmt;
use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use futures::stream::unfold;
use socket2::{Domain, SockAddr, Type};

use super::{UnixStream, from_kernel, path_address, to_kernel};
use crate::net::acceptor::{Accepted, Acceptor, BACKLOG, Incoming};
use crate::net::endpoint::{Endpoint, new_socket};
use crate::net::face::socket_face;

/// A Unix socket that listens for connections.
///
/// All methods take `&self`, and several goroutines may accept; each connection goes to one of them.
/// [`Clone`] gives another handle to the same socket.
///
/// ```
/// use gorin::net::{UnixListener, UnixStream};
/// use std::os::linux::net::SocketAddrExt;
/// use std::os::unix::net::SocketAddr;
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     // A name in the abstract namespace needs no file; `bind` takes a path.
///     let name = format!("gorin-example-{}", std::process::id());
///     let address = SocketAddr::from_abstract_name(name)?;
///     let listener = UnixListener::bind_addr(&address)?;
///     let client = UnixStream::connect_addr(&address).await?;
///     let (server, _) = listener.accept().await?;
///     client.write_all(b"hi").await?;
///     let mut buf = [0; 2];
///     server.read_exact(&mut buf).await?;
///     assert_eq!(&buf, b"hi");
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct UnixListener {
    acceptor: Acceptor,
}

impl UnixListener {
    /// Listens at `path`, where a file is made; it must not exist. Removing it is the caller's.
    ///
    /// # Errors
    /// `AddrInUse` if there is a file already, other errors of `bind(2)`; `InvalidInput` if the path
    /// has more than 107 bytes; without a runtime on this thread an error that says so.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        UnixListener::bind_to(&path_address(path.as_ref())?)
    }

    /// As [`bind`](UnixListener::bind), at any address.
    ///
    /// # Errors
    /// As [`bind`](UnixListener::bind).
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::bind_to(&to_kernel(address)?)
    }

    fn bind_to(address: &SockAddr) -> io::Result<UnixListener> {
        let socket = new_socket(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?;
        Endpoint::new(socket).map(UnixListener::from_endpoint)
    }

    pub(super) fn from_endpoint(endpoint: Endpoint) -> UnixListener {
        let acceptor = Acceptor::new(endpoint);
        UnixListener { acceptor }
    }

    fn endpoint(&self) -> &Endpoint {
        &self.acceptor.endpoint
    }

    /// Waits for a connection; gives it with the address of its peer, which seldom has one
    /// (and none that std could express if its path has all of the 108 bytes that the kernel takes).
    ///
    /// When descriptors run out this waits for better times (5 ms, doubling to 1 s) instead of
    /// failing, and says so once on stderr.
    ///
    /// # Cancel safety
    /// No connection is lost: a dropped call leaves it in the queue.
    ///
    /// # Errors
    /// If the listener itself is broken or was closed; `TimedOut` if its
    /// [deadline](UnixListener::set_accept_deadline) has passed.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        welcome(self.acceptor.accept(self).await?)
    }

    /// Takes a connection, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; those of `accept(2)`, `EMFILE` among them, here.
    pub fn try_accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        welcome(self.acceptor.try_accept()?)
    }

    /// The connections as a stream that never ends.
    ///
    /// # Cancel safety
    /// As [`accept`](UnixListener::accept): dropping the stream loses no connection.
    pub fn incoming(&self) -> Incoming<'_, UnixStream> {
        Incoming::new(unfold(self, async |listener| {
            let accepted = listener.accept().await;
            Some((accepted.map(|(stream, _peer)| stream), listener))
        }))
    }

    /// As [`incoming`](UnixListener::incoming), for streams that are kept: it has the listener.
    ///
    /// # Cancel safety
    /// Connections that wait when the stream is dropped are refused with the listener, unless there
    /// is another handle to it.
    pub fn into_incoming(self) -> Incoming<'static, UnixStream> {
        Incoming::new(unfold(self, async |listener| {
            let accepted = listener.accept().await;
            Some((accepted.map(|(stream, _peer)| stream), listener))
        }))
    }

    /// Sets the time at which accepting ends, or lifts it (`None`): from then on calls fail with
    /// `TimedOut`, those that wait and later ones, until it is set anew.
    pub fn set_accept_deadline(&self, deadline: Option<std::time::Instant>) {
        self.endpoint().set_read_deadline(deadline);
    }

    /// Refuses new connections from now on; pending and later calls, of this and other goroutines,
    /// end with an error. Closing twice has no effect. The file stays.
    ///
    /// One that was [taken over](Self::from_std), which other processes may share, refuses connections not
    /// before it is dropped, and only if nobody else listens.
    pub fn close(&self) {
        self.endpoint().close();
    }
}

fn welcome((socket, peer): Accepted) -> io::Result<(UnixStream, SocketAddr)> {
    let stream = UnixStream::from_endpoint(Endpoint::new(socket)?);
    Ok((stream, from_kernel(peer)?))
}

socket_face!(UnixListener, std: std::os::unix::net::UnixListener, address: SocketAddr = from_kernel);

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("UnixListener");
        if let Ok(address) = self.local_addr() {
            out.field("local", &address);
        }
        out.finish()
    }
}
