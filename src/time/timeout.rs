//! [`timeout`]: an operation with a time limit.
//!
//! Must not lose what the operation has finished: it is polled once more when the time is up.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use gorin_base::coop;

use super::{Sleep, sleep, sleep_until};

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

async fn limited<F: Future>(mut sleep: Sleep, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut gave_way = false;
    poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        // The timer is asked outside of the goroutine's budget, and the last chance has one of
        // its own: a future that uses up its budget in each poll is found late all the same.
        ready!(coop::unlimited(|| Pin::new(&mut sleep).poll(cx)));
        // Yet a time limit that is over counts as an operation, or a loop over such would keep
        // its worker for ever. Once is enough: the budget may be used up each time.
        if !std::mem::replace(&mut gave_way, true) {
            ready!(coop::poll_ready(cx));
        }
        match coop::with_budget(|| future.as_mut().poll(cx)) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => {
                coop::spend();
                Poll::Ready(Err(Elapsed(())))
            }
        }
    })
    .await
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
