//! A place where goroutines wait until a number of them are there.
//!
//! A counter and a line under a short lock. Whoever comes last completes all who wait, and they are off
//! the line from then on: who comes after that belongs to the next generation, whether or not those of
//! the last have seen that they may go on. So there is no number of generations to compare.
//!
//! Invariant: those that wait are as many as have `arrived`, and fewer than `size`.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use gorin_base::hook::Access;
use gorin_base::seeded;

use super::line::{Object, Rule, Wait, Woken};
use crate::line::Line;
use crate::waiter::{Phase, Side, Waiters, Wakeup, Wants};

/// Lets a number of goroutines go on together: each waits until all are there.
///
/// It can be used again and again: who comes after the last one waits for the next round.
///
/// ```
/// use std::sync::Arc;
///
/// use gorin_channel::sync::Barrier;
///
/// let barrier = Arc::new(Barrier::new(3));
/// let threads: Vec<_> = (0..3)
///     .map(|_| {
///         let barrier = barrier.clone();
///         std::thread::spawn(move || barrier.wait_blocking().is_leader())
///     })
///     .collect();
/// let leaders = threads.into_iter().map(|thread| thread.join().unwrap());
/// assert_eq!(leaders.filter(|&leads| leads).count(), 1);
/// ```
pub struct Barrier {
    object: Object<State>,
}

/// See the module text.
struct State {
    size: usize,
    arrived: usize,
    waiters: Waiters<()>,
}

impl Line for State {
    type Value = ();

    fn waiters(&mut self) -> &mut Waiters<()> {
        &mut self.waiters
    }
}

impl Barrier {
    /// A barrier for `size` goroutines. With 0 or 1 nobody waits, and everybody is a leader.
    #[track_caller]
    pub fn new(size: usize) -> Self {
        let state = State {
            size,
            arrived: 0,
            waiters: Waiters::new(),
        };
        Self {
            object: Object::new("barrier", state, Location::caller()),
        }
    }

    /// Waits until as many as the barrier is for are there. One of them, which came last, is told that
    /// it is the leader, for what is to be done once.
    ///
    /// What each did before it came happens before all go on.
    ///
    /// ```
    /// use gorin_channel::sync::Barrier;
    /// # futures::executor::block_on(async {
    /// let barrier = Barrier::new(2);
    /// for _round in 0..2 {
    ///     let (one, other) = futures::join!(barrier.wait(), barrier.wait());
    ///     assert!(one.is_leader() ^ other.is_leader());
    /// }
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// A wait that is dropped before all are there takes back that it has come: the others wait for one
    /// more. Dropped after that, it has no effect; the others have gone on. A wait that is begun anew, as in a
    /// loop around `select!`, counts once at any time, but it may have missed the round that the
    /// dropped one was counted in: keep the future if that matters.
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitFut<'_> {
        BarrierWaitFut {
            barrier: self,
            wait: Wait::new(Arrival, Location::caller()),
        }
    }

    /// As [`wait`](Self::wait), blocking this thread; for threads that run no goroutines. On a worker it
    /// would stop all goroutines of that worker, perhaps those that it waits for.
    ///
    /// # Panics
    /// If it would have to wait in a model.
    #[track_caller]
    pub fn wait_blocking(&self) -> BarrierWaitResult {
        crate::blocking::block_on(self.wait())
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("id", &self.object.id())
            .finish_non_exhaustive()
    }
}

/// What is told to those that have waited at a [`Barrier`].
#[derive(Clone, Debug)]
pub struct BarrierWaitResult {
    leads: bool,
}

impl BarrierWaitResult {
    /// True for one of those that go on together.
    pub fn is_leader(&self) -> bool {
        self.leads
    }
}

/// To wait at a barrier.
struct Arrival;

impl Rule for Arrival {
    type State = State;
    type Output = BarrierWaitResult;
    const ACCESS: Access = Access::Write;
    const WANTS: Wants = Wants::Value;

    fn name(&self) -> &'static str {
        "Barrier wait"
    }

    fn now(&self, state: &mut State) -> Option<(BarrierWaitResult, Woken)> {
        let others = state.arrived + usize::from(seeded::bug("barrier.one_too_few"));
        if others + 1 < state.size {
            return None;
        }
        if !seeded::bug("barrier.never_closes_again") {
            state.arrived = 0;
        }
        let kept = usize::from(seeded::bug("barrier.one_stays"));
        let waiters = &mut state.waiters;
        let woken = std::iter::from_fn(|| -> Option<Wakeup> {
            let waiter = waiters.dequeue(Side::Receive, |_| true)?;
            Some(waiter.complete(Phase::Done))
        });
        let woken = woken.skip(kept).collect();
        Some((BarrierWaitResult { leads: true }, woken))
    }

    fn entered(&self, state: &mut State) {
        state.arrived += 1;
    }

    fn completed(&self) -> BarrierWaitResult {
        let leads = seeded::bug("barrier.everybody_leads");
        BarrierWaitResult { leads }
    }

    fn undo(&self, state: &mut State, phase: Phase) -> Woken {
        let counted = phase == Phase::Queued || seeded::bug("barrier.taken_back_twice");
        if counted && !seeded::bug("barrier.dropped_wait_counts") {
            state.arrived -= 1;
        }
        Woken::default()
    }
}

/// The future of [`Barrier::wait`].
#[must_use = "futures do nothing unless polled"]
pub struct BarrierWaitFut<'a> {
    barrier: &'a Barrier,
    wait: Wait<Arrival>,
}

impl Future for BarrierWaitFut<'_> {
    type Output = BarrierWaitResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BarrierWaitResult> {
        let this = self.get_mut();
        this.wait.poll(&this.barrier.object, cx)
    }
}

impl Drop for BarrierWaitFut<'_> {
    fn drop(&mut self) {
        self.wait.cancel(&self.barrier.object);
    }
}

impl fmt::Debug for BarrierWaitFut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitFut")
            .field("barrier", &self.barrier.object.id())
            .field("in_line", &self.wait.is_in_line())
            .finish_non_exhaustive()
    }
}
