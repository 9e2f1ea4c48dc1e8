//! All polls of one ring, for others than their sockets' users: who rescues a ring that does not act
//! moves them to another one, and a ring that ends wakes who waits for them.
//!
//! Who comes here has no socket, hence no pin: it looks at every slot that was ever given out, and
//! pins what it wants to move before it looks again.

use gorin_base::seeded;

use super::slot::{Slot, disarm};
use super::table::Table;
use super::word::{Word, key};
use crate::driver::Direction;
use crate::key::Key;

/// A poll that has changed its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    /// What the old ring knows it by: to be cancelled there.
    pub(crate) stale: Key,
    /// To be submitted on the new ring.
    pub(crate) armed: Key,
}

impl<R> Table<R> {
    /// Moves an armed poll of ring `from` to ring `to`. The poll on `from` becomes stale: its
    /// completion will only take its pin away.
    ///
    /// For the rescuer of a hog: `from` cannot act, and a poll submitted on `to` completes at once
    /// if the socket is ready.
    pub(crate) fn evacuate(
        &self,
        index: usize,
        direction: Direction,
        from: usize,
        to: usize,
    ) -> Option<Moved> {
        self.evacuate_side(index, self.slot(index), direction, from, to)
    }

    fn evacuate_side(
        &self,
        index: usize,
        slot: &Slot<R>,
        direction: Direction,
        from: usize,
        to: usize,
    ) -> Option<Moved> {
        let side = slot.side(direction);
        // The rescuer has no socket, hence no pin that would protect it while it looks.
        if !side.load().is_armed_on(from) || !slot.try_pin() {
            return None;
        }
        let mut word = side.load();
        while word.is_armed_on(from) {
            let generation = if seeded::bug("readiness.generation_not_moved") {
                word.generation()
            } else {
                word.next_generation()
            };
            let moved = Word::armed(generation, to);
            match side.exchange(word, moved) {
                Ok(()) => {
                    return Some(Moved {
                        stale: key(index, direction, word),
                        armed: key(index, direction, moved),
                    });
                }
                Err(now) => word = now,
            }
        }
        self.release(index);
        None
    }

    /// [Evacuates](Self::evacuate) the slots from `first` on, `count` of them at most, and calls
    /// `moved` for each poll. Gives the slot to go on with, or `None` if there are no more.
    pub(crate) fn evacuate_from(
        &self,
        first: usize,
        count: usize,
        from: usize,
        to: usize,
        mut moved: impl FnMut(Moved),
    ) -> Option<usize> {
        let used = self.free.lock().fresh as usize;
        let end = used.min(first + count);
        for index in first..end {
            let Some(slot) = self.existing(index) else {
                continue;
            };
            for direction in [Direction::Read, Direction::Write] {
                if let Some(poll) = self.evacuate_side(index, slot, direction, from, to) {
                    moved(poll);
                }
            }
        }
        (end < used).then_some(end)
    }

    /// Calls `f` with the polls that are armed on ring `owner`.
    pub(crate) fn armed_on(&self, owner: usize, mut f: impl FnMut(Key)) {
        let used = self.free.lock().fresh as usize;
        for index in 0..used {
            if let Some(slot) = self.existing(index) {
                Self::armed_in(index, slot, owner, &mut f);
            }
        }
    }

    fn armed_in(index: usize, slot: &Slot<R>, owner: usize, f: &mut impl FnMut(Key)) {
        for direction in [Direction::Read, Direction::Write] {
            let word = slot.side(direction).load();
            if word.is_armed_on(owner) {
                f(key(index, direction, word));
            }
        }
    }

    /// Calls `f` with the polls of slot `index` that are armed on ring `owner`, and with its standing one
    /// if that is there.
    pub(crate) fn polls_on(&self, index: usize, owner: usize, mut f: impl FnMut(Key)) {
        Self::armed_in(index, self.slot(index), owner, &mut f);
        if let Some((_, standing)) = self.standing(index).filter(|&(ring, _)| ring == owner) {
            f(standing);
        }
    }

    /// For a ring that ends with polls in flight: wakes who waits for them. The pins stay, since the
    /// kernel may still look at the files.
    pub(crate) fn abandon(&self, owner: usize) {
        let used = self.free.lock().fresh as usize;
        for slot in (0..used).filter_map(|index| self.existing(index)) {
            for side in slot.sides() {
                let word = side.load();
                if word.is_armed() && word.owner() == owner && disarm(side, word.generation()) {
                    side.wake();
                }
            }
        }
    }
}
