//! The operations that wait in a channel: a vector of waiters, two FIFO lists and a free list in it.
//!
//! A waiter is made by the operation that parks and removed by that same operation, when it is
//! polled after completion or dropped; partners only take it off its list and complete it. So a
//! key stays valid as long as its owner holds it, and the memory is reused for ever.
//!
//! The crate slab would do, but its entries are moved in and out by value; here a waiter is filled
//! and emptied in place, which shows in every hand-over.
//!
//! The owner finds its outcome under the lock, which is a third locking for each rendezvous. One that
//! were free would take 6 to 7 % off a rendezvous on one worker, measured with a lock that is none. To
//! do without, phase and value must lie in memory of their own that never moves, under unsafe code, and
//! slots that owners have left without the lock must be found again; a first version of that needed as
//! many instructions more as it saved.
//!
//! ```text
//!   Queued --partner: dequeue + complete--> Done     value taken (send), given (receive), place held
//!   Queued --close-----------------------> Closed    a sender finds its value still in the waiter
//!   Queued --dequeue found the select's claim lost--> Dead    another case of that select was served
//!   any    --owner: take or remove-------> Free      its slot may become another waiter
//! ```
//!
//! Must not: run under anything but the channel's lock; clone, wake or drop a waker or a value
//! (they are moved out to the caller, who does so after unlocking).

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

use gorin_base::primitive::PlainArc;
use gorin_base::{mishap, seeded};

use crate::claim::{Claim, TryClaim};

/// Names a waiter of one channel, as long as its owner has not removed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key(pub(crate) u32);

impl Key {
    /// The number of no key, nor is the one below it.
    pub(crate) const NONE: u32 = NIL;

    /// The slot, which tells the waiters of one channel apart.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// No waiter: the end of a list.
const NIL: u32 = u32::MAX;

/// Which list a waiter stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Send,
    Receive,
    /// Of those who wait for nothing but the end.
    End,
}

/// What a waiter waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wants {
    /// A receiver: to be given a value.
    Value,
    /// A sender: to have its value taken.
    Taker,
    /// A reservation: a place in the buffer.
    Place,
    /// A sender that wants to know when the channel is closed.
    End,
}

impl Wants {
    pub(crate) fn side(self) -> Side {
        match self {
            Wants::Value => Side::Receive,
            Wants::Taker | Wants::Place => Side::Send,
            Wants::End => Side::End,
        }
    }
}

/// Where a waiter stands; the module text has the edges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// In its list.
    Queued,
    /// Served by a partner.
    Done,
    /// Ended by close.
    Closed,
    /// No waiter: the slot is in the free list.
    Free,
    /// Taken off its list without result: another case of its select was served, or its owner
    /// recalled it.
    Dead,
}

/// The duty to wake whoever was just completed, once the lock is released.
#[derive(Debug)]
#[must_use = "a completed waiter that nobody wakes sleeps for ever"]
pub struct Wakeup(Waker);

impl Wakeup {
    /// Wakes whoever there is to wake.
    #[inline]
    pub(crate) fn wake_any(wakeup: Option<Self>) {
        if let Some(wakeup) = wakeup {
            wakeup.wake();
        }
    }

    #[inline]
    pub(crate) fn wake(self) {
        if !seeded::bug("waiter.nobody_woken") {
            self.0.wake();
        }
    }

    /// Wakes all of `those`. If a waker panics the others are woken all the same, and then it panics.
    pub(crate) fn wake_all(those: impl IntoIterator<Item = Self>) {
        let mut first = None;
        for one in those {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| one.wake())) {
                match first {
                    None => first = Some(payload),
                    Some(_) => mishap::discard(payload),
                }
            }
        }
        if let Some(payload) = first {
            resume_unwind(payload);
        }
    }
}

/// One operation in line.
#[derive(Debug)]
pub(crate) struct Waiter<T> {
    /// Of a single operation, until somebody has the duty to wake it.
    pub(crate) waker: Option<Waker>,
    /// Of a case of a select, until somebody has the duty to wake it.
    claim: Option<PlainArc<Claim>>,
    /// A sender's value until it is taken; a receiver's from when it is given.
    pub(crate) value: Option<T>,
    /// For a given value: its number in the order of hand-overs.
    pub(crate) ticket: u64,
    /// The case, if there is a claim.
    case: u32,
    prev: u32,
    /// The next in the list of its side, or in the free list.
    next: u32,
    pub(crate) phase: Phase,
    pub(crate) wants: Wants,
}

/// How a waiter ended.
#[derive(Debug)]
pub struct Outcome<T> {
    pub(crate) phase: Phase,
    pub(crate) value: Option<T>,
}

/// What was in a waiter whose operation gave up.
#[derive(Debug)]
pub struct Removed<T> {
    pub(crate) phase: Phase,
    pub(crate) value: Option<T>,
    pub(crate) ticket: u64,
    /// Only to be dropped, when no lock is held.
    _waker: Option<Waker>,
    _claim: Option<PlainArc<Claim>>,
}

#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

const EMPTY: List = List {
    head: NIL,
    tail: NIL,
};

#[derive(Debug)]
pub(crate) struct Waiters<T> {
    slots: Vec<Waiter<T>>,
    senders: List,
    receivers: List,
    ends: List,
    /// The first free slot.
    free: u32,
}

impl<T> Waiters<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            senders: EMPTY,
            receivers: EMPTY,
            ends: EMPTY,
            free: NIL,
        }
    }

    #[inline]
    fn slot(&mut self, index: u32) -> &mut Waiter<T> {
        &mut self.slots[index as usize]
    }

    #[inline]
    fn list(&mut self, side: Side) -> &mut List {
        match side {
            Side::Send => &mut self.senders,
            Side::Receive => &mut self.receivers,
            Side::End => &mut self.ends,
        }
    }

    /// The waiter that stands in the list of `side` longest.
    #[inline]
    fn first(&self, side: Side) -> u32 {
        let list = match side {
            Side::Send => self.senders,
            Side::Receive => self.receivers,
            Side::End => self.ends,
        };
        list.head
    }

    /// The key of that waiter, if there is one.
    #[inline]
    pub(crate) fn first_key(&self, side: Side) -> Option<Key> {
        let first = self.first(side);
        (first != NIL).then_some(Key(first))
    }

    /// True if no waiter stands in the list of `side`.
    #[inline]
    pub(crate) fn is_empty(&self, side: Side) -> bool {
        self.first(side) == NIL
    }

    /// The waiter that has stood longest in the list of `side`.
    pub(crate) fn head(&self, side: Side) -> Option<&Waiter<T>> {
        self.slots.get(self.first(side) as usize)
    }

    /// Puts a new waiter at the end of its list; the caller says whom to wake, by its `waker` or by
    /// [`set_claim`](Self::set_claim), before it unlocks.
    #[inline(always)]
    pub(crate) fn push(&mut self, wants: Wants, value: Option<T>, waker: Option<Waker>) -> Key {
        if self.free == NIL {
            self.add_slot(wants);
        }
        let index = self.free;
        let list = self.list(wants.side());
        let prev = list.tail;
        list.tail = index;
        if prev == NIL {
            list.head = index;
        } else {
            self.slot(prev).next = index;
        }
        let slot = self.slot(index);
        slot.waker = waker;
        slot.value = value;
        slot.prev = prev;
        slot.phase = Phase::Queued;
        slot.wants = wants;
        let next_free = std::mem::replace(&mut slot.next, NIL);
        self.free = next_free;
        Key(index)
    }

    /// One more free slot.
    #[cold]
    fn add_slot(&mut self, wants: Wants) {
        let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 operations wait");
        assert!(index < Key::NONE - 1, "fewer than 2^32 operations wait");
        self.slots.push(Waiter {
            waker: None,
            claim: None,
            value: None,
            ticket: 0,
            case: 0,
            prev: NIL,
            next: self.free,
            phase: Phase::Free,
            wants,
        });
        self.free = index;
    }

    /// The new waiter is a case of a select.
    pub(crate) fn set_claim(&mut self, key: Key, claim: PlainArc<Claim>, case: usize) {
        let slot = self.slot(key.0);
        slot.claim = Some(claim);
        slot.case = u32::try_from(case).expect("fewer than 2^32 cases");
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> &mut Waiter<T> {
        self.slot(key.0)
    }

    /// Takes the outcome of a waiter that stands in no list, and frees it.
    #[inline(always)]
    pub(crate) fn take(&mut self, key: Key) -> Outcome<T> {
        let free = self.free;
        let waiter = self.slot(key.0);
        // Otherwise a waker would be dropped under the lock when the slot is filled again.
        debug_assert!(waiter.waker.is_none() && waiter.claim.is_none());
        let outcome = Outcome {
            phase: waiter.phase,
            value: waiter.value.take(),
        };
        waiter.phase = Phase::Free;
        waiter.next = free;
        self.free = key.0;
        outcome
    }

    /// Frees a waiter, off its list too if it still stands there. What was in it comes out, to be
    /// dropped by the caller after unlocking.
    pub(crate) fn remove(&mut self, key: Key) -> Removed<T> {
        let phase = self.slot(key.0).phase;
        self.unlink_if_queued(key);
        let waiter = self.slot(key.0);
        let (waker, claim) = (waiter.waker.take(), waiter.claim.take());
        let ticket = waiter.ticket;
        let value = self.take(key).value;
        Removed {
            phase,
            value,
            ticket,
            _waker: waker,
            _claim: claim,
        }
    }

    /// Takes the waiter off its list if it still stands there; it stays a waiter.
    pub(crate) fn unlink_if_queued(&mut self, key: Key) {
        if self.slot(key.0).phase == Phase::Queued {
            self.unlink(key.0);
            self.slot(key.0).phase = Phase::Dead;
        }
    }

    #[inline(always)]
    fn unlink(&mut self, index: u32) {
        let waiter = self.slot(index);
        let (prev, next, side) = (waiter.prev, waiter.next, waiter.wants.side());
        if prev == NIL {
            self.list(side).head = next;
        } else {
            self.slot(prev).next = next;
        }
        if next == NIL {
            self.list(side).tail = prev;
        } else {
            self.slot(next).prev = prev;
        }
    }

    /// Takes the first waiter of `side` off its list that `suits` and is free to be served; a
    /// select's waiter is free if this call wins its claim. The caller completes it.
    #[inline(always)]
    pub(crate) fn dequeue(
        &mut self,
        side: Side,
        suits: impl Fn(Wants) -> bool,
    ) -> Option<&mut Waiter<T>> {
        let first = self.list(side).head;
        let Some(waiter) = self.slots.get(first as usize) else {
            return None; // NIL
        };
        let index = if waiter.claim.is_none()
            && suits(waiter.wants)
            && !seeded::bug("waiter.last_come_first_served")
        {
            // The commonest case: no select, and nobody to pass by.
            let next = waiter.next;
            self.list(side).head = next;
            if next == NIL {
                self.list(side).tail = NIL;
            } else {
                self.slot(next).prev = NIL;
            }
            first
        } else {
            self.dequeue_claimed(side, suits)?
        };
        Some(self.slot(index))
    }

    /// As [`dequeue`](Self::dequeue), with selects in the list or waiters that do not suit.
    #[inline(never)]
    fn dequeue_claimed(&mut self, side: Side, suits: impl Fn(Wants) -> bool) -> Option<u32> {
        let mut index = self.list(side).head;
        if seeded::bug("waiter.last_come_first_served") {
            index = self.list(side).tail;
        }
        while index != NIL {
            let waiter = &self.slots[index as usize];
            let next = waiter.next;
            if suits(waiter.wants) {
                match waiter.try_claim() {
                    TryClaim::Won => {
                        self.unlink(index);
                        return Some(index);
                    }
                    TryClaim::Lost => {
                        self.unlink(index);
                        self.slot(index).phase = Phase::Dead;
                    }
                    TryClaim::Absent => {}
                }
            }
            index = next;
        }
        None
    }

    /// True if [`dequeue`](Self::dequeue) would find a waiter, unless its claim is lost meanwhile.
    pub(crate) fn any_free(&self, side: Side, suits: impl Fn(Wants) -> bool) -> bool {
        let mut index = self.first(side);
        while index != NIL {
            let waiter = &self.slots[index as usize];
            if suits(waiter.wants) && waiter.is_free() {
                return true;
            }
            index = waiter.next;
        }
        false
    }

    /// Waiters that exist, in line or not.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let in_use = |waiter: &&Waiter<T>| waiter.phase != Phase::Free;
        self.slots.iter().filter(in_use).count()
    }

    /// Values that were given to receivers which have not taken them yet.
    pub(crate) fn in_hand(&self) -> usize {
        let given = |waiter: &&Waiter<T>| waiter.wants == Wants::Value && waiter.value.is_some();
        self.slots.iter().filter(given).count()
    }

    /// True if an operation that can only be waiting (no select) is among the first of `side` and
    /// `suits`. For the invariants, in debug builds.
    pub(crate) fn plain_waits(&self, side: Side, suits: impl Fn(Wants) -> bool) -> bool {
        const LOOK_AT: usize = 4;
        let mut index = self.first(side);
        for _ in 0..LOOK_AT {
            let Some(waiter) = self.slots.get(index as usize) else {
                return false;
            };
            if waiter.waker.is_some() && suits(waiter.wants) {
                return true;
            }
            index = waiter.next;
        }
        false
    }
}

impl<T> Waiter<T> {
    /// Marks a dequeued waiter as served and gives the duty to wake its owner to the caller.
    #[inline(always)]
    pub(crate) fn complete(&mut self, phase: Phase) -> Wakeup {
        self.phase = phase;
        match self.waker.take() {
            Some(waker) => Wakeup(waker),
            None => self.wake_claim(),
        }
    }

    /// Lets the owner look at what it waits for; it stays in line. Nothing if it has been called and has
    /// not looked since: it then has no waker here.
    pub(crate) fn call(&mut self) -> Option<Wakeup> {
        self.waker.take().map(Wakeup)
    }

    /// The value of a dequeued sender.
    #[inline(always)]
    pub(crate) fn take_value(&mut self) -> T {
        self.value.take().expect("a queued sender holds its value")
    }

    /// Whether it can be served now, for all one can see without doing it.
    fn is_free(&self) -> bool {
        self.claim.as_ref().is_none_or(|claim| claim.is_open())
    }

    #[inline]
    fn try_claim(&self) -> TryClaim {
        match &self.claim {
            None => TryClaim::Won,
            Some(claim) => claim.try_claim(self.case as usize),
        }
    }

    /// The duty to wake the select whose case this is.
    #[inline(never)]
    fn wake_claim(&mut self) -> Wakeup {
        let claim = self.claim.take().expect("a waiter is completed once");
        Wakeup(Waker::from(claim))
    }
}
