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

/// Time that one poll of a task may use before its next operation makes it let others run.
pub const SLICE: Duration = Duration::from_millis(10);

/// The clock is read once per this many operations: a read costs as much as a channel send.
const CLOCK_EVERY: u32 = 16;

#[derive(Clone, Copy, Debug)]
struct Budget {
    /// Operations left; `u32::MAX` means unlimited.
    left: u32,
    /// When the running slice started; read lazily at the first clock check.
    started: Option<Instant>,
}

const UNLIMITED: Budget = Budget {
    left: u32::MAX,
    started: None,
};

// std's thread-local under loom too: the models give every loom thread an unlimited budget, and
// none of the protocols depends on it.
std::thread_local! {
    static BUDGET: Cell<Budget> = const { Cell::new(UNLIMITED) };
}

/// Restores the budget that was in force before, also when the task panics.
struct Restore(Budget);

impl Drop for Restore {
    fn drop(&mut self) {
        BUDGET.set(self.0);
    }
}

/// Runs `poll`, one poll of one task, with a fresh budget.
#[inline]
pub fn with_budget<R>(poll: impl FnOnce() -> R) -> R {
    let _restore = Restore(BUDGET.replace(Budget {
        left: OPERATIONS,
        started: None,
    }));
    poll()
}

/// Runs `poll` without a limit: for code that must not be interrupted at a leaf future.
pub fn unlimited<R>(poll: impl FnOnce() -> R) -> R {
    let _restore = Restore(BUDGET.replace(UNLIMITED));
    poll()
}

/// `Ready` while the budget lasts; else wakes the task and returns `Pending`.
#[inline]
pub fn poll_ready(cx: &mut Context<'_>) -> Poll<()> {
    if BUDGET.get().left > 0 {
        return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Notes that one operation was done.
#[inline]
pub fn spend() {
    let mut budget = BUDGET.get();
    if budget.left == u32::MAX || budget.left == 0 {
        return;
    }
    budget.left -= 1;
    if budget.left.is_multiple_of(CLOCK_EVERY) {
        check_slice(&mut budget);
    }
    BUDGET.set(budget);
}

#[cold]
fn check_slice(budget: &mut Budget) {
    let now = clock::now();
    match budget.started {
        None => budget.started = Some(now),
        Some(started) if now.duration_since(started) >= SLICE => budget.left = 0,
        Some(_) => {}
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
            for _ in 0..CLOCK_EVERY {
                spend();
            }
            let end = clock::now() + SLICE;
            while clock::now() < end {
                std::hint::spin_loop();
            }
            for _ in 0..CLOCK_EVERY {
                spend();
            }
            assert!(!ready());
        });
    }

    #[test]
    fn a_panic_restores_the_budget() {
        let _ = std::panic::catch_unwind(|| with_budget(|| panic!("in a task")));
        assert_eq!(BUDGET.get().left, u32::MAX);
    }
}
