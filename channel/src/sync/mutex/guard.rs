//! The value of a mutex, and the guards through which its holder reaches it.
//!
//! The only unsafe code of locks for goroutines: lock and value are apart, because the lock is held across
//! await points, by a guard that may move to another thread. Invariant: a guard is made by who has just got
//! the lock, which nobody else gets until the guard is dropped (`raw.rs`, whose models look at the
//! value through guards as loom sees it).
//!
//! Must not: make a guard without the lock; give out a reference that outlives its guard's borrow.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use gorin_base::primitive::PlainArc;

use super::Mutex;

// SAFETY: the value is reached by `&mut Mutex`, or through a guard, of which there is one at a time; so
// threads take turns, and each may then move or replace what is inside, which is what `T: Send` allows. `T: Sync`
// is not needed: no two threads look at the value at the same time unless they share a guard, which is
// `Sync` only if `T` is.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T: ?Sized> Mutex<T> {
    /// The value, without locking: `&mut` proves that nobody else is here.
    ///
    /// ```
    /// # use gorin_channel::sync::Mutex;
    /// let mut names = Mutex::new(vec!["first"]);
    /// names.get_mut().push("second");
    /// assert_eq!(names.into_inner().len(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.value.with_mut(|value| {
            // SAFETY: `&mut self` outlives the reference, and a guard would borrow the mutex, or share it.
            unsafe { &mut *value }
        })
    }
}

/// Holds a [`Mutex`], which is free again when this is dropped.
///
/// It may be held across an await point, and go to another thread if the value may.
#[must_use = "a guard that is dropped at once locks nothing"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// May be shared, and sent, as this reference may.
    _value: PhantomData<&'a mut T>,
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// For who has just got the lock, once.
    #[inline]
    pub(super) fn new(mutex: &'a Mutex<T>) -> Self {
        Self {
            mutex,
            _value: PhantomData,
        }
    }

    /// The mutex that it holds.
    ///
    /// ```
    /// # use gorin_channel::sync::{Mutex, MutexGuard};
    /// let mutex = Mutex::new(1);
    /// let guard = mutex.try_lock().unwrap();
    /// assert!(std::ptr::eq(MutexGuard::mutex(&guard), &mutex));
    /// ```
    pub fn mutex(guard: &Self) -> &'a Mutex<T> {
        guard.mutex
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.mutex.value.with(|value| {
            // SAFETY: this guard proves that its owner holds the lock until it is dropped, and its borrow
            // outlives the reference.
            unsafe { &*value }
        })
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.mutex.value.with_mut(|value| {
            // SAFETY: as in `deref`, and `&mut self` makes this the only reference.
            unsafe { &mut *value }
        })
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    #[track_caller]
    fn drop(&mut self) {
        self.mutex.raw.unlock();
    }
}

/// Holds a [`Mutex`] like a [`MutexGuard`], and the `Arc` that it is in: for goroutines that outlive the
/// place where they got it.
#[must_use = "a guard that is dropped at once locks nothing"]
pub struct OwnedMutexGuard<T: ?Sized> {
    mutex: PlainArc<Mutex<T>>,
    /// May be shared, and sent, as this value may.
    _value: PhantomData<T>,
}

impl<T: ?Sized> OwnedMutexGuard<T> {
    /// For who has just got the lock, once.
    #[inline]
    pub(super) fn new(mutex: PlainArc<Mutex<T>>) -> Self {
        Self {
            mutex,
            _value: PhantomData,
        }
    }

    /// The mutex that it holds.
    pub fn mutex(guard: &Self) -> &PlainArc<Mutex<T>> {
        &guard.mutex
    }
}

impl<T: ?Sized> Deref for OwnedMutexGuard<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.mutex.value.with(|value| {
            // SAFETY: this guard proves that its owner holds the lock until it is dropped, and its borrow
            // outlives the reference.
            unsafe { &*value }
        })
    }
}

impl<T: ?Sized> DerefMut for OwnedMutexGuard<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.mutex.value.with_mut(|value| {
            // SAFETY: as in `deref`, and `&mut self` makes this the only reference.
            unsafe { &mut *value }
        })
    }
}

impl<T: ?Sized> Drop for OwnedMutexGuard<T> {
    #[inline]
    #[track_caller]
    fn drop(&mut self) {
        self.mutex.raw.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
