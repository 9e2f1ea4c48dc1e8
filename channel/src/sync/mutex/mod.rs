//! A value that one goroutine at a time has.
//!
//! | file | holds |
//! |---|---|
//! | `mutex/raw.rs` | the protocol: who has the lock, who waits, who is next |
//! | `mutex/guard.rs` | the value, and the guards; the unsafe code |
//! | here | the mutex as its users see it, and its futures |
//!
//! A goroutine that panics with the lock leaves it free, and the value as it is then. Rejected: poisoning. A
//! panic ends one goroutine and is told to whoever joins it; and an abort, or a `select!` that drops
//! what it does not need, leaves a value half-changed at an await point just the same, with no panic to
//! poison it by.

#[expect(
    unsafe_code,
    reason = "the value is apart from its lock; see the text of the file"
)]
mod guard;
mod raw;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gorin_base::hook::{self, Site};
use gorin_base::id;
use gorin_base::primitive::{PlainArc, UnsafeCell};

pub use guard::{MutexGuard, OwnedMutexGuard};
use raw::{Raw, Wait};

/// A value that one goroutine at a time has: as Go's `sync.Mutex`, with what it protects inside.
///
/// A guard may be held across await points. Who only computes with the value has no need for that: std's
/// mutex does it for less, as long as no guard of it is held at an `await`.
///
/// ```
/// use gorin_channel::sync::Mutex;
/// # futures::executor::block_on(async {
/// let names = Mutex::new(Vec::new());
/// names.lock().await.push("first");
/// let guard = names.lock().await;
/// assert!(names.try_lock().is_none());
/// assert_eq!(*guard, ["first"]);
/// # });
/// ```
///
/// * **Order.** As in Go: a lock that becomes free may be taken by whoever comes first, so a goroutine
///   that runs need not wait for one that sleeps. But who waits is called in the order in which
///   they came, and who has been called and has found the lock taken again is handed it next, past
///   all others: nobody waits for ever.
/// * **Memory.** What was done with the lock happens before whoever gets it next has it.
/// * **Not reentrant.** A goroutine that locks what it has locked waits for itself, for ever;
///   `gorin::model` finds it.
/// * **No poisoning.** Who panics leaves the lock free and the value as it is. A goroutine that is
///   aborted does the same at an await point: change the value in one go between two of them, or put
///   it right in a destructor.
/// * Any goroutine may drop the guard; it unlocks wherever it is dropped.
///
/// In a `select!` a [`lock`](Self::lock) is a case like any other future.
pub struct Mutex<T: ?Sized> {
    raw: Raw,
    value: UnsafeCell<T>,
}

impl<T> Mutex<T> {
    /// A mutex that nobody holds. For statics: [`const_new`](Self::const_new).
    #[track_caller]
    pub fn new(value: T) -> Self {
        let id = id::Lazy::drawn();
        hook::created(id.get(), "mutex", Location::caller());
        Self {
            raw: Raw::new(id),
            value: UnsafeCell::new(value),
        }
    }

    /// A mutex for a static. (Absent under loom. `gorin::model` does not learn where it was made, and takes
    /// it for one that was there before: a program that it checks makes its own ones with [`new`](Self::new).)
    ///
    /// ```
    /// use gorin_channel::sync::Mutex;
    ///
    /// static NAMES: Mutex<Vec<String>> = Mutex::const_new(Vec::new());
    /// # futures::executor::block_on(async {
    /// NAMES.lock().await.push("first".to_owned());
    /// # });
    /// ```
    #[cfg(not(loom))]
    pub const fn const_new(value: T) -> Self {
        Self {
            raw: Raw::new(id::Lazy::new()),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock, and holds it until the guard is dropped.
    ///
    /// # Cancel safety
    /// A dropped wait has not got the lock: one that it was given goes to who waits next. But it has lost
    /// its place in line.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> LockFut<'_, T> {
        self.lock_at(Location::caller())
    }

    #[inline]
    pub(super) fn lock_at(&self, site: Site) -> LockFut<'_, T> {
        LockFut {
            mutex: self,
            wait: Wait::new(site),
        }
    }

    /// The lock, if nobody holds it now.
    ///
    /// ```
    /// # use gorin_channel::sync::Mutex;
    /// let count = Mutex::new(0);
    /// if let Some(mut count) = count.try_lock() {
    ///     *count += 1;
    /// }
    /// assert_eq!(count.into_inner(), 1);
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.raw.try_lock().then(|| MutexGuard::new(self))
    }

    /// As [`lock`](Self::lock), blocking this thread; for threads that run no goroutines. On a worker it
    /// would stop all goroutines of that worker, maybe the one that holds the lock.
    ///
    /// ```
    /// # use gorin_channel::sync::Mutex;
    /// let count = Mutex::new(0);
    /// std::thread::scope(|scope| {
    ///     for _ in 0..2 {
    ///         scope.spawn(|| *count.lock_blocking() += 1);
    ///     }
    /// });
    /// assert_eq!(count.into_inner(), 2);
    /// ```
    ///
    /// # Panics
    /// If it would have to wait in `gorin::model`.
    #[track_caller]
    pub fn lock_blocking(&self) -> MutexGuard<'_, T> {
        crate::blocking::block_on(self.lock())
    }

    /// As [`lock`](Self::lock), with a guard that borrows nothing.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use gorin_channel::sync::Mutex;
    /// # futures::executor::block_on(async {
    /// let count = Arc::new(Mutex::new(0));
    /// let mut guard = count.lock_owned().await;
    /// let thread = std::thread::spawn(move || *guard += 1);
    /// # thread.join().unwrap();
    /// assert_eq!(*count.lock().await, 1);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn lock_owned(self: &PlainArc<Self>) -> LockOwnedFut<T> {
        LockOwnedFut {
            mutex: self.clone(),
            wait: Wait::new(Location::caller()),
        }
    }

    /// As [`try_lock`](Self::try_lock), with a guard that borrows nothing.
    #[track_caller]
    pub fn try_lock_owned(self: &PlainArc<Self>) -> Option<OwnedMutexGuard<T>> {
        self.raw
            .try_lock()
            .then(|| OwnedMutexGuard::new(self.clone()))
    }
}

impl<T: Default> Default for Mutex<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// Shows the value, or that it is locked; does not wait.
impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Mutex");
        match self.try_lock() {
            Some(guard) => shown.field("value", &&*guard).finish(),
            None => shown.field("value", &format_args!("<locked>")).finish(),
        }
    }
}

/// The future of [`Mutex::lock`].
#[must_use = "futures do nothing unless polled"]
pub struct LockFut<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    wait: Wait,
}

impl<'a, T: ?Sized> Future for LockFut<'a, T> {
    type Output = MutexGuard<'a, T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        ready!(this.wait.poll(&this.mutex.raw, cx));
        Poll::Ready(MutexGuard::new(this.mutex))
    }
}

impl<T: ?Sized> Drop for LockFut<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.wait.cancel(&self.mutex.raw);
    }
}

impl<T: ?Sized> fmt::Debug for LockFut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockFut").finish_non_exhaustive()
    }
}

/// The future of [`Mutex::lock_owned`].
#[must_use = "futures do nothing unless polled"]
pub struct LockOwnedFut<T: ?Sized> {
    mutex: PlainArc<Mutex<T>>,
    wait: Wait,
}

impl<T: ?Sized> Future for LockOwnedFut<T> {
    type Output = OwnedMutexGuard<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        ready!(this.wait.poll(&this.mutex.raw, cx));
        Poll::Ready(OwnedMutexGuard::new(this.mutex.clone()))
    }
}

impl<T: ?Sized> Drop for LockOwnedFut<T> {
    #[inline]
    fn drop(&mut self) {
        self.wait.cancel(&self.mutex.raw);
    }
}

impl<T: ?Sized> fmt::Debug for LockOwnedFut<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockOwnedFut").finish_non_exhaustive()
    }
}
