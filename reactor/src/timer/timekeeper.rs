//! The timekeeper: the one parked worker whose sleep ends when the next timer is due.
//!
//! Workers that run look at the timers themselves, at each tick. When workers sleep, one of them
//! must wake in time, and one is enough: a timeout in every parked worker would wake all of them
//! for each timer.
//!
//! # The role
//!
//! One word: who holds the role, and until when it sleeps at most.
//!
//! | transition | by | when |
//! |---|---|---|
//! | free → (me, until) | a worker about to park | nobody holds the role |
//! | (other, late) → (me, until) | a worker about to park | the holder would sleep past the next deadline |
//! | (me, until) → (me, earlier) | the same worker, before it sleeps | a deadline came in between |
//! | (me, until) → free | the holder, once awake, before it runs anything | always |
//!
//! A holder whose role was taken over still wakes at its own, later time; that look finds the role
//! in other hands and costs nothing but itself.
//!
//! # What is promised
//!
//! *If any worker of the reactor is asleep, then some worker is awake in its loop, or the role's
//! holder sleeps no longer than until the next deadline (or has been woken).* Sketch of the proof:
//!
//! 1. A worker goes to sleep only after [`park`](Timekeeper::park) has seen, at one instant, a role
//!    whose holder sleeps no longer than the next deadline; if need be it became that holder
//!    itself.
//! 2. The role becomes free only by a worker that is awake. It looks at the timers at each tick and
//!    goes through 1. before it sleeps.
//! 3. A worker that inserts a deadline is awake and goes through 1. later, *after* its insert, so
//!    it need not wake anybody: its own look at the role happens with the deadline in place.
//! 4. A thread that never parks here (a foreign one) must look at the role after its insert. Both
//!    sides write, then pass a `SeqCst` fence, then read what the other writes:
//!
//!    ```text
//!    foreign thread                         parking worker
//!    shard.next = deadline                  role = (me, until)
//!    fence(SeqCst)              (F)         fence(SeqCst)              (P)
//!    read role                              read every shard.next
//!    ```
//!
//!    If F comes before P in the one order of these fences, the worker sees the deadline and sleeps
//!    no longer; else the thread sees the role and wakes its holder. The same pair of fences covers
//!    two parking workers: the one that inserted earlier takes the thread's part (its insert, its
//!    fence, its look at the role).
//!
//! 5. A worker that leaves its loop may have been the one awake of 2. It wakes the others unless
//!    the role is held well, by a look like that of 1.
//!
//! Not promised: punctuality while a worker runs user code that does not come back for long. It may
//! have inserted a deadline for which it woke nobody (3.), or have given up the role (2.). Then a
//! timer waits for the end of that one poll, unless another worker is awake.
//!
//! Rejected: the role under a mutex (every park would queue for it); a timeout in every parked
//! worker (n wakes per timer); a timerfd polled in all rings (245 ns for each move of the deadline,
//! and a descriptor).
//!
//! This file must not know shards, wheels or rings: the next deadline is a function, who is to be
//! woken is a number.

use gorin_base::primitive::{AtomicU64, Ordering, fence};
use gorin_base::seeded;

/// Nobody waits for a time.
pub(super) const NEVER: u64 = u64::MAX;

/// Bits that the holder takes in the word; the rest is the time.
const HOLDER_BITS: u32 = 12;
/// The time in the word is in units of this many bits: 4 µs, by which the role's comparisons may be
/// late.
const UNIT_BITS: u32 = HOLDER_BITS;
/// The word while nobody holds the role.
const FREE: Role = Role(0);

/// How many workers the word can tell apart.
pub(super) const MAX_WORKERS: usize = (1 << HOLDER_BITS) - 2;

/// Who sleeps until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Role(u64);

impl Role {
    fn held(worker: usize, until: u64) -> Self {
        Self((worker as u64 + 1) << (64 - HOLDER_BITS) | until >> UNIT_BITS)
    }

    fn holder(self) -> Option<usize> {
        let holder = (self.0 >> (64 - HOLDER_BITS)) as usize;
        holder.checked_sub(1)
    }

    /// True if the holder is awake again before `deadline` has passed by more than a unit.
    fn covers(self, deadline: u64) -> bool {
        let until = self.0 << HOLDER_BITS >> HOLDER_BITS;
        until <= deadline >> UNIT_BITS
    }
}

/// The role of one reactor. See the module text.
#[derive(Debug)]
pub(super) struct Timekeeper {
    /// A [`Role`] or `FREE`. Written by workers that park or wake, read by them and by foreign
    /// threads that insert. All accesses are relaxed: the word carries no data, and its order
    /// against the deadlines comes from the `SeqCst` fences in `park` and `holder_too_late`, which
    /// pair with each other.
    role: AtomicU64,
}

impl Timekeeper {
    pub(super) fn new() -> Self {
        Self {
            role: AtomicU64::new(FREE.0),
        }
    }

    /// Decides how long worker `worker`, which is about to sleep, may do so: until the time
    /// returned, or without end if that is [`NEVER`]. `next` reads the next deadline.
    pub(super) fn park(&self, worker: usize, next: impl Fn() -> u64) -> u64 {
        let mut promised: Option<u64> = None;
        loop {
            // (P) and (F) of the module text: what this worker inserted, and its role if it has
            // taken it in the last round, before; the deadlines and roles of others after.
            if !seeded::bug("keeper.no_fence") {
                fence(Ordering::SeqCst);
            }
            let next = next();
            let seen = Role(self.role.load(Ordering::Relaxed));
            let trusted = seen.covers(next) || seeded::bug("keeper.no_takeover");
            match (seen.holder(), promised) {
                // Not `next`: if a timer was cancelled since, others go by the time in the word.
                (Some(holder), Some(until)) if holder == worker && trusted => {
                    let past_its_word = seeded::bug("keeper.sleeps_past_its_word");
                    return if past_its_word { next } else { until.min(next) };
                }
                (Some(holder), _) if holder != worker && trusted => return NEVER,
                _ => {}
            }
            if self.replace(seen, Role::held(worker, next)) {
                promised = Some(next);
                if seeded::bug("keeper.no_second_look") {
                    return next;
                }
            }
        }
    }

    /// Puts `new` in place of `seen`; false if the role has changed meanwhile.
    fn replace(&self, seen: Role, new: Role) -> bool {
        self.role
            .compare_exchange(seen.0, new.0, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Gives the role up if `worker` holds it. To be called as soon as the worker is awake, before
    /// it runs anything.
    pub(super) fn unpark(&self, worker: usize) {
        let seen = Role(self.role.load(Ordering::Relaxed));
        if seen.holder() == Some(worker) {
            // Fails if another worker takes over just now: then there is nothing left to give up.
            self.replace(seen, FREE);
        }
    }

    /// For a worker that leaves its loop, so that it will not look again: true if the others must
    /// be woken, because none of them has the role or its holder sleeps too long.
    pub(super) fn leave(&self, worker: usize, next: impl Fn() -> u64) -> bool {
        self.unpark(worker);
        if seeded::bug("keeper.leaves_the_role_free") {
            return false;
        }
        // (P) and (F) of the module text.
        if !seeded::bug("keeper.leaves_without_fence") {
            fence(Ordering::SeqCst);
        }
        let role = Role(self.role.load(Ordering::Relaxed));
        role.holder().is_none() || !role.covers(next())
    }

    /// The worker to wake because it sleeps past `deadline`, which a thread that will not park here
    /// has just inserted.
    pub(super) fn holder_too_late(&self, deadline: u64) -> Option<usize> {
        // (F) of the module text.
        if !seeded::bug("keeper.no_fence") {
            fence(Ordering::SeqCst);
        }
        if seeded::bug("keeper.foreign_insert_wakes_nobody") {
            return None;
        }
        let role = Role(self.role.load(Ordering::Relaxed));
        // A free role means that some worker is awake and will look (2. of the module text).
        role.holder().filter(|_| !role.covers(deadline))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;

    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_word_holds_every_worker_and_every_time() {
        for worker in [0, 1, 77, MAX_WORKERS - 1] {
            for until in [0, 5 * MS, u64::MAX / 2, NEVER] {
                let role = Role::held(worker, until);
                assert_eq!(role.holder(), Some(worker));
                assert!(role.covers(until));
                assert_eq!(role.covers(until.saturating_sub(5_000)), until == 0);
            }
        }
        assert_eq!(FREE.holder(), None);
    }

    #[test]
    fn one_parked_worker_keeps_the_time_and_the_others_sleep_without_end() {
        let keeper = Timekeeper::new();
        assert_eq!(keeper.park(0, || 5 * MS), 5 * MS);
        assert_eq!(keeper.park(1, || 5 * MS), NEVER);
        keeper.unpark(1);
        assert_eq!(keeper.park(1, || 5 * MS), NEVER, "1 had nothing to give up");
        keeper.unpark(0);
        assert_eq!(keeper.park(1, || 5 * MS), 5 * MS);
    }

    #[test]
    fn a_worker_with_an_earlier_deadline_takes_the_role_over() {
        let keeper = Timekeeper::new();
        assert_eq!(keeper.park(0, || NEVER), NEVER);
        assert_eq!(keeper.park(1, || 7 * MS), 7 * MS);
        keeper.unpark(0);
        assert_eq!(keeper.park(2, || 7 * MS), NEVER, "1 still holds the role");
    }

    #[test]
    fn a_deadline_that_goes_away_does_not_make_the_holder_sleep_past_its_word() {
        let keeper = Timekeeper::new();
        let looks = Cell::new(0);
        let until = keeper.park(0, || {
            looks.set(looks.get() + 1);
            if looks.get() == 1 { 5 * MS } else { 9 * MS }
        });
        assert_eq!((until, looks.get()), (5 * MS, 2));
    }

    #[test]
    fn a_foreign_insert_wakes_the_holder_only_if_it_sleeps_too_long() {
        let keeper = Timekeeper::new();
        assert_eq!(keeper.holder_too_late(MS), None, "somebody is awake");
        keeper.park(3, || 5 * MS);
        assert_eq!(keeper.holder_too_late(4 * MS), Some(3));
        assert_eq!(keeper.holder_too_late(5 * MS), None);
        assert_eq!(keeper.holder_too_late(6 * MS), None);
    }
}
