//! Who waits for a socket, and on which ring: the readiness words.
//!
//! A socket has a slot with one word per direction. Whoever finds that a call would block adds its
//! waker to the direction's waiters and arms a one-shot poll, on its own ring if it is a worker. The
//! poll checks at submission, so nothing is missed between the call and the poll.
//!
//! # The word
//!
//! ```text
//! 63 ............ 32 | 31 ........ 16 | 15 ... 4 |    3    |   2    |   1    |   0
//!     generation     |     owner      |    0     | HUNG_UP | WAITED | CLOSED | ARMED
//! ```
//!
//! | transition | by | what moves |
//! |---|---|---|
//! | idle → armed | a waiter ([`Slot::arm`]) | generation + 1, owner |
//! | armed → idle ("ready") | the owner, for a completion of this generation ([`Table::complete`]) | |
//! | armed → armed elsewhere | a ring that rescues a hogged one's sockets ([`Table::evacuate`]) | generation + 1, owner |
//! | → closed | the socket's user ([`Table::close`]) | |
//! | closed → idle | the slot's next socket ([`Table::insert`]) | generation + 1 |
//!
//! Ready and idle are one state: waiters try their call before they arm, so that a bit which says
//! "ready" would be read by nobody. Drivers that share an epoll set arm nothing and use the word in
//! another way: `readiness/edges.rs`.
//!
//! # Invariants
//!
//! 1. *A completion counts only if its generation is armed.* The generation moves with every arm
//!    and evacuation and is never reset, not even when the slot is used for another socket: a stale
//!    completion finds another generation, or nothing armed.
//! 2. *The file is open as long as a poll may name it.* `pins` counts the socket itself and every
//!    poll that was armed and has not completed, whether stale, unsubmitted or still in a mailbox.
//!    Who arms pins first; the last completion, not the first, closes.
//! 3. *No waiter is forgotten.* A waiter is in the list before it looks at the word. If it finds
//!    the word armed, the completion that will take the list comes later; if not, it arms.
//! 4. No waker is cloned, woken or dropped under a lock; nor is a file closed.
//! 5. *One standing poll per socket* (`standing.rs`): `stands_on` names its ring, which whoever closes
//!    asks to cancel it. It has a pin of its own.
//! 6. Slots live as long as their table, which every ring of the reactor holds.
//!
//! | file | holds |
//! |---|---|
//! | `readiness/word.rs` | the word as a value, and the keys of polls |
//! | `readiness/slot.rs` | what one socket waits by, and the steps on it alone |
//! | `readiness/table.rs` | where slots are, their pins, their files |
//! | `readiness/evacuation.rs` | all polls of one ring: moved elsewhere, or given up |
//! | `readiness/edges.rs` | the other use of the word |
//!
//! None of them knows descriptors or rings: a socket's file is an `R`, a ring is a number.

use std::task::Waker;

use gorin_base::primitive::Ordering;
use gorin_base::seeded;

use crate::driver::Direction;
use crate::key::Key;

pub(crate) mod edges;
mod evacuation;
#[cfg(test)]
mod models;
mod slot;
mod table;
mod word;

pub(crate) use evacuation::Moved;
pub(crate) use table::Table;
pub(crate) use word::{MAX_OWNERS, key_of, place, standing_key};

use slot::{Slot, disarm};
use word::{CLOSED, Word, key};

/// What [`Slot::arm`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arm {
    /// A poll with this key is to be submitted, or [`Table::complete`] to be called.
    Submit(Key),
    /// A poll is armed already; its completion wakes all waiters.
    Already,
    /// The socket has been closed.
    Closed,
}

impl<R> Slot<R> {
    /// Why no waiter is forgotten (invariant 3): if this call finds the word armed, the exchange
    /// that ends that arming comes later in the word's order, and the completion takes the list's
    /// lock after it. Had its critical section come before our registration's, the lock would have
    /// made the exchange visible to our load.
    fn arm(&self, index: usize, direction: Direction, owner: usize) -> Arm {
        let side = self.side(direction);
        let mut word = side.load();
        loop {
            if word.is_closed() && !seeded::bug("readiness.arm_after_close") {
                return Arm::Closed;
            }
            if word.is_armed() {
                return Arm::Already;
            }
            let armed = Word::armed(word.next_generation(), owner);
            match side.exchange(word, armed) {
                Ok(()) => {
                    // The socket's own pin holds until this one is taken, and nobody completes the
                    // poll before it is submitted.
                    if !seeded::bug("readiness.no_pin") {
                        self.pins.fetch_add(1, Ordering::Relaxed);
                    }
                    return Arm::Submit(key(index, direction, armed));
                }
                Err(now) => word = now,
            }
        }
    }
}

impl<R> Table<R> {
    /// Waits for `direction` of a socket: adds `waker` to the waiters as number `id` (see
    /// [`Waiters::add`](crate::waiters::Waiters::add)), then arms a poll on ring `owner` unless one is armed. To be called by a
    /// holder of the socket's pin, after a call that would have blocked.
    pub(crate) fn wait(
        &self,
        index: usize,
        direction: Direction,
        id: usize,
        waker: &Waker,
        owner: usize,
    ) -> Arm {
        let slot = self.slot(index);
        if seeded::bug("readiness.arm_before_register") {
            let found = slot.arm(index, direction, owner);
            slot.side(direction).register(id, waker);
            return found;
        }
        slot.side(direction).register(id, waker);
        slot.arm(index, direction, owner)
    }

    /// Adds a waiter, as [`wait`](Self::wait) does, for what comes by [`wake`](Self::wake) alone: no
    /// poll is armed.
    pub(crate) fn list(&self, index: usize, direction: Direction, id: usize, waker: &Waker) {
        self.slot(index).side(direction).register(id, waker);
    }

    /// Takes waiter `id` out of the list, if it still is there.
    pub(crate) fn unregister(&self, index: usize, direction: Direction, id: usize) {
        self.slot(index).side(direction).unregister(id);
    }

    /// As [`unregister`](Self::unregister), for a waiter that has come by [`wait`](Self::wait) alone.
    ///
    /// It saw the word armed after it was in the list. If the word is idle now, that arming has ended, and
    /// who has ended it takes the whole list, or has taken it: nothing is left to do, at the cost of a wake
    /// for nothing if it has not yet. That spares a lock that would be one of three per wait.
    #[inline]
    pub(crate) fn leave(&self, index: usize, direction: Direction, id: usize) {
        let side = self.slot(index).side(direction);
        if side.load().is_armed() && !seeded::bug("readiness.stays_listed") {
            side.unregister(id);
        }
    }

    /// The owner's look before it submits the poll of a message: false if it is closed, stale or evacuated
    /// already. The caller then calls [`release`](Self::release) instead of submitting.
    pub(crate) fn is_wanted(&self, key: Key) -> bool {
        let (index, direction) = place(key);
        let word = self.slot(index).side(direction).load();
        word.is_armed() && !word.is_closed() && word.generation() == key.generation()
    }

    /// Takes note that the poll of `key` has completed, successfully or not: if it is the armed one,
    /// wakes all waiters, who try again. Takes the poll's pin away. True if it was the armed one.
    pub(crate) fn complete(&self, key: Key) -> bool {
        let (index, direction) = place(key);
        let slot = self.slot(index);
        let side = slot.side(direction);
        let counts = disarm(side, key.generation());
        if counts {
            side.wake();
        }
        self.release_slot(index, slot);
        counts
    }

    /// Lets ring `owner` have the socket's one standing poll, if no other ring has it: to be submitted
    /// under [`standing_key`]. By a worker that has just armed a poll of this socket.
    pub(crate) fn start_standing(&self, index: usize, owner: usize) -> bool {
        let slot = self.slot(index);
        let taken = if seeded::bug("readiness.two_standing") {
            let free = slot.stands_on.load(Ordering::Relaxed) == 0;
            if free {
                slot.stands_on.store(owner as u32 + 1, Ordering::Relaxed);
            }
            free
        } else {
            slot.stands_on
                .compare_exchange(0, owner as u32 + 1, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        };
        // The armed poll's pin holds until this one is taken.
        if taken && !seeded::bug("readiness.standing_unpinned") {
            slot.pins.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// The last completion of a standing poll, on the ring that had it.
    pub(crate) fn end_standing(&self, index: usize) {
        self.slot(index).stands_on.store(0, Ordering::Relaxed);
        self.release(index);
    }

    /// The ring that has a standing poll of the socket, and the poll's key.
    pub(crate) fn standing(&self, index: usize) -> Option<(usize, Key)> {
        let owner = self.slot(index).stands_on.load(Ordering::Relaxed);
        let owner = owner.checked_sub(1)?;
        Some((owner as usize, standing_key(index)))
    }

    /// Wakes all who wait for `direction`: they try again, and look whether they may still wait.
    pub(crate) fn wake(&self, index: usize, direction: Direction) {
        self.slot(index).side(direction).wake();
    }

    /// Closes both directions for good and wakes all waiters. Returns the polls that are armed, with
    /// the rings that own them: their completions are still to come.
    pub(crate) fn close(&self, index: usize) -> [Option<(usize, Key)>; 2] {
        let slot = self.slot(index);
        [Direction::Read, Direction::Write].map(|direction| {
            let side = slot.side(direction);
            let word = Word(side.word.fetch_or(CLOSED, Ordering::Relaxed));
            side.wake();
            word.is_armed()
                .then(|| (word.owner(), key(index, direction, word)))
        })
    }

    pub(crate) fn is_closed(&self, index: usize) -> bool {
        self.slot(index).side(Direction::Read).load().is_closed()
    }
}
