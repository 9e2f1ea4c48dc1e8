//! Who watches that no worker computes for long while others sleep.
//!
//! A worker whose goroutine computes serves neither its sockets nor its queue; another one must see
//! that and do it instead (`rescue.rs`). Who is awake looks at the others now and then by itself.
//! While all others sleep, one of them must end its sleep in time to look: this file says which.
//!
//! # The roster
//!
//! One word for all workers of a reactor:
//!
//! ```text
//! 63 .. 48 | 47 ... 36 | 35 ... 24 | 23 ... 12 | 11 ... 0
//!    0     |  alarmed  |  watcher  |  asleep   |  awake
//! ```
//!
//! *awake* and *asleep* count workers in their loops; *watcher* and *alarmed* are a worker's number
//! plus one, or 0.
//!
//! | transition | by | what moves |
//! |---|---|---|
//! | [`Watch::enter`], [`Watch::leave`] | a worker that begins or ends its loop | awake ± 1 |
//! | [`Watch::sleep`] | a worker about to sleep | awake − 1, asleep + 1; it becomes the watcher if somebody stays awake and nobody watches |
//! | [`Watch::wake`] | a worker that has woken, before it runs anything | asleep − 1, awake + 1; it is no longer watcher, nor alarmed |
//! | [`Watch::unwatched`] | a worker that is about to run what is not ours | somebody sleeps, and nobody watches: one sleeper is alarmed |
//!
//! The watcher sleeps with a time limit. Who is alarmed has a timer in the kernel, which the one
//! that alarmed it sets; it wakes, looks, and watches from then on if somebody is awake.
//!
//! # Invariants
//!
//! 1. *While a worker runs what is not ours and another one sleeps, a sleeper watches or is
//!    alarmed.* Whoever sleeps without being either has seen that nobody was awake, or that another
//!    sleeper was; and each time before a worker runs what is not ours it calls
//!    [`Watch::unwatched`].
//! 2. *Who is alarmed is asleep, or will see it before it sleeps.* `abed` is set before a worker is
//!    counted as asleep and cleared before it is counted as awake; the exchange that alarms it
//!    fails if the roster has moved since it was read, and it was read before `abed`.
//! 3. *The watch is given up before anything runs*: who works does not watch.
//! 4. *When all sleep nobody watches for long*: who lies down last does so without a time limit, and
//!    who wakes to look and runs nothing alarms nobody. An idle process is not woken.
//!
//! Rejected: a time limit in every sleep (n wakes where one is enough); a thread of its own, as Go's
//! (its wake costs what the worker's costs, and a thread more); a call that wakes a sleeper whenever
//! the first worker wakes (12 µs before each lone request).
//!
//! This file knows neither clocks nor rings.

use gorin_base::primitive::{AtomicBool, AtomicU64, Ordering};
use gorin_base::seeded;

/// Bits of each field of the roster.
const FIELD: u32 = 12;
const MASK: u64 = (1 << FIELD) - 1;
const AWAKE: u64 = 1;
const ASLEEP: u64 = 1 << FIELD;
const WATCHER: u32 = 2 * FIELD;
const ALARMED: u32 = 3 * FIELD;

/// The roster, as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Roster(u64);

impl Roster {
    fn awake(self) -> u64 {
        self.0 & MASK
    }

    fn asleep(self) -> u64 {
        (self.0 / ASLEEP) & MASK
    }

    fn field(self, shift: u32) -> Option<usize> {
        ((self.0 >> shift & MASK) as usize).checked_sub(1)
    }

    fn with(self, shift: u32, worker: Option<usize>) -> Roster {
        let value = worker.map_or(0, |worker| worker as u64 + 1);
        Roster(self.0 & !(MASK << shift) | value << shift)
    }

    fn watcher(self) -> Option<usize> {
        self.field(WATCHER)
    }

    fn alarmed(self) -> Option<usize> {
        self.field(ALARMED)
    }

    /// Invariant 1 does not hold, and nobody is about to make it.
    fn is_unwatched(self) -> bool {
        let anybody = self.awake() > 0 && self.asleep() > 0;
        anybody && self.watcher().is_none() && self.alarmed().is_none()
    }
}

/// What a worker was while it slept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Woken {
    pub(crate) watched: bool,
    pub(crate) alarmed: bool,
}

/// See the module text.
#[derive(Debug)]
pub(crate) struct Watch {
    /// A [`Roster`]. Written by all workers by exchanges, which release what the worker did to
    /// `abed` before, and acquire what others did.
    roster: AtomicU64,
    /// Per worker: it sleeps or is about to. Written by the worker, read by who alarms; relaxed,
    /// the roster orders it.
    abed: Box<[AtomicBool]>,
}

impl Watch {
    /// For `workers` workers, at most 4,094, none of which is in its loop.
    pub(crate) fn new(workers: usize) -> Watch {
        assert!(workers < MASK as usize, "a field of the roster is small");
        Watch {
            roster: AtomicU64::new(0),
            abed: (0..workers).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Changes the roster by `change`; gives what was before.
    fn change(&self, change: impl Fn(Roster) -> Roster) -> Roster {
        let mut seen = Roster(self.roster.load(Ordering::Relaxed));
        loop {
            match self.exchange(seen, change(seen)) {
                Ok(()) => return seen,
                Err(now) => seen = now,
            }
        }
    }

    fn exchange(&self, from: Roster, to: Roster) -> Result<(), Roster> {
        self.roster
            .compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
            .map_err(Roster)
    }

    /// A worker begins its loop.
    pub(crate) fn enter(&self) {
        self.change(|roster| Roster(roster.0 + AWAKE));
    }

    /// A worker, awake, ends its loop.
    pub(crate) fn leave(&self) {
        self.change(|roster| Roster(roster.0 - AWAKE));
    }

    /// Worker `worker` is about to sleep. True if it is the watcher: its sleep must have a limit.
    #[must_use]
    pub(crate) fn sleep(&self, worker: usize) -> bool {
        self.abed[worker].store(true, Ordering::Relaxed);
        let lie_down = |roster: Roster| {
            let mut after = Roster(roster.0 - AWAKE + ASLEEP);
            if after.alarmed() == Some(worker) {
                // By one who took it for asleep already.
                after = after.with(ALARMED, None);
            }
            let needed = after.awake() > 0 && after.watcher().is_none();
            if needed && !seeded::bug("watch.sleeps_while_another_runs") {
                after = after.with(WATCHER, Some(worker));
            }
            after
        };
        lie_down(self.change(lie_down)).watcher() == Some(worker)
    }

    /// Worker `worker` has woken; to be called before it runs anything.
    pub(crate) fn wake(&self, worker: usize) -> Woken {
        let late = seeded::bug("watch.abed_too_long");
        if !late {
            self.abed[worker].store(false, Ordering::Relaxed);
        }
        let before = self.change(|roster| {
            let mut after = Roster(roster.0 - ASLEEP + AWAKE);
            if after.watcher() == Some(worker) && !seeded::bug("watch.keeps_the_role") {
                after = after.with(WATCHER, None);
            }
            if after.alarmed() == Some(worker) {
                after = after.with(ALARMED, None);
            }
            after
        });
        if late {
            self.abed[worker].store(false, Ordering::Relaxed);
        }
        Woken {
            watched: before.watcher() == Some(worker),
            alarmed: before.alarmed() == Some(worker),
        }
    }

    /// For a worker that is about to run what is not ours: if somebody sleeps and nobody watches, the
    /// sleeper that is now alarmed. The caller sets its alarm before it runs anything.
    #[must_use]
    pub(crate) fn unwatched(&self) -> Option<usize> {
        let mut seen = Roster(self.roster.load(Ordering::Acquire));
        while seen.is_unwatched() {
            // `None`: all who are counted as asleep are waking, and will come here themselves.
            let sleeper = self.sleeper()?;
            if seeded::bug("watch.alarms_unseen") {
                self.change(|roster| roster.with(ALARMED, Some(sleeper)));
                return Some(sleeper);
            }
            match self.exchange(seen, seen.with(ALARMED, Some(sleeper))) {
                Ok(()) => return Some(sleeper),
                Err(now) => seen = now,
            }
        }
        None
    }

    /// Whether worker `worker` sleeps, or is about to, or has not got up yet.
    pub(crate) fn is_abed(&self, worker: usize) -> bool {
        self.abed[worker].load(Ordering::Relaxed)
    }

    /// Whether any worker is counted as asleep.
    pub(crate) fn sleeps(&self) -> bool {
        // Acquire: what a sleeper did before it woke, too.
        Roster(self.roster.load(Ordering::Acquire)).asleep() > 0
    }

    /// How many workers are awake.
    pub(crate) fn awake(&self) -> usize {
        Roster(self.roster.load(Ordering::Relaxed)).awake() as usize
    }

    /// Some worker that sleeps.
    pub(crate) fn sleeper(&self) -> Option<usize> {
        let mut abed = self.abed.iter();
        abed.position(|abed| abed.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod models;
