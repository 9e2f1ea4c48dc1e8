//! The lock around a channel's state, and the set of locks that a select holds at once.
//!
//! [`Lock`] is a mutex whose raw lock and data are separate fields, so that a select can take the
//! raw locks of channels of *different* element types into one [`LockSet`] and then look at each
//! state through it. This file holds the only unsafe code of the crate, behind a safe interface:
//! a state is reachable only through a [`Guard`] or a set that holds its raw lock, and only one at
//! a time by `&mut`. Storing mutex guards in the select instead would need an allocation per wait
//! for the guards of unlike types, or `T: 'static`.
//!
//! Rules for whoever holds a lock: no user code (no waker is cloned, woken or dropped, no value
//! dropped), no waiting, and no second channel lock except by [`LockSet`], which takes them in
//! creation order.
//!
//! Under loom the raw lock is loom's mutex: exploring every spin of the production lock would make
//! the channel models endless. `spin.rs` has models of its own.

use std::ops::{Deref, DerefMut};

use gorin_base::primitive::UnsafeCell;

#[cfg(not(loom))]
use crate::spin::{SpinGuard as RawGuard, SpinLock as RawLock};
#[cfg(loom)]
use model::{RawGuard, RawLock};

/// loom's mutex in the shape of the spin lock.
#[cfg(loom)]
mod model {
    use gorin_base::primitive::{Mutex, MutexGuard};

    #[derive(Debug)]
    pub(crate) struct RawLock(Mutex<()>);

    impl RawLock {
        pub(crate) fn new() -> Self {
            Self(Mutex::new(()))
        }

        #[track_caller]
        pub(crate) fn lock(&self) -> RawGuard<'_> {
            RawGuard {
                _held: self.0.lock(),
            }
        }
    }

    #[derive(Debug)]
    pub(crate) struct RawGuard<'a> {
        _held: MutexGuard<'a, ()>,
    }
}

/// A value of which only the holder of the lock sees anything.
pub(crate) struct Lock<T> {
    raw: RawLock,
    value: UnsafeCell<T>,
}

// SAFETY: `value` is reached only while `raw` is held, so threads take turns; each may then move
// or drop what is inside, which is what `T: Send` allows. `T: Sync` is not needed: no two threads
// look at the value at the same time.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            raw: RawLock::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits for the lock.
    #[inline]
    #[cfg_attr(loom, track_caller)]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        Guard {
            _held: self.raw.lock(),
            value: &self.value,
        }
    }
}

/// Holds one [`Lock`].
pub(crate) struct Guard<'a, T> {
    value: &'a UnsafeCell<T>,
    _held: RawGuard<'a>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value.with(|value| {
            // SAFETY: `_held` proves that this thread holds the lock until the guard is gone, and
            // the borrow of the guard outlives the reference.
            unsafe { &*value }
        })
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.value.with_mut(|value| {
            // SAFETY: as in `deref`, and `&mut self` makes this the only reference.
            unsafe { &mut *value }
        })
    }
}
