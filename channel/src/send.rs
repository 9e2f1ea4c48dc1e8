//! Sending: the operation and its future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use gorin_base::hook::{Access, Site};

use crate::chan::Shared;
use crate::error::SendError;
use crate::operation::{Now, Operation, Wait};
use crate::state::{Sent, State};
use crate::waiter::{Outcome, Removed, Wakeup, Wants};

/// A send; the value is in here while the operation is not in line.
#[derive(Debug)]
pub struct SendOp<T> {
    value: Option<T>,
}

impl<T> SendOp<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value) }
    }

    /// The value, unless it is sent or in line.
    pub(crate) fn into_value(self) -> Option<T> {
        self.value
    }

    /// A send whose value is gone has happened: it is what is left when a send that a partner had
    /// completed is moved into a select.
    fn has_happened(&self) -> bool {
        self.value.is_none()
    }
}

impl<'a, T> Operation<'a, T> for SendOp<T> {
    type Output = Result<(), SendError<T>>;
    const NAME: &'static str = "chan send";
    const ACCESS: Access = Access::Give;
    const WANTS: Wants = Wants::Taker;

    fn is_ready(&self, state: &State<T>) -> bool {
        self.has_happened() || state.send_is_ready()
    }

    #[inline(always)]
    fn must_wait(&self, state: &State<T>) -> bool {
        !self.has_happened() && state.send_must_wait()
    }

    #[inline(always)]
    fn now(&mut self, shared: &'a Shared<T>, state: &mut State<T>) -> Now<Self::Output> {
        if self.has_happened() {
            return Now::Done(Ok(()), None);
        }
        match state.send_now(&mut self.value) {
            Sent::Done(wakeup) => {
                shared.hint.set(state.waits());
                Now::Done(Ok(()), wakeup)
            }
            Sent::Full => Now::Wait,
            Sent::NoMemory => Now::NoMemory,
            Sent::Closed => {
                shared.hint.set(0);
                let value = self.value.take().expect("a refused send leaves the value");
                Now::Done(Err(shared.refuse(value, true)), None)
            }
        }
    }

    #[inline(always)]
    fn by_buffer(&mut self, state: &mut State<T>) -> Option<(Self::Output, u8)> {
        let waits = state.send_to_buffer(&mut self.value)?;
        Some((Ok(()), waits))
    }

    #[inline]
    fn give_up_value(&mut self) -> Option<T> {
        self.value.take()
    }

    fn take_value_back(&mut self, value: Option<T>) {
        self.value = value;
    }

    #[inline]
    fn completed(&mut self, shared: &'a Shared<T>, outcome: Outcome<T>) -> Self::Output {
        match outcome.value {
            None => Ok(()),
            Some(value) => Err(shared.refuse(value, false)),
        }
    }

    /// A value that was taken stays taken; one that was not comes back here.
    fn undo(&mut self, _state: &mut State<T>, removed: &mut Removed<T>) -> Option<Wakeup> {
        self.value = removed.value.take();
        None
    }
}

/// The future of [`Sender::send`](crate::Sender::send).
#[must_use = "futures do nothing unless polled"]
pub struct SendFut<'a, T> {
    pub(crate) shared: &'a Shared<T>,
    wait: Wait<SendOp<T>>,
}

/// The value is never pinned: it moves into the channel.
impl<T> Unpin for SendFut<'_, T> {}

impl<'a, T> SendFut<'a, T> {
    #[inline]
    pub(crate) fn new(shared: &'a Shared<T>, value: T, site: Site) -> Self {
        Self {
            shared,
            wait: Wait::new(SendOp::new(value), site),
        }
    }

    /// Gives up the send and takes the value back; `None` if the value is sent already. The future
    /// must not be polled afterwards.
    ///
    /// ```
    /// use std::pin::pin;
    /// # futures::executor::block_on(async {
    /// let (tx, rx) = gorin_channel::chan(0);
    /// let mut send = pin!(tx.send("precious"));
    /// assert!(futures::poll!(send.as_mut()).is_pending());
    /// assert_eq!(send.take(), Some("precious"));
    /// assert!(rx.try_recv().is_err());
    /// # });
    /// ```
    pub fn take(self: Pin<&mut Self>) -> Option<T> {
        let this = self.get_mut();
        let operation = this.withdraw();
        this.wait.end();
        operation.into_value()
    }

    /// The operation, out of the line if it stood there.
    pub(crate) fn withdraw(&mut self) -> SendOp<T> {
        self.wait.cancel(self.shared);
        SendOp {
            value: self.wait.operation.value.take(),
        }
    }
}

impl<T> Future for SendFut<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.wait.poll_once(this.shared, cx)
    }
}

impl<T> Drop for SendFut<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.wait.cancel(self.shared);
    }
}

impl<T> fmt::Debug for SendFut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFut")
            .field("channel", &self.shared.chan_id())
            .field("in_line", &self.wait.key().is_some())
            .finish_non_exhaustive()
    }
}
