//! The word of one direction, as a value, and the keys under which rings know what it has armed.
//!
//! What the fields mean, and who moves them when, is the table in `readiness.rs`; what is armed
//! travels as a [`Key`]: the slot, the direction and the generation. Plain values: nothing here is
//! shared.

use crate::driver::Direction;
use crate::key::{Key, Kind};

pub(super) const ARMED: u64 = 1;
pub(super) const CLOSED: u64 = 1 << 1;
pub(super) const WAITED: u64 = 1 << 2;
pub(super) const HUNG_UP: u64 = 1 << 3;
pub(super) const OWNER_SHIFT: u32 = 16;
pub(super) const GENERATION_SHIFT: u32 = 32;

/// Rings of one reactor that the word can tell apart.
pub(crate) const MAX_OWNERS: usize = 1 << 16;

/// The word of one direction, as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    #[inline]
    pub(super) fn generation(self) -> u32 {
        (self.0 >> GENERATION_SHIFT) as u32
    }

    #[inline]
    pub(super) fn owner(self) -> usize {
        usize::from((self.0 >> OWNER_SHIFT) as u16)
    }

    #[inline]
    pub(super) fn is_armed(self) -> bool {
        self.0 & ARMED != 0
    }

    #[inline]
    pub(super) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// Armed on ring `owner`, and open.
    #[inline]
    pub(super) fn is_armed_on(self, owner: usize) -> bool {
        self.is_armed() && !self.is_closed() && self.owner() == owner
    }

    #[inline]
    pub(super) fn is_waited(self) -> bool {
        self.0 & WAITED != 0
    }

    /// Idle and open.
    #[inline]
    pub(super) fn idle(generation: u32) -> Word {
        Word(u64::from(generation) << GENERATION_SHIFT)
    }

    /// Armed on ring `owner`.
    #[inline]
    pub(super) fn armed(generation: u32, owner: usize) -> Word {
        debug_assert!(
            owner < MAX_OWNERS,
            "workers are counted when the reactor is made"
        );
        Word(Word::idle(generation).0 | (owner as u64) << OWNER_SHIFT | ARMED)
    }

    #[inline]
    pub(super) fn next_generation(self) -> u32 {
        self.generation().wrapping_add(1)
    }
}

#[inline]
pub(super) fn key(index: usize, direction: Direction, word: Word) -> Key {
    key_of(index, direction, word.generation())
}

/// The key of the poll of slot `index` that was armed in generation `generation`.
#[inline]
pub(crate) fn key_of(index: usize, direction: Direction, generation: u32) -> Key {
    Key::new(Kind::Readiness, index << 1 | direction as usize, generation)
}

/// The key of the standing poll of slot `index`.
#[inline]
pub(crate) fn standing_key(index: usize) -> Key {
    Key::new(Kind::Standing, index, 0)
}

/// The slot and direction that a readiness key names.
#[inline]
pub(crate) fn place(key: Key) -> (usize, Direction) {
    let direction = if key.index() & 1 == 0 {
        Direction::Read
    } else {
        Direction::Write
    };
    (key.index() >> 1, direction)
}
