//! A guess, read without the lock, whether an operation will have to wait.
//!
//! An operation that waits needs a clone of its waker, and a waker must not be cloned under the
//! lock. Cloning it always would cost the operations that need not wait two atomic operations;
//! finding out under the lock first costs those that wait a second locking. So the last operation
//! leaves a note behind. Both ways are right whatever the note says: nothing may depend on it.
//!
//! Under loom the note is a choice of the model, so that both ways are explored and the note itself
//! multiplies no executions.

use crate::waiter::Wants;

#[cfg(not(loom))]
use gorin_base::primitive::{AtomicU8, Ordering};

/// A receive would wait.
pub(crate) const RECEIVE: u8 = 1;
/// A send or a reservation would wait.
pub(crate) const SEND: u8 = 2;

/// More values wait than a budget has operations; not for this note, but for the one who took a value.
pub(crate) const BACKLOG: u8 = 4;

/// What makes an operation that wants this wait.
#[inline(always)]
pub(crate) fn waits(wants: Wants) -> u8 {
    match wants {
        Wants::Value => RECEIVE,
        Wants::Taker | Wants::Place => SEND,
        Wants::End => 0,
    }
}

/// The note.
#[derive(Debug)]
pub(crate) struct Hint {
    /// Written under the channel's lock, read without it. Relaxed throughout: a stale or torn-off
    /// value costs time only.
    #[cfg(not(loom))]
    waits: AtomicU8,
}

impl Hint {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(not(loom))]
            waits: AtomicU8::new(0),
        }
    }

    /// Whether an operation that wants this is likely to wait.
    #[inline]
    pub(crate) fn will_wait(&self, wants: Wants) -> bool {
        #[cfg(not(loom))]
        {
            self.waits.load(Ordering::Relaxed) & waits(wants) != 0
        }
        #[cfg(loom)]
        {
            let _ = wants;
            gorin_base::rng::below(2) == 0
        }
    }

    /// Notes what the next operations will find.
    #[inline]
    pub(crate) fn set(&self, waits: u8) {
        #[cfg(not(loom))]
        self.waits.store(waits, Ordering::Relaxed);
        #[cfg(loom)]
        let _ = waits;
    }
}
