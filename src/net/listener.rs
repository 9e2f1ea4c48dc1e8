//! [`TcpListener`]: accepting connections, also when descriptors run out.
//!
//! `accept4(2)` fails in three ways, and only one of them concerns the caller:
//!
//! | error | means | done here |
//! |---|---|---|
//! | `ECONNABORTED`, network errors | the one connection is gone | the next one is taken |
//! | `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM` | no descriptor or memory is left | wait 5 ms, doubling to 1 s, and try again; said once on stderr |
//! | anything else | the listener itself is broken | returned |
//!
//! Retrying at once in the second case would burn a whole CPU, and returning would end the accept
//! loop of every server that uses `?`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use futures::stream::{BoxStream, StreamExt};
use gorin_reactor::{Direction, Socket};
use socket2::SockRef;

use super::address::{ToSocketAddrs, resolve};
use super::{TcpStream, ip_address, tcp_socket};
use crate::time::sleep;

/// Connections that wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// First and longest pause when descriptors have run out.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// A socket that listens for TCP connections.
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
pub struct TcpListener {
    socket: Socket,
    /// Done when it has been said that descriptors ran out.
    exhaustion_reported: Once,
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
        TcpListener::from_fd(socket.into())
    }

    /// Takes over a listener made by std; it is set non-blocking.
    ///
    /// # Errors
    /// If the descriptor cannot be set non-blocking, or this thread belongs to no runtime.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        TcpListener::from_fd(listener.into())
    }

    fn from_fd(fd: OwnedFd) -> io::Result<TcpListener> {
        Ok(TcpListener {
            socket: Socket::new(fd)?,
            exhaustion_reported: Once::new(),
        })
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
    /// If the listener itself is broken or was closed.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let mut pause = PAUSE.0;
        loop {
            let accept = |fd: BorrowedFd<'_>| SockRef::from(&fd).accept4(flags);
            let error = match self.socket.io(Direction::Read, accept).await {
                Ok((socket, address)) => {
                    let stream = TcpStream::from_fd(socket.into())?;
                    return Ok((stream, ip_address(address)?));
                }
                Err(error) => error,
            };
            match Failure::of(&error) {
                Failure::Connection => {}
                Failure::Exhausted => {
                    self.report_exhaustion(&error);
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
                Failure::Listener => return Err(error),
            }
        }
    }

    fn report_exhaustion(&self, error: &io::Error) {
        self.exhaustion_reported.call_once(|| {
            eprintln!(
                "gorin: {self:?} cannot accept: {error}; trying again every {:?} to {:?} \
                 (said once). Raise the limit (`ulimit -n`) or close connections.",
                PAUSE.0, PAUSE.1
            );
        });
    }

    /// The connections as a stream that never ends: Go's accept loop as `while let`.
    ///
    /// # Cancel safety
    /// As [`accept`](TcpListener::accept): dropping the stream loses no connection.
    ///
    /// ```
    /// use futures::StreamExt;
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
        let accepted = futures::stream::unfold(self, async |listener| {
            let accepted = listener.accept().await;
            Some((accepted.map(|(stream, _peer)| stream), listener))
        });
        Incoming {
            accepted: accepted.boxed(),
        }
    }

    /// Refuses new connections from now on; pending and later calls, of this and other goroutines,
    /// end with an error. Closing twice has no effect. The port is free when the listener has been
    /// dropped.
    pub fn close(&self) {
        self.socket.close();
    }

    /// The address that is listened on, with the port that the system chose.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip_address(SockRef::from(self).local_addr()?)
    }

    /// Time to live of packets of accepted connections, in hops.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn ttl(&self) -> io::Result<u32> {
        SockRef::from(self).ttl_v4()
    }

    /// Sets the time to live of packets of accepted connections, in hops.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        SockRef::from(self).set_ttl_v4(hops)
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TcpListener");
        if let Ok(address) = self.local_addr() {
            out.field("local", &address);
        }
        out.finish()
    }
}

/// The stream of accepted connections; made by [`TcpListener::incoming`].
#[must_use = "a stream does nothing unless it is polled"]
pub struct Incoming<'a> {
    // Boxed once per accept loop, so that the stream is `Unpin` without `unsafe` here.
    accepted: BoxStream<'a, io::Result<TcpStream>>,
}

impl Stream for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.accepted.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}

/// Whom an error of `accept4(2)` concerns; see the table in the module text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Connection,
    Exhausted,
    Listener,
}

impl Failure {
    fn of(error: &io::Error) -> Failure {
        match error.raw_os_error() {
            Some(
                libc::ECONNABORTED
                | libc::EINTR
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH,
            ) => Failure::Connection,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Failure::Exhausted,
            _ => Failure::Listener,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_accept_are_told_apart() {
        let failure = |errno| Failure::of(&io::Error::from_raw_os_error(errno));
        assert_eq!(failure(libc::ECONNABORTED), Failure::Connection);
        assert_eq!(failure(libc::EMFILE), Failure::Exhausted);
        assert_eq!(failure(libc::EBADF), Failure::Listener);
        let closed = io::Error::other("closed");
        assert_eq!(Failure::of(&closed), Failure::Listener);
    }
}
