//! How a worker rests when it has nothing to do: it looks for something for a while if that pays, and
//! then sleeps.
//!
//! Nothing of others runs here; the worker's `core` may stay borrowed throughout.

use std::time::{Duration, Instant};

use gorin_base::clock;
use gorin_base::primitive::spin_loop;

use super::{Core, Worker, expect_enter};
use crate::counters::count;
use crate::driver::Driver;
use crate::polling::{Turn, Wait};

/// Timers end a sleep at most this often: with many of them close together, some at a time fire up to
/// so much later, and one alone is not delayed. It is what the kernel itself adds to a sleep when it
/// likes to (its timer slack, 50 µs by default).
const TIMER_GAP: Duration = Duration::from_micros(50);
/// Looks for completions per look at the clock.
const LOOKS: u32 = 8;

impl Worker {
    /// Waits for a notice, a completion or a deadline: looks for them for a while if that pays
    /// (`polling.rs`), then sleeps.
    pub(super) fn park(&self) {
        let timers = &self.shared.timers;
        let until = self.not_too_often(timers.park(self.index));
        let core = &mut *self.core.borrow_mut();
        core.driver.rest();
        if core.patience.limit().is_zero() {
            self.sleep(&mut *core.driver, until);
        } else {
            let began = clock::now();
            self.now.set(began);
            let wait = match self.look(core, began, until) {
                Some(Wait::Found) => Wait::Found,
                looked => {
                    self.sleep(&mut *core.driver, until);
                    looked.unwrap_or_else(|| Wait::Slept(self.now.get().duration_since(began)))
                }
            };
            core.patience.note(wait);
        }
        core.driver.resume();
        timers.unpark(self.index);
    }

    /// `until`, or a little later if a sleep has ended for a timer just before.
    fn not_too_often(&self, until: Option<Instant>) -> Option<Instant> {
        until.map(|until| until.max(self.timer_wake.get() + TIMER_GAP))
    }

    /// Looks for something to do. `None` if it does not pay or somebody else looks.
    fn look(&self, core: &mut Core, began: Instant, until: Option<Instant>) -> Option<Wait> {
        let end = began + core.patience.limit();
        if !core.patience.is_looking() || until.is_some_and(|until| until < end) {
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
            last = now;
        }
    }

    /// Sleeps, unless there is a notice to take.
    fn sleep(&self, driver: &mut dyn Driver, until: Option<Instant>) {
        if !self.signal().try_sleep() {
            return;
        }
        let nap = self.lie_down();
        let began = clock::now();
        let timer = until.map(|until| until.saturating_duration_since(began));
        let slept = driver.park(timer.into_iter().chain(nap.limit).min());
        self.post().arms.note_submitted();
        let now = clock::now();
        self.now.set(now);
        if until.is_some_and(|until| now >= until) {
            self.timer_wake.set(now);
        }
        self.get_up(&nap, now.duration_since(began), self.shared.number(now));
        if self.signal().wake_up() {
            driver.expect_wake();
        }
        expect_enter(slept);
    }
}
