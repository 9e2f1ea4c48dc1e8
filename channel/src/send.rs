//! The future of a send.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gorin_base::hook::{self, Access, Site};
use gorin_base::{coop, seeded};

use crate::chan::{Shared, no_memory};
use crate::error::SendError;
use crate::state::Sent;
use crate::waiter::{Key, Owner, Waiter, Wakeup, Wants};

/// The future of [`Sender::send`](crate::Sender::send).
#[must_use = "futures do nothing unless polled"]
pub struct SendFut<'a, T> {
    shared: &'a Shared<T>,
    /// The value, while this operation does not wait in the channel and has not ended.
    value: Option<T>,
    /// The waiter, while this operation waits in the channel.
    key: Option<Key>,
    site: Site,
}

/// The value is never pinned: it moves into the channel.
impl<T> Unpin for SendFut<'_, T> {}

impl<'a, T> SendFut<'a, T> {
    pub(crate) fn new(shared: &'a Shared<T>, value: T, site: Site) -> Self {
        Self {
            shared,
            value: Some(value),
            key: None,
            site,
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
        match this.withdraw() {
            Some(waiter) => waiter.value,
            None => this.value.take(),
        }
    }

    /// Takes this operation's waiter out of the channel, if it is there.
    fn withdraw(&mut self) -> Option<Waiter<T>> {
        let key = self.key.take()?;
        hook::step(
            "withdrawal of a send",
            self.shared.id,
            Access::Write,
            self.site,
        );
        let waiter = self.shared.state.lock().finish(key);
        hook::unparked(self.shared.id, key.index());
        Some(waiter)
    }

    /// The first poll: send at once, or stand in line.
    fn start(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        hook::step("chan send", self.shared.id, Access::Write, self.site);
        let sent = self.shared.state.lock().send_now(&mut self.value);
        if let Some(result) = self.settle(sent) {
            return Poll::Ready(result);
        }
        // A waker must not be cloned under the lock: look again once that is done.
        let owner = Owner::One(cx.waker().clone());
        let mut state = self.shared.state.lock();
        let sent = if seeded::bug("send.no_second_look") {
            Sent::Full
        } else {
            state.send_now(&mut self.value)
        };
        if !matches!(sent, Sent::Full) {
            drop(state);
            drop(owner);
            return Poll::Ready(self.settle(sent).expect("the channel is not full"));
        }
        let key = state.waiters.push(Wants::Taker, self.value.take(), owner);
        state.check();
        drop(state);
        self.key = Some(key);
        self.shared.announce_wait("chan send", key, self.site);
        Poll::Pending
    }

    /// Ends the operation unless it has to wait.
    #[inline]
    fn settle(&mut self, sent: Sent) -> Option<Result<(), SendError<T>>> {
        match sent {
            Sent::Done(wakeup) => {
                wakeup.into_iter().for_each(Wakeup::wake);
                coop::spend();
                Some(Ok(()))
            }
            Sent::Closed => {
                let value = self.value.take();
                Some(Err(SendError(
                    value.expect("a refused send leaves the value"),
                )))
            }
            Sent::Full => None,
            Sent::NoMemory => no_memory(self.shared.state.lock().len()),
        }
    }

    /// A later poll: has a partner completed the waiter?
    fn resume(&mut self, key: Key, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let waiter = ready!(self.shared.poll_waiter(key, cx.waker()));
        self.key = None;
        coop::spend();
        Poll::Ready(match waiter.value {
            Some(value) => Err(SendError(value)),
            None => Ok(()),
        })
    }
}

impl<T> Future for SendFut<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(coop::poll_ready(cx));
        let this = self.get_mut();
        match this.key {
            Some(key) => this.resume(key, cx),
            None if this.value.is_some() => this.start(cx),
            None => panic!("a send was polled after it had ended"),
        }
    }
}

impl<T> Drop for SendFut<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.key.is_some() && !gorin_base::primitive::unwinding() {
            drop(self.withdraw());
        }
    }
}

impl<T> fmt::Debug for SendFut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFut")
            .field("channel", &self.shared.chan_id())
            .field("waits", &self.key.is_some())
            .finish_non_exhaustive()
    }
}
