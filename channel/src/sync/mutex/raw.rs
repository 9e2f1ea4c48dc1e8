//! A mutex without data: who holds it, who stands in line, who gets it next.
//!
//! As in Go a running goroutine does not hand the lock to a sleeping one: unlocking makes it free and
//! *calls* the first in line, and until that one looks anybody may take it (barging). But who has been
//! called and has lost that race is *handed* the lock at the next unlock: it never becomes free in between.
//!
//! ```text
//!   free   --lock, try_lock: take------------------> held
//!   held   --unlock, nobody in line----------------> free
//!   held   --unlock, the first has lost no race----> free, and the first is called
//!   held   --unlock, the first has lost a race-----> held, by the first
//!   called --looks: free---------------------------> held, and it is out of the line
//!   called --looks: held---------------------------> in line as before, with one race lost
//! ```
//!
//! Invariants:
//!
//! 1. free, and somebody stands in line ⇒ the first in line is called, so somebody will look;
//! 2. the first has lost as many races as it may ⇒ the lock is held, so nobody can come before it;
//! 3. only the first in line is ever called, and one at a time.
//!
//! All of it is one state under one lock of the kind that channels have. Taking that and releasing it is one
//! read-modify-write, as is a state word with a lock for the line behind it; this has no word to be right about.
//!
//! Go counts time: who has waited 1 ms is handed the lock. Here lost races are counted, because what
//! harms who waits is to be woken for nothing: it comes in for sure the second time, be the holder's
//! critical sections of nanoseconds or of seconds, with no clock to be read. And each order that
//! barging makes possible is explored by loom and by `gorin::model`, which time would have to be kept from.
//!
//! Rejected: event-listener for the line. It wakes under a lock of its own, so a waker that comes back to its
//! mutex would hang; and loom has not come to an end on a channel made of it where a third thread drops its
//! wait. Rejected: a channel with one permit, as in [`Semaphore`](crate::sync::Semaphore): it always hands
//! over, so that each in turn waits for a sleeping one to be scheduled.
//!
//! Must not: clone, wake or drop a waker under its lock.

use std::panic::Location;
use std::task::{Context, Poll, Waker, ready};

use gorin_base::hook::{self, Access, Site, Wait as HookWait};
use gorin_base::primitive::unwinding;
use gorin_base::{const_unless_loom, coop, id, seeded};

use crate::lock::Lock;
use crate::waiter::{Key, Phase, Removed, Side, Waiters, Wakeup, Wants};

/// What a report calls waiting for a mutex.
const LOCK: &str = "Mutex lock";

/// Races that the first in line may lose before it is handed the lock.
const RACES: u32 = 1;

/// See the module text.
pub(super) struct Raw {
    id: id::Lazy,
    state: Lock<State>,
}

/// A mutex, under its lock.
struct State {
    /// By a guard, or by somebody who was handed it and does not know yet.
    held: bool,
    /// Races that the first in line has lost.
    lost: u32,
    /// All on the side of receivers; what they wait for has no value. One that is called has no waker.
    line: Waiters<()>,
}

impl State {
    /// Takes the lock if it is free.
    #[inline]
    fn take(&mut self) -> bool {
        !std::mem::replace(&mut self.held, true)
    }

    /// The holder is done.
    #[inline]
    fn release(&mut self) -> Option<Wakeup> {
        if self.lost >= RACES {
            return self.hand_over();
        }
        self.held = false;
        if seeded::bug("mutex.unlock_calls_nobody") {
            return None;
        }
        self.call()
    }

    /// The first in line has lost races enough.
    #[cold]
    fn hand_over(&mut self) -> Option<Wakeup> {
        self.lost = 0;
        self.held = !seeded::bug("mutex.free_when_handed_over");
        let first = self.line.dequeue(Side::Receive, |_| true)?;
        Some(first.complete(Phase::Done))
    }

    /// Lets the first in line look, unless it has yet to look.
    #[inline]
    fn call(&mut self) -> Option<Wakeup> {
        let first = self.line.first_key(Side::Receive)?;
        self.line.get_mut(first).call()
    }

    /// One in line looks whether it can have the lock; if so it leaves the line.
    fn take_in_line(&mut self, key: Key) -> bool {
        let waiter = self.line.get_mut(key);
        if waiter.phase == Phase::Done {
            self.line.take(key);
            return true;
        }
        // Who was not called does not take it: others are before it.
        let takes = waiter.waker.is_none() && self.take();
        if takes {
            // It has no waker, which would be dropped here.
            self.line.unlink_if_queued(key);
            self.line.take(key);
            self.lost = 0;
        }
        takes
    }

    /// One that cannot have the lock goes on waiting; `waker` becomes what it had before.
    fn stay_in_line(&mut self, key: Key, waker: &mut Option<Waker>) {
        let waiter = self.line.get_mut(key);
        if waiter.waker.is_none() && !seeded::bug("mutex.lost_races_are_forgotten") {
            self.lost += 1;
        }
        if !seeded::bug("mutex.waker_not_replaced") {
            std::mem::swap(&mut waiter.waker, waker);
        }
    }

    /// One in line gives up: what it was given or called for is the next one's.
    fn leave(&mut self, key: Key) -> (Removed<()>, Option<Wakeup>) {
        let is_first = self.line.first_key(Side::Receive) == Some(key);
        let removed = self.line.remove(key);
        if is_first {
            self.lost = 0;
        }
        let wakeup = match removed.phase {
            Phase::Done if seeded::bug("mutex.handed_over_and_dropped") => None,
            Phase::Done => self.release(),
            _ if self.held || seeded::bug("mutex.called_and_dropped") => None,
            _ => self.call(),
        };
        (removed, wakeup)
    }

    fn is_called(&mut self, key: Key) -> bool {
        let waiter = self.line.get_mut(key);
        waiter.phase == Phase::Queued && waiter.waker.is_none()
    }

    fn will_wake(&mut self, key: Key, waker: &Waker) -> bool {
        let mine = &self.line.get_mut(key).waker;
        mine.as_ref().is_some_and(|mine| mine.will_wake(waker))
    }
}

impl Raw {
    const_unless_loom! {
        /// Nobody holds it.
        pub(super) const fn new(id: id::Lazy) -> Self {
            Self {
                id,
                state: Lock::new(State {
                    held: false,
                    lost: 0,
                    line: Waiters::new(),
                }),
            }
        }
    }

    #[inline]
    fn announce(&self, operation: &'static str, site: Site) {
        if hook::is_active() {
            hook::step(operation, self.id.get(), Access::Write, site);
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    #[track_caller]
    pub(super) fn try_lock(&self) -> bool {
        self.announce("Mutex try_lock", Location::caller());
        self.state.lock().take()
    }

    /// Whoever holds the lock gives it back.
    #[inline]
    #[track_caller]
    pub(super) fn unlock(&self) {
        if unwinding() {
            return;
        }
        self.announce("Mutex unlock", Location::caller());
        let mut state = self.state.lock();
        let wakeup = state.release();
        drop(state);
        Wakeup::wake_any(wakeup);
    }
}

/// One who wants the lock. Whoever owns it calls [`cancel`](Self::cancel) before dropping it.
#[derive(Debug)]
pub(super) struct Wait {
    place: Place,
    site: Site,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// It has not been polled, or had no budget then.
    Fresh,
    InLine(Key),
    /// It has got the lock.
    Ended,
}

impl Wait {
    #[inline]
    pub(super) fn new(site: Site) -> Self {
        Self {
            place: Place::Fresh,
            site,
        }
    }

    /// Ready when the lock is the caller's.
    #[inline]
    pub(super) fn poll(&mut self, raw: &Raw, cx: &mut Context<'_>) -> Poll<()> {
        ready!(coop::poll_ready(cx));
        if !matches!(self.place, Place::Fresh) {
            ready!(self.resume(raw, cx));
        } else {
            raw.announce(LOCK, self.site);
            if !raw.state.lock().take() {
                ready!(self.enter(raw, cx));
            }
        }
        self.place = Place::Ended;
        coop::spend();
        Poll::Ready(())
    }

    /// Stands in line, unless the lock has become free.
    #[inline(never)]
    fn enter(&mut self, raw: &Raw, cx: &mut Context<'_>) -> Poll<()> {
        // Cloned before the look that decides: a waker must not be cloned under the lock.
        let waker = cx.waker().clone();
        let mut state = raw.state.lock();
        if !seeded::bug("mutex.no_look_before_waiting") && state.take() {
            drop(state);
            drop(waker);
            return Poll::Ready(());
        }
        let key = state.line.push(Wants::Value, None, Some(waker));
        drop(state);
        self.place = Place::InLine(key);
        self.announce_wait(raw, key);
        Poll::Pending
    }

    /// A later poll: it was called, or handed the lock, or neither.
    #[inline(never)]
    fn resume(&mut self, raw: &Raw, cx: &mut Context<'_>) -> Poll<()> {
        let Place::InLine(key) = self.place else {
            panic!("a {LOCK} was polled after it had ended");
        };
        // One that is called races with all who come.
        let announced = !seeded::bug("mutex.called_takes_no_step");
        if hook::is_active() && announced && raw.state.lock().is_called(key) {
            raw.announce(LOCK, self.site);
        }
        let mut state = raw.state.lock();
        let mut has_it = state.take_in_line(key);
        if !has_it && !state.will_wake(key, cx.waker()) {
            drop(state);
            // Cloned before the lock, and what it replaces is dropped after it.
            let mut waker = Some(cx.waker().clone());
            state = raw.state.lock();
            has_it = !seeded::bug("mutex.no_second_look") && state.take_in_line(key);
            if !has_it {
                state.stay_in_line(key, &mut waker);
            }
            drop(state);
        } else {
            drop(state);
        }
        if hook::is_observed() {
            hook::unparked(raw.id.get(), key.index());
        }
        if has_it {
            return Poll::Ready(());
        }
        self.announce_wait(raw, key);
        Poll::Pending
    }

    fn announce_wait(&self, raw: &Raw, key: Key) {
        if hook::is_observed() {
            hook::parked(HookWait {
                operation: LOCK,
                object: raw.id.get(),
                key: key.index(),
                site: self.site,
            });
        }
    }

    /// Gives up: what it was given or called for is the next one's.
    #[inline]
    pub(super) fn cancel(&mut self, raw: &Raw) {
        if let Place::InLine(key) = self.place
            && !unwinding()
        {
            self.withdraw(raw, key);
        }
    }

    #[cold]
    fn withdraw(&mut self, raw: &Raw, key: Key) {
        self.place = Place::Ended;
        raw.announce("withdrawal", self.site);
        let mut state = raw.state.lock();
        let (removed, wakeup) = state.leave(key);
        drop(state);
        drop(removed);
        if hook::is_observed() {
            hook::unparked(raw.id.get(), key.index());
        }
        Wakeup::wake_any(wakeup);
    }
}
