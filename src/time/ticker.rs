//! [`Ticker`]: the same interval again and again, without drift.
//!
//! Ticks lie on a grid that is fixed when the ticker is made or reset. A tick is what a poll finds,
//! not a value in a channel; how late polls are answered is [`MissedTick`]'s.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::stream::{FusedStream, Stream};
use gorin_base::clock;

use super::{Sleep, sleep, sleep_until};

/// A ticker whose first tick is `period` from now, and then one every `period`: Go's
/// `time.NewTicker`.
///
/// For a receiver that is late, one tick is kept and the others are dropped; the ticks that follow
/// are on time again. [`Ticker::missed`] asks for something else.
///
/// ```
/// use gorin::time::ticker;
/// use std::time::{Duration, Instant};
///
/// gorin::run(async {
///     let start = Instant::now();
///     let mut ticks = ticker(Duration::from_millis(2));
///     let first = ticks.tick().await;
///     let second = ticks.tick().await;
///     assert!(first >= start + Duration::from_millis(2));
///     assert!(second > first);
/// });
/// ```
///
/// # Panics
/// If `period` is zero.
#[track_caller]
pub fn ticker(period: Duration) -> Ticker {
    check(period);
    Ticker {
        sleep: sleep(period),
        period,
        missed: MissedTick::Skip,
    }
}

/// A ticker whose first tick is at `start`, and then one every `period`. A `start` in the past makes
/// the first tick due at once; those that follow lie on the grid that it begins.
///
/// ```
/// use gorin::time::ticker_at;
/// use std::time::{Duration, Instant};
///
/// gorin::run(async {
///     let start = Instant::now();
///     let mut ticks = ticker_at(start, Duration::from_millis(2));
///     assert_eq!(ticks.tick().await, start);
///     let since = (ticks.tick().await - start).as_millis();
///     assert!(since >= 2 && since % 2 == 0);
/// });
/// ```
///
/// # Panics
/// If `period` is zero.
#[track_caller]
pub fn ticker_at(start: Instant, period: Duration) -> Ticker {
    check(period);
    Ticker {
        sleep: sleep_until(start),
        period,
        missed: MissedTick::Skip,
    }
}

#[track_caller]
fn check(period: Duration) {
    assert!(
        !period.is_zero(),
        "a ticker needs a period longer than zero: with none its ticks would never end"
    );
}

/// What a [`Ticker`] does when its receiver comes late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissedTick {
    /// One tick at once, then on at the times that were planned; what was missed is dropped. Go's.
    #[default]
    Skip,
    /// One tick at once for each that was missed, then on at the times that were planned.
    Burst,
    /// One tick at once, and the next one a whole period after it.
    Delay,
}

/// Something that is ready at regular times; made by [`ticker`] and [`ticker_at`].
///
/// Receive by [`tick`](Ticker::tick), or use it as a stream. Dropping it stops it.
#[derive(Debug)]
#[must_use = "a ticker does nothing unless its ticks are awaited"]
pub struct Ticker {
    /// Until the next tick; never once stopped.
    sleep: Sleep,
    period: Duration,
    missed: MissedTick,
}

impl Ticker {
    /// The same ticker with another answer to ticks that were missed.
    ///
    /// ```
    /// # use gorin::time::{MissedTick, ticker};
    /// # use std::time::Duration;
    /// # gorin::run(async {
    /// let mut ticks = ticker(Duration::from_millis(1)).missed(MissedTick::Burst);
    /// gorin::time::sleep(Duration::from_millis(4)).await;
    /// let (first, second) = (ticks.tick().await, ticks.tick().await);
    /// assert_eq!(second - first, Duration::from_millis(1));
    /// # });
    /// ```
    pub fn missed(mut self, missed: MissedTick) -> Ticker {
        self.missed = missed;
        self
    }

    /// Waits for the next tick, and says when it was due: with [`MissedTick::Skip`] that lies on
    /// the grid of the periods, and in the past by what this call was late.
    ///
    /// # Cancel safety
    /// Dropping the future loses no tick.
    ///
    /// # Panics
    /// When it has to wait on a thread that belongs to no runtime, or to one that has stopped; the
    /// text says what to do.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// Stops the ticker: it does not tick until it is [`reset`](Ticker::reset), nor deliver what it
    /// had kept. As in Go this does not end the stream, which waits.
    pub fn stop(&mut self) {
        self.sleep.stop();
    }

    /// Starts anew with the given period, also after [`stop`](Ticker::stop): the next tick is one
    /// period from now, and nothing of before is kept.
    ///
    /// # Panics
    /// If `period` is zero.
    #[track_caller]
    pub fn reset(&mut self, period: Duration) {
        check(period);
        self.period = period;
        self.set(clock::now().checked_add(period));
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    fn set(&mut self, next: Option<Instant>) {
        match next {
            Some(next) => self.sleep.reset(next),
            None => self.sleep.stop(),
        }
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let due = self.sleep.deadline().expect("what is ready has a deadline");
        let now = clock::now();
        self.set(match self.missed {
            MissedTick::Skip => next_on_grid(due, self.period, now),
            MissedTick::Burst => due.checked_add(self.period),
            MissedTick::Delay => now.checked_add(self.period),
        });
        Poll::Ready(due)
    }
}

/// The first of `due + period`, `due + 2 * period`, ... that lies after `now`.
fn next_on_grid(due: Instant, period: Duration, now: Instant) -> Option<Instant> {
    let since_last = now.saturating_duration_since(due).as_nanos() % period.as_nanos();
    // Less than a Duration was taken apart, so both parts fit.
    let since_last = Duration::new(
        (since_last / 1_000_000_000) as u64,
        (since_last % 1_000_000_000) as u32,
    );
    now.max(due).checked_add(period - since_last)
}

impl Stream for Ticker {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }
}

impl FusedStream for Ticker {
    /// A ticker never ends.
    fn is_terminated(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_tick_lies_on_the_grid_and_after_now() {
        let start = clock::now();
        let ms = Duration::from_millis;
        let next = |period, late| {
            let next = next_on_grid(start, ms(period), start + ms(late));
            next.unwrap().duration_since(start)
        };
        assert_eq!(next(10, 0), ms(10));
        assert_eq!(next(10, 9), ms(10));
        assert_eq!(next(10, 10), ms(20), "a tick at this very moment is missed");
        assert_eq!(next(10, 25), ms(30));
        assert_eq!(next(3, 1_000_000), ms(1_000_002));
        // Woken early by a clock that was read before: the grid stays.
        let early = next_on_grid(start + ms(5), ms(10), start);
        assert_eq!(early, Some(start + ms(15)));
        assert_eq!(next_on_grid(start, Duration::MAX, start), None);
    }
}
