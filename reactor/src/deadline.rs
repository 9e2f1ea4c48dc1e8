//! Deadlines of the calls on a socket, per direction: set at any time, also while calls wait.
//!
//! A deadline is an instant and a bit that says that it has passed. Who waits for the socket is in
//! the list of `readiness.rs` already; when a deadline passes, or is set anew, all who wait are woken
//! and look at the bit. So a call that waits owns no timer, and one timer per direction serves all.
//!
//! # Invariants
//!
//! 1. *A call that waits ends when the deadline passes.* It lists itself first and looks at the bit
//!    afterwards ([`list_then_look`]); whoever sets the bit takes the list afterwards. The
//!    list's lock orders the two: either the call is found in the list, or it finds the bit.
//! 2. *A deadline that was lifted or moved does not pass.* The instant is compared under the lock
//!    that guards it, so that the timer of an earlier one, firing late, changes nothing.
//! 3. A deadline stays: once passed, all calls fail until it is set anew.
//!
//! This file must not wake: the list is its caller's.

#[cfg(not(loom))]
mod alarm;
#[cfg(test)]
mod models;

use std::time::Instant;

use gorin_base::primitive::{AtomicBool, Mutex, Ordering};
use gorin_base::seeded;

#[cfg(not(loom))]
pub(crate) use alarm::Alarm;

/// The deadline of one direction of one socket.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Mutex<Option<Instant>>,
    /// Written under the lock of `at`, by whoever sets it and by its timer; read by all calls.
    /// Relaxed: the lock of the waiters' list orders it (invariant 1), and it guards no data.
    passed: AtomicBool,
}

impl Deadline {
    pub(crate) fn new() -> Self {
        Self {
            at: Mutex::new(None),
            passed: AtomicBool::new(false),
        }
    }

    /// Sets it, or lifts it (`None`). The caller wakes all who wait afterwards if it has passed
    /// already, which is returned.
    pub(crate) fn set(&self, deadline: Option<Instant>, now: Instant) -> bool {
        let mut at = self.at.lock();
        *at = deadline;
        let passed = deadline.is_some_and(|deadline| deadline <= now);
        self.passed.store(passed, Ordering::Relaxed);
        passed
    }

    /// A timer has fired: true if it is this deadline's, and the caller must wake all who wait.
    pub(crate) fn expire(&self, now: Instant) -> bool {
        let at = self.at.lock();
        let due = at.is_some_and(|at| at <= now) || seeded::bug("deadline.lifted_one_passes");
        if due {
            self.passed.store(true, Ordering::Relaxed);
        }
        due
    }

    #[inline]
    pub(crate) fn has_passed(&self) -> bool {
        self.passed.load(Ordering::Relaxed)
    }
}

/// Lets `list` put a call into the list of those who wait, and then looks at what else may concern
/// it: the deadline (invariant 1), what dropped receives have left.
#[inline]
pub(crate) fn list_then_look<R, L>(list: impl FnOnce() -> R, look: impl Fn() -> L) -> (R, L) {
    if seeded::bug("deadline.look_before_listing") {
        let looked = look();
        return (list(), looked);
    }
    let listed = list();
    (listed, look())
}
