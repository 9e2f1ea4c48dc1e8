//! Permits of which there is a limited number.
//!
//! A semaphore is a channel without a limit that begins with a value `()` per permit: to acquire is to
//! receive, and a permit that is dropped is sent. So permits go to those who wait in the order in
//! which they came, and a wait that is dropped after it was given one passes it on; the channel does
//! that anyway, and its models prove it.
//!
//! Rejected: places of a full channel in the role of permits (`reserve`). A reservation borrows its
//! sender, and a permit must go with the goroutine that it is for.
//! Rejected: several permits in one wait. They would have to be collected one after the other, and two
//! who wait for several could each hold what the other lacks; it takes a line of its own to do it right.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gorin_base::hook::{self, Access};
use gorin_base::primitive::{PlainArc, unwinding};
use gorin_base::seeded;

use crate::both::Chan;
use crate::recv::RecvFut;
use crate::waiter::Wakeup;

/// Limits how many goroutines do something at the same time: each holds a permit meanwhile.
///
/// Clones are handles of the same semaphore. Permits go to those who wait in the order in which they
/// came. In a `select!` an [`acquire`](Semaphore::acquire) is a case like any other future.
///
/// ```
/// use gorin_channel::sync::Semaphore;
/// # futures::executor::block_on(async {
/// let connections = Semaphore::new(2);
/// let first = connections.acquire().await;
/// let second = connections.acquire().await;
/// assert!(connections.try_acquire().is_none());
/// drop(first); // at the end of a goroutine, with all else that it owns
/// let third = connections.acquire().await;
/// # drop((second, third));
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Semaphore {
    permits: PlainArc<Chan<()>>,
}

impl Semaphore {
    /// A semaphore with so many permits.
    #[track_caller]
    pub fn new(permits: usize) -> Self {
        let more = usize::from(seeded::bug("semaphore.begins_with_one_more"));
        let channel = Chan::called("semaphore", usize::MAX);
        let all = VecDeque::from(vec![(); permits + more]);
        channel.shared().state.lock().append(all);
        Self {
            permits: PlainArc::new(channel),
        }
    }

    /// Waits for a permit, and holds it until it is dropped. What was done under a permit happens
    /// before whoever gets it next has it.
    ///
    /// # Cancel safety
    /// A dropped wait has no permit: one that it was given goes to who waits next. But it has lost its
    /// place in line.
    #[track_caller]
    pub fn acquire(&self) -> Acquire<'_> {
        Acquire {
            semaphore: self,
            wait: self.permits.recv(),
        }
    }

    /// A permit, if there is one now.
    #[track_caller]
    pub fn try_acquire(&self) -> Option<SemaphorePermit> {
        let taken = self.permits.try_recv();
        taken.is_ok().then(|| self.permit())
    }

    /// Permits that nobody holds.
    #[track_caller]
    pub fn available(&self) -> usize {
        self.permits.len()
    }

    /// Makes more permits. For fewer of them [forget](SemaphorePermit::forget) some.
    ///
    /// # Panics
    /// If there would be more than `usize::MAX` that nobody holds; the semaphore is unchanged then.
    #[track_caller]
    pub fn add(&self, permits: usize) {
        let shared = self.permits.shared();
        hook::step(
            "Semaphore add",
            shared.id,
            Access::Write,
            Location::caller(),
        );
        let mut state = shared.state.lock();
        let available = state.len();
        if available.checked_add(permits).is_none() {
            drop(state);
            panic!("{permits} permits more were added to a semaphore that has {available}");
        }
        let given = (0..permits).map_while(|_| state.hand_to_waiting(()));
        let wakeups: Vec<Wakeup> = given.collect();
        state.append(VecDeque::from(vec![(); permits - wakeups.len()]));
        drop(state);
        Wakeup::wake_all(wakeups);
    }

    #[track_caller]
    fn put(&self) {
        // It has no limit and is never closed.
        let _ = self.permits.try_send(());
    }

    fn permit(&self) -> SemaphorePermit {
        SemaphorePermit {
            semaphore: Some(self.clone()),
        }
    }
}

/// A permit of a [`Semaphore`], which is given back when this is dropped.
#[must_use = "a permit that is dropped at once permits nothing"]
pub struct SemaphorePermit {
    /// Where it is given back; `None` if it is forgotten.
    semaphore: Option<Semaphore>,
}

impl SemaphorePermit {
    /// Does not give the permit back: from now on the semaphore has one less.
    pub fn forget(mut self) {
        self.semaphore = None;
    }
}

impl Drop for SemaphorePermit {
    #[track_caller]
    fn drop(&mut self) {
        if unwinding() || seeded::bug("semaphore.permit_not_given_back") {
            return;
        }
        if let Some(semaphore) = &self.semaphore {
            semaphore.put();
        }
    }
}

impl fmt::Debug for SemaphorePermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let semaphore = self.semaphore.as_ref();
        f.debug_struct("SemaphorePermit")
            .field("semaphore", &semaphore.map(|one| one.permits.id()))
            .finish()
    }
}

/// The future of [`Semaphore::acquire`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Acquire<'a> {
    semaphore: &'a Semaphore,
    wait: RecvFut<'a, ()>,
}

impl Future for Acquire<'_> {
    type Output = SemaphorePermit;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SemaphorePermit> {
        let this = self.get_mut();
        // `None` would be the end of the channel, which has none.
        let _permit = ready!(Pin::new(&mut this.wait).poll(cx));
        Poll::Ready(this.semaphore.permit())
    }
}
