//! A value that many goroutines read at a time, or one changes: Go's `sync.RWMutex`, with the value in it.
//!
//! | file | holds |
//! |---|---|
//! | `rwlock/state.rs` | who is in, who waits, and the steps between: read this first |
//! | `rwlock/cell.rs` | the value, the holds by which it is reached; all that is unsafe |
//! | `rwlock/guard.rs` | guards and futures under their public names |
//!
//! A short lock around two lines, as in a channel. Rejected: readers that come and go by one atomic word.
//! std's lock, which is such a word and can do less, needs 0.8 of the time (21 ns for an uncontended read
//! and its unlock, against 26; 45 against 53 with two threads that read), and each step of writers, their
//! line and grants that are passed on would need a proof against the word.
//!
//! `new` is no `const fn`: a lock is announced to the checker of models where it is made, and has
//! its name by that. `LazyLock` makes one for a static.

#[expect(
    unsafe_code,
    reason = "the value lies in a cell; see the text of the file"
)]
mod cell;
mod guard;
mod state;

use std::fmt;
use std::panic::Location;

use gorin_base::hook::Site;
use gorin_base::primitive::PlainArc;

use cell::{Guarded, Reading};
pub use guard::{
    OwnedRwLockReadFut, OwnedRwLockReadGuard, OwnedRwLockWriteFut, OwnedRwLockWriteGuard,
    RwLockReadFut, RwLockReadGuard, RwLockWriteFut, RwLockWriteGuard,
};

/// A value that any number of goroutines read at the same time, or one changes.
///
/// ```
/// use gorin_channel::sync::RwLock;
/// # futures::executor::block_on(async {
/// let routes = RwLock::new(vec!["/"]);
/// {
///     let one = routes.read().await;
///     let another = routes.read().await;
///     assert_eq!(one.len() + another.len(), 2);
///     assert!(routes.try_write().is_none());
/// }
/// routes.write().await.push("/about");
/// assert_eq!(*routes.read().await, ["/", "/about"]);
/// # });
/// ```
///
/// # Who comes first
/// As in Go, neither side starves. A writer that waits keeps new readers out, so it waits only for those
/// that came before it. When a writer leaves, all readers that have waited for it are let in together,
/// before the next writer. Writers come in the order in which they began to wait.
///
/// So a goroutine that reads **twice** at the same time, or reads while it holds the write guard, can wait
/// for itself: between its two reads a writer may have begun to wait, which waits for the first and
/// keeps the second out. `gorin::model` finds such a deadlock. Pass the guard, or what it shows, on instead.
///
/// There is no upgrade from reading to writing: two that tried would wait for each other. The other way
/// there is [`downgrade`](RwLockWriteGuard::downgrade).
///
/// The number of readers has no limit that a program could reach, not even with guards that it forgets.
///
/// # Memory
/// What a writer did happens before whoever is let in next reads or writes; what readers did, before the
/// next writer does.
///
/// # No poisoning
/// A panic while a guard is held unlocks as any other end does. The panic itself is not lost, since whoever
/// joins the goroutine is told; and whether the value makes sense half-way is known to the program
/// alone. A goroutine that is aborted, or a future that is dropped, at an await with a guard leaves
/// the value half-way in the same manner, and no flag of a panic would tell. Do not await between two
/// changes that belong together.
///
/// # Statics
/// ```
/// use std::sync::LazyLock;
///
/// use gorin_channel::sync::RwLock;
///
/// static NAMES: LazyLock<RwLock<Vec<String>>> = LazyLock::new(RwLock::default);
/// # futures::executor::block_on(async {
/// NAMES.write().await.push("gopher".to_owned());
/// # });
/// ```
pub struct RwLock<T: ?Sized> {
    guarded: Guarded<T>,
}

impl<T> RwLock<T> {
    /// A lock around `value` that nobody holds.
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self::made_at(value, Location::caller())
    }

    fn made_at(value: T, site: Site) -> Self {
        Self {
            guarded: Guarded::new(value, site),
        }
    }

    /// The value; nobody else can have it any more.
    pub fn into_inner(self) -> T {
        self.guarded.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until no writer is in and none waits, and reads until the guard is dropped.
    ///
    /// ```
    /// # use gorin_channel::sync::RwLock;
    /// # futures::executor::block_on(async {
    /// let limit = RwLock::new(3);
    /// let limit = *limit.read().await; // a copy, and the guard is gone
    /// assert_eq!(limit, 3);
    /// # });
    /// ```
    ///
    /// # Deadlocks
    /// If the same goroutine holds a guard of this lock: [see above](RwLock#who-comes-first).
    ///
    /// # Cancel safety
    /// A dropped wait holds nothing; if it had been let in it leaves, as a dropped guard does. It
    /// has lost its place in line.
    #[track_caller]
    pub fn read(&self) -> RwLockReadFut<'_, T> {
        RwLockReadFut::new(self, Location::caller())
    }

    /// Waits until nobody is in, and has the value to itself until the guard is dropped.
    ///
    /// ```
    /// # use gorin_channel::sync::RwLock;
    /// # futures::executor::block_on(async {
    /// let count = RwLock::new(1);
    /// *count.write().await += 1;
    /// assert_eq!(count.into_inner(), 2);
    /// # });
    /// ```
    ///
    /// # Deadlocks
    /// If the same goroutine holds a guard of this lock.
    ///
    /// # Cancel safety
    /// As with [`read`](Self::read). Readers that waited only because this writer did are let in.
    #[track_caller]
    pub fn write(&self) -> RwLockWriteFut<'_, T> {
        RwLockWriteFut::new(self, Location::caller())
    }

    /// A guard to read, if [`read`](Self::read) would not wait: no writer is in, and none waits.
    ///
    /// ```
    /// # use gorin_channel::sync::RwLock;
    /// let lock = RwLock::new(1);
    /// let reading = lock.try_read().unwrap();
    /// assert!(lock.try_read().is_some() && lock.try_write().is_none());
    /// drop(reading);
    /// let writing = lock.try_write().unwrap();
    /// assert!(lock.try_read().is_none());
    /// # drop(writing);
    /// ```
    #[track_caller]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        RwLockReadGuard::now(self, Location::caller())
    }

    /// A guard to write, if [`write`](Self::write) would not wait: nobody is in.
    #[track_caller]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        RwLockWriteGuard::now(self, Location::caller())
    }

    /// As [`read`](Self::read), for a guard with a share in the lock.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use gorin_channel::sync::RwLock;
    /// # futures::executor::block_on(async {
    /// let lock = Arc::new(RwLock::new("shared".to_owned()));
    /// let reading = lock.read_owned().await;
    /// let thread = std::thread::spawn(move || assert_eq!(*reading, "shared"));
    /// # thread.join().unwrap();
    /// # });
    /// ```
    #[track_caller]
    pub fn read_owned(self: &PlainArc<Self>) -> OwnedRwLockReadFut<T> {
        OwnedRwLockReadFut::new(self.clone(), Location::caller())
    }

    /// As [`write`](Self::write), for a guard with a share in the lock.
    #[track_caller]
    pub fn write_owned(self: &PlainArc<Self>) -> OwnedRwLockWriteFut<T> {
        OwnedRwLockWriteFut::new(self.clone(), Location::caller())
    }

    /// As [`try_read`](Self::try_read), for a guard with a share in the lock.
    #[track_caller]
    pub fn try_read_owned(self: &PlainArc<Self>) -> Option<OwnedRwLockReadGuard<T>> {
        OwnedRwLockReadGuard::now(self.clone(), Location::caller())
    }

    /// As [`try_write`](Self::try_write), for a guard with a share in the lock.
    #[track_caller]
    pub fn try_write_owned(self: &PlainArc<Self>) -> Option<OwnedRwLockWriteGuard<T>> {
        OwnedRwLockWriteGuard::now(self.clone(), Location::caller())
    }

    /// As [`read`](Self::read), blocking this thread; for threads that run no goroutines. On a worker it
    /// would stop all goroutines of that worker, perhaps the one that it waits for.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use gorin_channel::sync::RwLock;
    /// let lock = Arc::new(RwLock::new(0));
    /// let theirs = lock.clone();
    /// let thread = std::thread::spawn(move || *theirs.write_blocking() = 1);
    /// thread.join().unwrap();
    /// assert_eq!(*lock.read_blocking(), 1);
    /// ```
    ///
    /// # Panics
    /// If it would have to wait in a model.
    #[track_caller]
    pub fn read_blocking(&self) -> RwLockReadGuard<'_, T> {
        crate::blocking::block_on(self.read())
    }

    /// As [`write`](Self::write), blocking this thread; for threads that run no goroutines.
    ///
    /// # Panics
    /// If it would have to wait in a model.
    #[track_caller]
    pub fn write_blocking(&self) -> RwLockWriteGuard<'_, T> {
        crate::blocking::block_on(self.write())
    }

    /// The value, without locking: `&mut` proves that nobody else is here.
    ///
    /// ```
    /// # use gorin_channel::sync::RwLock;
    /// let mut lock = RwLock::from(1);
    /// *lock.get_mut() += 1;
    /// assert_eq!(lock.into_inner(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.guarded.get_mut()
    }
}

impl<T: Default> Default for RwLock<T> {
    #[track_caller]
    fn default() -> Self {
        Self::made_at(T::default(), Location::caller())
    }
}

impl<T> From<T> for RwLock<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        Self::made_at(value, Location::caller())
    }
}

/// Shows the value unless a writer is in or waits; never waits itself.
impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    #[track_caller]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reading = Reading::now(self, Location::caller());
        let mut debug = f.debug_struct("RwLock");
        match &reading {
            Some(reading) => debug.field("value", &&**reading),
            None => debug.field("value", &format_args!("<locked>")),
        };
        debug.finish_non_exhaustive()
    }
}
