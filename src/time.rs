//! Sleeping and time limits.
//!
//! Timers live in user space, in wheels that every worker may fire; the nearest deadline is the
//! time limit of one worker's sleep in the kernel. A timer never fires early. While a worker runs
//! it may fire up to 1 ms late; when all sleep, the kernel's timer decides. A timer that is dropped
//! leaves nothing behind.
//!
//! Durations too long for the clock mean "never", as `Duration::MAX` should.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use gorin_base::{clock, coop};
pub use gorin_reactor::Sleep;

/// Waits for `duration`: Go's `time.Sleep`. Zero returns at once.
///
/// ```
/// use gorin::time::sleep;
/// use std::time::{Duration, Instant};
///
/// gorin::run(async {
///     let start = Instant::now();
///     sleep(Duration::from_millis(3)).await;
///     assert!(start.elapsed() >= Duration::from_millis(3));
/// });
/// ```
///
/// # Cancel safety
/// Dropping the future removes the timer.
///
/// # Panics
/// When it has to wait on a thread that belongs to no runtime, or to one that has stopped; the text
/// says what to do.
pub fn sleep(duration: Duration) -> Sleep {
    match clock::now().checked_add(duration) {
        Some(deadline) => Sleep::until(deadline),
        None => Sleep::never(),
    }
}

/// Waits until `deadline`; a deadline in the past returns at once.
///
/// # Cancel safety
/// Dropping the future removes the timer.
///
/// # Panics
/// When it has to wait on a thread that belongs to no runtime, or to one that has stopped; the text
/// says what to do.
///
/// ```
/// use gorin::time::sleep_until;
/// use std::time::Instant;
///
/// gorin::run(async {
///     sleep_until(Instant::now()).await;
/// });
/// ```
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::until(deadline)
}

/// A case for `select!` that is ready after `duration`, with the time at which it was: Go's
/// `time.After`.
///
/// ```
/// use gorin::prelude::*;
/// use gorin::time::after;
/// use std::time::Duration;
///
/// gorin::run(async {
///     let (_tx, rx) = chan::<u8>(0);
///     select! {
///         _ = rx.recv() => unreachable!("nobody sends"),
///         _ = after(Duration::from_millis(1)) => {}
///     }
/// });
/// ```
///
/// # Cancel safety
/// Dropping the future removes the timer.
///
/// # Panics
/// When it has to wait on a thread that belongs to no runtime, or to one that has stopped; the text
/// says what to do.
pub fn after(duration: Duration) -> After {
    After {
        sleep: sleep(duration),
    }
}

/// The future that [`after`] returns.
#[derive(Debug)]
#[must_use = "a timer waits only when it is awaited or used as a case of select!"]
pub struct After {
    sleep: Sleep,
}

impl Future for After {
    type Output = Instant;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        Poll::Ready(clock::now())
    }
}

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
    let sleep = sleep(limit);
    async move {
        let mut sleep = sleep;
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
}

/// The time limit of [`timeout`] was over first.
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
