//! The budget that keeps one goroutine from starving the others.
//!
//! The executor calls [`with_budget`] around each poll of a task. Every leaf future of gorin
//! (channel, socket, timer, …) asks [`poll_ready`] before it does an operation and calls [`spend`]
//! after one succeeded. When [`OPERATIONS`] operations or [`SLICE`] of time are used up,
//! `poll_ready` wakes the task and returns `Pending`, so the task goes to the back of its queue.
//! An operation that would block anyway costs nothing.
//!
//! Who takes from a long line may do more: of the strides (of 16 operations) that end with a
//! [`spend_on_backlog`] all but one in eight are free. With a budget of the same length for all,
//! a receiver with eight senders on its worker gets one turn for eight of theirs: seven eighths of all
//! values pile up in an unbounded channel, and their memory costs more than the channel. The slice
//! bounds such a turn as any other.
//!
//! Outside [`with_budget`] (a foreign executor, a plain thread) nothing is limited.

use std::cell::Cell;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::clock;

/// Operations that one poll of a task may do before it must let others run.
pub const OPERATIONS: u32 = 128;

/// Time that one poll of a task may use before its next operation makes it let others run. It counts
/// from the poll's first look at the clock, and ends at a later one. A thread looks after 16
/// operations, and after 64 while its operations are quick.
pub const SLICE: Duration = Duration::from_millis(10);

/// The operations between two looks at the clock. A look costs as much as two channel operations, so
/// while the operations on a thread are [`QUICK`], ever more looks are skipped, up to
/// [`MOST_SKIPPED`], across the polls of its goroutines. A goroutine that is slow among quick ones is
/// looked at a stride or four late, once; then its thread looks at every stride again.
const STRIDE: i32 = 16;

/// Looks that may be skipped in a row: so few that no budget is used up without a look.
const MOST_SKIPPED: u32 = 3;

/// Strides over a backlog that cost as much as one.
const BACKLOG: u32 = 8;

/// The longest time between two looks for which the operations between them pass as quick.
const QUICK: Duration = Duration::from_millis(1);

/// No limit. A multiple of [`STRIDE`], as what is [`left`](Budget::left) at every look.
const UNLIMITED: i32 = i32::MAX - (STRIDE - 1);

/// Separate cells, not one of a struct: filled by parts and copied as a whole, it would stall the
/// processor for longer than a channel operation takes.
struct Budget {
    /// Operations left; below 0 if more were done than there were, which nobody need prevent.
    left: Cell<i32>,
    /// The running slice has started.
    begun: Cell<bool>,
    /// When: set at the first look at the clock, stale before.
    started: Cell<Option<Instant>>,
    /// The last look of this thread.
    looked: Cell<Option<Instant>>,
    /// Looks to be skipped from now on.
    skip: Cell<u32>,
    /// Looks that were to be skipped after the last one.
    skipped: Cell<u32>,
    /// Strides over a backlog since the last that was not free.
    free: Cell<u32>,
}

// std's thread-local under loom too: the models give every loom thread an unlimited budget, and
// none of the protocols depends on it.
std::thread_local! {
    static BUDGET: Budget = const {
        Budget {
            left: Cell::new(UNLIMITED),
            begun: Cell::new(false),
            started: Cell::new(None),
            looked: Cell::new(None),
            skip: Cell::new(0),
            skipped: Cell::new(0),
            free: Cell::new(0),
        }
    };
}

/// Restores the budget that was in force before, also when the task panics.
struct Restore {
    left: i32,
    /// The start of the slice, if it had begun.
    started: Option<Instant>,
}

impl Restore {
    /// Puts a budget of `left` operations in force.
    #[inline]
    fn after(left: i32) -> Restore {
        BUDGET.with(|budget| {
            let before = budget.left.replace(left);
            let started = if budget.begun.replace(false) {
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
            budget.begun.set(self.started.is_some());
            if self.started.is_some() {
                budget.started.set(self.started);
            }
        });
    }
}

/// Runs `poll`, one poll of one task, with a fresh budget.
#[inline]
pub fn with_budget<R>(poll: impl FnOnce() -> R) -> R {
    let _restore = Restore::after(OPERATIONS as i32);
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
#[inline(always)]
pub fn spend() {
    count(false);
}

/// Notes that one operation was done which took from a line of more than [`OPERATIONS`].
#[inline(always)]
pub fn spend_on_backlog() {
    count(true);
}

#[inline(always)]
fn count(backlog: bool) {
    let left = BUDGET.with(|budget| {
        let left = budget.left.get().wrapping_sub(1);
        budget.left.set(left);
        left
    });
    if left & (STRIDE - 1) == 0 {
        end_stride(backlog);
    }
}

/// Takes no reference to the budget, so that a caller need not find out where it lies.
#[cold]
#[inline(never)]
fn end_stride(backlog: bool) {
    BUDGET.with(|budget| {
        if backlog {
            budget.refund();
        }
        budget.look();
    });
}

impl Budget {
    /// A stride over a backlog is done: gives it back, unless it is the turn of one that counts.
    fn refund(&self) {
        let left = self.left.get();
        let free = (self.free.get() + 1) % BACKLOG;
        self.free.set(free);
        if free > 0 && left >= 0 && left < OPERATIONS as i32 {
            self.left.set(left + STRIDE);
        }
    }

    /// A stride is done: looks at the clock if it is time for that.
    fn look(&self) {
        let left = self.left.get();
        if left > OPERATIONS as i32 {
            self.left.set(UNLIMITED);
            return;
        }
        if left <= 0 {
            self.left.set(0);
            return;
        }
        if let Some(skip) = self.skip.get().checked_sub(1) {
            self.skip.set(skip);
            return;
        }
        let now = clock::now();
        let last = self.looked.replace(Some(now));
        let quick = last.is_some_and(|last| now.duration_since(last) <= QUICK);
        let skip = if quick {
            (self.skipped.get() + 1).min(MOST_SKIPPED)
        } else {
            0
        };
        self.skipped.set(skip);
        self.skip.set(skip);
        if !self.begun.replace(true) {
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
    fn a_backlog_costs_an_eighth() {
        let start = clock::now();
        let done = with_budget(|| {
            let mut done = 0;
            while ready() {
                spend_on_backlog();
                done += 1;
            }
            done
        });
        let slice_is_over = clock::now().duration_since(start) >= SLICE;
        assert!(done == BACKLOG * OPERATIONS || (done < BACKLOG * OPERATIONS && slice_is_over));
    }

    #[test]
    fn a_long_slice_ends_the_budget_of_a_backlog_too() {
        with_budget(|| {
            let mut done = 0;
            while ready() {
                spin(QUICK / 2);
                spend_on_backlog();
                done += 1;
            }
            assert!(done < OPERATIONS, "the budget ended by its operations");
        });
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
            for _ in 0..STRIDE {
                spend();
            }
            spin(SLICE);
            for _ in 0..STRIDE {
                spend();
            }
            assert!(!ready());
        });
    }

    #[test]
    fn a_long_slice_among_quick_ones_ends_early_too() {
        for _ in 0..100 {
            with_budget(spend);
        }
        with_budget(|| {
            let mut done = 0;
            while ready() {
                spin(QUICK / 2);
                spend();
                done += 1;
            }
            assert!(done < OPERATIONS, "the budget ended by its operations");
        });
    }

    #[test]
    fn an_inner_budget_leaves_the_slice_of_the_outer_one_alone() {
        with_budget(|| {
            (0..STRIDE).for_each(|_| spend());
            spin(SLICE);
            with_budget(|| (0..STRIDE).for_each(|_| spend()));
            (0..STRIDE).for_each(|_| spend());
            assert!(!ready());
        });
    }

    fn spin(time: Duration) {
        let end = clock::now() + time;
        while clock::now() < end {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_panic_restores_the_budget() {
        let _ = std::panic::catch_unwind(|| with_budget(|| panic!("in a task")));
        assert_eq!(BUDGET.with(|budget| budget.left.get()), UNLIMITED);
    }
}
