//! Receiving: the operation and its future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use gorin_base::hook::{Access, Site};

use crate::chan::Shared;
use crate::operation::{Now, Operation, Wait};
use crate::state::{Received, State};
use crate::waiter::{Outcome, Removed, Wakeup, Wants};

/// A receive.
#[derive(Debug)]
pub struct RecvOp;

impl<'a, T> Operation<'a, T> for RecvOp {
    type Output = Option<T>;
    const NAME: &'static str = "chan receive";
    const ACCESS: Access = Access::Take;
    const WANTS: Wants = Wants::Value;

    fn is_ready(&self, state: &State<T>) -> bool {
        state.recv_is_ready()
    }

    #[inline(always)]
    fn must_wait(&self, state: &State<T>) -> bool {
        state.recv_must_wait()
    }

    #[inline(always)]
    fn now(&mut self, shared: &'a Shared<T>, state: &mut State<T>) -> Now<Self::Output> {
        match state.recv_now() {
            Received::Value(value, wakeup) => {
                shared.hint.set(state.waits());
                Now::Done(Some(value), wakeup)
            }
            Received::Closed => {
                shared.hint.set(0);
                Now::Done(None, None)
            }
            Received::Empty => Now::Wait,
        }
    }

    #[inline(always)]
    fn by_buffer(&mut self, state: &mut State<T>) -> Option<(Self::Output, u8)> {
        let (value, waits) = state.recv_from_buffer()?;
        Some((Some(value), waits))
    }

    #[inline]
    fn give_up_value(&mut self) -> Option<T> {
        None
    }

    fn take_value_back(&mut self, _value: Option<T>) {}

    #[inline]
    fn completed(&mut self, _shared: &'a Shared<T>, outcome: Outcome<T>) -> Self::Output {
        outcome.value
    }

    /// A value that was handed over goes to the next receiver or back to the channel. With no
    /// receiver left it stays in `removed`, to be dropped.
    fn undo(&mut self, state: &mut State<T>, removed: &mut Removed<T>) -> Option<Wakeup> {
        let (wakeup, orphan) = state.put_back(removed.value.take()?, removed.ticket);
        removed.value = orphan;
        wakeup
    }
}

/// The future of [`Receiver::recv`](crate::Receiver::recv).
#[must_use = "futures do nothing unless polled"]
pub struct RecvFut<'a, T> {
    pub(crate) shared: &'a Shared<T>,
    wait: Wait<RecvOp>,
}

impl<'a, T> RecvFut<'a, T> {
    #[inline]
    pub(crate) fn new(shared: &'a Shared<T>, site: Site) -> Self {
        Self {
            shared,
            wait: Wait::new(RecvOp, site),
        }
    }

    /// The operation, out of the line if it stood there.
    pub(crate) fn withdraw(&mut self) -> RecvOp {
        self.wait.cancel(self.shared);
        RecvOp
    }
}

impl<T> Future for RecvFut<'_, T> {
    type Output = Option<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.wait.poll_once(this.shared, cx)
    }
}

impl<T> Drop for RecvFut<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.wait.cancel(self.shared);
    }
}

impl<T> fmt::Debug for RecvFut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvFut")
            .field("channel", &self.shared.chan_id())
            .field("in_line", &self.wait.key().is_some())
            .finish_non_exhaustive()
    }
}
