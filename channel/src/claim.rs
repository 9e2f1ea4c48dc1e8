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

use std::fmt;
use std::task::{Wake, Waker};

use gorin_base::primitive::{AtomicUsize, Ordering, PlainArc};
use gorin_base::seeded;

use crate::lock::Lock;

const OPEN: usize = 0;
const POLLING: usize = 1;
const WITHDRAWN: usize = 2;
/// `CLAIMED + n`: case `n` has been served.
const CLAIMED: usize = 3;

/// What the owner finds in the word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// No case has been served.
    Waiting,
    /// This case has been served.
    Served(usize),
}

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
pub struct Claim {
    /// Written by partners (OPEN → CLAIMED, under the lock of the channel of that case) and by the
    /// owner (the other edges); read by both. A partner's AcqRel exchange pairs with the owner's
    /// Acquire load: after it the owner locks the case's channel, whose lock carries the data, so
    /// the word itself publishes only its own value.
    word: AtomicUsize,
    /// Set by the owner before it registers and on a re-poll with another waker; taken by the
    /// partner that won, after it has released its channel's lock. A leaf lock.
    waker: Lock<Option<Waker>>,
}

impl Claim {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicUsize::new(OPEN),
            waker: Lock::new(None),
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

    /// A partner asks without claiming.
    pub(crate) fn is_open(&self) -> bool {
        // Relaxed: a guess, which `try_claim` confirms or not.
        self.word.load(Ordering::Relaxed) == OPEN
    }

    /// The owner asks whether it has been served.
    pub(crate) fn status(&self) -> Status {
        // Acquire: pairs with the partner's exchange in `try_claim`.
        match self.word.load(Ordering::Acquire) {
            OPEN | POLLING | WITHDRAWN => Status::Waiting,
            served => Status::Served(served - CLAIMED),
        }
    }

    /// The owner says whom to wake. A partner that claimed before this found no waker and woke
    /// nobody, so the owner asks for the [`status`](Self::status) afterwards.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let current = self.waker.lock();
        if current.as_ref().is_some_and(|mine| mine.will_wake(waker)) {
            return;
        }
        drop(current);
        // Cloned before the lock is taken again, and the old one dropped after it is released.
        let fresh = Some(waker.clone());
        let old = std::mem::replace(&mut *self.waker.lock(), fresh);
        drop(old);
    }

    /// As [`set_waker`](Self::set_waker), for a claim that has not had a waker yet.
    pub(crate) fn set_first_waker(&self, waker: &Waker) {
        let waker = Some(waker.clone());
        let none = std::mem::replace(&mut *self.waker.lock(), waker);
        drop(none);
    }

    /// The owner is about to poll foreign futures: from now on partners pass it by.
    pub(crate) fn begin_polling(&self) -> Status {
        if seeded::bug("claim.open_while_polling") {
            return self.status();
        }
        // AcqRel: pairs with `try_claim`.
        match self
            .word
            .compare_exchange(OPEN, POLLING, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => Status::Waiting,
            Err(served) => Status::Served(served - CLAIMED),
        }
    }

    /// The owner waits again. Called under the locks of all its channels, after it has looked at
    /// them: a partner that came while it polled has been seen, a later one finds the word open.
    pub(crate) fn reopen(&self) {
        if seeded::bug("claim.open_while_polling") {
            return;
        }
        // Release: pairs with `try_claim`, although the locks order the two already. A plain store
        // is enough because only the owner leaves POLLING.
        self.word.store(OPEN, Ordering::Release);
    }

    /// The owner will not be served any more, unless it already is.
    pub(crate) fn withdraw(&self) -> Status {
        let mut word = self.word.load(Ordering::Acquire);
        while word == OPEN || word == POLLING {
            // AcqRel: pairs with `try_claim`.
            match self
                .word
                .compare_exchange(word, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Status::Waiting,
                Err(now) => word = now,
            }
        }
        self.status()
    }

    /// A claim for a select that is about to wait: one of this thread's used ones, or a new one.
    pub(crate) fn obtain() -> PlainArc<Self> {
        #[cfg(not(loom))]
        if let Ok(Some(mut used)) = SPARE.try_with(|spare| spare.borrow_mut().pop())
            && let Some(claim) = PlainArc::get_mut(&mut used)
        {
            *claim = Self::new();
            return used;
        }
        PlainArc::new(Self::new())
    }

    /// Keeps a claim whose waiters are all removed for a later select. A partner may hold it for
    /// some instructions yet; `obtain` checks. At the end of the thread there may be nothing to keep it
    /// in any more.
    pub(crate) fn release(this: PlainArc<Self>) {
        let waker = this.waker.lock().take();
        drop(waker);
        #[cfg(not(loom))]
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARES {
                spare.push(this);
            }
        });
    }
}

/// Claims that one thread keeps; a select allocates none as long as one is here.
#[cfg(not(loom))]
const SPARES: usize = 16;

// Not under loom: its objects must not outlive the execution that made them.
#[cfg(not(loom))]
std::thread_local! {
    static SPARE: std::cell::RefCell<Vec<PlainArc<Claim>>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// The partner that won wakes the owner; with no lock held. As a waker, so that a partner need not
/// know whether it served a select.
impl Wake for Claim {
    fn wake(self: PlainArc<Self>) {
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("word", &self.word)
            .finish_non_exhaustive()
    }
}
