//! The virtual time of an execution, and who waits for it.
//!
//! Invariant: time moves only in `take_due`, to the deadline of the next timer, which the execution
//! asks for when nobody can take a step. Must not wake anybody: what fires is returned.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::task::Waker;
use std::time::Instant;

use gorin_base::hook::TimerKey;

use super::Goroutine;

/// Wakes one goroutine.
pub(super) struct Timer {
    pub(super) goroutine: Goroutine,
    pub(super) waker: Waker,
}

/// See the module text.
pub(super) struct Timers {
    now: Instant,
    next: NonZeroU64,
    waiting: BTreeMap<(Instant, TimerKey), Timer>,
}

impl Timers {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            now: start,
            next: NonZeroU64::MIN,
            waiting: BTreeMap::new(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// True if `goroutine` waits for a time.
    pub(super) fn has(&self, goroutine: Goroutine) -> bool {
        let mut timers = self.waiting.values();
        timers.any(|timer| timer.goroutine == goroutine)
    }

    pub(super) fn set(&mut self, deadline: Instant, timer: Timer) -> TimerKey {
        let key = TimerKey(self.next);
        self.next = self.next.saturating_add(1);
        self.waiting.insert((deadline, key), timer);
        key
    }

    pub(super) fn reset(&mut self, key: TimerKey, deadline: Instant) {
        if let Some(timer) = self.cancel(key) {
            self.waiting.insert((deadline, key), timer);
        }
    }

    /// Removes a timer; the caller drops it.
    pub(super) fn cancel(&mut self, key: TimerKey) -> Option<Timer> {
        let at = self.waiting.keys().find(|(_, one)| *one == key).copied()?;
        self.waiting.remove(&at)
    }

    /// Moves the time to the next deadline; returns the timers of that instant.
    pub(super) fn take_due(&mut self) -> Vec<Timer> {
        let Some((&(deadline, _), _)) = self.waiting.first_key_value() else {
            return Vec::new();
        };
        self.now = self.now.max(deadline);
        let after = (self.now, TimerKey(NonZeroU64::MAX));
        let later = self.waiting.split_off(&after);
        std::mem::replace(&mut self.waiting, later)
            .into_values()
            .collect()
    }
}
