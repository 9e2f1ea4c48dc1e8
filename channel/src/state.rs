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
//!    receive waiter, or a receiver's hands.
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
use gorin_base::seeded;

use crate::claim::Claim;
use crate::hint;
use crate::waiter::{Key, Outcome, Phase, Removed, Side, Waiters, Wakeup, Wants};

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

/// A channel, under its lock.
#[expect(missing_debug_implementations, reason = "seen only under the lock")]
pub struct State<T> {
    capacity: usize,
    buffer: VecDeque<T>,
    returned: VecDeque<(u64, T)>,
    /// Places held by permits and by reservations not yet picked up.
    reserved: usize,
    /// Values in completed receive waiters.
    in_hand: usize,
    next_ticket: u64,
    /// What the next operations will find; copied to the hint.
    pub(crate) waits: u8,
    closed: bool,
    pub(crate) senders: usize,
    pub(crate) receivers: usize,
    pub(crate) waiters: Waiters<T>,
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

impl<T> State<T> {
    /// An open channel with one sender and one receiver, and `buffer` to start with.
    pub(crate) fn new(capacity: usize, buffer: VecDeque<T>) -> Self {
        Self {
            capacity,
            buffer,
            returned: VecDeque::new(),
            reserved: 0,
            in_hand: 0,
            next_ticket: 0,
            waits: 0,
            closed: false,
            senders: 1,
            receivers: 1,
            waiters: Waiters::new(),
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
        self.closed && self.len() == 0 && self.in_hand == 0
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

    /// What the next operations will find, for [`crate::hint`].
    #[inline]
    fn note(&mut self) {
        let receive = self.len() == 0 && self.waiters.is_empty(Side::Send) && !self.closed;
        let send = !self.has_place() && self.waiters.is_empty(Side::Receive) && !self.closed;
        self.waits = u8::from(receive) * hint::RECEIVE + u8::from(send) * hint::SEND;
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

    /// Sends the value in `slot` if that takes nothing but a place in the buffer.
    #[inline]
    pub(crate) fn send_to_buffer(&mut self, slot: &mut Option<T>) -> bool {
        let taken = self.buffer.len() + self.reserved;
        if self.closed
            || !self.waiters.is_empty(Side::Receive)
            || taken >= self.capacity
            || self.buffer.len() == self.buffer.capacity()
        {
            return false;
        }
        let Some(value) = slot.take() else {
            return false;
        };
        self.buffer.push_back(value);
        self.waits = if taken + 1 < self.capacity {
            0
        } else {
            hint::SEND
        };
        self.check();
        true
    }

    #[inline]
    fn buffer_value(&mut self, slot: &mut Option<T>) {
        let value = slot.take().expect("a send operation holds its value");
        self.buffer.push_back(value);
        self.waits = if self.has_place() { 0 } else { hint::SEND };
        self.check();
    }

    /// Hands the value in `slot` to the receiver that has waited longest, if one is free.
    #[inline]
    fn send_to_waiting(&mut self, slot: &mut Option<T>) -> Option<Wakeup> {
        let key = self.waiters.dequeue(Side::Receive, |_| true)?;
        let value = slot.take().expect("a send operation holds its value");
        let wakeup = self.hand_over(key, value, None);
        self.note();
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
            self.note();
            return Received::Value(value, None);
        }
        if self.waiters.is_empty(Side::Send) {
            if let Some(value) = self.recv_from_buffer() {
                return Received::Value(value, None);
            }
        } else {
            if let Some(value) = self.buffer.pop_front() {
                let wakeup = self.admit();
                self.check();
                return Received::Value(value, wakeup);
            }
            let mut value = None;
            let wakeup = self.recv_from_waiting(&mut value);
            if let Some(value) = value {
                return Received::Value(value, wakeup);
            }
        }
        if self.closed {
            Received::Closed
        } else {
            Received::Empty
        }
    }

    /// Receives a value if that takes nothing but the buffer.
    #[inline]
    pub(crate) fn recv_from_buffer(&mut self) -> Option<T> {
        if !self.returned.is_empty() || !self.waiters.is_empty(Side::Send) {
            return None;
        }
        let value = self.buffer.pop_front()?;
        let empty = self.buffer.is_empty() && !self.closed;
        self.waits = if empty { hint::RECEIVE } else { 0 };
        self.check();
        Some(value)
    }

    /// Takes the value of the sender that has waited longest, if one is free.
    #[inline]
    fn recv_from_waiting(&mut self, value: &mut Option<T>) -> Option<Wakeup> {
        let key = self.waiters.dequeue(Side::Send, |w| w == Wants::Taker)?;
        *value = Some(self.take_from(key));
        let wakeup = self.waiters.complete(key, Phase::Done);
        self.note();
        Some(wakeup)
    }

    /// Puts an operation in line that cannot be done now.
    #[inline(always)]
    pub(crate) fn enter(&mut self, wants: Wants, value: Option<T>, waker: Waker) -> Key {
        let key = self.waiters.push(wants, value);
        self.waiters.set_waker(key, waker);
        // The next one would wait too, and a partner would not.
        self.waits = match wants {
            Wants::Value => hint::RECEIVE,
            Wants::Taker | Wants::Place => hint::SEND,
        };
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
        let key = self.waiters.push(wants, value);
        self.waiters.set_claim(key, claim, case);
        self.note();
        key
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
        Sent::Done(None)
    }

    /// Gives a reserved place back; the next sender may have it.
    pub(crate) fn release_place(&mut self) -> Option<Wakeup> {
        self.reserved -= 1;
        if seeded::bug("state.dropped_permit_keeps_place") {
            self.reserved += 1;
        }
        let wakeup = self.admit();
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
        let key = self.waiters.dequeue(Side::Send, |_| true)?;
        match self.waiters.get_mut(key).wants {
            Wants::Place => self.reserved += 1,
            _ => {
                let value = self.take_from(key);
                self.buffer.push_back(value);
            }
        }
        let wakeup = self.waiters.complete(key, Phase::Done);
        self.note();
        Some(wakeup)
    }

    fn take_from(&mut self, key: Key) -> T {
        let value = self.waiters.get_mut(key).value.take();
        value.expect("a queued sender holds its value")
    }

    /// Gives `value` to a dequeued receiver. A value that was handed over before keeps its ticket.
    #[inline(always)]
    fn hand_over(&mut self, key: Key, value: T, ticket: Option<u64>) -> Wakeup {
        let ticket = ticket.unwrap_or_else(|| {
            self.next_ticket += 1;
            self.next_ticket
        });
        self.in_hand += 1;
        let waiter = self.waiters.get_mut(key);
        waiter.value = Some(value);
        waiter.ticket = ticket;
        self.waiters.complete(key, Phase::Done)
    }

    /// Takes the outcome of an operation that a partner or close has completed.
    #[inline(always)]
    pub(crate) fn pick_up(&mut self, key: Key) -> Outcome<T> {
        let receives = self.waiters.get_mut(key).wants == Wants::Value;
        let outcome = self.waiters.take(key);
        if receives && outcome.value.is_some() {
            self.in_hand -= 1;
        }
        outcome
    }

    /// Takes an operation out that gives up, completed or not.
    pub(crate) fn remove(&mut self, key: Key) -> Removed<T> {
        let receives = self.waiters.get_mut(key).wants == Wants::Value;
        let removed = self.waiters.remove(key);
        if receives && removed.value.is_some() {
            self.in_hand -= 1;
        }
        removed
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
            self.in_hand -= 1;
            (wakeup, orphan) = self.put_back(value, ticket);
        }
        Recalled {
            wakeup,
            _orphan: orphan,
            _waker: waker,
        }
    }

    /// A receiver was cancelled after it had been given `value`: it goes to the first waiting receiver,
    /// else back to the front of the channel. With no receiver left it comes back to the caller.
    pub(crate) fn put_back(&mut self, value: T, ticket: u64) -> (Option<Wakeup>, Option<T>) {
        if seeded::bug("state.cancelled_receive_loses_value") {
            return (None, Some(value));
        }
        if !seeded::bug("state.put_back_overlooks_receivers")
            && let Some(key) = self.waiters.dequeue(Side::Receive, |_| true)
        {
            return (Some(self.hand_over(key, value, Some(ticket))), None);
        }
        if self.receivers == 0 {
            return (None, Some(value));
        }
        let after = if seeded::bug("state.put_back_without_ticket") {
            0
        } else {
            self.returned
                .partition_point(|&(earlier, _)| earlier < ticket)
        };
        self.returned.insert(after, (ticket, value));
        self.check();
        (None, None)
    }

    /// Closes the channel. The caller goes on with [`close_next`](Self::close_next) until it
    /// returns nothing. False if it was closed before.
    pub(crate) fn close(&mut self) -> bool {
        self.waits = 0;
        !std::mem::replace(&mut self.closed, true) || seeded::bug("state.every_close_is_the_first")
    }

    /// Ends the next waiting operation of a closed channel.
    pub(crate) fn close_next(&mut self) -> Option<Wakeup> {
        debug_assert!(self.closed);
        let receiver = if seeded::bug("state.close_forgets_receivers") {
            None
        } else {
            self.waiters.dequeue(Side::Receive, |_| true)
        };
        let key = receiver.or_else(|| {
            if seeded::bug("state.close_forgets_senders") {
                return None;
            }
            self.waiters.dequeue(Side::Send, |_| true)
        })?;
        Some(self.waiters.complete(key, Phase::Closed))
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
