//! How long a worker's turn is (`worker.rs`).
//!
//! Must not: know what is polled.

use std::time::{Duration, Instant};

use gorin_base::clock;

/// Polls of one turn; also how often the injector goes first.
pub(crate) const TURN_POLLS: u32 = 61;

/// About how long a turn may take. Completions wait for its end.
pub(crate) const TURN_TIME: Duration = Duration::from_micros(100);

/// The same if [`LONG_QUEUE`] or more are ready when it begins: what completes meanwhile goes behind them in
/// any case, and entering the kernel half as often took 3 % off the CPU time of 1,000 connections in a closed
/// loop. With 50, whose queue is short, twice and four times the length cost as much (1.00 and 0.99, ± 0.02).
/// Well below the time after which a worker is taken for stuck, which is the reactor's business.
const LONG_TURN_TIME: Duration = Duration::from_micros(200);

/// As many as are polled in a turn.
const LONG_QUEUE: usize = TURN_POLLS as usize;

/// How many times as many polls as were made may go by until the clock is read again.
const MOST_AHEAD: u32 = 2;

/// Measures one turn. The clock costs as much as a short poll, so it is read only as often as the
/// polls so far suggest.
pub(crate) struct Pace {
    started: Instant,
    limit: Duration,
    polls: u32,
    /// The number of polls at which the clock is read next.
    next_look: u32,
    /// How long a poll has taken on average, until the clock was read last.
    poll_time: Duration,
}

impl Pace {
    /// Of a turn that begins now with `queued` tasks that are ready.
    #[inline]
    pub(crate) fn new(queued: usize) -> Pace {
        Pace {
            started: clock::now(),
            limit: match queued {
                LONG_QUEUE.. => LONG_TURN_TIME,
                _ => TURN_TIME,
            },
            polls: 0,
            next_look: 1,
            poll_time: Duration::ZERO,
        }
    }

    /// How long a poll of this turn takes; to be asked after the first one.
    #[inline]
    pub(crate) fn poll_time(&self) -> Duration {
        self.poll_time
    }

    /// When the turn began.
    #[inline]
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Nothing was polled in this turn.
    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        self.polls == 0
    }

    /// Counts a poll; true if the turn is over.
    #[inline]
    pub(crate) fn count(&mut self) -> bool {
        let started = self.started;
        self.count_in(|| clock::now().duration_since(started))
    }

    /// As [`count`](Self::count), in a turn that has taken `spent` so far.
    #[inline]
    fn count_in(&mut self, spent: impl FnOnce() -> Duration) -> bool {
        self.polls += 1;
        if self.polls >= TURN_POLLS {
            return true;
        }
        if self.polls < self.next_look {
            return false;
        }
        let spent = spent();
        self.poll_time = spent / self.polls;
        // Look again after a quarter of the polls that fit into what is left, if they are like those so far;
        // and of a few polls nothing can be said of many. (Without that half of the turns were longer than
        // 300 µs, where the worker is taken for stuck, with polls of 1 µs and 15 µs at random.)
        let left = self.limit.saturating_sub(spent).as_nanos() as u64;
        let spent = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        let fit = left.saturating_mul(u64::from(self.polls)) / spent.max(1);
        let most = u64::from(self.polls * MOST_AHEAD);
        self.next_look = self.polls + (fit / 4).clamp(1, most) as u32;
        left == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// When the reactor takes a worker for one that computes.
    const STUCK: Duration = Duration::from_micros(300);

    /// For: a first poll that is believed to be like the others.
    #[test]
    fn who_is_never_long_in_a_poll_is_not_taken_for_stuck() {
        for queued in [0, LONG_QUEUE] {
            for short in 1..20 {
                let mut pace = Pace::new(queued);
                let mut spent = Duration::ZERO;
                loop {
                    spent += Duration::from_micros(if pace.polls < short { 1 } else { 15 });
                    if pace.count_in(|| spent) {
                        break;
                    }
                }
                assert!(spent < STUCK, "{spent:?} after {short} short polls");
            }
        }
    }
}
