//! The hierarchical timer wheel of one shard: insert, cancel and reset in O(1).
//!
//! Plain data, owned by whoever holds the shard's lock. Time is a number (nanoseconds since an
//! origin that the wheel does not know), so a test or a simulation can run years in a moment.
//!
//! # Where a timer is
//!
//! Eleven levels of 64 slots; a slot of level `l` spans `64^l` nanoseconds. `elapsed` is the time
//! up to which the wheel has been advanced. A timer lies in the level of the highest base-64 digit
//! in which its deadline differs from `elapsed`, in the slot of that digit:
//!
//! ```text
//! elapsed  = 00:17:03:59        deadline = 00:17:05:02  →  level 1, slot 5
//! ```
//!
//! # Invariants
//!
//! 1. A timer on a level has `deadline > elapsed`; one that is due is in the list `DUE`.
//! 2. On every level the occupied slots lie after the slot of `elapsed`, hence each timer of a
//!    level is due before each timer of any higher level, and the next one is in the first occupied
//!    slot of the lowest occupied level.
//! 3. `earliest` of an occupied slot is at most the deadline of each timer in it. (Not exactly the
//!    least: cancelling does not look for the next one. The price is one early look, which moves
//!    the slot's timers down a level and so makes the bound better.)
//! 4. A key names a timer only as long as its generation is the entry's; generations are never used
//!    twice, so a key that outlives its timer can never name a stranger's.
//!
//! Never early, never late by itself: there is no tick to round to. A wheel of 1 ms ticks would
//! need fewer moves (a timer that fires has moved up to four times under a worker that looks every
//! 100 µs, at some 10 ns each), but would be late by up to a tick where the kernel is precise to 50
//! µs. A heap costs 75 ns per timer at 10,000 of them, a B-tree 154 ns, and both make cancelling
//! dear, which is what happens to most timers.
//!
//! This file must not lock, look at a clock, or call into a waker.

use slab::Slab;

/// Base-64 digits of a 64-bit deadline.
const LEVELS: usize = 11;
/// Slots of a level.
const SLOTS: usize = 64;
/// Bits of a digit.
const DIGIT: u32 = 6;

/// The list of timers that are due and not yet taken; the lists before it are the slots.
const DUE: usize = LEVELS * SLOTS;
/// The list of timers that [`Wheel::advance`] is moving to another slot; empty between calls.
const MOVING: usize = DUE + 1;
const LISTS: usize = MOVING + 1;

/// Room for so many timers is kept when the last one goes; more is given back.
const KEPT: usize = 4096;

/// No entry: the end of a list.
const NONE: u32 = u32::MAX;

/// Names one timer of one wheel, also after it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    index: u32,
    generation: u64,
}

/// One timer.
#[derive(Debug)]
struct Entry<T> {
    deadline: u64,
    generation: u64,
    /// Neighbours in the circular list; an entry alone is its own neighbour.
    previous: u32,
    next: u32,
    /// The list that the entry is in.
    list: u16,
    value: T,
}

/// The timers of one shard, each with a value (the waker).
#[derive(Debug)]
pub(super) struct Wheel<T> {
    /// The time up to which timers have been made due.
    elapsed: u64,
    /// The generation of the next timer.
    generation: u64,
    entries: Slab<Entry<T>>,
    /// First entry of each list.
    heads: Box<[u32]>,
    /// Per slot a lower bound of its deadlines (invariant 3); meaningless while it is empty.
    earliest: Box<[u64]>,
    /// Per level the slots that are not empty.
    occupied: [u64; LEVELS],
    /// The levels that are not empty.
    levels: u16,
}

impl<T> Wheel<T> {
    /// An empty wheel at time zero.
    pub(super) fn new() -> Self {
        Self {
            elapsed: 0,
            generation: 0,
            entries: Slab::new(),
            heads: vec![NONE; LISTS].into(),
            earliest: vec![0; DUE].into(),
            occupied: [0; LEVELS],
            levels: 0,
        }
    }

    /// How many timers there are, due ones included.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a timer. One whose deadline has been passed is due at once.
    pub(super) fn insert(&mut self, deadline: u64, value: T) -> Key {
        let generation = self.generation;
        self.generation += 1;
        let index = self.entries.insert(Entry {
            deadline,
            generation,
            previous: NONE,
            next: NONE,
            list: 0,
            value,
        });
        let index = u32::try_from(index)
            .ok()
            .filter(|&index| index != NONE)
            .expect("a shard holds fewer than 2^32 timers");
        self.place(index);
        Key { index, generation }
    }

    /// Takes the timer `key` out; `None` if it has been taken already.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.get_mut(key)?;
        self.unlink(key.index);
        Some(self.entries.remove(key.index as usize).value)
    }

    /// Gives the timer `key` another deadline; false if it has been taken already.
    pub(super) fn reset(&mut self, key: Key, deadline: u64) -> bool {
        if self.get_mut(key).is_none() {
            return false;
        }
        self.unlink(key.index);
        self.entry(key.index).deadline = deadline;
        self.place(key.index);
        true
    }

    /// The value of the timer `key`; `None` if it has been taken already.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let stale = gorin_base::seeded::bug("timer.no_generation");
        self.entries
            .get_mut(key.index as usize)
            .filter(|entry| stale || entry.generation == key.generation)
            .map(|entry| &mut entry.value)
    }

    /// A time at or before the next deadline (invariant 3), or `None` if there is no timer.
    pub(super) fn next(&self) -> Option<u64> {
        if self.heads[DUE] != NONE {
            return Some(self.elapsed);
        }
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        let slot = self.occupied[level].trailing_zeros() as usize;
        Some(self.earliest[level * SLOTS + slot])
    }

    /// Moves the time on to `now` and makes the timers due whose deadline is `now` or earlier.
    /// A `now` in the past changes nothing.
    ///
    /// Costs O(1) for each timer that becomes due or moves to a lower level, whatever the time
    /// that has gone by.
    pub(super) fn advance(&mut self, now: u64) {
        if now <= self.elapsed {
            return;
        }
        for level in 0..LEVELS {
            let shift = DIGIT * level as u32;
            let (old, new) = (self.elapsed >> shift, now >> shift);
            if old == new {
                // The digits from here up are the same: nothing up there has been reached.
                break;
            }
            // Up to the slot of `now`, or all slots if a higher digit has changed (invariant 2).
            let reached = if old >> DIGIT == new >> DIGIT {
                u64::MAX >> (SLOTS as u64 - 1 - new % SLOTS as u64)
            } else {
                u64::MAX
            };
            let mut slots = self.occupied[level] & reached;
            while slots != 0 {
                self.empty_slot(level * SLOTS + slots.trailing_zeros() as usize, now);
                slots &= slots - 1;
            }
        }
        self.elapsed = now;
        while let Some(index) = self.pop(MOVING) {
            self.place(index);
        }
    }

    /// Takes the first timer that is due.
    pub(super) fn pop_due(&mut self) -> Option<T> {
        let index = self.pop(DUE)?;
        Some(self.entries.remove(index as usize).value)
    }

    /// The room of a crowd that has gone, for the caller to drop where nobody waits for it.
    pub(super) fn spare_room(&mut self) -> Option<impl Sized + use<T>> {
        let spare = self.entries.is_empty() && self.entries.capacity() > KEPT;
        spare.then(|| std::mem::take(&mut self.entries))
    }

    /// Takes all timers out, due or not.
    pub(super) fn drain(&mut self) -> Vec<T> {
        let entries = std::mem::take(&mut self.entries);
        self.heads.fill(NONE);
        self.occupied.fill(0);
        self.levels = 0;
        entries.into_iter().map(|(_, entry)| entry.value).collect()
    }

    /// Moves the timers of a slot that `now` has reached to `DUE`, or to `MOVING` if their own time
    /// has not come.
    fn empty_slot(&mut self, slot: usize, now: u64) {
        while let Some(index) = self.pop(slot) {
            let due = self.entry(index).deadline <= now;
            self.push(if due { DUE } else { MOVING }, index);
        }
    }

    /// Puts the unlinked entry `index` where its deadline belongs (invariants 1 and 2).
    fn place(&mut self, index: u32) {
        let deadline = self.entry(index).deadline;
        let difference = deadline ^ self.elapsed;
        if deadline <= self.elapsed {
            self.push(DUE, index);
            return;
        }
        let level = (difference.ilog2() / DIGIT) as usize;
        let slot = (deadline >> (DIGIT * level as u32)) as usize % SLOTS;
        let list = level * SLOTS + slot;
        if self.heads[list] == NONE {
            self.occupied[level] |= 1 << slot;
            self.levels |= 1 << level;
            self.earliest[list] = deadline;
        } else {
            self.earliest[list] = self.earliest[list].min(deadline);
        }
        self.push(list, index);
    }

    /// Appends the unlinked entry `index` to `list`.
    fn push(&mut self, list: usize, index: u32) {
        let head = self.heads[list];
        let (previous, next) = if head == NONE {
            self.heads[list] = index;
            (index, index)
        } else {
            let last = self.entry(head).previous;
            self.entry(last).next = index;
            self.entry(head).previous = index;
            (last, head)
        };
        let entry = self.entry(index);
        entry.previous = previous;
        entry.next = next;
        entry.list = list as u16;
    }

    /// Unlinks the first entry of `list`.
    fn pop(&mut self, list: usize) -> Option<u32> {
        let head = self.heads[list];
        if head == NONE {
            return None;
        }
        self.unlink(head);
        Some(head)
    }

    /// Takes the entry `index` out of its list; notes if that list is a slot and is empty now.
    fn unlink(&mut self, index: u32) {
        let entry = self.entry(index);
        let (previous, next, list) = (entry.previous, entry.next, usize::from(entry.list));
        if next == index {
            self.heads[list] = NONE;
            self.note_empty(list);
            return;
        }
        self.entry(previous).next = next;
        self.entry(next).previous = previous;
        if self.heads[list] == index {
            self.heads[list] = next;
        }
    }

    fn note_empty(&mut self, list: usize) {
        if list >= DUE {
            return;
        }
        let level = list / SLOTS;
        self.occupied[level] &= !(1 << (list % SLOTS));
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    fn entry(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.entries[index as usize]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::BTreeMap;

    use gorin_base::rng;

    use super::*;

    fn due<T>(wheel: &mut Wheel<T>, now: u64) -> Vec<T> {
        wheel.advance(now);
        std::iter::from_fn(|| wheel.pop_due()).collect()
    }

    #[test]
    fn a_timer_is_due_at_its_deadline_and_not_a_nanosecond_earlier() {
        for distance in (0..64).map(|bit| 1u64 << bit) {
            for start in [0, 1, 63, 64, 4095, 1 << 40, (1 << 40) + 77] {
                let Some(deadline) = distance.checked_add(start) else {
                    continue;
                };
                let mut wheel = Wheel::new();
                wheel.advance(start);
                wheel.insert(deadline, ());
                assert_eq!(wheel.next(), Some(deadline));
                assert_eq!(
                    due(&mut wheel, deadline - 1).len(),
                    0,
                    "{start} + {distance}"
                );
                assert_eq!(wheel.next(), Some(deadline));
                assert_eq!(due(&mut wheel, deadline).len(), 1, "{start} + {distance}");
                assert_eq!((wheel.next(), wheel.len()), (None, 0));
            }
        }
    }

    #[test]
    fn the_extremes_are_harmless() {
        let mut wheel = Wheel::new();
        wheel.advance(10);
        wheel.insert(0, "long past");
        wheel.insert(10, "now");
        let last = wheel.insert(u64::MAX, "the end of time");
        assert_eq!(due(&mut wheel, 3), ["long past", "now"]);
        assert_eq!(due(&mut wheel, u64::MAX - 1).len(), 0);
        assert_eq!(wheel.next(), Some(u64::MAX));
        assert_eq!(due(&mut wheel, u64::MAX), ["the end of time"]);
        assert_eq!(wheel.remove(last), None);
    }

    #[test]
    fn a_key_names_nothing_once_its_timer_is_gone() {
        let mut wheel = Wheel::new();
        let old = wheel.insert(5, "old");
        assert_eq!(wheel.remove(old), Some("old"));
        let new = wheel.insert(6, "new");
        assert_eq!(old.index, new.index, "the slot is used again");
        assert_eq!(wheel.remove(old), None);
        assert!(!wheel.reset(old, 100));
        assert!(wheel.get_mut(old).is_none());
        assert_eq!(due(&mut wheel, 6), ["new"]);
    }

    #[test]
    fn draining_leaves_an_empty_wheel_that_works() {
        let mut wheel = Wheel::new();
        for deadline in [1, 50, 5_000, 1 << 50] {
            wheel.insert(deadline, deadline);
        }
        wheel.advance(1);
        let mut all = wheel.drain();
        all.sort_unstable();
        assert_eq!(all, [1, 50, 5_000, 1 << 50]);
        assert_eq!((wheel.next(), wheel.len()), (None, 0));
        wheel.insert(70, 70);
        assert_eq!(due(&mut wheel, 70), [70]);
    }

    #[test]
    fn the_room_of_a_crowd_is_given_back_and_its_keys_stay_stale() {
        for cancelled in [false, true] {
            let mut wheel = Wheel::new();
            let keys: Vec<_> = (0..4 * KEPT).map(|n| wheel.insert(n as u64, n)).collect();
            assert!(wheel.spare_room().is_none(), "it is in use");
            if cancelled {
                assert!(keys.iter().all(|&key| wheel.remove(key).is_some()));
            } else {
                assert_eq!(due(&mut wheel, u64::MAX).len(), keys.len());
            }
            assert!(wheel.spare_room().is_some());
            assert!(wheel.entries.capacity() <= KEPT && wheel.spare_room().is_none());
            wheel.insert(u64::MAX, 0);
            assert!(keys.iter().all(|&key| wheel.remove(key).is_none()));
            assert_eq!(wheel.len(), 1);
        }
    }

    /// What a wheel means: an ordered map from (deadline, id).
    #[derive(Default)]
    struct Oracle {
        timers: BTreeMap<(u64, usize), Key>,
        by_id: BTreeMap<usize, u64>,
    }

    impl Oracle {
        fn insert(&mut self, id: usize, deadline: u64, key: Key) {
            self.timers.insert((deadline, id), key);
            self.by_id.insert(id, deadline);
        }

        fn remove(&mut self, id: usize) -> Option<Key> {
            let deadline = self.by_id.remove(&id)?;
            self.timers.remove(&(deadline, id))
        }

        fn take_due(&mut self, now: u64) -> Vec<usize> {
            let later = self.timers.split_off(&(now, usize::MAX));
            let due = std::mem::replace(&mut self.timers, later);
            let mut ids: Vec<usize> = due.into_keys().map(|(_, id)| id).collect();
            ids.sort_unstable();
            for id in &ids {
                self.by_id.remove(id);
            }
            ids
        }
    }

    /// A distance of any magnitude, small ones as likely as large ones.
    fn any_distance() -> u64 {
        let magnitude = rng::below(50) as u32;
        (1u64 << magnitude) + rng::below(1 << magnitude.min(30)) as u64 - 1
    }

    fn run_random_program(seed: u64, steps: usize) {
        rng::reseed(seed);
        let (mut wheel, mut oracle, mut now) = (Wheel::new(), Oracle::default(), 0u64);
        for id in 0..steps {
            match rng::below(10) {
                0..=4 => {
                    let deadline = (now + any_distance()).saturating_sub(20);
                    let key = wheel.insert(deadline, id);
                    oracle.insert(id, deadline, key);
                }
                5 | 6 => {
                    let victim = rng::below(id + 1);
                    if let Some(key) = oracle.remove(victim) {
                        assert_eq!(wheel.remove(key), Some(victim), "seed {seed}, step {id}");
                    }
                }
                7 => {
                    let moved = rng::below(id + 1);
                    if let Some(key) = oracle.remove(moved) {
                        let deadline = now + any_distance();
                        assert!(wheel.reset(key, deadline), "seed {seed}, step {id}");
                        oracle.insert(moved, deadline, key);
                    }
                }
                _ => {
                    now += any_distance();
                    let mut fired = due(&mut wheel, now);
                    fired.sort_unstable();
                    assert_eq!(fired, oracle.take_due(now), "seed {seed}, step {id}");
                }
            }
            assert_eq!(wheel.len(), oracle.timers.len());
            let least = oracle.timers.keys().next().map(|&(deadline, _)| deadline);
            assert_eq!(wheel.next().is_some(), least.is_some());
            if let (Some(next), Some(least)) = (wheel.next(), least) {
                assert!(
                    next <= least.max(now),
                    "seed {seed}: sleeps past {least} until {next}"
                );
            }
        }
    }

    #[test]
    fn random_programs_do_what_an_ordered_map_does() {
        let (programs, steps) = if cfg!(miri) { (4, 150) } else { (300, 1_000) };
        for seed in 0..programs {
            run_random_program(seed, steps);
        }
    }

    /// Invariant 3's price: one look that finds nothing, not one after another.
    #[test]
    fn a_cancelled_timer_costs_at_most_one_early_look_per_level() {
        let mut wheel = Wheel::new();
        let cancelled = wheel.insert(1 << 30, 0);
        wheel.insert((1 << 30) + (1 << 29), 1);
        wheel.remove(cancelled);
        let mut looks = 0;
        while let Some(next) = wheel.next() {
            looks += 1;
            due(&mut wheel, next);
        }
        assert!(looks <= 2, "{looks} looks for one timer");
    }
}
