//! How a worker rests when it has nothing to do: it looks for something for a while if that pays, and
//! then sleeps.
//!
//! Nothing of others runs here; the worker's `core` may stay borrowed throughout.

use std::io;
use std::time::Instant;

use gorin_base::clock;
use gorin_base::primitive::spin_loop;
use gorin_base::seeded;

use super::{Core, Worker, expect_enter};
use crate::counters::count;
use crate::polling::{Turn, Wait};

/// Looks for completions per look at the clock.
const LOOKS: u32 = 8;

impl Worker {
    /// Waits for a notice, a completion or a deadline: looks for them for a while if that pays
    /// (`polling.rs`), then sleeps.
    pub(super) fn park(&self) {
        if self.stands_by() {
            return self.stand_by();
        }
        let timers = &self.shared.timers;
        let due = timers.park(self.index);
        let core = &mut *self.core.borrow_mut();
        core.driver.rest();
        let rested = self.rest(core, due);
        core.driver.resume();
        if !seeded::bug("rest.keeps_the_role") {
            timers.unpark(self.index);
        }
        // Only now: this panics, and a worker that is gone must not stay the one that hears of sockets.
        expect_enter(rested);
    }

    fn rest(&self, core: &mut Core, due: Option<Instant>) -> io::Result<()> {
        if core.patience.limit().is_zero() {
            return self.sleep(core, due);
        }
        let began = clock::now();
        self.now.set(began);
        let work = began.saturating_duration_since(core.rested);
        let mut slept = Ok(());
        let wait = match self.look(core, began, due) {
            Some(Wait::Found) => Wait::Found,
            looked => {
                slept = self.sleep(core, due);
                looked.unwrap_or(Wait::Slept)
            }
        };
        core.rested = self.now.get();
        let time = core.rested.duration_since(began);
        core.patience.note(work, wait, time);
        slept
    }

    /// Looks for something to do. `None` if it does not pay or somebody else looks.
    fn look(&self, core: &mut Core, began: Instant, due: Option<Instant>) -> Option<Wait> {
        let until = due.map(|due| core.spacing.delay(due));
        let end = began + core.patience.limit();
        if !core.patience.is_looking() || until.is_some_and(|until| until < end) {
            return None;
        }
        if self.is_crowded(began) {
            return None;
        }
        let _turn = Turn::take()?;
        count(&self.post().counters.looks, 1);
        let mut last = began;
        loop {
            let found = (0..LOOKS).any(|_| {
                spin_loop();
                self.signal().is_notified() || core.driver.is_due()
            });
            let now = clock::now();
            self.now.set(now);
            if now >= end || now.duration_since(last) > core.patience.gap() {
                return Some(Wait::InVain);
            }
            if found {
                return Some(Wait::Found);
            }
            if self.is_crowded(now) {
                return None;
            }
            last = now;
        }
    }

    /// Whether somebody else may need the CPU.
    fn is_crowded(&self, now: Instant) -> bool {
        let guard = self.shared().guard.as_ref();
        guard.is_some_and(|guard| guard.crowd.is_dense(guard.watch.awake(), now))
    }

    /// Sleeps, for a timer only until `due` or a little longer, unless there is a notice to take.
    pub(super) fn sleep(&self, core: &mut Core, due: Option<Instant>) -> io::Result<()> {
        if !self.signal().try_sleep() {
            return Ok(());
        }
        let nap = self.lie_down();
        let began = clock::now();
        let until = due.map(|due| core.spacing.delay(due));
        let timer = until.map(|until| until.saturating_duration_since(began));
        let slept = core.driver.park(timer.into_iter().chain(nap.limit).min());
        self.post().arms.note_submitted();
        let now = clock::now();
        self.now.set(now);
        if let Some(due) = due.filter(|_| until.is_some_and(|until| now >= until)) {
            core.spacing.note_wake(due, now);
        }
        self.gauge.note_sleep(now.duration_since(began));
        self.get_up(&nap, now.duration_since(began), self.shared.number(now));
        if self.signal().wake_up() {
            core.driver.expect_wake();
        }
        slept
    }
}
