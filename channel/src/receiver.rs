//! The receiving end.

use std::fmt;
use std::panic::Location;

use gorin_base::hook::{self, Access};
use gorin_base::primitive::PlainArc;
use gorin_base::seeded;

use crate::chan::{ChanId, Shared};
use crate::error::TryRecvError;
use crate::operation::Wait;
use crate::recv::{RecvFut, RecvOp};
use crate::sender::{announce_drop, handle_methods};
use crate::state::Received;
use crate::waiter::Wakeup;

/// The receiving end of a channel; clones take from the same channel, each value goes to one.
///
/// When the last clone is dropped, buffered values are dropped at once and every send fails with
/// its value.
///
/// ```
/// # futures::executor::block_on(async {
/// let (tx, rx) = gorin_channel::chan(3);
/// for n in 1..=3 {
///     tx.send(n).await.unwrap();
/// }
/// drop(tx);
/// let mut sum = 0;
/// while let Some(n) = rx.recv().await {
///     sum += n;
/// }
/// assert_eq!(sum, 6);
/// # });
/// ```
pub struct Receiver<T> {
    pub(crate) shared: PlainArc<Shared<T>>,
    /// The wait of this receiver as a stream, from one `poll_next` to the next.
    pub(crate) stream: Wait<RecvOp>,
}

impl<T> Receiver<T> {
    /// A handle for one receiver that `shared` already counts.
    #[track_caller]
    pub(crate) fn new(shared: PlainArc<Shared<T>>) -> Self {
        Self {
            shared,
            stream: Wait::new(RecvOp, Location::caller()),
        }
    }

    /// A receiver that never gets anything, like Go's nil channel. For a case of a select that is
    /// to be off.
    ///
    /// ```
    /// use gorin_channel::{Receiver, TryRecvError};
    /// let nothing = Receiver::<u8>::never();
    /// assert_eq!(nothing.try_recv(), Err(TryRecvError::Empty));
    /// ```
    #[track_caller]
    pub fn never() -> Self {
        Self::new(Shared::new_never(Location::caller()))
    }

    /// Receives the next value: from the buffer, else from the sender that has waited longest,
    /// else it waits in line until a value is handed over. `None` if the channel is closed and
    /// nothing is left in it.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let (tx, rx) = gorin_channel::chan(1);
    /// tx.send("last").await.unwrap();
    /// tx.close();
    /// assert_eq!(rx.recv().await, Some("last"));
    /// assert_eq!(rx.recv().await, None);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// No value is lost. A future that is dropped after a value was handed to it, but before it was
    /// polled again, gives the value to the next waiting receiver, else puts it back to the front
    /// of the channel: before all values that nobody was given yet, after those already given to
    /// others. Such a value can appear after another receiver was told `None`.
    #[track_caller]
    pub fn recv(&self) -> RecvFut<'_, T> {
        self.recall();
        RecvFut::new(&self.shared, Location::caller())
    }

    /// Receives a value if that needs no waiting: one is buffered, or a sender waits.
    ///
    /// ```
    /// use gorin_channel::TryRecvError;
    /// let (tx, rx) = gorin_channel::chan(1);
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// tx.try_send(1).unwrap();
    /// drop(tx);
    /// assert_eq!(rx.try_recv(), Ok(1));
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    /// ```
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if it would wait, [`TryRecvError::Closed`] if the channel is closed
    /// and nothing is left in it.
    #[track_caller]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.recall();
        hook::step(
            "chan receive",
            self.shared.id,
            Access::Write,
            Location::caller(),
        );
        let received = self.shared.state.lock().recv_now();
        match received {
            Received::Value(value, wakeup) => {
                Wakeup::wake_any(wakeup);
                Ok(value)
            }
            Received::Empty => Err(TryRecvError::Empty),
            Received::Closed => Err(TryRecvError::Closed),
        }
    }

    /// As [`recv`](Self::recv), blocking this thread; for threads that run no goroutines. On a
    /// worker it would stop all goroutines of that worker.
    ///
    /// ```
    /// let (tx, rx) = gorin_channel::chan(0);
    /// let thread = std::thread::spawn(move || rx.recv_blocking());
    /// tx.send_blocking(1).unwrap();
    /// assert_eq!(thread.join().unwrap(), Some(1));
    /// ```
    #[track_caller]
    pub fn recv_blocking(&self) -> Option<T> {
        crate::blocking::block_on(self.recv())
    }

    /// Closes the channel from this side: no more sends, waiting senders get their values back;
    /// what is buffered can still be received. True for the call that closed it.
    ///
    /// ```
    /// let (tx, rx) = gorin_channel::chan(2);
    /// tx.try_send(1).unwrap();
    /// assert!(rx.close());
    /// assert!(tx.try_send(2).unwrap_err().is_closed());
    /// assert_eq!(rx.try_recv(), Ok(1));
    /// ```
    #[track_caller]
    pub fn close(&self) -> bool {
        self.shared.close(Location::caller())
    }
}

impl<T> Clone for Receiver<T> {
    #[track_caller]
    fn clone(&self) -> Self {
        self.shared.state.lock().receivers += 1;
        Self::new(self.shared.clone())
    }
}

impl<T> Drop for Receiver<T> {
    #[track_caller]
    fn drop(&mut self) {
        if gorin_base::primitive::unwinding() {
            return;
        }
        if !seeded::bug("receiver.dropped_stream_stays_in_line") {
            self.stream.cancel(&self.shared);
        }
        if hook::is_active() {
            let receivers = self.shared.state.lock().receivers;
            let names = ["close by the last receiver", "drop of a receiver"];
            announce_drop(self.shared.id, receivers, names, Location::caller());
        }
        let mut state = self.shared.state.lock();
        state.receivers -= 1;
        if state.receivers > 0 {
            return;
        }
        let closes = state.close();
        let leftover = state.take_leftover();
        drop(state);
        if closes {
            self.shared.end_waiting();
        }
        hook::was_last(Access::Write);
        hook::lost(self.shared.id, leftover.values());
        // After the wake-ups: a destructor that panics must not cost the senders theirs.
        if seeded::bug("receiver.leftover_kept") {
            std::mem::forget(leftover);
        } else {
            drop(leftover);
        }
    }
}

handle_methods!(Receiver);
