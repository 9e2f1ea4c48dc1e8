//! The claim word: which of its cases a waiting select has been given.
//!
//! A select that waits has one waiter in each of its channels, and all of them share one `Claim`.
//! A partner that finds such a waiter may act on it only after it moved the word from OPEN to
//! `case + CLAIMED`; so two channels can never both serve the same select.
//!
//! ```text
//!   OPEN     --partner: try_claim(case)-----> CLAIMED + case    final: the case has taken effect
//!   OPEN     --owner: begin_polling---------> POLLING           partners treat the select as absent
//!   POLLING  --owner: reopen (all locks)----> OPEN
//!   OPEN, POLLING --owner: withdraw---------> WITHDRAWN         final: a foreign case won, or dropped
//! ```
//!
//! POLLING exists for cases that are foreign futures: polling one may make it `Ready`, and that
//! cannot be taken back; neither can a hand-over by a partner. While the owner polls, partners
//! must not commit. What they did instead (parked, closed, filled the buffer) the owner finds when
//! it looks at its channels again under all their locks, before it reopens.
//!
//! The waker sits here and not in the waiters: one clone per wait, however many cases.

use std::task::Waker;

use gorin_base::primitive::{AtomicUsize, Mutex, Ordering};
use gorin_base::seeded;

const OPEN: usize = 0;
const POLLING: usize = 1;
const WITHDRAWN: usize = 2;
/// `CLAIMED + n`: case `n` has been served.
const CLAIMED: usize = 3;

/// What a partner learns when it tries to serve a select.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TryClaim {
    /// The case is the partner's to complete.
    Won,
    /// Another case has been served, or the select has withdrawn: this waiter is dead.
    Lost,
    /// The select is polling a foreign future: skip it, it will look again by itself.
    Absent,
}

/// Shared by the waiters of one waiting select and its owner.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Written by partners (OPEN → CLAIMED, under the lock of the channel of that case) and by the
    /// owner (the other edges); read by both. A partner's AcqRel exchange pairs with the owner's
    /// Acquire load: after it the owner locks the case's channel, whose lock carries the data, so
    /// the word itself publishes only its own value.
    word: AtomicUsize,
    /// Set by the owner before it registers and on a re-poll with another waker; taken by the
    /// partner that won, after it has released its channel's lock. A leaf lock.
    waker: Mutex<Option<Waker>>,
}

impl Claim {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicUsize::new(OPEN),
            waker: Mutex::new(None),
        }
    }

    /// A partner, holding the lock of the channel of `case`, tries to serve it.
    pub(crate) fn try_claim(&self, case: usize) -> TryClaim {
        if seeded::bug("claim.load_then_store") {
            // Acquire and Release as below; the gap between them is the bug.
            if self.word.load(Ordering::Acquire) == OPEN {
                self.word.store(CLAIMED + case, Ordering::Release);
                return TryClaim::Won;
            }
            return TryClaim::Lost;
        }
        // AcqRel: pairs with the owner's loads and exchanges in this file.
        match self
            .word
            .compare_exchange(OPEN, CLAIMED + case, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => TryClaim::Won,
            Err(POLLING) => TryClaim::Absent,
            Err(_) => TryClaim::Lost,
        }
    }

    /// The partner that won wakes the owner; to be called with no lock held.
    pub(crate) fn wake(&self) {
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
