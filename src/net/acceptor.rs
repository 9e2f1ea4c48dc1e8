//! [`Acceptor`]: accepting connections, also when descriptors run out.
//!
//! `accept4(2)` fails in three ways, and only one of them concerns the caller:
//!
//! | error | means | done here |
//! |---|---|---|
//! | `ECONNABORTED`, network errors | the one connection is gone | the next one is taken |
//! | `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM` | no descriptor or memory is left | wait 5 ms, doubling to 1 s, and try again, unless the listener is closed meanwhile or its deadline passes; said once on stderr |
//! | anything else | the listener itself is broken | returned |
//!
//! Retrying at once in the second case would burn a whole CPU, and returning would end the accept
//! loop of every server that uses `?`.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use futures::stream::{BoxStream, StreamExt};
use gorin_base::mishap;
use gorin_base::primitive::AtomicBool;
use gorin_reactor::Direction;
use socket2::{SockAddr, SockRef};

use super::TcpStream;
use super::endpoint::{Call, Endpoint};

/// Connections that wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4096;

/// First and longest pause when descriptors have run out.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// A listening socket of any family; a clone is another handle to it.
#[derive(Clone)]
pub(super) struct Acceptor {
    pub(super) endpoint: Endpoint,
    /// Set when it has been said that descriptors ran out; by [`mishap::tell_once`].
    exhaustion_reported: Arc<AtomicBool>,
}

/// A new connection, and the address of its peer.
pub(super) type Accepted = (socket2::Socket, SockAddr);

fn accept() -> impl Call<Accepted> {
    |fd: BorrowedFd<'_>| SockRef::from(&fd).accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
}

impl Acceptor {
    pub(super) fn new(endpoint: Endpoint) -> Acceptor {
        Acceptor {
            endpoint,
            exhaustion_reported: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Waits for a connection. `name` is the listener's, for the report.
    pub(super) async fn accept(&self, name: &(impl fmt::Debug + Sync)) -> io::Result<Accepted> {
        let mut pause = PAUSE.0;
        loop {
            let error = match self.endpoint.read(accept()).await {
                Ok(accepted) => return Ok(accepted),
                Err(error) => error,
            };
            match Failure::of(&error) {
                Failure::Connection => {}
                Failure::Exhausted => {
                    self.report_exhaustion(name, &error);
                    self.endpoint.pause(pause, Direction::Read).await?;
                    pause = (pause * 2).min(PAUSE.1);
                }
                Failure::Listener => return Err(error),
            }
        }
    }

    /// Takes a connection if one waits.
    pub(super) fn try_accept(&self) -> io::Result<Accepted> {
        loop {
            match self.endpoint.try_read(accept()) {
                Err(error) if Failure::of(&error) == Failure::Connection => {}
                result => return result,
            }
        }
    }

    fn report_exhaustion(&self, name: &impl fmt::Debug, error: &io::Error) {
        mishap::tell_once(
            &self.exhaustion_reported,
            format_args!(
                "gorin: {name:?} cannot accept: {error}; trying again every {:?} to {:?} \
                 (said once). Raise the limit (`ulimit -n`) or close connections.",
                PAUSE.0, PAUSE.1
            ),
        );
    }
}

/// The stream of accepted connections, which never ends; made by
/// [`TcpListener::incoming`](super::TcpListener::incoming) and
/// [`UnixListener::incoming`](super::UnixListener::incoming), and by their `into_incoming` as a stream
/// that has the listener (`Incoming<'static>`).
#[must_use = "a stream does nothing unless it is polled"]
pub struct Incoming<'a, S = TcpStream> {
    // Boxed once per accept loop, so that the stream is `Unpin` without `unsafe` here.
    accepted: BoxStream<'a, io::Result<S>>,
}

impl<'a, S: 'a> Incoming<'a, S> {
    pub(super) fn new(accepted: impl Stream<Item = io::Result<S>> + Send + 'a) -> Incoming<'a, S> {
        Incoming {
            accepted: accepted.boxed(),
        }
    }
}

impl<S> Stream for Incoming<'_, S> {
    type Item = io::Result<S>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.accepted.as_mut().poll_next(cx)
    }
}

impl<S> fmt::Debug for Incoming<'_, S> {
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
        for errno in [libc::ECONNABORTED, libc::EPROTO, libc::EHOSTUNREACH] {
            assert_eq!(failure(errno), Failure::Connection);
        }
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert_eq!(failure(errno), Failure::Exhausted);
        }
        assert_eq!(failure(libc::EBADF), Failure::Listener);
        let closed = io::Error::other("closed");
        assert_eq!(Failure::of(&closed), Failure::Listener);
    }
}
