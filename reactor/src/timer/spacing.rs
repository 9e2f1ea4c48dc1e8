//! How far apart timers may end a worker's sleeps.
//!
//! To end a sleep costs some 25 µs of CPU time, as much as firing a hundred timers. One timer alone is
//! never delayed. Where many are due one shortly after the other, each sleep lets some of them come
//! together: for [`LEAST`] at first, as long as the kernel itself adds to a sleep when it likes to
//! (its timer slack), and up to [`MOST`] while that gathers a [`CROWD`] again and again.
//!
//! With 100,000 timers per second, 10 µs apart, that takes 0.38 of the CPU time that [`LEAST`] alone
//! takes (0.48 with two workers), and they are 0.2 ms late instead of 0.04; 1 ms is what a timer may be
//! late while its runtime is busy.
//!
//! Each worker has its own; plain data.

use std::time::{Duration, Instant};

/// The shortest time between two sleeps that timers end.
const LEAST: Duration = Duration::from_micros(50);
/// The longest.
const MOST: Duration = Duration::from_micros(400);
/// As many timers fired by one sleep are worth more waiting: fewer may be goroutines that sleep in
/// turns, and would only be slowed.
const CROWD: usize = 4;

/// See the module text.
#[derive(Debug)]
pub(crate) struct Spacing {
    /// When a sleep ended last for a timer.
    woke: Instant,
    gap: Duration,
    /// The sleep that ended last was for a timer that was delayed, and what it has gathered is not
    /// known yet.
    delayed: bool,
}

impl Spacing {
    pub(crate) fn new(now: Instant) -> Spacing {
        Spacing {
            woke: now,
            gap: LEAST,
            delayed: false,
        }
    }

    /// Until when to sleep if a timer is due at `due`.
    pub(crate) fn delay(&self, due: Instant) -> Instant {
        due.max(self.woke + self.gap)
    }

    /// A sleep has ended at `now` because a timer was due at `due`.
    pub(crate) fn note_wake(&mut self, due: Instant, now: Instant) {
        self.delayed = self.delay(due) > due;
        if !self.delayed {
            self.gap = LEAST;
        }
        self.woke = now;
    }

    /// So many timers were due after it.
    pub(crate) fn note_fired(&mut self, fired: usize) {
        if !std::mem::take(&mut self.delayed) {
            return;
        }
        self.gap = match fired {
            CROWD.. => (2 * self.gap).min(MOST),
            _ => (self.gap / 2).max(LEAST),
        };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use gorin_base::clock;

    const STEP: Duration = Duration::from_micros(10);

    /// Sleeps for timers that are `step` apart, from `now` on, `fired` of them at a time. Gives the
    /// time of the last wake.
    fn sleep_often(
        spacing: &mut Spacing,
        mut now: Instant,
        step: Duration,
        fired: usize,
    ) -> Instant {
        for _ in 0..10 {
            let due = now + step;
            now = spacing.delay(due);
            spacing.note_wake(due, now);
            spacing.note_fired(fired);
        }
        now
    }

    #[test]
    fn a_timer_alone_is_not_delayed() {
        let now = clock::now();
        let mut spacing = Spacing::new(now);
        let due = now + LEAST;
        assert_eq!(spacing.delay(due), due);
        spacing.note_wake(due, due);
        spacing.note_fired(1);
        assert_eq!(spacing.delay(due + LEAST), due + LEAST);
        assert_eq!(spacing.delay(due + STEP), due + LEAST);
    }

    #[test]
    fn a_crowd_waits_for_more_up_to_a_limit_and_is_forgotten() {
        let now = clock::now();
        let mut spacing = Spacing::new(now);
        let now = sleep_often(&mut spacing, now, STEP, CROWD);
        assert_eq!(spacing.delay(now + STEP), now + MOST);
        // It thins out,
        let now = sleep_often(&mut spacing, now, STEP, CROWD - 1);
        assert_eq!(spacing.delay(now + STEP), now + LEAST);
        // or ends at once.
        let now = sleep_often(&mut spacing, now, STEP, CROWD);
        let due = now + MOST;
        spacing.note_wake(due, due);
        assert_eq!(spacing.delay(due + STEP), due + LEAST);
    }

    #[test]
    fn who_sleeps_in_turns_is_not_a_crowd() {
        let now = clock::now();
        let mut spacing = Spacing::new(now);
        let now = sleep_often(&mut spacing, now, 2 * LEAST, 2 * CROWD);
        assert_eq!(spacing.delay(now + STEP), now + LEAST);
    }
}
