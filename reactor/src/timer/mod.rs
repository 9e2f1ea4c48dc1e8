//! Timers in user space: one sharded wheel per reactor, one parked worker that keeps the time.
//!
//! | file | holds |
//! |---|---|
//! | `wheel.rs` | the hierarchical wheel: plain data, time as a number |
//! | `shard.rs` | a wheel under a lock, and the race of fire, cancel, reset and a new waker |
//! | `timekeeper.rs` | which parked worker wakes for the next deadline: the protocol and its proof |
//! | `spacing.rs` | how far apart timers may end sleeps |
//! | `sleep.rs` | [`Sleep`], the future |
//!
//! Why not `IORING_OP_TIMEOUT`: it costs 530–630 ns to add and remove one, the wheel under its lock
//! tens of nanoseconds, and a timer in a ring cannot be fired by anybody but the ring's owner.
//!
//! Measured with 1,000,000 timers (`cost_of_a_timer` in `tests/kernel_timers.rs`; 2 vCPUs, busy): a
//! [`Sleep`] made, polled and dropped costs 0.10–0.13 µs of CPU, of which the clock has 27 ns;
//! firing 0.05–0.07 µs, wake-up included; a sleep that ends while nothing else runs is some 60 µs
//! late, which is the kernel's wake-up.
//!
//! How a worker uses it (`block_on`'s loop): at each tick [`Timers::fire_due`], then wake what it
//! gave; before it sleeps [`Timers::park`], which says until when; as soon as it is awake
//! [`Timers::unpark`]; when it leaves its loop for good or for a while [`Timers::leave`].

mod shard;
#[cfg(not(loom))]
mod sleep;

#[cfg(not(loom))]
mod spacing;
mod timekeeper;
mod wheel;

#[cfg(test)]
mod models;

use std::task::Waker;
use std::time::{Duration, Instant};

use gorin_base::primitive::PlainArc;
use gorin_base::{clock, mishap, rng};

#[cfg(not(loom))]
pub(crate) use shard::Timer;
#[cfg(not(loom))]
pub use sleep::Sleep;
#[cfg(not(loom))]
pub(crate) use sleep::start;
#[cfg(not(loom))]
pub(crate) use spacing::Spacing;

use shard::{Common, Shard};
use timekeeper::{NEVER, Timekeeper};

/// The timers of one reactor. Shared by its workers.
#[derive(Debug)]
pub(crate) struct Timers {
    common: PlainArc<Common>,
    /// One per worker.
    shards: Box<[PlainArc<Shard>]>,
}

impl Timers {
    /// Timers for `workers` workers; `wake` ends the sleep of the worker whose number it is given,
    /// or makes its next sleep end at once.
    ///
    /// # Panics
    /// If `workers` is 0 or more than 4,094.
    pub(crate) fn new(workers: usize, wake: impl Fn(usize) + Send + Sync + 'static) -> Self {
        assert!(
            (1..=timekeeper::MAX_WORKERS).contains(&workers),
            "a reactor has 1 to {} workers, not {workers}",
            timekeeper::MAX_WORKERS
        );
        let common = PlainArc::new(Common {
            origin: clock::now(),
            keeper: Timekeeper::new(),
            wake: Box::new(wake),
        });
        let shards = (0..workers)
            .map(|_| PlainArc::new(Shard::new(common.clone())))
            .collect();
        Self { common, shards }
    }

    /// The shard of worker `index`.
    fn shard(&self, index: usize) -> &PlainArc<Shard> {
        &self.shards[index]
    }

    /// A shard for a thread that has none of its own.
    fn any_shard(&self) -> &PlainArc<Shard> {
        &self.shards[rng::below(self.shards.len())]
    }

    /// True if `shard` is one of these.
    fn owns(&self, shard: &Shard) -> bool {
        shard.belongs_to(&self.common)
    }

    /// Takes the timers that are due at `now`, of all shards, and appends their wakers to `due`.
    /// The caller wakes them when it holds no lock.
    pub(crate) fn fire_due(&self, now: Instant, due: &mut Vec<Waker>) {
        self.fire_number(self.common.number(now), due);
    }

    fn fire_number(&self, now: u64, due: &mut Vec<Waker>) {
        for shard in &self.shards {
            if shard.next() <= now {
                shard.fire(now, due);
            }
        }
    }

    /// For worker `worker`, which is about to sleep: until when it may, `None` for without end.
    /// From this call until [`unpark`](Self::unpark) it may be the timekeeper; it must sleep no
    /// longer, and must call `park` anew before it sleeps again.
    pub(crate) fn park(&self, worker: usize) -> Option<Instant> {
        self.instant(self.park_number(worker))
    }

    fn park_number(&self, worker: usize) -> u64 {
        self.common.keeper.park(worker, || self.next_number())
    }

    /// For worker `worker`, as soon as it is awake and before it runs anything.
    pub(crate) fn unpark(&self, worker: usize) {
        self.common.keeper.unpark(worker);
    }

    /// For worker `worker` when it leaves its loop and does not look at the timers any more: wakes
    /// the other workers if none of them keeps the time.
    pub(crate) fn leave(&self, worker: usize) {
        if !self.common.keeper.leave(worker, || self.next_number()) {
            return;
        }
        for other in (0..self.shards.len()).filter(|&other| other != worker) {
            (self.common.wake)(other);
        }
    }

    /// Ends all timers: their futures are woken and find that the reactor has shut down.
    pub(crate) fn close(&self) {
        for shard in &self.shards {
            for waker in shard.close() {
                mishap::wake(waker);
            }
        }
    }

    /// How many timers are registered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    fn next_number(&self) -> u64 {
        let next = self.shards.iter().map(|shard| shard.next()).min();
        next.unwrap_or(NEVER)
    }

    /// The instant of a wheel's number; `None` for `NEVER` and for what lies beyond the clock.
    fn instant(&self, number: u64) -> Option<Instant> {
        if number == NEVER {
            return None;
        }
        self.common.origin.checked_add(Duration::from_nanos(number))
    }
}
