//! Reserving a place first and sending later.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use gorin_base::hook::{self, Access, Site};
use gorin_base::{primitive, seeded};

use crate::chan::{Shared, no_memory};
use crate::error::SendError;
use crate::operation::{Now, Operation, Wait};
use crate::state::{Sent, State};
use crate::waiter::{Outcome, Phase, Removed, Wakeup, Wants};

/// A reservation.
#[derive(Debug)]
pub struct ReserveOp;

impl<'a, T: 'a> Operation<'a, T> for ReserveOp {
    type Output = Result<Permit<'a, T>, SendError<()>>;
    const NAME: &'static str = "chan reserve";
    const ACCESS: Access = Access::Write;
    const WANTS: Wants = Wants::Place;

    fn is_ready(&self, state: &State<T>) -> bool {
        state.is_closed() || state.has_place()
    }

    fn must_wait(&self, state: &State<T>) -> bool {
        !state.is_closed() && !state.has_place()
    }

    fn now(&mut self, shared: &'a Shared<T>, state: &mut State<T>) -> Now<Self::Output> {
        match state.reserve_now() {
            Sent::Done(wakeup) => Now::Done(Ok(Permit { shared }), wakeup),
            Sent::Closed => Now::Done(Err(shared.refuse((), true)), None),
            Sent::Full => Now::Wait,
            Sent::NoMemory => Now::NoMemory,
        }
    }

    fn by_buffer(&mut self, _state: &mut State<T>) -> Option<(Self::Output, u8)> {
        None
    }

    fn give_up_value(&mut self) -> Option<T> {
        None
    }

    fn take_value_back(&mut self, _value: Option<T>) {}

    fn completed(&mut self, shared: &'a Shared<T>, outcome: Outcome<T>) -> Self::Output {
        match outcome.phase {
            Phase::Done => Ok(Permit { shared }),
            _ => Err(shared.refuse((), false)),
        }
    }

    /// A place that was granted goes to the next in line.
    fn undo(&mut self, state: &mut State<T>, removed: &mut Removed<T>) -> Option<Wakeup> {
        match removed.phase {
            Phase::Done if !seeded::bug("reserve.dropped_grant_keeps_place") => {
                state.release_place()
            }
            _ => None,
        }
    }
}

/// The future of [`Sender::reserve`](crate::Sender::reserve).
#[must_use = "futures do nothing unless polled"]
pub struct ReserveFut<'a, T> {
    pub(crate) shared: &'a Shared<T>,
    wait: Wait<ReserveOp>,
}

impl<'a, T> ReserveFut<'a, T> {
    pub(crate) fn new(shared: &'a Shared<T>, site: Site) -> Self {
        Self {
            shared,
            wait: Wait::new(ReserveOp, site),
        }
    }

    /// The operation, out of the line if it stood there.
    pub(crate) fn withdraw(&mut self) -> ReserveOp {
        self.wait.cancel(self.shared);
        ReserveOp
    }
}

impl<'a, T> Future for ReserveFut<'a, T> {
    type Output = Result<Permit<'a, T>, SendError<()>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.wait.poll_once(this.shared, cx)
    }
}

impl<T> Drop for ReserveFut<'_, T> {
    fn drop(&mut self) {
        self.wait.cancel(self.shared);
    }
}

impl<T> fmt::Debug for ReserveFut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReserveFut")
            .field("channel", &self.shared.chan_id())
            .field("in_line", &self.wait.key().is_some())
            .finish_non_exhaustive()
    }
}

/// A place in a channel that nobody else can take, from
/// [`Sender::reserve`](crate::Sender::reserve). Dropping it unused gives the place to the sender
/// that has waited longest.
#[must_use = "dropping the permit gives the place up"]
pub struct Permit<'a, T> {
    shared: &'a Shared<T>,
}

impl<T> Permit<'_, T> {
    /// Sends `value`; never waits.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let (tx, rx) = gorin_channel::chan(1);
    /// let permit = tx.reserve().await.unwrap();
    /// permit.send("built only once there was room").unwrap();
    /// assert_eq!(rx.len(), 1);
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`SendError`] with the value if the channel was closed after the reservation, or its last
    /// receiver is gone.
    ///
    /// # Panics
    /// If there is no memory to grow the buffer.
    #[track_caller]
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        let shared = self.shared;
        hook::step("chan send", shared.id, Access::Write, Location::caller());
        // The place is used up by `send_reserved`; the destructor would give it back again.
        std::mem::forget(self);
        let mut slot = Some(value);
        let (sent, admitted) = shared.state.lock().send_reserved(&mut slot);
        Wakeup::wake_any(admitted);
        match sent {
            Sent::Done(wakeup) => {
                Wakeup::wake_any(wakeup);
                Ok(())
            }
            Sent::NoMemory => no_memory(shared.state.lock().len()),
            Sent::Full | Sent::Closed => {
                let value = slot.expect("a refused send leaves the value");
                Err(shared.refuse(value, true))
            }
        }
    }
}

impl<T> Drop for Permit<'_, T> {
    #[track_caller]
    fn drop(&mut self) {
        if primitive::unwinding() {
            return;
        }
        let shared = self.shared;
        hook::step(
            "drop of a permit",
            shared.id,
            Access::Write,
            Location::caller(),
        );
        let wakeup = shared.state.lock().release_place();
        Wakeup::wake_any(wakeup);
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("channel", &self.shared.chan_id())
            .finish()
    }
}
