//! Sleeping and time limits.
//!
//! Timers live in user space, in wheels that every worker may fire; the nearest deadline is the
//! time limit of one worker's sleep in the kernel. A timer never fires early. While a worker runs
//! it may fire up to 1 ms late; when all sleep, the kernel's timer decides, and of many close together
//! some fire at once: up to 50 µs late, and up to 400 µs where they are a crowd (tens of thousands
//! per second). A timer that is dropped leaves nothing behind.
//!
//! Durations too long for the clock mean "never", as `Duration::MAX` should.
//!
//! | you want | and Go has | use |
//! |---|---|---|
//! | to wait | `time.Sleep` | [`sleep`], [`sleep_until`] |
//! | a case of `select!` | `time.After` | [`after`] |
//! | to bound an operation | `context.WithTimeout` | [`timeout()`], [`timeout_at`]; for what many functions share [`Context`](crate::context::Context) |
//! | one deadline, moved again and again | `time.Timer` | [`Timer`] |
//! | something at regular times | `time.Ticker` | [`ticker()`] |
//! | something done later | `time.AfterFunc` | [`after_func()`] |
//!
//! Inside [`gorin::model`](crate::model()) all of them follow the model's virtual time.

mod after_func;
mod ticker;
mod timeout;
mod timer;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use gorin_base::clock;
pub use gorin_reactor::Sleep;

pub use after_func::{AfterFunc, after_func};
pub use ticker::{MissedTick, Ticker, ticker, ticker_at};
pub use timeout::{Elapsed, timeout, timeout_at};
pub use timer::Timer;

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

/// A case for `select!` that is ready after `duration`, with the time at which it was found so: Go's
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
