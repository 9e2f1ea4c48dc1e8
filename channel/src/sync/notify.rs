//! A notification without a value.
//!
//! It is a channel of capacity 1 for `()`: a notification goes to the waiter that has waited
//! longest, else it is kept until somebody waits, and a waiter that is dropped after it was notified
//! passes the notification on. All of that is what the channel does anyway, and what its models
//! prove; an event list of its own would have to prove it again. Only the limit of one is told to the
//! channel: a value that is put back takes no place of the capacity.
//!
//! Unlike other receives a wait stands in line from its first poll, whatever is left of the budget of its
//! goroutine: `notify_all` keeps nothing for who comes later, so who was polled must be there. The budget is
//! asked afterwards.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gorin_base::coop;
use gorin_base::hook::{self, Access};
use gorin_base::primitive::unwinding;

use crate::both::Chan;
use crate::recv::RecvFut;
use crate::state::Sent;
use crate::waiter::Wakeup;

/// Wakes goroutines that wait for something to happen.
///
/// ```
/// use gorin_channel::sync::Notify;
/// # futures::executor::block_on(async {
/// let ready = Notify::new();
/// ready.notify_one();
/// ready.notify_one(); // nobody waits: one notification is kept, not two
/// ready.notified().await;
/// let mut again = std::pin::pin!(ready.notified());
/// assert!(futures::poll!(again.as_mut()).is_pending());
/// ready.notify_all();
/// again.await;
/// # });
/// ```
#[derive(Debug)]
pub struct Notify {
    permit: Chan<()>,
}

impl Notify {
    /// Nobody has been notified yet.
    #[track_caller]
    pub fn new() -> Self {
        let permit = Chan::called("notify", 1);
        permit.shared().state.lock().most = 1;
        Self { permit }
    }

    /// Notifies the goroutine that has waited longest; if nobody waits, the next one to wait. At
    /// most one notification is kept.
    #[track_caller]
    pub fn notify_one(&self) {
        let shared = self.permit.shared();
        hook::step(
            "Notify notify_one",
            shared.id,
            Access::Write,
            Location::caller(),
        );
        let mut state = shared.state.lock();
        // One that was put back is kept, too, and the two are one.
        let sent = (state.len() == 0).then(|| state.send_now(&mut Some(())));
        drop(state);
        if let Some(Sent::Done(wakeup)) = sent {
            Wakeup::wake_any(wakeup);
        }
    }

    /// Notifies all who wait now, and keeps nothing for later: a goroutine that looks at a condition first and
    /// waits then misses it in between, unless it [waits first](Self::notified).
    #[track_caller]
    pub fn notify_all(&self) {
        let shared = self.permit.shared();
        hook::step(
            "Notify notify_all",
            shared.id,
            Access::Write,
            Location::caller(),
        );
        let mut state = shared.state.lock();
        let wakeups: Vec<Wakeup> = std::iter::from_fn(|| state.hand_to_waiting(())).collect();
        drop(state);
        Wakeup::wake_all(wakeups);
    }

    /// Waits for a notification. Nothing happens before the future is polled; from the first poll on it waits.
    ///
    /// ```
    /// use futures::poll;
    /// use gorin_channel::sync::Notify;
    /// use std::pin::pin;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// /// For whoever sets `open` and then calls `notify_all`.
    /// async fn opened(open: &AtomicBool, changed: &Notify) {
    ///     loop {
    ///         let mut notified = pin!(changed.notified());
    ///         // Waits from here on. (It may be a notification already.)
    ///         let early = poll!(notified.as_mut()).is_ready();
    ///         if open.load(Ordering::Acquire) {
    ///             return;
    ///         }
    ///         if !early {
    ///             notified.await;
    ///         }
    ///     }
    /// }
    /// # futures::executor::block_on(async {
    /// #     let (open, changed) = (AtomicBool::new(false), Notify::new());
    /// #     changed.notify_one();
    /// #     let mut wait = pin!(opened(&open, &changed));
    /// #     assert!(poll!(wait.as_mut()).is_pending());
    /// #     open.store(true, Ordering::Release);
    /// #     changed.notify_all();
    /// #     wait.await;
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// A wait that is dropped after it was notified passes the notification on to the next, or it
    /// is kept, unless one is kept already.
    #[track_caller]
    pub fn notified(&self) -> Notified<'_> {
        Notified {
            notify: self,
            wait: self.permit.recv(),
            untold: false,
        }
    }
}

impl Default for Notify {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

/// The future of [`Notify::notified`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Notified<'a> {
    notify: &'a Notify,
    wait: RecvFut<'a, ()>,
    /// It has been notified, and its goroutine lets others run before it is told.
    untold: bool,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !this.untold {
            ready!(coop::unlimited(|| Pin::new(&mut this.wait).poll(cx)));
            this.untold = true;
        }
        ready!(coop::poll_ready(cx));
        coop::spend();
        this.untold = false;
        Poll::Ready(())
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        if self.untold && !unwinding() {
            self.notify.notify_one();
        }
    }
}
