//! How a worker goes to sleep and how others end its sleep: one word per worker.
//!
//! # The word
//!
//! | bit | meaning | set by | cleared by |
//! |---|---|---|---|
//! | `TASK` | the future in `block_on` was woken | any thread | the owner, before it polls the future |
//! | `MAIL` | the mailbox or the timers need a look | any thread | the owner, before it looks |
//! | `ASLEEP` | the owner sleeps, or is about to, and must be rung | the owner | the owner |
//! | `DEAD` | the owner is gone for good: ringing is forbidden | the owner, once | nobody |
//!
//! *Running* is a word without `ASLEEP`, *parked* is `ASLEEP` alone, *notified* is `ASLEEP` with
//! `TASK` or `MAIL`. An owner that polls before it sleeps stays running and watches the word: it is
//! notified without a system call, and no state has to be added for it.
//!
//! # Invariants
//!
//! 1. *No wake is lost.* The owner enters its sleep only by a change of the whole word from 0 to
//!    `ASLEEP`: a bit set before makes that change fail, a bit set after sees `ASLEEP`. Both are
//!    read-modify-writes of the same word, so no fence is needed.
//! 2. *One system call per transition.* Whoever changes *parked* to *notified* rings the bell, and
//!    nobody else does; wakes of a running or notified owner cost one atomic operation.
//! 3. *The bell is rung only for an owner that waits for it.* [`Signal::wake_up`] tells the owner
//!    whether a bell was or is being rung for the sleep that ended, so that it can wait for the last
//!    one before it closes what bells go to. After [`Signal::close`] no bell is rung: wakers that
//!    outlive the worker are harmless.
//!
//! This file knows neither rings nor mailboxes.

use std::task::Wake;

use gorin_base::primitive::{AtomicU32, Ordering, PlainArc};
use gorin_base::seeded;

const TASK: u32 = 1;
const MAIL: u32 = 1 << 1;
const ASLEEP: u32 = 1 << 2;
const DEAD: u32 = 1 << 3;

/// The system call that ends a worker's sleep.
pub(crate) trait Bell: Send + Sync + 'static {
    /// Ends the owner's sleep, now or when it begins.
    fn ring(&self);
}

/// What the owner was woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// The future is to be polled.
    pub(crate) task: bool,
    /// The mailbox is to be served.
    pub(crate) mail: bool,
}

/// The sleep of one worker. See the module text.
#[derive(Debug)]
pub(crate) struct Signal<B> {
    /// The word of the module text. `notify` releases what the notifier wrote before; `take` and
    /// `wake_up` acquire it.
    word: AtomicU32,
    bell: B,
}

impl<B: Bell> Signal<B> {
    /// The signal of a running worker. Its bell is rung only after [`try_sleep`](Self::try_sleep).
    pub(crate) fn new(bell: B) -> Self {
        Self {
            word: AtomicU32::new(0),
            bell,
        }
    }

    pub(crate) fn bell(&self) -> &B {
        &self.bell
    }

    /// Makes the owner poll its future.
    pub(crate) fn notify_task(&self) {
        self.notify(TASK);
    }

    /// Makes the owner look at its mailbox.
    pub(crate) fn notify_mail(&self) {
        self.notify(MAIL);
    }

    fn notify(&self, what: u32) {
        let order = if seeded::bug("park.relaxed_notify") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        // A read-modify-write even if the bit is there: the owner that takes the bit must see what
        // this thread wrote before.
        let before = self.word.fetch_or(what, order);
        let parked = if seeded::bug("park.ring_again") {
            before & ASLEEP != 0
        } else {
            before == ASLEEP
        };
        if parked {
            self.bell.ring();
        }
    }

    /// Owner: true if there is anything to take.
    pub(crate) fn is_notified(&self) -> bool {
        // Relaxed: only a hint that saves the write in `take`.
        self.word.load(Ordering::Relaxed) & (TASK | MAIL) != 0
    }

    /// Owner: takes the notices given since the last call.
    pub(crate) fn take(&self) -> Notice {
        let word = if self.is_notified() {
            self.word.fetch_and(!(TASK | MAIL), Ordering::Acquire)
        } else {
            0
        };
        Notice {
            task: word & TASK != 0,
            mail: word & MAIL != 0,
        }
    }

    /// Owner: announces its sleep, or refuses because of a notice that is not yet taken.
    #[must_use]
    pub(crate) fn try_sleep(&self) -> bool {
        if seeded::bug("park.sleep_without_look") {
            self.word.fetch_or(ASLEEP, Ordering::Relaxed);
            return true;
        }
        // Relaxed: nothing is published; who sees `ASLEEP` only rings the bell.
        self.word
            .compare_exchange(0, ASLEEP, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Owner: ends the sleep. True if somebody rang the bell or is about to, exactly once.
    #[must_use]
    pub(crate) fn wake_up(&self) -> bool {
        let before = self.word.fetch_and(!ASLEEP, Ordering::Acquire);
        before & (TASK | MAIL) != 0
    }

    /// Owner, running: it will never sleep again; from now on wakes are without effect.
    pub(crate) fn close(&self) {
        self.word.fetch_or(DEAD, Ordering::Relaxed);
    }
}

impl<B: Bell> Wake for Signal<B> {
    fn wake(self: PlainArc<Self>) {
        self.notify_task();
    }

    fn wake_by_ref(self: &PlainArc<Self>) {
        self.notify_task();
    }
}

#[cfg(test)]
mod models;
