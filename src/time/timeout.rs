//! [`timeout`]: an operation with a time limit.
//!
//! What the operation has finished is not lost, and others get their turn: that is [`until`]'s.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use super::{Sleep, sleep, sleep_until};
use crate::bounded::until;

/// Runs `future` for at most `limit`, counted from this call.
///
/// When the time is up the future is polled once more and then dropped: what it had finished by
/// then is returned, never lost.
///
/// ```
/// use gorin::time::timeout;
/// use std::time::Duration;
///
/// gorin::run(async {
///     let limit = Duration::from_millis(2);
///     assert_eq!(timeout(limit, async { 7 }).await, Ok(7));
///     assert!(timeout(limit, std::future::pending::<()>()).await.is_err());
/// });
/// ```
///
/// # Errors
/// [`Elapsed`] if the time was up first.
///
/// # Cancel safety
/// That of `future`, which is dropped with the returned one.
///
/// # Panics
/// When it has to wait on a thread that belongs to no runtime, or to one that has stopped; the text
/// says what to do.
pub fn timeout<F: Future>(
    limit: Duration,
    future: F,
) -> impl Future<Output = Result<F::Output, Elapsed>> {
    limited(sleep(limit), future)
}

/// As [`timeout`], until a point in time: several operations can share one deadline.
///
/// ```
/// use gorin::time::timeout_at;
/// use std::time::{Duration, Instant};
///
/// gorin::run(async {
///     let deadline = Instant::now() + Duration::from_millis(2);
///     assert_eq!(timeout_at(deadline, async { 7 }).await, Ok(7));
///     assert!(timeout_at(deadline, std::future::pending::<()>()).await.is_err());
/// });
/// ```
///
/// # Errors
/// [`Elapsed`] if the deadline came first. A future that is ready when it is first polled wins even
/// against a deadline in the past.
///
/// # Cancel safety
/// That of `future`, which is dropped with the returned one.
///
/// # Panics
/// As [`timeout`].
pub fn timeout_at<F: Future>(
    deadline: Instant,
    future: F,
) -> impl Future<Output = Result<F::Output, Elapsed>> {
    limited(sleep_until(deadline), future)
}

async fn limited<F: Future>(sleep: Sleep, future: F) -> Result<F::Output, Elapsed> {
    until(sleep, future).await.map_err(|()| Elapsed(()))
}

/// The time limit of [`timeout`] or [`timeout_at`] was over first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit is over")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}
