//! [`TcpListener`].

use std::fmt;
use std::io;
use std::net::SocketAddr;

use futures::stream::unfold;

use super::{TcpStream, tcp_socket};
use crate::net::acceptor::{Accepted, Acceptor, BACKLOG, Incoming};
use crate::net::address::{ToSocketAddrs, resolve};
use crate::net::endpoint::Endpoint;
use crate::net::face::socket_face;
use crate::net::ip_address;

/// A socket that listens for TCP connections.
///
/// All methods take `&self`, and several goroutines may accept; each connection goes to one of them.
/// [`Clone`] gives another handle to the same socket, which listens until the last one is dropped, or
/// until [`close`](TcpListener::close).
///
/// ```no_run
/// use gorin::net::TcpListener;
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let listener = TcpListener::bind("127.0.0.1:7777").await?;
///     loop {
///         let (stream, peer) = listener.accept().await?;
///         gorin::go(async move { stream.write_all(format!("hello {peer}\n").as_bytes()).await });
///     }
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct TcpListener {
    acceptor: Acceptor,
}

impl TcpListener {
    /// Listens on the first of `addresses` that can be had; port 0 lets the system choose one.
    ///
    /// `SO_REUSEADDR` is set, so that a server can be restarted at once.
    ///
    /// # Errors
    /// The error of the last address tried (`AddrInUse`, `PermissionDenied`, …), or of resolving
    /// the name; without a runtime on this thread an error that says so.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn bind(addresses: impl ToSocketAddrs) -> io::Result<TcpListener> {
        let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in resolve(&addresses).await? {
            result = TcpListener::bind_to(address);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn bind_to(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = tcp_socket(&address)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Endpoint::new(socket).map(TcpListener::from_endpoint)
    }

    pub(super) fn from_endpoint(endpoint: Endpoint) -> TcpListener {
        let acceptor = Acceptor::new(endpoint);
        TcpListener { acceptor }
    }

    fn endpoint(&self) -> &Endpoint {
        &self.acceptor.endpoint
    }

    /// Waits for a connection; gives it with the address of its peer.
    ///
    /// When descriptors run out this waits for better times (5 ms, doubling to 1 s) instead of
    /// failing, and says so once on stderr; connections that died in the queue are skipped.
    ///
    /// # Cancel safety
    /// No connection is lost: a dropped call leaves it in the queue.
    ///
    /// # Errors
    /// If the listener itself is broken or was closed; `TimedOut` if its
    /// [deadline](TcpListener::set_accept_deadline) has passed.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        welcome(self.acceptor.accept(self).await?)
    }

    /// Takes a connection, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; those of `accept(2)`, `EMFILE` among them, here.
    pub fn try_accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        welcome(self.acceptor.try_accept()?)
    }

    /// The connections as a stream that never ends: Go's accept loop as `while let`.
    ///
    /// # Cancel safety
    /// As [`accept`](TcpListener::accept): dropping the stream loses no connection.
    ///
    /// ```
    /// use gorin::stream::StreamExt;
    /// use gorin::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// gorin::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let _client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let stream = listener.incoming().next().await.expect("the stream never ends")?;
    ///     assert_eq!(stream.local_addr()?, listener.local_addr()?);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming::new(unfold(self, async |listener| {
            let accepted = listener.accept().await;
            Some((accepted.map(|(stream, _peer)| stream), listener))
        }))
    }

    /// As [`incoming`](TcpListener::incoming), for streams that are kept: it has the listener.
    ///
    /// # Cancel safety
    /// Connections that wait when the stream is dropped are refused with the listener, unless there
    /// is another handle to it.
    pub fn into_incoming(self) -> Incoming<'static> {
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
    /// end with an error. Closing twice has no effect. The port is free when the listener has been
    /// dropped.
    ///
    /// One that was [taken over](Self::from_std), which other processes may share, refuses connections not
    /// before it is dropped, and only if nobody else listens.
    pub fn close(&self) {
        self.endpoint().close();
    }

    /// Time to live of packets of accepted connections, in hops.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.endpoint().options().ttl_v4()
    }

    /// Sets the time to live of packets of accepted connections, in hops.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        self.endpoint().options().set_ttl_v4(hops)
    }
}

fn welcome((socket, peer): Accepted) -> io::Result<(TcpStream, SocketAddr)> {
    let stream = TcpStream::from_endpoint(Endpoint::new(socket)?);
    Ok((stream, ip_address(peer)?))
}

socket_face!(TcpListener, std: std::net::TcpListener, address: SocketAddr = ip_address);

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TcpListener");
        if let Ok(address) = self.local_addr() {
            out.field("local", &address);
        }
        out.finish()
    }
}
