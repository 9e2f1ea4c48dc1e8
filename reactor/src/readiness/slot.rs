//! What one socket waits by: its two words, their waiters, its pins and its file.
//!
//! The steps on one slot that need nothing else; which of them follow each other, and why that is
//! enough, is said in `readiness.rs`, whose invariants 1, 2 and 4 they keep.

use std::task::Waker;

use gorin_base::primitive::{AtomicU32, AtomicU64, Mutex, Ordering, PlainArc};
use gorin_base::seeded;

use super::word::{ARMED, Word};
use crate::driver::Direction;
use crate::waiters::Waiters;

/// One direction of one slot.
#[derive(Debug)]
pub(super) struct Side {
    /// A [`Word`]. Written by waiters, the owner of the armed poll, rescuers and the closer, read by
    /// them. Its changes carry no data, and the list of waiters has its own lock, so most accesses
    /// are relaxed; the lock also makes invariant 3 hold (see `Slot::arm`).
    pub(super) word: AtomicU64,
    pub(super) waiters: Mutex<Waiters>,
}

impl Side {
    fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            waiters: Mutex::new(Waiters::default()),
        }
    }

    #[inline]
    pub(super) fn load(&self) -> Word {
        Word(self.word.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn exchange(&self, from: Word, to: Word) -> Result<(), Word> {
        self.word
            .compare_exchange_weak(from.0, to.0, Ordering::Relaxed, Ordering::Relaxed)
            .map(|_| ())
            .map_err(Word)
    }

    /// Makes the word that of a new socket: idle, in a generation of its own.
    pub(super) fn reopen(&self) {
        // Relaxed, but no mere store: a read-modify-write passes on what the last worker has released
        // (invariant 4 of `readiness/edges.rs`).
        let order = Ordering::Relaxed;
        let mut word = self.load();
        if seeded::bug("edges.reopened_by_store") {
            let open = Word::idle(word.next_generation());
            self.word.store(open.0, order);
            return;
        }
        loop {
            let open = Word::idle(word.next_generation());
            let exchanged =
                self.word
                    .compare_exchange_weak(word.0, open.0, order, Ordering::Relaxed);
            match exchanged {
                Ok(_) => return,
                Err(now) => word = Word(now),
            }
        }
    }

    /// Adds `waker` to the waiters as number `id`.
    #[inline]
    pub(super) fn register(&self, id: usize, waker: &Waker) {
        let waker = waker.clone();
        let replaced = self.waiters.lock().add(id, waker);
        drop(replaced);
    }

    /// Takes waiter `id` out of the list, if it still is there.
    #[inline]
    pub(super) fn unregister(&self, id: usize) {
        let removed = self.waiters.lock().remove(id);
        drop(removed);
    }

    /// Wakes all waiters, in their order.
    #[inline]
    pub(super) fn wake(&self) {
        let mut waiters = self.waiters.lock();
        let taken = waiters.take();
        if seeded::bug("readiness.wake_under_lock") {
            taken.wake();
            return;
        }
        drop(waiters);
        taken.wake();
    }
}

/// What one socket waits by. In two cache lines, of which reading takes the first and closing both.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Slot<R> {
    read: Side,
    /// Invariant 2. Written by whoever arms, completes or drops. The decrement releases what its
    /// thread did with the file, and the last one acquires it before it closes.
    pub(super) pins: AtomicU32,
    /// The ring with a standing poll (`standing.rs`) of this socket, plus one; or 0. Taken by a ring
    /// that submits one, given back by the same with its last completion, read by who closes;
    /// relaxed: an exchange decides who, and who closes comes after everybody who could submit one.
    pub(super) stands_on: AtomicU32,
    write: Side,
    /// `Some` while pinned.
    pub(super) file: Mutex<Option<PlainArc<R>>>,
}

#[cfg(not(loom))]
const _: () = {
    use gorin_base::prefetch::LINE;
    assert!(std::mem::offset_of!(Slot<()>, write) <= LINE && size_of::<Slot<()>>() == 2 * LINE);
};

impl<R> Slot<R> {
    pub(super) fn new() -> Self {
        Self {
            read: Side::new(),
            pins: AtomicU32::new(0),
            stands_on: AtomicU32::new(0),
            write: Side::new(),
            file: Mutex::new(None),
        }
    }

    #[inline]
    pub(super) fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    pub(super) fn sides(&self) -> [&Side; 2] {
        [&self.read, &self.write]
    }

    /// Adds a pin for who has none; fails if the slot is being freed.
    pub(super) fn try_pin(&self) -> bool {
        let mut pins = self.pins.load(Ordering::Relaxed);
        while pins > 0 {
            // Acquire: pairs with the release in `Table::insert`.
            match self.pins.compare_exchange_weak(
                pins,
                pins + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => pins = now,
            }
        }
        false
    }
}

/// Armed → idle, if `generation` is the armed one.
#[inline]
pub(super) fn disarm(side: &Side, generation: u32) -> bool {
    let mut word = side.load();
    let any = seeded::bug("readiness.stale_counts");
    while word.is_armed() && (word.generation() == generation || any) {
        match side.exchange(word, Word(word.0 & !ARMED)) {
            Ok(()) => return true,
            Err(now) => word = now,
        }
    }
    false
}
