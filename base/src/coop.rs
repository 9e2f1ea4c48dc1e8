//! The budget that keeps one goroutine from starving the others.
//!
//! The executor calls [`with_budget`] around each poll of a task. Every leaf future of gorin
//! (channel, socket, timer, …) asks [`poll_ready`] before it does an operation and calls [`spend`]
//! after one succeeded. When [`OPERATIONS`] operations or [`SLICE`] of time are used up,
//! `poll_ready` wakes the task and returns `Pending`, so the task goes to the back of its queue.
//! An operation that would block anyway costs nothing.
//!
//! Outside [`with_budget`] (a foreign executor, a plain thread) nothing is limited.

use std::cell::Cell;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::clock;

/// Operations that one poll of a task may do before it must let others run.
pub const OPERATIONS: u32 = 128;

/// Time that one poll of a task may use before its next operation makes it let others run. The clock
/// is read when the operations done have doubled (16, 32, 64, …): a goroutine of
/// steady pace overstays by a slice at most, and one of quick operations reads it three times.
pub const SLICE: Duration = Duration::from_millis(10);

/// The operations before the first look at the clock, from which the slice counts. A look costs as
/// much as two channel operations.
const FIRST_LOOK: u32 = 16;

/// No limit. A multiple of [`FIRST_LOOK`], as what is [`left`](Budget::left) at every look.
const UNLIMITED: u32 = u32::MAX - (FIRST_LOOK - 1);

/// Separate cells, not one of a struct: filled by parts and copied as a whole, it would stall the
/// processor for longer than a channel operation takes.
struct Budget {
    /// Operations left.
    left: Cell<u32>,
    /// When the running slice started: set at the first look at the clock, stale before.
    started: Cell<Option<Instant>>,
}

// std's thread-local under loom too: the models give every loom thread an unlimited budget, and
// none of the protocols depends on it.
std::thread_local! {
    static BUDGET: Budget = const {
        Budget {
            left: Cell::new(UNLIMITED),
            started: Cell::new(None),
        }
    };
}

/// Restores the budget that was in force before, also when the task panics.
struct Restore {
    left: u32,
    started: Option<Instant>,
}

impl Restore {
    /// Puts a budget of `left` operations in force.
    #[inline]
    fn after(left: u32) -> Restore {
        BUDGET.with(|budget| {
            let before = budget.left.replace(left);
            // A budget that has not begun has no start worth keeping.
            let started = if before < OPERATIONS {
                budget.started.get()
            } else {
                None
            };
            Restore {
                left: before,
                started,
            }
        })
    }
}

impl Drop for Restore {
    #[inline]
    fn drop(&mut self) {
        BUDGET.with(|budget| {
            budget.left.set(self.left);
            if self.started.is_some() {
                budget.started.set(self.started);
            }
        });
    }
}

/// Runs `poll`, one poll of one task, with a fresh budget.
#[inline]
pub fn with_budget<R>(poll: impl FnOnce() -> R) -> R {
    let _restore = Restore::after(OPERATIONS);
    poll()
}

/// Runs `poll` without a limit: for code that must not be interrupted at a leaf future.
pub fn unlimited<R>(poll: impl FnOnce() -> R) -> R {
    let _restore = Restore::after(UNLIMITED);
    poll()
}

/// `Ready` while the budget lasts; else wakes the task and returns `Pending`.
#[inline]
pub fn poll_ready(cx: &mut Context<'_>) -> Poll<()> {
    if BUDGET.with(|budget| budget.left.get()) > 0 {
        return Poll::Ready(());
    }
    wake(cx);
    Poll::Pending
}

#[cold]
fn wake(cx: &Context<'_>) {
    cx.waker().wake_by_ref();
}

/// Notes that one operation was done.
#[inline]
pub fn spend() {
    BUDGET.with(|budget| {
        let left = budget.left.get().saturating_sub(1);
        budget.left.set(left);
        if left.is_multiple_of(FIRST_LOOK) {
            budget.look();
        }
    });
}

impl Budget {
    #[cold]
    fn look(&self) {
        let left = self.left.get();
        if left > OPERATIONS {
            self.left.set(UNLIMITED);
            return;
        }
        let done = OPERATIONS - left;
        if left == 0 || !done.is_power_of_two() {
            return;
        }
        let now = clock::now();
        if done == FIRST_LOOK {
            self.started.set(Some(now));
        } else if let Some(started) = self.started.get()
            && now.duration_since(started) >= SLICE
        {
            self.left.set(0);
        }
    }
}

/// Spends one unit in code that loops without waiting; yields when the budget is used up.
///
/// ```
/// # async fn f(numbers: &[u64]) -> u64 {
/// let mut sum = 0;
/// for n in numbers {
///     sum += n;
///     gorin_base::coop::consume().await;
/// }
/// # sum }
/// ```
pub async fn consume() {
    std::future::poll_fn(poll_ready).await;
    spend();
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::task::Waker;

    fn ready() -> bool {
        poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_budget_ends_after_its_operations_and_the_next_poll_has_a_fresh_one() {
        with_budget(|| {
            let start = clock::now();
            let mut done = 0;
            while ready() {
                spend();
                done += 1;
            }
            // Under miri, or preempted, the slice may be over first.
            let slice_is_over = clock::now().duration_since(start) >= SLICE;
            assert!(done == OPERATIONS || (done < OPERATIONS && slice_is_over));
            unlimited(|| assert!(ready()));
            assert!(!ready());
        });
        with_budget(|| assert!(ready()));
    }

    #[test]
    fn without_a_budget_nothing_is_limited() {
        for _ in 0..10 * OPERATIONS {
            spend();
        }
        assert!(ready());
    }

    #[test]
    fn a_long_slice_ends_the_budget_early() {
        with_budget(|| {
            for _ in 0..FIRST_LOOK {
                spend();
            }
            let end = clock::now() + SLICE;
            while clock::now() < end {
                std::hint::spin_loop();
            }
            for _ in 0..FIRST_LOOK {
                spend();
            }
            assert!(!ready());
        });
    }

    #[test]
    fn a_panic_restores_the_budget() {
        let _ = std::panic::catch_unwind(|| with_budget(|| panic!("in a task")));
        assert_eq!(BUDGET.with(|budget| budget.left.get()), UNLIMITED);
    }
}
