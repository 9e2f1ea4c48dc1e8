//! One shard of the timers: a wheel under a lock, and its next deadline beside it.
//!
//! A shard belongs to no thread: the worker that registers a timer uses its own shard so that
//! workers do not meet at a lock, and any worker fires the timers of any shard, so that nobody's
//! timers wait for a worker that computes.
//!
//! # A timer's life
//!
//! ```text
//! Shard::insert ──► in the wheel, with a waker ──► taken by fire: the waker is woken
//!                     │  ▲  │                        (the key names nothing from now on)
//!                poll │  │  └─────────────────────► taken by Timer's drop: the waker is dropped
//!       (other waker) └──┘ reset (other deadline)
//! ```
//!
//! Whoever takes the entry out of the wheel, under the lock, has decided the race; a `Timer` whose
//! key names nothing has fired. So there is no state besides the wheel that could disagree with it.
//!
//! # Invariants
//!
//! 1. `next` is at most the next deadline of the wheel whenever the lock is free.
//! 2. No waker is cloned, woken or dropped under the lock: any of these may run foreign code, which
//!    may come back here.

use std::fmt;
use std::mem;
use std::task::{Poll, Waker};
use std::time::Instant;

use gorin_base::primitive::{AtomicU64, Mutex, Ordering, PlainArc, unwinding};
use gorin_base::seeded;

use super::timekeeper::{NEVER, Timekeeper};
use super::wheel::{Key, Wheel};

/// Wakers taken per hold of a lock; between two holds others can insert.
const BATCH: usize = 256;

/// What the shards of one reactor have in common.
pub(super) struct Common {
    /// Time zero of the wheels.
    pub(super) origin: Instant,
    pub(super) keeper: Timekeeper,
    /// Wakes a worker that sleeps, given its number.
    pub(super) wake: Box<dyn Fn(usize) + Send + Sync>,
}

impl Common {
    /// The wheels' number of `instant`: nanoseconds since the origin, 0 for the time before it.
    pub(super) fn number(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.origin);
        u64::try_from(since.as_nanos()).unwrap_or(NEVER)
    }
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common")
            .field("keeper", &self.keeper)
            .finish_non_exhaustive()
    }
}

/// Whether the thread that registers or moves a timer will look at the timers by itself before it
/// sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A worker of this reactor, inside its loop.
    Worker,
    /// Any other thread: the timekeeper must be told.
    Foreign,
}

#[derive(Debug)]
struct Guarded {
    wheel: Wheel<Waker>,
    /// Set for good when the reactor shuts down: nobody fires timers from then on.
    closed: bool,
}

/// See the module text.
#[derive(Debug)]
pub(super) struct Shard {
    guarded: Mutex<Guarded>,
    /// A lower bound of the deadlines in the wheel, or `NEVER`. Written under the lock; read
    /// without it by workers at each tick and when they park. Relaxed: a reader that needs the
    /// newest value has passed a fence of the timekeeper; for a worker's tick the next one is soon
    /// enough, and the wheel is read under the lock.
    next: AtomicU64,
    common: PlainArc<Common>,
}

/// The reactor has shut down; timers do not fire any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl Shard {
    pub(super) fn new(common: PlainArc<Common>) -> Self {
        Self {
            guarded: Mutex::new(Guarded {
                wheel: Wheel::new(),
                closed: false,
            }),
            next: AtomicU64::new(NEVER),
            common,
        }
    }

    /// The wheel's number of `instant`.
    pub(super) fn number(&self, instant: Instant) -> u64 {
        self.common.number(instant)
    }

    /// A time at or before the shard's next deadline.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// True if this is a shard of the reactor whose common part is `common`.
    pub(super) fn belongs_to(&self, common: &PlainArc<Common>) -> bool {
        PlainArc::ptr_eq(&self.common, common)
    }

    /// Registers a timer that wakes `waker` at `deadline`.
    pub(super) fn insert(
        self: PlainArc<Self>,
        deadline: u64,
        waker: Waker,
        caller: Caller,
    ) -> Result<Timer, Closed> {
        let key = self.with(|guarded| {
            if guarded.closed {
                return Err(waker);
            }
            Ok(guarded.wheel.insert(deadline, waker))
        });
        // A refused waker is dropped here, the lock being free.
        let key = key.map_err(|_waker| Closed)?;
        self.tell_keeper(deadline, caller);
        Ok(Timer { shard: self, key })
    }

    /// Takes the wakers of all timers that are due at `now`.
    pub(super) fn fire(&self, now: u64, due: &mut Vec<Waker>) {
        loop {
            let full = due.len() + BATCH;
            self.with(|guarded| {
                guarded.wheel.advance(now);
                while due.len() < full {
                    let Some(waker) = guarded.wheel.pop_due() else {
                        break;
                    };
                    if seeded::bug("timer.wake_under_lock") {
                        waker.wake_by_ref();
                    }
                    due.push(waker);
                }
            });
            if due.len() < full {
                return;
            }
        }
    }

    /// Takes the wakers of all timers, due or not, and refuses new ones.
    pub(super) fn close(&self) -> Vec<Waker> {
        self.with(|guarded| {
            guarded.closed = true;
            guarded.wheel.drain()
        })
    }

    /// How many timers there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.guarded.lock().wheel.len()
    }

    /// Runs `f` under the lock and keeps invariant 1.
    fn with<R>(&self, f: impl FnOnce(&mut Guarded) -> R) -> R {
        let mut guarded = self.guarded.lock();
        let result = f(&mut guarded);
        let next = guarded.wheel.next().unwrap_or(NEVER);
        self.next.store(next, Ordering::Relaxed);
        let spare_room = guarded.wheel.spare_room();
        drop(guarded);
        drop(spare_room);
        result
    }

    /// After a deadline was set: makes sure that somebody will be awake for it.
    fn tell_keeper(&self, deadline: u64, caller: Caller) {
        if caller == Caller::Worker {
            return;
        }
        if let Some(worker) = self.common.keeper.holder_too_late(deadline) {
            (self.common.wake)(worker);
        }
    }
}

/// A registered timer; dropping it cancels it and leaves no trace.
#[derive(Debug)]
pub(crate) struct Timer {
    shard: PlainArc<Shard>,
    key: Key,
}

impl Timer {
    /// Ready once the timer has fired; else `waker` is the one that will be woken.
    pub(super) fn poll(&self, waker: &Waker) -> Poll<Result<(), Closed>> {
        match self.look(|registered| registered.will_wake(waker)) {
            Err(state) => return Poll::Ready(state),
            Ok(true) => return Poll::Pending,
            Ok(false) if seeded::bug("timer.waker_not_replaced") => return Poll::Pending,
            Ok(false) => {}
        }
        let mut new = waker.clone();
        // The timer may have fired while the lock was free: then nobody would wake the new waker.
        match self.look(|registered| mem::swap(registered, &mut new)) {
            Err(_) if seeded::bug("timer.fired_while_cloning") => Poll::Pending,
            Err(state) => Poll::Ready(state),
            // The old waker, now in `new`, is dropped here, the lock being free.
            Ok(()) => Poll::Pending,
        }
    }

    /// Moves the timer to `deadline`, keeping its waker; false if it has fired already.
    pub(super) fn reset(&self, deadline: u64, caller: Caller) -> bool {
        let moved = self.shard.with(|guarded| {
            if seeded::bug("timer.reset_moves_nothing") {
                return true;
            }
            guarded.wheel.reset(self.key, deadline)
        });
        if moved {
            self.shard.tell_keeper(deadline, caller);
        }
        moved
    }

    /// Where it is registered.
    pub(super) fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Runs `f` on the registered waker; the error says why there is none.
    fn look<R>(&self, f: impl FnOnce(&mut Waker) -> R) -> Result<R, Result<(), Closed>> {
        let mut guarded = self.shard.guarded.lock();
        let closed = guarded.closed;
        match guarded.wheel.get_mut(self.key) {
            Some(waker) => Ok(f(waker)),
            None => Err(if closed { Err(Closed) } else { Ok(()) }),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if unwinding() || seeded::bug("timer.drop_leaves_entry") {
            return;
        }
        let waker = self.shard.with(|guarded| guarded.wheel.remove(self.key));
        // Not in the same statement: the waker must outlive the lock.
        drop(waker);
    }
}
