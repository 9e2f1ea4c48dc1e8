//! Waiting for the end of a channel from its sending side: the operation and its future.
//!
//! It stands in a list of its own, in which only close looks: no send, receive or reservation passes
//! it, and it takes part in none of their orders.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use gorin_base::hook::{Access, Site};

use crate::chan::Shared;
use crate::operation::{Now, Operation, Wait};
use crate::state::State;
use crate::waiter::{Outcome, Removed, Wakeup, Wants};

/// A wait for the end.
#[derive(Debug)]
pub struct ClosedOp;

impl<'a, T: 'a> Operation<'a, T> for ClosedOp {
    type Output = ();
    const NAME: &'static str = "chan closed";
    const ACCESS: Access = Access::Read;
    const WANTS: Wants = Wants::End;

    fn is_ready(&self, state: &State<T>) -> bool {
        state.is_closed()
    }

    fn must_wait(&self, state: &State<T>) -> bool {
        !state.is_closed()
    }

    fn now(&mut self, _shared: &'a Shared<T>, state: &mut State<T>) -> Now<()> {
        match state.is_closed() {
            true => Now::Done((), None),
            false => Now::Wait,
        }
    }

    fn by_buffer(&mut self, _state: &mut State<T>) -> Option<((), u8)> {
        None
    }

    fn give_up_value(&mut self) -> Option<T> {
        None
    }

    fn take_value_back(&mut self, _value: Option<T>) {}

    fn completed(&mut self, _shared: &'a Shared<T>, _outcome: Outcome<T>) {}

    /// Nothing was taken and nothing given.
    fn undo(&mut self, _state: &mut State<T>, _removed: &mut Removed<T>) -> Option<Wakeup> {
        None
    }
}

/// The future of [`Sender::closed`](crate::Sender::closed).
#[must_use = "futures do nothing unless polled"]
pub struct ClosedFut<'a, T> {
    pub(crate) shared: &'a Shared<T>,
    wait: Wait<ClosedOp>,
}

impl<'a, T> ClosedFut<'a, T> {
    pub(crate) fn new(shared: &'a Shared<T>, site: Site) -> Self {
        Self {
            shared,
            wait: Wait::new(ClosedOp, site),
        }
    }

    /// The operation, out of the line if it stood there.
    pub(crate) fn withdraw(&mut self) -> ClosedOp {
        self.wait.cancel(self.shared);
        ClosedOp
    }
}

impl<T> Future for ClosedFut<'_, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.wait.poll_once(this.shared, cx)
    }
}

impl<T> Drop for ClosedFut<'_, T> {
    fn drop(&mut self) {
        self.wait.cancel(self.shared);
    }
}

impl<T> fmt::Debug for ClosedFut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClosedFut")
            .field("channel", &self.shared.chan_id())
            .field("in_line", &self.wait.key().is_some())
            .finish_non_exhaustive()
    }
}
