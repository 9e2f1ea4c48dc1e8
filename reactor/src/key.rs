//! What a completion says about where it belongs: the layout of `user_data`.
//!
//! ```text
//! 63 .. 61 | 60 ........... 32 | 31 ............... 0
//!   kind   |  index (29 bits)  |  generation (32 bits)
//! ```
//!
//! | kind | index | generation |
//! |---|---|---|
//! | [`Kind::Wake`] | 0: a bell; 1: an alarm; 2: the epoll set that its worker sleeps on | 0 |
//! | [`Kind::Readiness`] | slot of the socket table × 2 + direction | that of the readiness word |
//! | [`Kind::Operation`] | slab index in the table of operations | that of the table's entry |
//! | [`Kind::Cancel`] | 0 | 0: nobody waits for the answer to a cancellation |
//! | [`Kind::Standing`] | slot of the socket table | 0: a slot has one at a time on a ring |
//!
//! A key never holds an address: a stale completion, or a stale cancellation, names a generation
//! that is gone and is dropped, whatever lives at its index by then.

/// Where a completion belongs; see the module text for the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64);

/// What kind of thing a completion belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Another thread woke the worker, now or by a timer.
    Wake = 0,
    /// A one-shot readiness poll of a socket.
    Readiness = 1,
    /// A completion operation.
    Operation = 2,
    /// The answer to a cancellation: dropped.
    Cancel = 3,
    /// A poll of a socket that reports again and again (`standing.rs`).
    Standing = 4,
}

const INDEX_BITS: u32 = 29;
const GENERATION_BITS: u32 = 32;

/// Indices below this fit into a key.
pub(crate) const MAX_INDEX: usize = 1 << INDEX_BITS;

impl Key {
    /// The key of wake-ups.
    pub(crate) const WAKE: Key = Key(0);
    /// The key of alarms (`alarm.rs`).
    pub(crate) const ALARM: Key = Key(1 << GENERATION_BITS);
    /// The key under which a ring polls the epoll set that its worker sleeps on.
    pub(crate) const NEST: Key = Key(2 << GENERATION_BITS);
    /// The key under which cancellations are submitted.
    pub(crate) const CANCEL: Key = Key((Kind::Cancel as u64) << (INDEX_BITS + GENERATION_BITS));

    /// The key of entry `index` in its life number `generation`.
    ///
    /// # Panics
    /// If `index` is not below [`MAX_INDEX`]: a table that large cannot be addressed.
    #[inline]
    pub(crate) fn new(kind: Kind, index: usize, generation: u32) -> Key {
        assert!(
            index < MAX_INDEX,
            "more than {MAX_INDEX} entries in one table"
        );
        Key((kind as u64) << (INDEX_BITS + GENERATION_BITS)
            | (index as u64) << GENERATION_BITS
            | u64::from(generation))
    }

    /// The key that a completion carries.
    #[inline]
    pub(crate) fn from_raw(raw: u64) -> Key {
        Key(raw)
    }

    /// The 64 bits that go into `user_data`.
    #[inline]
    pub(crate) fn raw(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn kind(self) -> Kind {
        match self.0 >> (INDEX_BITS + GENERATION_BITS) {
            0 => Kind::Wake,
            1 => Kind::Readiness,
            2 => Kind::Operation,
            3 => Kind::Cancel,
            _ => Kind::Standing,
        }
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        (self.0 >> GENERATION_BITS) as usize & (MAX_INDEX - 1)
    }

    #[inline]
    pub(crate) fn generation(self) -> u32 {
        self.0 as u32
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_back_what_it_was_made_of() {
        let kinds = [
            Kind::Wake,
            Kind::Readiness,
            Kind::Operation,
            Kind::Cancel,
            Kind::Standing,
        ];
        for kind in kinds {
            for (index, generation) in [(0, 0), (MAX_INDEX - 1, u32::MAX), (12_345, 678)] {
                let key = Key::from_raw(Key::new(kind, index, generation).raw());
                assert_eq!(
                    (key.kind(), key.index(), key.generation()),
                    (kind, index, generation)
                );
            }
        }
        assert_eq!(Key::WAKE.kind(), Kind::Wake);
        assert_eq!((Key::ALARM.kind(), Key::ALARM.index()), (Kind::Wake, 1));
        assert_eq!(Key::CANCEL.kind(), Kind::Cancel);
    }

    #[test]
    #[should_panic(expected = "more than 536870912 entries")]
    fn an_index_that_does_not_fit_is_refused() {
        Key::new(Kind::Operation, MAX_INDEX, 0);
    }
}
