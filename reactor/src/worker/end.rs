//! The end of a worker: what is in flight is cancelled and reaped, and what the kernel does not end in
//! time is leaked.
//!
//! Invariant: the ring is closed when nothing is in flight and no bell is on its way, or never.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use gorin_base::{clock, mishap};

use super::{Worker, expect_enter};

/// How often cancellation is repeated while a worker ends: an operation that could not be cancelled
/// when it ran may be when it waits.
const CANCEL_AGAIN: Duration = Duration::from_millis(10);

impl Worker {
    /// Operations and polls that have not completed.
    fn in_flight(&self) -> usize {
        let core = self.core.borrow();
        core.polls + core.operations.len()
    }

    /// Nothing in flight, nothing to dispatch, no bell on its way.
    pub(super) fn is_drained(&self) -> bool {
        let core = self.core.borrow();
        core.polls == 0
            && core.operations.is_empty()
            && core.completions.is_empty()
            && core.driver.is_quiet()
    }

    /// Ends the worker: cancels and reaps until nothing is in flight or `deadline` has passed. Never panics,
    /// because it is what a panic leads to.
    pub(super) fn end(&self, deadline: Instant) -> Drained {
        self.post().set_probe(None);
        self.shared.close_post(self.index);
        self.shared.timers.leave(self.index);
        self.shared.worker_ended();
        if clock::now() < deadline {
            self.cancel_each();
        }
        // It panics if the kernel refuses to be entered; then nothing more ends, as after the deadline.
        let drained = catch_unwind(AssertUnwindSafe(|| self.drain(deadline)));
        drained.unwrap_or_else(mishap::discard);
        if self.is_drained() {
            return Drained {
                operations: 0,
                polls: 0,
            };
        }
        self.give_up()
    }

    /// Cancels and reaps until nothing is in flight or `deadline` has passed.
    fn drain(&self, deadline: Instant) {
        loop {
            let before = self.in_flight();
            self.tick(false);
            let now = clock::now();
            if self.is_drained() || now >= deadline {
                break;
            }
            // To cancel everything the kernel goes, for each request that it cancels, through all
            // that were cancelled and have not completed: minutes for a hundred thousand. So these go
            // first, and it is asked for what is left.
            if self.in_flight() < before {
                continue;
            }
            let core = &mut *self.core.borrow_mut();
            core.driver.cancel_all();
            expect_enter(core.driver.park(Some(CANCEL_AGAIN.min(deadline - now))));
        }
    }

    /// Cancels what is known to be in flight, each by its name.
    fn cancel_each(&self) {
        let core = &mut *self.core.borrow_mut();
        for key in core.operations.keys() {
            core.driver.cancel(key);
        }
        if self.shared.poller.is_none() {
            let cancel = |key| core.driver.cancel(key);
            self.shared.sockets.armed_on(self.index, cancel);
        }
    }

    /// Leaves what is in flight to the kernel. The caller leaks the worker.
    fn give_up(&self) -> Drained {
        self.shared.sockets.abandon(self.index);
        let (operations, polls) = {
            let mut core = self.core.borrow_mut();
            (std::mem::take(&mut core.operations), core.polls)
        };
        let drained = Drained {
            operations: operations.len(),
            polls,
        };
        operations.leak();
        drained
    }
}

/// What [`Local::shutdown`](super::Local::shutdown) has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Operations that the kernel had not ended by the deadline. Their buffers, and the ring, are
    /// leaked, because the kernel may still write to them.
    pub operations: usize,
    /// Readiness polls, likewise; their descriptors stay open.
    pub polls: usize,
}

impl Drained {
    /// True if nothing was left and nothing was leaked.
    pub fn is_clean(&self) -> bool {
        self.operations == 0 && self.polls == 0
    }
}
