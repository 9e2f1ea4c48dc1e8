//! What a channel is, under its lock: buffer, places, waiters, and the steps between them.
//!
//! Each operation is one step here, in Go's order: *closed? → waiting partner → buffer → park*.
//! A partner is served directly: the sender puts its value into the waiting receiver (hand-over),
//! the receiver takes the waiting sender's value; whoever waited longest is served first.
//!
//! Invariants, for operations that wait plainly (a select that is polling a foreign future counts
//! as absent, and its own cases do not meet each other):
//!
//! 1. a receiver waits ⇒ nothing is buffered, and no sender waits with a value;
//! 2. a sender waits ⇒ the channel is open and every place is taken or reserved;
//! 3. every value is in exactly one of: a send operation, `buffer`, `returned`, a completed
//!    receive waiter, or a receiver's hands;
//! 4. `limit` and `floor`, by which a send or a receive sees at one look that it takes nothing but the
//!    buffer, never allow too much: they are set by whatever forbids it, and allow again late.
//!
//! `returned` holds values that were handed to a receiver which was cancelled before it looked.
//! They go before the buffer, in the order of their hand-over (`ticket`), and take no place of the
//! capacity: a channel may then hold more than its capacity.
//!
//! Must not: run user code. Values and wakers leave through the return values and are dropped or
//! woken by the caller after it unlocked.

use std::collections::VecDeque;
use std::task::Waker;

use gorin_base::primitive::PlainArc;
use gorin_base::{coop, seeded};

use crate::claim::Claim;
use crate::hint;
use crate::line::Line;
use crate::waiter::{Key, Phase, Side, Waiter, Waiters, Wakeup, Wants};

/// The outcome of a send that does not wait.
#[derive(Debug)]
pub(crate) enum Sent {
    /// The value is gone from the slot.
    Done(Option<Wakeup>),
    /// The value is still in the slot: nobody waits for it and there is no place.
    Full,
    /// The value is still in the slot: closed, or no receiver is left.
    Closed,
    /// The value is still in the slot: no memory for a longer buffer.
    NoMemory,
}

/// The outcome of a receive that does not wait.
#[derive(Debug)]
pub(crate) enum Received<T> {
    Value(T, Option<Wakeup>),
    /// Nothing there, now.
    Empty,
    /// Closed and drained.
    Closed,
}

/// A channel, under its lock. What an operation needs that finds all it wants in the buffer comes
/// first: with the lock itself it fills one cache line (`chan.rs`).
#[expect(missing_debug_implementations, reason = "seen only under the lock")]
#[repr(C)]
pub struct State<T> {
    buffer: VecDeque<T>,
    /// A send needs nothing but the buffer while this holds more values than are buffered. 0 if it
    /// is closed or a receiver waits.
    limit: usize,
    /// A receive needs nothing but the buffer while more values than this are buffered. `usize::MAX`
    /// if a sender waits or a value has been put back.
    floor: usize,
    pub(crate) waiters: Waiters<T>,
    capacity: usize,
    /// Places held by permits and by reservations not yet picked up.
    reserved: usize,
    next_ticket: u64,
    returned: VecDeque<(u64, T)>,
    /// A value is put back only where fewer than this are there.
    pub(crate) most: usize,
    closed: bool,
    /// Of the last [`refresh`](Self::refresh).
    waits: u8,
    pub(crate) senders: usize,
    pub(crate) receivers: usize,
}

/// What came out of a receive that was recalled: somebody to wake, the rest to be dropped, without
/// the lock.
pub(crate) struct Recalled<T> {
    pub(crate) wakeup: Option<Wakeup>,
    _orphan: Option<T>,
    _waker: Option<Waker>,
}

/// What is left of a channel whose last receiver is gone; to be dropped without the lock.
pub(crate) struct Leftover<T> {
    buffer: VecDeque<T>,
    returned: VecDeque<(u64, T)>,
}

impl<T> Leftover<T> {
    /// How many values there are that somebody might have wanted: what has no size is a signal.
    pub(crate) fn values(&self) -> usize {
        match size_of::<T>() {
            0 => 0,
            _ => self.buffer.len() + self.returned.len(),
        }
    }
}

impl<T> Line for State<T> {
    type Value = T;

    #[inline(always)]
    fn waiters(&mut self) -> &mut Waiters<T> {
        &mut self.waiters
    }
}

impl<T> State<T> {
    /// An open channel with one sender and one receiver, and `buffer` to start with.
    pub(crate) fn new(capacity: usize, buffer: VecDeque<T>) -> Self {
        Self {
            limit: capacity.min(buffer.capacity()),
            floor: 0,
            buffer,
            waiters: Waiters::new(),
            capacity,
            reserved: 0,
            next_ticket: 0,
            returned: VecDeque::new(),
            most: usize::MAX,
            closed: false,
            waits: 0,
            senders: 1,
            receivers: 1,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Values that a receive would find without a partner.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len() + self.returned.len()
    }

    /// True if no receive will ever again return a value.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.closed && self.len() == 0 && self.waiters.in_hand() == 0
    }

    #[inline]
    pub(crate) fn has_place(&self) -> bool {
        self.buffer.len() + self.reserved < self.capacity
    }

    /// True if a send would succeed or fail at once. A waiting select may still turn out to be
    /// taken when it is claimed.
    pub(crate) fn send_is_ready(&self) -> bool {
        self.closed || self.has_place() || self.waiters.any_free(Side::Receive, |_| true)
    }

    /// True if a receive would end at once, with the same reservation.
    pub(crate) fn recv_is_ready(&self) -> bool {
        self.closed || self.len() > 0 || self.waiters.any_free(Side::Send, |w| w == Wants::Taker)
    }

    /// Finds out anew what takes nothing but the buffer, and what the next operations will find. Every
    /// step that forbids something more must end with this; one that allows something more may leave
    /// it to the next that looks closely.
    #[inline(always)]
    fn refresh(&mut self) {
        let receiver_waits = !self.waiters.is_empty(Side::Receive);
        let sender_waits = !self.waiters.is_empty(Side::Send);
        let places = self.capacity.saturating_sub(self.reserved);
        self.limit = if self.closed || receiver_waits {
            0
        } else {
            places.min(self.buffer.capacity())
        };
        self.floor = if self.returned.is_empty() && !sender_waits {
            0
        } else {
            usize::MAX
        };
        let receive = self.len() == 0 && !sender_waits && !self.closed;
        let send = self.buffer.len() >= places && !receiver_waits && !self.closed;
        self.waits = u8::from(receive) * hint::RECEIVE + u8::from(send) * hint::SEND;
    }

    /// What the next operations will find after one that was done at once, for [`crate::hint`].
    #[inline(always)]
    pub(crate) fn waits(&self) -> u8 {
        self.waits
    }

    /// True if a send would neither happen nor fail.
    #[inline(always)]
    pub(crate) fn send_must_wait(&self) -> bool {
        !self.closed && self.waiters.is_empty(Side::Receive) && !self.has_place()
    }

    /// True if a receive would neither happen nor end.
    #[inline(always)]
    pub(crate) fn recv_must_wait(&self) -> bool {
        !self.closed && self.waiters.is_empty(Side::Send) && self.len() == 0
    }

    /// Sends the value in `slot` if that needs no waiting.
    #[inline(always)]
    pub(crate) fn send_now(&mut self, slot: &mut Option<T>) -> Sent {
        if self.closed && !seeded::bug("state.send_overlooks_close") {
            return Sent::Closed;
        }
        if !self.waiters.is_empty(Side::Receive)
            && !seeded::bug("state.send_overlooks_receivers")
            && let Some(wakeup) = self.send_to_waiting(slot)
        {
            return Sent::Done(Some(wakeup));
        }
        if !self.has_place() {
            return Sent::Full;
        }
        if !self.can_buffer() {
            return Sent::NoMemory;
        }
        self.buffer_value(slot);
        Sent::Done(None)
    }

    /// Sends the value in `slot` if that takes nothing but a place in the buffer; returns what the
    /// next operations will find.
    #[inline(always)]
    pub(crate) fn send_to_buffer(&mut self, slot: &mut Option<T>) -> Option<u8> {
        let len = self.buffer.len();
        if len >= self.limit {
            return None;
        }
        self.buffer.push_back(slot.take()?);
        self.check();
        Some(u8::from(len + 1 >= self.limit) * hint::SEND)
    }

    #[inline]
    fn buffer_value(&mut self, slot: &mut Option<T>) {
        let value = slot.take().expect("a send operation holds its value");
        self.buffer.push_back(value);
        self.refresh();
        self.check();
    }

    /// Hands the value in `slot` to the receiver that has waited longest, if one is free.
    #[inline(always)]
    fn send_to_waiting(&mut self, slot: &mut Option<T>) -> Option<Wakeup> {
        let waiter = self.waiters.dequeue(Side::Receive, |_| true)?;
        let value = slot.take().expect("a send operation holds its value");
        self.next_ticket += 1;
        let wakeup = hand_over(waiter, value, self.next_ticket);
        self.refresh();
        Some(wakeup)
    }

    /// Gives `value` to the receiver that has waited longest, if one waits.
    pub(crate) fn hand_to_waiting(&mut self, value: T) -> Option<Wakeup> {
        self.send_to_waiting(&mut Some(value))
    }

    /// Receives a value if that needs no waiting.
    #[inline(always)]
    pub(crate) fn recv_now(&mut self) -> Received<T> {
        if self.closed && seeded::bug("state.close_does_not_drain") {
            return Received::Closed;
        }
        if !self.returned.is_empty()
            && let Some((_, value)) = self.returned.pop_front()
        {
            self.refresh();
            return Received::Value(value, None);
        }
        if let Some(value) = self.buffer.pop_front() {
            let wakeup = self.admit();
            self.refresh();
            self.check();
            return Received::Value(value, wakeup);
        }
        if let Some(waiter) = self.waiters.dequeue(Side::Send, |w| w == Wants::Taker) {
            let value = waiter.take_value();
            let wakeup = waiter.complete(Phase::Done);
            self.refresh();
            return Received::Value(value, Some(wakeup));
        }
        if self.closed {
            Received::Closed
        } else {
            Received::Empty
        }
    }

    /// Receives a value if that takes nothing but the buffer; returns what the next operations will
    /// find, too.
    #[inline(always)]
    pub(crate) fn recv_from_buffer(&mut self) -> Option<(T, u8)> {
        if self.buffer.len() <= self.floor {
            return None;
        }
        let value = self.buffer.pop_front()?;
        self.check();
        let backlog = self.buffer.len() > coop::OPERATIONS as usize;
        let waits = u8::from(self.buffer.is_empty()) * hint::RECEIVE;
        Some((value, waits + u8::from(backlog) * hint::BACKLOG))
    }

    /// Puts an operation in line that cannot be done now.
    #[inline(always)]
    pub(crate) fn enter(&mut self, wants: Wants, value: Option<T>, waker: Waker) -> Key {
        let key = self.waiters.push(wants, value, Some(waker));
        self.forbid(wants.side());
        self.check();
        key
    }

    /// Puts a case of a select in line.
    pub(crate) fn enter_case(
        &mut self,
        wants: Wants,
        value: Option<T>,
        claim: PlainArc<Claim>,
        case: usize,
    ) -> Key {
        let key = self.waiters.push(wants, value, None);
        self.waiters.set_claim(key, claim, case);
        self.forbid(wants.side());
        key
    }

    /// A waiter stands in line: its partner has to look.
    #[inline(always)]
    fn forbid(&mut self, side: Side) {
        if seeded::bug("state.line_leaves_the_buffer_open") {
            return;
        }
        match side {
            Side::Receive => self.limit = 0,
            Side::Send => self.floor = usize::MAX,
            Side::End => {}
        }
    }

    /// Makes sure that the buffer has memory for one more value.
    #[inline]
    fn can_buffer(&mut self) -> bool {
        self.buffer.len() < self.buffer.capacity() || self.buffer.try_reserve(1).is_ok()
    }

    /// Holds a place for a later value if one is free.
    pub(crate) fn reserve_now(&mut self) -> Sent {
        if self.closed {
            return Sent::Closed;
        }
        if !self.has_place() {
            return Sent::Full;
        }
        self.reserved += 1;
        self.refresh();
        Sent::Done(None)
    }

    /// Gives a reserved place back; the next sender may have it.
    pub(crate) fn release_place(&mut self) -> Option<Wakeup> {
        self.reserved -= 1;
        if seeded::bug("state.dropped_permit_keeps_place") {
            self.reserved += 1;
        }
        let wakeup = self.admit();
        self.refresh();
        self.check();
        wakeup
    }

    /// Sends into a reserved place. The place is used up also if the channel turns out closed.
    /// The wake-ups are the receiver's and that of a sender who gets the place instead.
    pub(crate) fn send_reserved(&mut self, slot: &mut Option<T>) -> (Sent, Option<Wakeup>) {
        self.reserved -= 1;
        let sent = self.send_now(slot);
        // Handed to a receiver, or refused: the place is free for the next sender.
        let admitted = if seeded::bug("state.permit_used_up_without_passing_on") {
            None
        } else {
            self.admit()
        };
        self.refresh();
        self.check();
        (sent, admitted)
    }

    /// A place may have become free: lets the first waiting sender or reservation in.
    #[inline(never)]
    fn admit(&mut self) -> Option<Wakeup> {
        if self.waiters.is_empty(Side::Send) || self.closed || !self.has_place() {
            return None;
        }
        if seeded::bug("state.freed_place_not_passed_on") || !self.can_buffer() {
            return None;
        }
        let waiter = self.waiters.dequeue(Side::Send, |_| true)?;
        match waiter.wants {
            Wants::Place => self.reserved += 1,
            _ => self.buffer.push_back(waiter.take_value()),
        }
        Some(waiter.complete(Phase::Done))
    }

    /// Takes a receive off its line, with its value if it was given one, but leaves the waiter to
    /// its owner. A waiter that close has ended stays as it is.
    pub(crate) fn recall(&mut self, key: Key) -> Recalled<T> {
        self.waiters.unlink_if_queued(key);
        let waiter = self.waiters.get_mut(key);
        let waker = waiter.waker.take();
        let (given, ticket) = (waiter.value.take(), waiter.ticket);
        let (mut wakeup, mut orphan) = (None, None);
        if let Some(value) = given {
            waiter.phase = Phase::Dead;
            (wakeup, orphan) = self.put_back(value, ticket);
        }
        Recalled {
            wakeup,
            _orphan: orphan,
            _waker: waker,
        }
    }

    /// A receiver was cancelled after it had been given `value`: it goes to the first waiting receiver,
    /// else back to the front of the channel. With no receiver left, or as many values there as it may
    /// keep, it comes back to the caller.
    pub(crate) fn put_back(&mut self, value: T, ticket: u64) -> (Option<Wakeup>, Option<T>) {
        if seeded::bug("state.cancelled_receive_loses_value") {
            return (None, Some(value));
        }
        if !seeded::bug("state.put_back_overlooks_receivers")
            && let Some(waiter) = self.waiters.dequeue(Side::Receive, |_| true)
        {
            let wakeup = hand_over(waiter, value, ticket);
            self.refresh();
            return (Some(wakeup), None);
        }
        if self.receivers == 0 || self.len() >= self.most {
            return (None, Some(value));
        }
        let after = if seeded::bug("state.put_back_without_ticket") {
            0
        } else {
            self.returned
                .partition_point(|&(earlier, _)| earlier < ticket)
        };
        self.returned.insert(after, (ticket, value));
        self.refresh();
        self.check();
        (None, None)
    }

    /// Closes the channel. The caller goes on with [`close_next`](Self::close_next) until it
    /// returns nothing. False if it was closed before.
    pub(crate) fn close(&mut self) -> bool {
        self.limit = 0;
        !std::mem::replace(&mut self.closed, true) || seeded::bug("state.every_close_is_the_first")
    }

    /// Ends the next waiting operation of a closed channel.
    pub(crate) fn close_next(&mut self) -> Option<Wakeup> {
        debug_assert!(self.closed);
        let forgotten = seeded::bug("state.close_forgets_receivers");
        if !forgotten && let Some(waiter) = self.waiters.dequeue(Side::Receive, |_| true) {
            return Some(waiter.complete(Phase::Closed));
        }
        if seeded::bug("state.close_forgets_senders") {
            return None;
        }
        if let Some(waiter) = self.waiters.dequeue(Side::Send, |_| true) {
            return Some(waiter.complete(Phase::Closed));
        }
        if seeded::bug("state.close_forgets_who_waits_for_it") {
            return None;
        }
        let waiter = self.waiters.dequeue(Side::End, |_| true)?;
        Some(waiter.complete(Phase::Closed))
    }

    /// What is buffered when the last receiver goes.
    pub(crate) fn take_leftover(&mut self) -> Leftover<T> {
        Leftover {
            buffer: std::mem::take(&mut self.buffer),
            returned: std::mem::take(&mut self.returned),
        }
    }

    /// The invariants of the module text, in debug builds.
    #[inline]
    pub(crate) fn check(&self) {
        if !cfg!(debug_assertions) || gorin_base::primitive::unwinding() {
            return;
        }
        debug_assert!(
            self.limit == 0 || (!self.closed && self.waiters.is_empty(Side::Receive)),
            "a send would overlook that it is closed or that a receiver waits"
        );
        debug_assert!(
            self.limit <= self.buffer.capacity()
                && self.limit.saturating_add(self.reserved) <= self.capacity.max(self.reserved),
            "a send would take a place that there is not"
        );
        debug_assert!(
            self.floor > 0 || (self.returned.is_empty() && self.waiters.is_empty(Side::Send)),
            "a receive would overlook a sender or a value that was put back"
        );
        let receiver_waits = self.waiters.plain_waits(Side::Receive, |_| true);
        let value_waits = self.waiters.plain_waits(Side::Send, |w| w == Wants::Taker);
        let sender_waits = self.waiters.plain_waits(Side::Send, |_| true);
        debug_assert!(
            !(receiver_waits && (self.len() > 0 || value_waits)),
            "a receiver waits although a value is there"
        );
        debug_assert!(
            !(sender_waits && !self.closed && self.has_place()),
            "a sender waits although a place is free"
        );
    }
}

/// Gives `value` to a dequeued receiver; `ticket` is its number in the order of hand-overs.
#[inline(always)]
fn hand_over<T>(waiter: &mut Waiter<T>, value: T, ticket: u64) -> Wakeup {
    waiter.value = Some(value);
    waiter.ticket = ticket;
    waiter.complete(Phase::Done)
}
