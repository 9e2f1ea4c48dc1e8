//! The sending end.

use std::fmt;
use std::panic::Location;

use gorin_base::hook::{self, Access, Site};
use gorin_base::primitive::PlainArc;
use gorin_base::seeded;

use crate::chan::{ChanId, Shared, no_memory};
use crate::closed::ClosedFut;
use crate::error::{SendError, TryReserveError, TrySendError};
use crate::operation::{Now, Operation, settle};
use crate::reserve::{Permit, ReserveFut, ReserveOp};
use crate::send::SendFut;
use crate::state::Sent;
use crate::waiter::Wakeup;

/// The sending end of a channel; clones send into the same channel.
///
/// When the last clone is dropped the channel is closed: receivers get what is buffered, then
/// `None`. A goroutine that ranges over a channel while it holds a sender of that channel itself
/// therefore never ends.
///
/// ```
/// # futures::executor::block_on(async {
/// let (tx, rx) = gorin_channel::chan(1);
/// let tx2 = tx.clone();
/// tx.send(1).await.unwrap();
/// drop(tx);
/// assert_eq!(rx.recv().await, Some(1));
/// drop(tx2);
/// assert_eq!(rx.recv().await, None);
/// # });
/// ```
pub struct Sender<T> {
    pub(crate) shared: PlainArc<Shared<T>>,
}

impl<T> Sender<T> {
    /// A handle for one sender that `shared` already counts.
    pub(crate) fn new(shared: PlainArc<Shared<T>>) -> Self {
        Self { shared }
    }

    /// A sender that can never send, like Go's nil channel: `send` waits for ever, `try_send` is
    /// always full. For a case of a select that is to be off.
    ///
    /// ```
    /// let nobody = gorin_channel::Sender::never();
    /// assert!(nobody.try_send(1).unwrap_err().is_full());
    /// ```
    #[track_caller]
    pub fn never() -> Self {
        Self::new(Shared::new_never(Location::caller()))
    }

    /// Sends `value`: to the receiver that has waited longest, else into the buffer, else it waits
    /// in line until a receiver takes the value or a place becomes free.
    ///
    /// Nothing happens before the future is polled. The value is dropped with an unfinished
    /// future; [`SendFut::take`] gets it back.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let (tx, rx) = gorin_channel::chan(1);
    /// tx.send(5).await.unwrap();
    /// assert_eq!(rx.recv().await, Some(5));
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`SendError`] with the value if the channel is closed or the last receiver is dropped, also
    /// while the send waits.
    ///
    /// # Panics
    /// If there is no memory to grow the buffer.
    ///
    /// # Cancel safety
    /// A future that is dropped unfinished has either sent the value or not sent it: it is in
    /// exactly one place.
    #[track_caller]
    pub fn send(&self, value: T) -> SendFut<'_, T> {
        SendFut::new(&self.shared, value, Location::caller())
    }

    /// Sends `value` if that needs no waiting: a receiver waits, or a place is free.
    ///
    /// ```
    /// let (tx, rx) = gorin_channel::chan(1);
    /// tx.try_send(1).unwrap();
    /// assert!(tx.try_send(2).unwrap_err().is_full());
    /// drop(rx);
    /// assert!(tx.try_send(3).unwrap_err().is_closed());
    /// ```
    ///
    /// # Errors
    /// [`TrySendError`] with the value, if it would wait or the channel is closed.
    ///
    /// # Panics
    /// If there is no memory to grow the buffer.
    #[track_caller]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        hook::step(
            "chan send",
            self.shared.id,
            Access::Write,
            Location::caller(),
        );
        let mut slot = Some(value);
        let sent = self.shared.state.lock().send_now(&mut slot);
        let refused = match sent {
            Sent::Done(wakeup) => {
                Wakeup::wake_any(wakeup);
                return Ok(());
            }
            Sent::Full => TrySendError::Full,
            Sent::Closed => {
                hook::refused(self.shared.id, true);
                TrySendError::Closed
            }
            Sent::NoMemory => no_memory(self.shared.state.lock().len()),
        };
        Err(refused(slot.expect("a refused send leaves the value")))
    }

    /// Waits for a place in the buffer and holds it, so that the value need be made only when it
    /// can be sent. Places go to senders and reservations in the order in which they came.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let (tx, rx) = gorin_channel::chan(1);
    /// let permit = tx.reserve().await.unwrap();
    /// assert!(tx.try_send(1).unwrap_err().is_full());
    /// permit.send(2).unwrap();
    /// assert_eq!(rx.recv().await, Some(2));
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`SendError`] if the channel is closed or the last receiver is dropped, also while the
    /// reservation waits.
    ///
    /// # Panics
    /// On a rendezvous channel: it has no places, and a reservation would hold a receiver hostage.
    ///
    /// # Cancel safety
    /// A future that is dropped after a place was granted gives it to the next in line.
    #[track_caller]
    pub fn reserve(&self) -> ReserveFut<'_, T> {
        self.assert_has_places();
        ReserveFut::new(&self.shared, Location::caller())
    }

    /// Holds a place in the buffer if one is free.
    ///
    /// ```
    /// use gorin_channel::TryReserveError;
    /// let (tx, _rx) = gorin_channel::chan::<u8>(1);
    /// let permit = tx.try_reserve().unwrap();
    /// assert_eq!(tx.try_reserve().unwrap_err(), TryReserveError::Full);
    /// drop(permit);
    /// assert!(tx.try_reserve().is_ok());
    /// ```
    ///
    /// # Errors
    /// [`TryReserveError`] if every place is taken or the channel is closed.
    ///
    /// # Panics
    /// On a rendezvous channel.
    #[track_caller]
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TryReserveError> {
        self.assert_has_places();
        hook::step(
            "chan reserve",
            self.shared.id,
            Access::Write,
            Location::caller(),
        );
        let now = ReserveOp.now(&self.shared, &mut self.shared.state.lock());
        match now {
            Now::Wait => Err(TryReserveError::Full),
            other => settle(&self.shared, other).map_err(|_| TryReserveError::Closed),
        }
    }

    #[track_caller]
    fn assert_has_places(&self) {
        assert!(
            self.shared.capacity > 0,
            "reserve on a rendezvous channel: it has no places to hold; use send, or a capacity \
             of at least 1"
        );
    }

    /// As [`send`](Self::send), blocking this thread; for threads that run no goroutines. On a
    /// worker it would stop all goroutines of that worker.
    ///
    /// ```
    /// let (tx, rx) = gorin_channel::chan(0);
    /// let thread = std::thread::spawn(move || tx.send_blocking("from a thread"));
    /// assert_eq!(rx.recv_blocking(), Some("from a thread"));
    /// thread.join().unwrap().unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Panics
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn send_blocking(&self, value: T) -> Result<(), SendError<T>> {
        crate::blocking::block_on(self.send(value))
    }

    /// Closes the channel: no more sends, waiting senders get their values back, receivers get
    /// what is buffered and then `None`. True for the call that closed it.
    ///
    /// ```
    /// let (tx, rx) = gorin_channel::chan(1);
    /// tx.try_send(1).unwrap();
    /// assert!(tx.close());
    /// assert!(!tx.close());
    /// assert_eq!(rx.recv_blocking(), Some(1));
    /// assert_eq!(rx.recv_blocking(), None);
    /// ```
    #[track_caller]
    pub fn close(&self) -> bool {
        self.shared.close(Location::caller())
    }

    /// Waits until the channel is closed, by whichever end, or its last receiver is dropped: when nobody
    /// will take what is made, there is no need to make it.
    ///
    /// ```
    /// use gorin_channel::{chan, select};
    /// # async fn next_price() -> u32 { std::future::pending().await }
    /// # futures::executor::block_on(async {
    /// let (tx, rx) = chan(1);
    /// drop(rx);
    /// loop {
    ///     select! {
    ///         price = next_price() => tx.send(price).await.unwrap(),
    ///         _ = tx.closed() => break, // at once, not at the next price
    ///     }
    /// }
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// A dropped wait has no effect.
    #[track_caller]
    pub fn closed(&self) -> ClosedFut<'_, T> {
        ClosedFut::new(&self.shared, Location::caller())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        if !seeded::bug("sender.clone_not_counted") {
            self.shared.state.lock().senders += 1;
        }
        Self::new(self.shared.clone())
    }
}

impl<T> Drop for Sender<T> {
    #[track_caller]
    fn drop(&mut self) {
        if gorin_base::primitive::unwinding() {
            return;
        }
        if hook::is_active() {
            let senders = self.shared.state.lock().senders;
            let names = ["close by the last sender", "drop of a sender"];
            announce_drop(self.shared.id, senders, names, Location::caller());
        }
        let mut state = self.shared.state.lock();
        state.senders -= 1;
        let last = state.senders == 0;
        let closes = last && !seeded::bug("sender.last_one_does_not_close") && state.close();
        drop(state);
        if last {
            hook::was_last(Access::Give);
        }
        if closes {
            self.shared.end_waiting();
        }
    }
}

/// Tells a checker that one of `handles` is dropped, by the first name if it is the last one. The drop
/// of another one nobody can tell from its absence, unless somebody looks at the end of the channel.
#[cold]
pub(crate) fn announce_drop(channel: u64, handles: usize, names: [&'static str; 2], site: Site) {
    let [last, another] = names;
    if handles == 1 {
        hook::step(last, channel, Access::Leave, site);
    } else if hook::leaves(channel) {
        hook::step(another, channel, Access::Leave, site);
    }
}

/// What the two ends answer alike.
macro_rules! handle_methods {
    ($handle:ident) => {
        impl<T> $handle<T> {
            /// True if the channel was closed, by whichever end. Values may still be in it.
            #[track_caller]
            pub fn is_closed(&self) -> bool {
                self.shared.is_closed(Location::caller())
            }

            /// Values that a receive would find without a partner. Waiting senders do not count;
            /// values do that were handed to a receive which was cancelled then, so this may
            /// exceed the capacity, and be above 0 on a rendezvous channel.
            #[track_caller]
            pub fn len(&self) -> usize {
                self.shared.len(Location::caller())
            }

            /// True if nothing is buffered.
            #[track_caller]
            pub fn is_empty(&self) -> bool {
                self.shared.len(Location::caller()) == 0
            }

            /// True if every place of the buffer is taken or reserved; always true for capacity 0.
            #[track_caller]
            pub fn is_full(&self) -> bool {
                self.shared.is_full(Location::caller())
            }

            /// How many values the channel buffers; 0 for a rendezvous channel, `usize::MAX` for
            /// an unbounded one.
            pub fn capacity(&self) -> usize {
                self.shared.capacity
            }

            /// The identity of the channel.
            pub fn id(&self) -> ChanId {
                self.shared.chan_id()
            }

            /// True if both handles belong to one channel.
            pub fn same_channel(&self, other: &Self) -> bool {
                PlainArc::ptr_eq(&self.shared, &other.shared)
            }
        }

        impl<T> fmt::Debug for $handle<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($handle))
                    .field("id", &self.id())
                    .field("capacity", &self.capacity())
                    .finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use handle_methods;

handle_methods!(Sender);
