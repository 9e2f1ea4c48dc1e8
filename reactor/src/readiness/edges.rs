//! Waiting by edges: readiness for drivers that register a socket once, for both directions.
//!
//! An edge-triggered set (`poller.rs`) tells of each change once, to whoever asks first. What it
//! tells is counted in the word of the direction; who waits says which count it saw before its call:
//!
//! ```text
//! reader                                     any worker, for an event of the set
//!   seen = observe()                           edge(): generation + 1, WAITED taken away
//!   recv() would block                                 wake all waiters if it was there
//!   wait(seen): listed, then
//!     generation == seen ? set WAITED, sleep
//!     else: something came, try again
//! ```
//!
//! | field of the word | here |
//! |---|---|
//! | generation | edges so far; moves on, too, when the slot gets its next socket |
//! | owner, ARMED | unused: the set belongs to no worker, and nothing is in flight |
//! | WAITED | somebody waits for the next edge |
//! | HUNG_UP | the end of the stream, an error or urgent data was among the edges of this socket |
//! | CLOSED | as with polls |
//!
//! # Invariants
//!
//! 1. *No edge is missed.* Each one moves the generation, whether anybody waits or not, and nobody
//!    waits for the next one but with the generation from before a call that found nothing. So if the
//!    socket has become ready since that call, its edge is either counted already or will be seen.
//! 2. *Readers do not rob each other.* There is no "ready" bit that the first one could take: each
//!    compares what it has seen itself.
//! 3. *A short read hides nothing.* That a read of a TCP stream came short shows that it was empty
//!    after the edges seen before it, except for an end or error, which tells of itself once, and
//!    urgent data, before which reads end: where one has come, a hint is not believed. Nor is it for
//!    anything else, whose reads end at boundaries (`socket/edges.rs`).
//! 4. *The last worker leaves nobody waiting.* It sets `ended`, then moves every word on; who waits
//!    sets WAITED, then looks at `ended`. All of these are read-modify-writes of the same word, so
//!    one of them sees the other.
//!
//! A stale event (of a socket that is gone, for the slot's next one) is one edge too many: it costs
//! a call that finds nothing. So events carry no generation.

use std::task::Waker;

use gorin_base::primitive::Ordering;
use gorin_base::seeded;

use super::slot::Side;
use super::table::{Table, locate};
use super::word::{GENERATION_SHIFT, HUNG_UP, WAITED, Word, key_of};
use crate::driver::Direction;
use crate::key::Key;

/// What an event says about one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// Data or room has come.
    Ready = 0,
    /// The end of the stream, an error, or urgent data: nothing tells of it again.
    HungUp = 1,
}

/// The key under which drivers report an edge of `direction` of slot `index`; the result is the
/// [`Edge`].
pub(crate) fn key(index: usize, direction: Direction) -> Key {
    key_of(index, direction, 0)
}

/// Edges of one direction that were counted before a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen(u32);

impl Seen {
    pub(crate) fn from_bits(bits: u32) -> Seen {
        Seen(bits)
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }
}

/// Why somebody wants to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A call has found nothing.
    Blocked,
    /// A read came short, so the next one would find nothing.
    Short,
}

/// What [`Table::wait_edge`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The waiter is listed: the next edge wakes it.
    Listed,
    /// Something has come since: to be tried again.
    Again,
    /// The socket has been closed.
    Closed,
    /// No worker is left that would see an edge.
    Ended,
}

impl<R> Table<R> {
    /// To be called before a call that may block.
    pub(crate) fn observe(&self, index: usize, direction: Direction) -> Seen {
        let order = if seeded::bug("edges.observe_relaxed") {
            Ordering::Relaxed
        } else {
            // Pairs with the release in `Side::advance`: who has counted an edge finds what it
            // tells of.
            Ordering::Acquire
        };
        Seen(Word(self.slot(index).side(direction).word.load(order)).generation())
    }

    /// Lists `waker` as number `id` (see [`Waiters::add`](crate::waiters::Waiters::add)) until the
    /// edge after `seen`. To be called by a holder of the socket's pin.
    pub(crate) fn wait_edge(
        &self,
        index: usize,
        direction: Direction,
        id: usize,
        waker: &Waker,
        seen: Seen,
        reason: Reason,
    ) -> Waiting {
        let late = seeded::bug("edges.list_after_look");
        if !late {
            self.list(index, direction, id, waker);
        }
        let found = self.look(index, direction, seen, reason);
        if late {
            self.list(index, direction, id, waker);
        }
        found
    }

    fn look(&self, index: usize, direction: Direction, seen: Seen, reason: Reason) -> Waiting {
        let side = self.slot(index).side(direction);
        let mut word = side.load();
        loop {
            if word.is_closed() && !seeded::bug("edges.wait_after_close") {
                return Waiting::Closed;
            }
            let hint = reason == Reason::Short && word.0 & HUNG_UP != 0;
            if word.generation() != seen.0 {
                if seeded::bug("edges.first_takes_the_edge") {
                    side.word.fetch_sub(1 << GENERATION_SHIFT, Ordering::AcqRel);
                }
                return Waiting::Again;
            }
            if hint && !seeded::bug("edges.hint_hides_the_end") {
                return Waiting::Again;
            }
            // Acquire: invariant 4, pairs with the release of the last worker's move.
            let exchanged = side.word.compare_exchange_weak(
                word.0,
                word.0 | WAITED,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            match exchanged {
                Ok(_) => break,
                Err(now) => word = Word(now),
            }
        }
        // Relaxed: ordered by the exchange.
        if self.ended.load(Ordering::Relaxed) && !seeded::bug("edges.waits_for_nobody") {
            return Waiting::Ended;
        }
        Waiting::Listed
    }

    /// Counts an edge and wakes who waits for it. By whoever was told, for any index that was ever
    /// given out.
    pub(crate) fn edge(&self, index: usize, direction: Direction, edge: Edge) {
        let side = self.slot(index).side(direction);
        let also = match edge {
            Edge::Ready => 0,
            Edge::HungUp => HUNG_UP,
        };
        if side.advance(also) {
            side.wake();
        }
    }

    /// For the last worker: whoever waits is woken, and nobody waits any more.
    pub(crate) fn end_edges(&self) {
        let first = !seeded::bug("edges.end_told_too_late");
        if first {
            // Relaxed: released by the moves below, and by the lock for slots that are new.
            self.ended.store(true, Ordering::Relaxed);
        }
        let used = self.free.lock().fresh as usize;
        for index in 0..used {
            let (chunk, place) = locate(index);
            // Made here if it is not there yet, so that who uses it comes later.
            for side in self.chunk(chunk)[place].sides() {
                if side.advance(0) {
                    side.wake();
                }
            }
        }
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Side {
    /// Moves the generation on and takes WAITED away; true if it was there.
    fn advance(&self, also: u64) -> bool {
        let step = if seeded::bug("edges.uncounted_without_waiter") && !self.load().is_waited() {
            0
        } else {
            1 << GENERATION_SHIFT
        };
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            // The generation is in the highest bits: what overflows is gone.
            let next = (word.wrapping_add(step) | also) & !WAITED;
            let exchanged = self.word.compare_exchange_weak(
                word,
                next,
                // Release: `observe`; Acquire and Release: invariant 4.
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            match exchanged {
                Ok(_) => return word & WAITED != 0,
                Err(now) => word = now,
            }
        }
    }
}

#[cfg(test)]
mod models;
