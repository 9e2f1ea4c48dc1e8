//! The operations in flight on one ring: which key belongs to which operation.
//!
//! Owned by the ring's thread; nobody else touches it, so there is no lock.
//!
//! # Invariants
//!
//! 1. An entry lives from before its request is submitted until the completion without "more" has
//!    been reaped, never shorter: it holds the reference that keeps the operation's memory alive
//!    for the kernel.
//! 2. A key names an entry only if the generations agree. Generations are counted over the whole
//!    table, so an index that is used again gets another one, and a stale key (of a cancellation
//!    that was posted while the operation completed) finds nothing.
//!
//! This file must not submit, wake, or run code of an operation other than `start`.

use std::fmt;

use gorin_base::primitive::PlainArc;
use gorin_base::seeded;
use slab::Slab;

use crate::driver::Request;
use crate::key::{Key, Kind};
use crate::mailbox::Operation;

struct Entry {
    generation: u32,
    operation: PlainArc<dyn Operation>,
    /// The result that came with "more" before the last completion. An operation that announces
    /// more (`SEND_ZC`) reports its result first and the end of its use of the memory last.
    result: Option<i32>,
}

/// See the module text.
#[derive(Default)]
pub(crate) struct Table {
    entries: Slab<Entry>,
    /// The generation of the next entry.
    generation: u32,
}

/// An operation that has ended. To be [completed](Self::complete) when no lock or borrow is held:
/// waking runs code of the executor, and dropping what a goroutine owned may come back here.
#[must_use = "the operation's future waits"]
pub(crate) struct Finished {
    operation: PlainArc<dyn Operation>,
    result: i32,
}

impl Finished {
    /// Hands the result over, drops the table's reference, and wakes who waits.
    pub(crate) fn complete(self) {
        self.operation.complete(self.result);
    }
}

impl Table {
    /// Makes an entry and gives what is to be submitted; `None` if the operation's future has been
    /// dropped meanwhile.
    pub(crate) fn insert(&mut self, operation: PlainArc<dyn Operation>) -> Option<(Key, Request)> {
        let generation = self.generation;
        let vacant = self.entries.vacant_entry();
        let key = Key::new(Kind::Operation, vacant.key(), generation);
        let request = operation.start(key)?;
        self.generation = generation.wrapping_add(1);
        vacant.insert(Entry {
            generation,
            operation,
            result: None,
        });
        Some((key, request))
    }

    /// Takes note of a completion. `Some` if it was the operation's last one.
    pub(crate) fn complete(&mut self, key: Key, result: i32, more: bool) -> Option<Finished> {
        let entry = self.entry(key)?;
        let result = *entry.result.get_or_insert(result);
        if more {
            return None;
        }
        let operation = self.entries.remove(key.index()).operation;
        Some(Finished { operation, result })
    }

    /// The key under which to cancel `operation`; `None` if nothing of it is in flight here.
    pub(crate) fn cancel(&mut self, operation: &dyn Operation) -> Option<Key> {
        let key = operation.key()?;
        self.entry(key).map(|_| key)
    }

    /// The keys of what is in flight.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let key =
            |(index, entry): (usize, &Entry)| Key::new(Kind::Operation, index, entry.generation);
        self.entries.iter().map(key)
    }

    /// True if nothing is in flight: the ring may be closed.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many operations are in flight.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Gives up on the operations in flight, because the ring will not be reaped any more: their
    /// futures end with an error, and their memory is leaked, for the kernel may still write to it.
    pub(crate) fn leak(self) {
        for (_, entry) in self.entries {
            entry.operation.lose();
            std::mem::forget(entry.operation);
        }
    }

    fn entry(&mut self, key: Key) -> Option<&mut Entry> {
        let stale = seeded::bug("table.no_generation");
        self.entries
            .get_mut(key.index())
            .filter(|entry| stale || entry.generation == key.generation())
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("in_flight", &self.entries.len())
            .finish_non_exhaustive()
    }
}
