//! Both ends of a channel in one value.

use crate::chan::{ChanId, Shared, chan, chan_called};
use crate::error::{SendError, TryRecvError, TrySendError};
use crate::receiver::Receiver;
use crate::recv::RecvFut;
use crate::send::SendFut;
use crate::sender::Sender;

/// Both ends of a channel in one value, like Go's `chan T`: for free lists, semaphores and other
/// channels that one goroutine both sends to and receives from.
///
/// While one is alive the channel has a sender and a receiver, so it closes by
/// [`close`](Self::close) only.
///
/// ```
/// use gorin_channel::Chan;
/// # futures::executor::block_on(async {
/// let fork = Chan::new(1);
/// fork.send(()).await.unwrap();
/// fork.recv().await.unwrap();
/// assert!(fork.is_empty());
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Chan<T> {
    sender: Sender<T>,
    receiver: Receiver<T>,
}

impl<T> Chan<T> {
    /// A channel for `capacity` buffered values, as [`chan`].
    #[track_caller]
    pub fn new(capacity: usize) -> Self {
        let (sender, receiver) = chan(capacity);
        Self { sender, receiver }
    }

    /// As [`new`](Self::new), under another name in reports.
    #[track_caller]
    pub(crate) fn called(kind: &'static str, capacity: usize) -> Self {
        let (sender, receiver) = chan_called(kind, capacity);
        Self { sender, receiver }
    }

    pub(crate) fn shared(&self) -> &Shared<T> {
        &self.receiver.shared
    }

    /// The sending end.
    pub fn sender(&self) -> Sender<T> {
        self.sender.clone()
    }

    /// The receiving end.
    pub fn receiver(&self) -> Receiver<T> {
        self.receiver.clone()
    }

    /// The two ends; there is no way back.
    pub fn split(self) -> (Sender<T>, Receiver<T>) {
        (self.sender, self.receiver)
    }

    /// As [`Sender::send`].
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    #[track_caller]
    pub fn send(&self, value: T) -> SendFut<'_, T> {
        self.sender.send(value)
    }

    /// As [`Sender::try_send`].
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    #[track_caller]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.sender.try_send(value)
    }

    /// As [`Sender::send_blocking`].
    ///
    /// # Errors
    /// As [`Sender::send`].
    #[track_caller]
    pub fn send_blocking(&self, value: T) -> Result<(), SendError<T>> {
        self.sender.send_blocking(value)
    }

    /// As [`Receiver::recv`].
    ///
    /// # Cancel safety
    /// As [`Receiver::recv`].
    #[track_caller]
    pub fn recv(&self) -> RecvFut<'_, T> {
        self.receiver.recv()
    }

    /// As [`Receiver::try_recv`].
    ///
    /// # Errors
    /// As [`Receiver::try_recv`].
    #[track_caller]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receiver.try_recv()
    }

    /// As [`Receiver::recv_blocking`].
    #[track_caller]
    pub fn recv_blocking(&self) -> Option<T> {
        self.receiver.recv_blocking()
    }

    /// As [`Sender::close`].
    #[track_caller]
    pub fn close(&self) -> bool {
        self.sender.close()
    }

    /// As [`Receiver::is_closed`].
    #[track_caller]
    pub fn is_closed(&self) -> bool {
        self.receiver.is_closed()
    }

    /// As [`Receiver::len`].
    #[track_caller]
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// As [`Receiver::is_empty`].
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// As [`Receiver::is_full`].
    #[track_caller]
    pub fn is_full(&self) -> bool {
        self.receiver.is_full()
    }

    /// As [`Receiver::capacity`].
    pub fn capacity(&self) -> usize {
        self.receiver.capacity()
    }

    /// The identity of the channel.
    pub fn id(&self) -> ChanId {
        self.receiver.id()
    }
}
