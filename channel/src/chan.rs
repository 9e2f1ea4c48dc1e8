//! Making channels, and what both ends of one share.

use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::task::{Poll, Waker};

use gorin_base::hook::{self, Access, Site};
use gorin_base::primitive::PlainArc;

use crate::error::SendError;
use crate::hint::Hint;
use crate::line;
use crate::lock::Lock;
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::state::State;
use crate::waiter::{Key, Outcome, Wakeup};

/// What reports call a channel.
const CHANNEL: &str = "channel";

/// Identifies a channel in this process: equal for all handles of one channel, unequal for others.
///
/// ```
/// let (tx, rx) = gorin_channel::chan::<u8>(1);
/// assert_eq!(tx.id(), rx.id());
/// assert_ne!(tx.id(), gorin_channel::chan::<u8>(1).0.id());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChanId(u64);

impl fmt::Debug for ChanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for ChanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Buffers up to this many bytes are allocated when the channel is made; longer ones grow.
const EAGER_BYTES: usize = 16 * 1024;

/// What all handles of one channel share. Aligned and in this order so that an operation that finds
/// all it wants in the buffer uses one cache line of it: hint, lock and the beginning of the state.
#[expect(
    missing_debug_implementations,
    reason = "the handles show what can be seen unlocked"
)]
#[repr(C, align(64))]
pub struct Shared<T> {
    pub(crate) hint: Hint,
    pub(crate) state: Lock<State<T>>,
    /// Creation number: names the channel in reports and gives the order in which a select locks.
    pub(crate) id: u64,
    pub(crate) capacity: usize,
    /// A channel that nobody will ever use from the other end; `close` leaves it open.
    never: bool,
}

impl<T> Shared<T> {
    /// `kind` is what reports call it.
    fn new(kind: &'static str, capacity: usize, never: bool, site: Site) -> PlainArc<Self> {
        let mut buffer = VecDeque::new();
        if capacity.saturating_mul(size_of::<T>()) <= EAGER_BYTES {
            buffer.reserve_exact(capacity);
        }
        let id = gorin_base::id::next();
        hook::created_queue(id, kind, capacity, site);
        PlainArc::new(Self {
            id,
            capacity,
            never,
            hint: Hint::new(),
            state: Lock::new(State::new(capacity, buffer)),
        })
    }

    /// A channel without a partner, for `never`.
    pub(crate) fn new_never(site: Site) -> PlainArc<Self> {
        Self::new(CHANNEL, 0, true, site)
    }

    pub(crate) fn chan_id(&self) -> ChanId {
        ChanId(self.id)
    }

    /// Values in the channel: buffered, or put back by a cancelled receive.
    pub(crate) fn len(&self, site: Site) -> usize {
        hook::step("chan len", self.id, Access::Read, site);
        self.state.lock().len()
    }

    pub(crate) fn is_full(&self, site: Site) -> bool {
        hook::step("chan len", self.id, Access::Read, site);
        !self.state.lock().has_place()
    }

    pub(crate) fn is_closed(&self, site: Site) -> bool {
        hook::step("chan is_closed", self.id, Access::Read, site);
        self.state.lock().is_closed()
    }

    /// Closes the channel and wakes everyone who waits in it. False if it was closed before.
    pub(crate) fn close(&self, site: Site) -> bool {
        hook::step("chan close", self.id, Access::Write, site);
        if self.never {
            return false;
        }
        let first = self.state.lock().close();
        if first {
            self.end_waiting();
        }
        first
    }

    /// The error of a send or a reservation that finds the channel closed: `at_once`, or after it
    /// had waited. A checker takes note.
    #[cold]
    pub(crate) fn refuse<V>(&self, value: V, at_once: bool) -> SendError<V> {
        hook::refused(self.id, at_once);
        SendError(value)
    }

    /// Polls an operation that waits here: its outcome if a partner has completed it, else `Pending`
    /// with `waker` to be woken.
    #[inline(always)]
    pub(crate) fn poll_waiter(&self, key: Key, waker: &Waker) -> Poll<Outcome<T>> {
        line::poll_waiter(&self.state, key, (self.id, key.index()), waker)
    }

    /// Ends every operation that waits in this closed channel, a few per lock.
    pub(crate) fn end_waiting(&self) {
        const BATCH: usize = 32;
        let mut more = true;
        let batches = std::iter::from_fn(|| {
            if !more {
                return None;
            }
            let mut batch: [Option<Wakeup>; BATCH] = [const { None }; BATCH];
            let mut state = self.state.lock();
            for place in &mut batch {
                *place = state.close_next();
                more = place.is_some();
                if !more {
                    break;
                }
            }
            drop(state);
            Some(batch)
        });
        Wakeup::wake_all(batches.flatten().flatten());
    }
}

/// Makes a channel for `capacity` buffered values; its two ends can be cloned, so there may be any
/// number of senders and receivers.
///
/// `chan(0)` is a rendezvous: a send completes when a receiver has taken the value. Waiting
/// receivers and waiting senders are served in the order in which they came, by direct hand-over.
/// A send happens before the completion of its receive; on a channel of capacity C the k-th receive
/// happens before the completion of the (k+C)-th send. A channel is closed by [`Sender::close`],
/// [`Receiver::close`], or by dropping the last sender or the last receiver.
///
/// Buffers above 16 KiB grow as they fill, so `chan(usize::MAX)` is as good as [`unbounded`]; once
/// grown, or below that size, operations allocate nothing. If there is no memory for a longer
/// buffer the send panics, with the channel unchanged.
///
/// ```
/// # futures::executor::block_on(async {
/// let (tx, rx) = gorin_channel::chan(2);
/// tx.send("a").await.unwrap();
/// tx.send("b").await.unwrap();
/// drop(tx);
/// assert_eq!(rx.recv().await, Some("a"));
/// assert_eq!(rx.recv().await, Some("b"));
/// assert_eq!(rx.recv().await, None);
/// # });
/// ```
#[track_caller]
pub fn chan<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    chan_called(CHANNEL, capacity)
}

/// As [`chan`], under another name in reports: for what is a channel inside.
#[track_caller]
pub(crate) fn chan_called<T>(kind: &'static str, capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Shared::new(kind, capacity, false, Location::caller());
    (Sender::new(shared.clone()), Receiver::new(shared))
}

/// Makes a channel without a limit: a send never waits, and a receiver that is too slow lets memory
/// grow without bound. Prefer [`chan`] with a capacity.
///
/// ```
/// let (tx, rx) = gorin_channel::unbounded();
/// for n in 0..1000 {
///     tx.try_send(n).unwrap();
/// }
/// assert_eq!(rx.len(), 1000);
/// ```
///
/// # Panics
/// A send panics if there is no memory for a longer buffer; the channel is unchanged then.
#[track_caller]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Shared::new(CHANNEL, usize::MAX, false, Location::caller());
    (Sender::new(shared.clone()), Receiver::new(shared))
}

/// The panic of a send that found no memory; called with no lock held.
#[cold]
#[track_caller]
pub(crate) fn no_memory(len: usize) -> ! {
    panic!("no memory to buffer one more value in a channel that holds {len}");
}
