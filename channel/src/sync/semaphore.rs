//! Permits of which there is a limited number.
//!
//! A semaphore is [`Permits`]: so many in stock, and those who wait for some, served in their order.
//!
//! Rejected: a channel with a value `()` per permit, in which to acquire is to receive. Several permits would
//! have to be collected one after the other, and two who wait for several could each hold what the other
//! lacks. To acquire one and give it back took 306 instructions then, and takes 163 now.
//! Rejected: a `close` that ends the waits, as tokio has it. Each `acquire` would have an error, for the sake
//! of the few semaphores that end before their waiters do; a `select!` ends a wait for any reason.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gorin_base::hook::{self, Access, Site};
use gorin_base::primitive::{PlainArc, unwinding};
use gorin_base::seeded;

use super::permits::{Permits, Wait};
use crate::blocking;

/// What reports call an acquire.
const ACQUIRE: &str = "Semaphore acquire";

/// Limits how many goroutines do something at the same time: each holds a permit meanwhile, or as many as
/// what it does weighs.
///
/// Clones are handles of the same semaphore. Permits go to those who wait in the order in which they came, as
/// Go's `semaphore.Weighted` gives them: who waits for many is not overtaken by who wants few, so that it gets
/// them in the end. It follows that who waits for more permits than there are keeps all others waiting until it
/// is dropped, or until [`add`](Semaphore::add) has made enough.
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
///
/// # Giving up
/// There is no `close`: an acquire never fails. Whoever waits stops waiting when its future is dropped, so an
/// end of another kind is another case of a `select!`, in which an [`acquire`](Semaphore::acquire) is a case
/// like any future. (With gorin's contexts, it is `ctx.run(semaphore.acquire())`.)
///
/// ```
/// use gorin_channel::sync::Semaphore;
/// use gorin_channel::{chan, select};
/// # futures::executor::block_on(async {
/// let (jobs, (stop, stopped)) = (Semaphore::new(0), chan::<()>(0));
/// drop(stop); // tells everybody
/// let permit = select! {
///     permit = jobs.acquire() => Some(permit),
///     _ = stopped.recv() => None,
/// };
/// assert!(permit.is_none());
/// # });
/// ```
#[derive(Clone)]
pub struct Semaphore {
    permits: PlainArc<Permits>,
}

impl Semaphore {
    /// A semaphore with so many permits.
    #[track_caller]
    pub fn new(permits: usize) -> Self {
        let more = usize::from(seeded::bug("semaphore.begins_with_one_more"));
        let id = gorin_base::id::next();
        hook::created(id, "semaphore", Location::caller());
        Self {
            permits: PlainArc::new(Permits::new(id, 0, permits + more)),
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
        self.acquire_many(1)
    }

    /// Waits until so many permits are free at once, and holds them until they are dropped: all, or none of
    /// them meanwhile. Nobody who comes later is served before. For none it waits until all who came before
    /// are served.
    ///
    /// ```
    /// use gorin_channel::sync::Semaphore;
    /// # futures::executor::block_on(async {
    /// let megabytes = Semaphore::new(100);
    /// let large = megabytes.acquire_many(80).await;
    /// assert!(megabytes.try_acquire_many(30).is_none());
    /// drop(large);
    /// assert_eq!(megabytes.available(), 100);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// As for [`acquire`](Self::acquire). If it was the first in line, those are let in for whom there are
    /// enough.
    #[track_caller]
    pub fn acquire_many(&self, permits: usize) -> Acquire<'_> {
        Acquire {
            semaphore: self,
            wait: self.permits.wait(permits, ACQUIRE, Location::caller()),
        }
    }

    /// As [`acquire`](Self::acquire) for plain threads: this one sleeps meanwhile. In a goroutine it would stop
    /// a worker.
    ///
    /// # Panics
    /// If it would have to wait in a model.
    #[track_caller]
    pub fn acquire_blocking(&self) -> SemaphorePermit {
        blocking::block_on(self.acquire())
    }

    /// As [`acquire_many`](Self::acquire_many) for plain threads: this one sleeps meanwhile. In a goroutine it
    /// would stop a worker.
    ///
    /// # Panics
    /// If it would have to wait in a model.
    #[track_caller]
    pub fn acquire_many_blocking(&self, permits: usize) -> SemaphorePermit {
        blocking::block_on(self.acquire_many(permits))
    }

    /// A permit, if there is one now, and nobody waits.
    #[track_caller]
    pub fn try_acquire(&self) -> Option<SemaphorePermit> {
        self.try_acquire_many(1)
    }

    /// So many permits, if there are as many now, and nobody waits.
    #[track_caller]
    pub fn try_acquire_many(&self, permits: usize) -> Option<SemaphorePermit> {
        self.announce("Semaphore try_acquire", Access::Write, Location::caller());
        let taken = self.permits.try_take(permits);
        taken.then(|| self.permit(permits))
    }

    /// Permits that nobody holds. Somebody may wait all the same: for more of them.
    #[track_caller]
    pub fn available(&self) -> usize {
        self.announce("Semaphore available", Access::Read, Location::caller());
        self.permits.stock()
    }

    /// Makes more permits. For fewer of them [forget](SemaphorePermit::forget) some.
    ///
    /// # Panics
    /// If there would be more than `usize::MAX` that nobody holds; the semaphore is unchanged then.
    #[track_caller]
    pub fn add(&self, permits: usize) {
        self.announce("Semaphore add", Access::Write, Location::caller());
        match self.permits.try_put(permits) {
            Ok(served) => served.wake(),
            Err(available) => {
                panic!("{permits} permits more were added to a semaphore that has {available}")
            }
        }
    }

    fn announce(&self, operation: &'static str, access: Access, site: Site) {
        hook::step(operation, self.permits.id(), access, site);
    }

    #[inline]
    fn permit(&self, permits: usize) -> SemaphorePermit {
        SemaphorePermit {
            semaphore: self.clone(),
            permits,
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("id", &self.permits.id())
            .finish_non_exhaustive()
    }
}

/// A permit of a [`Semaphore`], or several, which are given back when this is dropped.
#[must_use = "a permit that is dropped at once permits nothing"]
pub struct SemaphorePermit {
    semaphore: Semaphore,
    /// How many are given back.
    permits: usize,
}

impl SemaphorePermit {
    /// How many permits these are.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Takes so many of them away, to be held and given back by themselves; `None` if there are fewer, which
    /// then stay together.
    ///
    /// ```
    /// use gorin_channel::sync::Semaphore;
    /// let semaphore = Semaphore::new(5);
    /// let mut all = semaphore.try_acquire_many(5).unwrap();
    /// let two = all.split(2).unwrap();
    /// assert_eq!((all.permits(), two.permits()), (3, 2));
    /// drop(two);
    /// assert_eq!(semaphore.available(), 2);
    /// ```
    pub fn split(&mut self, permits: usize) -> Option<SemaphorePermit> {
        self.permits = self.permits.checked_sub(permits)?;
        Some(self.semaphore.permit(permits))
    }

    /// Holds those of `other`, too.
    ///
    /// # Panics
    /// If they are of another semaphore.
    pub fn merge(&mut self, mut other: SemaphorePermit) {
        assert!(
            PlainArc::ptr_eq(&self.semaphore.permits, &other.semaphore.permits),
            "permits of two semaphores cannot be one"
        );
        self.permits = self.permits.saturating_add(other.permits);
        other.permits = 0;
    }

    /// Does not give the permits back: from now on the semaphore has so many less.
    pub fn forget(mut self) {
        self.permits = 0;
    }
}

impl Drop for SemaphorePermit {
    #[inline]
    #[track_caller]
    fn drop(&mut self) {
        if self.permits == 0 || unwinding() || seeded::bug("semaphore.permit_not_given_back") {
            return;
        }
        let site = Location::caller();
        self.semaphore
            .announce("Semaphore release", Access::Write, site);
        self.semaphore.permits.put(self.permits).wake();
    }
}

impl fmt::Debug for SemaphorePermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphorePermit")
            .field("semaphore", &self.semaphore.permits.id())
            .field("permits", &self.permits)
            .finish()
    }
}

/// The future of [`Semaphore::acquire`] and of [`Semaphore::acquire_many`].
#[must_use = "futures do nothing unless polled"]
pub struct Acquire<'a> {
    semaphore: &'a Semaphore,
    wait: Wait<'a>,
}

impl Future for Acquire<'_> {
    type Output = SemaphorePermit;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SemaphorePermit> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.wait).poll(cx));
        Poll::Ready(this.semaphore.permit(this.wait.wanted()))
    }
}

impl fmt::Debug for Acquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("semaphore", &self.semaphore.permits.id())
            .field("permits", &self.wait.wanted())
            .field("in_line", &self.wait.is_in_line())
            .finish()
    }
}
