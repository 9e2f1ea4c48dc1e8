//! The future of a receive.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gorin_base::hook::{self, Access, Site};
use gorin_base::{coop, seeded};

use crate::chan::Shared;
use crate::state::Received;
use crate::waiter::{Key, Owner, Wakeup, Wants};

/// The future of [`Receiver::recv`](crate::Receiver::recv).
#[must_use = "futures do nothing unless polled"]
pub struct RecvFut<'a, T> {
    shared: &'a Shared<T>,
    wait: RecvWait,
    done: bool,
}

impl<'a, T> RecvFut<'a, T> {
    pub(crate) fn new(shared: &'a Shared<T>, site: Site) -> Self {
        Self {
            shared,
            wait: RecvWait { key: None, site },
            done: false,
        }
    }
}

impl<T> Future for RecvFut<'_, T> {
    type Output = Option<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        assert!(!this.done, "a receive was polled after it had ended");
        let value = ready!(this.wait.poll(this.shared, cx));
        this.done = true;
        Poll::Ready(value)
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
            .field("waits", &self.wait.key.is_some())
            .finish_non_exhaustive()
    }
}

/// Where a receive stands; the part that the future and the stream have in common. Whoever holds
/// one calls [`cancel`](Self::cancel) before dropping it.
pub(crate) struct RecvWait {
    /// The waiter, while the receive waits in the channel.
    key: Option<Key>,
    site: Site,
}

impl RecvWait {
    pub(crate) fn poll<T>(&mut self, shared: &Shared<T>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        ready!(coop::poll_ready(cx));
        match self.key {
            None => self.start(shared, cx),
            Some(key) => {
                let waiter = ready!(shared.poll_waiter(key, cx.waker()));
                self.key = None;
                coop::spend();
                Poll::Ready(waiter.value)
            }
        }
    }

    /// The first poll: receive at once, or stand in line.
    #[inline]
    fn start<T>(&mut self, shared: &Shared<T>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        hook::step("chan receive", shared.id, Access::Write, self.site);
        let received = shared.state.lock().recv_now();
        if !matches!(received, Received::Empty) {
            return Poll::Ready(settle(received));
        }
        // A waker must not be cloned under the lock: look again once that is done.
        let owner = Owner::One(cx.waker().clone());
        let mut state = shared.state.lock();
        let received = if seeded::bug("recv.no_second_look") {
            Received::Empty
        } else {
            state.recv_now()
        };
        if !matches!(received, Received::Empty) {
            drop(state);
            drop(owner);
            return Poll::Ready(settle(received));
        }
        let key = state.waiters.push(Wants::Value, None, owner);
        state.check();
        drop(state);
        self.key = Some(key);
        shared.announce_wait("chan receive", key, self.site);
        Poll::Pending
    }

    /// Leaves the line. A value that was handed over meanwhile goes back to the channel.
    #[inline]
    pub(crate) fn cancel<T>(&mut self, shared: &Shared<T>) {
        if let Some(key) = self.key.take()
            && !gorin_base::primitive::unwinding()
        {
            shared.cancel_recv(key, self.site);
        }
    }
}

/// Ends a receive that need not wait.
#[inline]
fn settle<T>(received: Received<T>) -> Option<T> {
    coop::spend();
    match received {
        Received::Value(value, wakeup) => {
            wakeup.into_iter().for_each(Wakeup::wake);
            Some(value)
        }
        Received::Closed | Received::Empty => None,
    }
}

impl<T> Shared<T> {
    #[cold]
    fn cancel_recv(&self, key: Key, site: Site) {
        hook::step("withdrawal of a receive", self.id, Access::Write, site);
        let mut state = self.state.lock();
        let mut waiter = state.finish(key);
        let (wakeup, orphan) = match waiter.value.take() {
            Some(value) => state.put_back(value, waiter.ticket),
            None => (None, None),
        };
        drop(state);
        hook::unparked(self.id, key.index());
        wakeup.into_iter().for_each(Wakeup::wake);
        drop((waiter, orphan));
    }
}
