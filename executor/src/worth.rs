//! Whether what the reactor has brought is worth another worker (`worker.rs`).
//!
//! Whoever calls a worker that sleeps pays some 12 µs, and it comes after some 33: what takes less than
//! [`WORTH`] is done sooner, and cheaper, by the worker that has it. How long it will take is estimated by the
//! polls before. When the estimate grows, while some of it is left, the call is made after all.
//!
//! An estimate may be wrong: then goroutines wait behind a poll that does not come back, beside a worker that
//! sleeps. So calls are put off only if somebody [relieves](crate::relieve) such workers
//! ([`Config::relieved`](crate::Config::relieved)), and not for [`WARY`] after one had to be relieved: a
//! goroutine that computes seldom comes alone.
//!
//! In bursts of 32 messages every 20 ms, on two workers, that took a quarter off the CPU time and a fifth off
//! the median latency (12 slices, against tokio: 2.28 to 1.71 and 1.36 to 1.10, ± 0.1). With a goroutine that
//! computes for 100 ms at a time it changes nothing (26 slices).
//!
//! Rejected: to put off calls for what goroutines ready themselves as well. Who starts two and then computes
//! leaves them waiting.
//! Rejected: to call for what is left at the end of a turn, whoever has readied it. At the end of a long poll
//! that moves the goroutine that computes to the worker that has taken over the sockets: p99 × 2.5.
//!
//! Must not: know queues or workers.

use std::time::{Duration, Instant};

/// Work that is worth a call.
const WORTH: Duration = Duration::from_micros(50);

/// How long every call is made at once after a worker was stuck.
const WARY: Duration = Duration::from_secs(1);

/// One worker's estimate. See the module text.
#[derive(Debug)]
pub(crate) struct Worth {
    /// Of one poll.
    estimate: Duration,
    /// Calls are never put off.
    never: bool,
    /// How often workers of this executor had been relieved when this one looked last.
    reliefs: usize,
    wary_until: Option<Instant>,
    /// A call was put off in this turn.
    owed: bool,
}

impl Worth {
    pub(crate) fn new(relieved: bool) -> Worth {
        Worth {
            estimate: Duration::ZERO,
            never: !relieved,
            reliefs: 0,
            wary_until: None,
            owed: false,
        }
    }

    /// At the start of a turn, with `queued` tasks, all of which the reactor has brought or the last turn has
    /// left: true if another worker is to be called now.
    pub(crate) fn begin(&mut self, now: Instant, queued: usize, reliefs: usize) -> bool {
        if std::mem::replace(&mut self.reliefs, reliefs) != reliefs {
            self.wary_until = Some(now + WARY);
        }
        self.wary_until = self.wary_until.filter(|&until| now < until);
        // One of them is run here at once.
        self.owed = queued > 1;
        self.owed && self.call_for(queued)
    }

    /// After a poll, with `queued` tasks left; polls take `estimate`: true if it is time for the call that was
    /// put off.
    pub(crate) fn polled(&mut self, estimate: Duration, queued: usize) -> bool {
        self.estimate = estimate;
        self.owed && queued > 0 && self.call_for(queued)
    }

    fn call_for(&mut self, queued: usize) -> bool {
        let queued = u32::try_from(queued).unwrap_or(u32::MAX);
        let work = self.estimate.saturating_mul(queued);
        let call = self.never || self.wary_until.is_some() || work >= WORTH;
        self.owed &= !call;
        call
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use gorin_base::clock;

    const SHORT: Duration = Duration::from_micros(5);
    const LONG: Duration = Duration::from_millis(1);

    /// After a turn of short polls.
    fn quick(now: Instant) -> Worth {
        let mut worth = Worth::new(true);
        assert!(!worth.begin(now, 2, 0), "nothing is known yet");
        assert!(!worth.polled(SHORT, 1));
        worth
    }

    #[test]
    fn what_is_short_is_worth_no_call() {
        let now = clock::now();
        let mut worth = quick(now);
        assert!(!worth.begin(now, 9, 0));
        assert!(!worth.polled(SHORT, 8));
        assert!(worth.begin(now, 10, 0), "together it is long");
    }

    #[test]
    fn a_call_is_made_once_when_polls_turn_out_to_be_longer_and_some_are_left() {
        let now = clock::now();
        let mut worth = quick(now);
        assert!(!worth.begin(now, 2, 0));
        assert!(worth.polled(LONG, 1));
        assert!(!worth.polled(LONG, 1));
        let mut worth = quick(now);
        assert!(!worth.begin(now, 2, 0));
        assert!(!worth.polled(LONG, 0), "nothing is left");
        let mut worth = quick(now);
        assert!(!worth.begin(now, 1, 0));
        assert!(!worth.polled(LONG, 1), "a goroutine has readied it");
    }

    #[test]
    fn calls_are_made_at_once_for_a_while_after_a_worker_was_stuck() {
        let now = clock::now();
        let mut worth = quick(now);
        assert!(worth.begin(now, 2, 1));
        assert!(!worth.polled(SHORT, 1));
        assert!(worth.begin(now + WARY / 2, 2, 1));
        assert!(!worth.begin(now + WARY, 2, 1));
    }

    #[test]
    fn calls_are_made_at_once_where_nobody_relieves_workers() {
        let now = clock::now();
        let mut worth = Worth::new(false);
        assert!(worth.begin(now, 2, 0) && !worth.polled(SHORT, 1));
        assert!(worth.begin(now, 2, 0));
        assert!(!worth.begin(now, 1, 0));
    }
}
