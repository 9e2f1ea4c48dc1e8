//! Connecting to one of several addresses: "happy eyeballs", after RFC 8305.
//!
//! A host often has addresses of both families, of which one does not work from here. Trying them
//! one after the other costs a minute or two for each that is silent; so the next attempt begins
//! when the last one has failed, or has been silent for 250 ms, and the first connection wins.
//!
//! 1. The addresses are put in order: families take turns, beginning with that of the first address
//!    (RFC 8305, section 4, with a "First Address Family Count" of one). The resolver has put the
//!    better ones first.
//! 2. Attempts run side by side in this one future. Dropping it closes them all; so does the first
//!    success with the others.
//!
//! Sections 3 and 5's asking for both families in parallel is the system's resolver's.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};

use super::TcpStream;
use crate::net::address::{ToSocketAddrs, resolve};
use crate::time::{sleep, timeout};

/// How long an attempt may be silent before the next one begins: the "Connection Attempt Delay" that
/// RFC 8305 recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to `"host:port"`, or whatever else stands for an address: Go's `net.Dial`.
///
/// The same as [`TcpStream::connect`], which see.
///
/// ```
/// use gorin::net::{TcpListener, dial};
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let listener = TcpListener::bind("localhost:0").await?;
///     let address = format!("localhost:{}", listener.local_addr()?.port());
///     let stream = dial(address).await?;
///     assert_eq!(stream.peer_addr()?, listener.local_addr()?);
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// As [`TcpStream::connect`].
///
/// # Cancel safety
/// Dropping the future gives all attempts up.
pub async fn dial(addresses: impl ToSocketAddrs) -> io::Result<TcpStream> {
    TcpStream::connect(addresses).await
}

/// What [`TcpStream::connect`] does.
pub(super) async fn connect(addresses: impl ToSocketAddrs) -> io::Result<TcpStream> {
    let mut race = Race::new(resolve(&addresses).await?);
    match race.run(ATTEMPT_DELAY, TcpStream::connect_to).await {
        Some(stream) => Ok(stream),
        None => Err(race.into_error()),
    }
}

/// What [`TcpStream::connect_timeout`] does.
pub(super) async fn connect_timeout(
    addresses: impl ToSocketAddrs,
    limit: Duration,
) -> io::Result<TcpStream> {
    let mut race = Race::new(Vec::new());
    let connected = timeout(limit, async {
        race = Race::new(resolve(&addresses).await?);
        io::Result::Ok(race.run(ATTEMPT_DELAY, TcpStream::connect_to).await)
    });
    match connected.await {
        Ok(Ok(Some(stream))) => Ok(stream),
        Ok(Ok(None)) => Err(race.into_error()),
        Ok(Err(unresolved)) => Err(unresolved),
        Err(_elapsed) if race.addresses.is_empty() => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("the name was not resolved within {limit:?}"),
        )),
        Err(_elapsed) => {
            race.give_up();
            Err(race.into_error())
        }
    }
}

/// Attempts to connect, and what has become of them.
struct Race {
    /// In the order of trying.
    addresses: Vec<SocketAddr>,
    /// So many of them have been tried.
    started: usize,
    failures: Vec<(SocketAddr, io::Error)>,
}

impl Race {
    fn new(addresses: Vec<SocketAddr>) -> Race {
        Race {
            addresses: interleave(addresses),
            started: 0,
            failures: Vec::new(),
        }
    }

    /// The first connection; `None` if there is none to be had.
    async fn run<S, F>(&mut self, delay: Duration, connect: impl Fn(SocketAddr) -> F) -> Option<S>
    where
        F: Future<Output = io::Result<S>>,
    {
        if let [only] = self.addresses[..] {
            self.started = 1;
            let result = connect(only).await;
            return self.note((only, result));
        }
        let attempt = async |address| (address, connect(address).await);
        let mut attempts = FuturesUnordered::new();
        while let Some(&address) = self.addresses.get(self.started) {
            self.started += 1;
            attempts.push(attempt(address));
            // Until the next one may begin. One of those that run has ended, or none: time is up.
            let ended = match select(attempts.next(), sleep(delay)).await {
                Either::Left((ended, _timer)) => ended.expect("one was begun"),
                Either::Right(_time_is_up) => continue,
            };
            if let Some(stream) = self.note(ended) {
                return Some(stream);
            }
        }
        while let Some(ended) = attempts.next().await {
            if let Some(stream) = self.note(ended) {
                return Some(stream);
            }
        }
        None
    }

    fn note<S>(&mut self, (address, result): (SocketAddr, io::Result<S>)) -> Option<S> {
        match result {
            Ok(stream) => Some(stream),
            Err(error) => {
                self.failures.push((address, error));
                None
            }
        }
    }

    /// Time is up: what has been begun and has not failed counts as a failure, too.
    fn give_up(&mut self) {
        for &address in &self.addresses[..self.started] {
            if self.failures.iter().all(|(failed, _)| *failed != address) {
                let silent = io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
                self.failures.push((address, silent));
            }
        }
    }

    fn into_error(self) -> io::Error {
        let attempts = self.failures;
        let last = attempts.last();
        let kind = last.map_or(io::ErrorKind::AddrNotAvailable, |(_, error)| error.kind());
        io::Error::new(kind, ConnectError { attempts })
    }
}

/// The families take turns, the first address's first; within a family the order stays.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let [first, _, ..] = addresses[..] else {
        return addresses;
    };
    let first = first.is_ipv6();
    let (ours, others): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first);
    let len = ours.len().max(others.len());
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    (0..len)
        .flat_map(|_| [ours.next(), others.next()])
        .flatten()
        .collect()
}

/// Why no address could be connected to: inside the [`io::Error`] of [`dial`] and
/// [`TcpStream::connect`]. Its text says all; the system's errors are in [`attempts`](Self::attempts).
///
/// ```
/// use gorin::net::{ConnectError, dial};
///
/// gorin::run(async {
///     // Nobody listens at port 1, so far as anybody knows.
///     let error = dial("127.0.0.1:1").await.unwrap_err();
///     assert!(error.to_string().starts_with("cannot connect to 127.0.0.1:1: "));
///     let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ConnectError>());
///     let (address, why) = &inner.expect("it says what was tried").attempts()[0];
///     assert_eq!((address.port(), why.raw_os_error().is_some()), (1, true));
/// });
/// ```
#[derive(Debug)]
pub struct ConnectError {
    attempts: Vec<(SocketAddr, io::Error)>,
}

impl ConnectError {
    /// The addresses that were tried, and what came of each, in the order in which they failed.
    pub fn attempts(&self) -> &[(SocketAddr, io::Error)] {
        &self.attempts
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.attempts[..] {
            [(address, error)] => return write!(f, "cannot connect to {address}: {error}"),
            attempts => write!(f, "cannot connect to any of {} addresses", attempts.len())?,
        }
        for (index, (address, error)) in self.attempts.iter().enumerate() {
            let separator = if index == 0 { ":" } else { ";" };
            write!(f, "{separator} {address}: {error}")?;
        }
        Ok(())
    }
}

// No `source`: the text says what came of all attempts, and who prints an error with its causes would be told
// the last one twice.
impl Error for ConnectError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::future::pending;
    use std::time::Instant;

    fn v4(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn v6(port: u16) -> SocketAddr {
        ([0, 0, 0, 0, 0, 0, 0, 1], port).into()
    }

    #[test]
    fn families_take_turns() {
        assert_eq!(interleave(vec![]), []);
        let sorted = vec![v6(1), v6(2), v6(3), v4(4), v4(5)];
        assert_eq!(interleave(sorted), [v6(1), v4(4), v6(2), v4(5), v6(3)]);
        assert_eq!(interleave(vec![v4(1), v6(2), v6(3)]), [v4(1), v6(2), v6(3)]);
    }

    /// What an address does in a test.
    #[derive(Clone, Copy)]
    enum Answer {
        Accepts,
        Refuses,
        IsSilent,
        Within(Duration),
    }
    use Answer::*;

    /// Runs a race over `answers` at the ports 1, 2, …; gives the winner's port, the ports in the
    /// order in which they were tried, and the race.
    fn race(delay: Duration, answers: &[Answer]) -> (Option<u16>, Vec<u16>, Race) {
        let tried = RefCell::new(Vec::new());
        let mut race = Race::new((1..=answers.len()).map(|port| v4(port as u16)).collect());
        let connect = async |address: SocketAddr| {
            tried.borrow_mut().push(address.port());
            match answers[usize::from(address.port()) - 1] {
                Accepts => {}
                Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
                IsSilent => pending().await,
                Within(time) => sleep(time).await,
            }
            Ok(address.port())
        };
        let winner = crate::run(race.run(delay, connect));
        (winner, tried.into_inner(), race)
    }

    const NEVER: Duration = Duration::from_secs(1000);
    const SHORT: Duration = Duration::from_millis(5);

    #[test]
    fn the_first_that_accepts_is_the_only_one_tried() {
        let (winner, tried, _) = race(NEVER, &[Accepts, Accepts]);
        assert_eq!((winner, tried), (Some(1), vec![1]));
    }

    #[test]
    fn a_failure_begins_the_next_attempt_at_once() {
        let (winner, tried, race) = race(NEVER, &[Refuses, Refuses, Accepts, Accepts]);
        assert_eq!((winner, tried), (Some(3), vec![1, 2, 3]));
        assert_eq!(race.failures.len(), 2);
    }

    #[test]
    fn silence_begins_the_next_attempt_after_the_delay() {
        let start = Instant::now();
        let (winner, tried, _) = race(SHORT, &[IsSilent, IsSilent, Accepts]);
        assert_eq!((winner, tried), (Some(3), vec![1, 2, 3]));
        assert!(start.elapsed() >= 2 * SHORT);
    }

    #[test]
    fn an_earlier_attempt_may_still_win() {
        let answers = [Within(4 * SHORT), IsSilent, IsSilent];
        let (winner, tried, _) = race(SHORT, &answers);
        assert_eq!(winner, Some(1));
        assert_eq!(tried[0], 1);
    }

    #[test]
    fn the_error_lists_what_was_tried() {
        let (winner, _, mut failed) = race(SHORT, &[Refuses, Refuses]);
        assert_eq!(winner, None);
        failed.started = 2;
        let error = failed.into_error();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!(
            text.starts_with("cannot connect to any of 2 addresses: 127.0.0.1:1: "),
            "{text}"
        );
        assert!(text.contains("; 127.0.0.1:2: "), "{text}");
    }

    /// Bug it is for: who prints an error with its causes was told the last failure twice.
    #[test]
    fn what_the_text_of_the_error_says_is_not_its_cause_too() {
        let (_, _, failed) = race(SHORT, &[Refuses]);
        let error = failed.into_error();
        assert!(
            error.to_string().ends_with(": connection refused"),
            "{error}"
        );
        assert!(error.source().is_none(), "{error}");
    }

    #[test]
    fn the_silent_are_in_the_error_when_time_is_up() {
        let mut race = Race::new(vec![v4(1), v4(2), v4(3)]);
        let connect = async |address: SocketAddr| match address.port() {
            1 => Err(io::ErrorKind::ConnectionRefused.into()),
            _ => pending::<io::Result<()>>().await,
        };
        crate::run(async {
            let run = race.run(NEVER, connect);
            assert!(timeout(SHORT, run).await.is_err());
        });
        race.give_up();
        let error = race.into_error();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("127.0.0.1:2: no answer in time"));
        assert!(!error.to_string().contains("127.0.0.1:3"), "never begun");
    }
}
