//! [`Timer`]: one deadline that is set, stopped and set again.
//!
//! Go's timers since 1.23: the value of a firing is not kept anywhere, it is what a poll finds. So a
//! timer that was stopped or reset has no stale value to deliver, and nobody needs to drain it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use gorin_base::clock;

use super::{Sleep, sleep, sleep_until};

/// A timer that can be stopped and set anew, and used as a case of `select!` again and again: Go's
/// `time.Timer`.
///
/// Awaiting `&mut timer` gives the time at which it was found ready (Go's value lies in the past by what the
/// receiver is late), once for each time that it is set; then, and after [`stop`](Timer::stop), it waits until
/// [`reset`](Timer::reset) sets it again.
///
/// One that is set for each message of a connection costs less than a new
/// [`after`](super::after): its place in the wheel moves.
///
/// ```
/// use gorin::prelude::*;
/// use gorin::time::Timer;
/// use std::time::Duration;
///
/// gorin::run(async {
///     let (tx, rx) = chan(0);
///     go(async move {
///         for n in 0..3 {
///             tx.send(n).await.unwrap();
///         }
///         std::future::pending::<()>().await; // never closes
///     });
///     let patience = Duration::from_millis(50);
///     let mut quiet = Timer::new(patience);
///     let mut received = 0;
///     loop {
///         select! {
///             _ = rx.recv() => {
///                 received += 1;
///                 quiet.reset(patience);
///             }
///             _ = &mut quiet => break,
///         }
///     }
///     assert_eq!(received, 3);
/// });
/// ```
///
/// # Cancel safety
/// Dropping `&mut timer` as a future changes nothing; dropping the timer removes it.
///
/// # Panics
/// Polling panics when it has to wait on a thread that belongs to no runtime, or to one that has
/// stopped; the text says what to do.
#[derive(Debug)]
#[must_use = "a timer does nothing unless it is awaited or used as a case of select!"]
pub struct Timer {
    sleep: Sleep,
    /// It is set, and nobody has received its firing.
    is_set: bool,
}

impl Timer {
    /// A timer that is ready after `duration`; one too long for the clock never is.
    pub fn new(duration: Duration) -> Timer {
        Timer {
            sleep: sleep(duration),
            is_set: true,
        }
    }

    /// A timer that is ready at `deadline`.
    ///
    /// ```
    /// # use gorin::time::Timer;
    /// # use std::time::{Duration, Instant};
    /// # gorin::run(async {
    /// let start = Instant::now();
    /// let mut timer = Timer::at(start + Duration::from_secs(1000));
    /// assert!(timer.reset_at(start + Duration::from_millis(1)));
    /// assert!((&mut timer).await >= start + Duration::from_millis(1));
    /// # });
    /// ```
    pub fn at(deadline: Instant) -> Timer {
        Timer {
            sleep: sleep_until(deadline),
            is_set: true,
        }
    }

    /// Stops the timer: it will not be ready until it is [`reset`](Timer::reset). True if this
    /// prevented something: its firing was still to come, or had not been received.
    ///
    /// A goroutine that waits for it (both have it under a lock then) is forgotten, and has to poll it again
    /// once it is set anew; so it is by a reset beyond the clock, and by no other.
    ///
    /// ```
    /// # use gorin::time::Timer;
    /// # use std::time::Duration;
    /// # gorin::run(async {
    /// let mut timer = Timer::new(Duration::ZERO);
    /// assert!(timer.stop(), "it was due, but nobody had received that");
    /// assert!(!timer.stop());
    /// # });
    /// ```
    pub fn stop(&mut self) -> bool {
        self.sleep.stop();
        std::mem::replace(&mut self.is_set, false)
    }

    /// Sets the timer anew: it is ready `duration` from now, and not at the time set before. What
    /// it returns is what [`stop`](Timer::stop) would have.
    pub fn reset(&mut self, duration: Duration) -> bool {
        match clock::now().checked_add(duration) {
            Some(deadline) => self.sleep.reset(deadline),
            None => self.sleep.stop(),
        }
        std::mem::replace(&mut self.is_set, true)
    }

    /// As [`reset`](Timer::reset), to a time rather than a duration.
    pub fn reset_at(&mut self, deadline: Instant) -> bool {
        self.sleep.reset(deadline);
        std::mem::replace(&mut self.is_set, true)
    }

    /// When it is ready; `None` if it is stopped, has been received, or is set beyond the clock.
    pub fn deadline(&self) -> Option<Instant> {
        self.sleep.deadline().filter(|_| self.is_set)
    }
}

impl Future for Timer {
    type Output = Instant;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Instant> {
        if !self.is_set {
            return Poll::Pending;
        }
        ready!(Pin::new(&mut self.sleep).poll(cx));
        self.is_set = false;
        Poll::Ready(clock::now())
    }
}
