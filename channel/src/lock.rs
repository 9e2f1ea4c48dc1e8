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
use std::panic::{RefUnwindSafe, UnwindSafe};

use gorin_base::const_unless_loom;
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
                lock: self,
                _held: self.0.lock(),
            }
        }
    }

    #[derive(Debug)]
    pub(crate) struct RawGuard<'a> {
        lock: &'a RawLock,
        _held: MutexGuard<'a, ()>,
    }

    impl RawGuard<'_> {
        pub(crate) fn is_of(&self, lock: &RawLock) -> bool {
            std::ptr::eq(self.lock, lock)
        }
    }
}

/// A value of which only the holder of the lock sees anything.
#[repr(C)]
pub(crate) struct Lock<T> {
    raw: RawLock,
    value: UnsafeCell<T>,
}

// SAFETY: `value` is reached only while `raw` is held, so threads take turns; each may then move
// or drop what is inside, which is what `T: Send` allows. `T: Sync` is not needed: no two threads
// look at the value at the same time.
unsafe impl<T: Send> Sync for Lock<T> {}

// Nobody finds a value half-way that a panic has left so: no code of users runs under a lock, which is all that
// panics at the hands of users. Values that lie in a channel go in and out whole, as with std's.
impl<T> UnwindSafe for Lock<T> {}
impl<T> RefUnwindSafe for Lock<T> {}

impl<T> Lock<T> {
    const_unless_loom! {
        pub(crate) const fn new(value: T) -> Self {
            Self {
                raw: RawLock::new(),
                value: UnsafeCell::new(value),
            }
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

/// How many locks a set holds without an allocation.
const INLINE: usize = 16;

/// The locks that one select holds, taken in creation order of their channels.
#[expect(
    missing_debug_implementations,
    reason = "lives for one step of a select"
)]
pub struct LockSet<'a> {
    /// The first ones here, the rest in `more`.
    inline: [Option<RawGuard<'a>>; INLINE],
    more: Vec<RawGuard<'a>>,
    len: usize,
}

impl<'a> LockSet<'a> {
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            inline: [const { None }; INLINE],
            more: Vec::new(),
            len: 0,
        }
    }

    /// Adds `lock` unless it was the last one added, and returns its place in the set.
    #[inline]
    #[cfg_attr(loom, track_caller)]
    pub(crate) fn add<T>(&mut self, lock: &'a Lock<T>) -> usize {
        let raw = &lock.raw;
        if self.len > 0 && self.holds(raw, self.len - 1) {
            return self.len - 1;
        }
        let held = raw.lock();
        match self.inline.get_mut(self.len) {
            Some(free) => *free = Some(held),
            None => self.more.push(held),
        }
        self.len += 1;
        self.len - 1
    }

    /// True if the set holds `raw` at `place`.
    #[inline]
    fn holds(&self, raw: &RawLock, place: usize) -> bool {
        let held = match self.inline.get(place) {
            Some(held) => held.as_ref(),
            None => self.more.get(place - INLINE),
        };
        held.is_some_and(|held| held.is_of(raw))
    }

    /// What `lock` protects, if the set holds it at `place`.
    ///
    /// # Panics
    /// If it does not.
    #[inline]
    pub(crate) fn get<'s, T>(&'s mut self, place: usize, lock: &'s Lock<T>) -> &'s mut T {
        assert!(
            self.holds(&lock.raw, place),
            "a select looked at a channel that it had not locked"
        );
        lock.value.with_mut(|value| {
            // SAFETY: the set holds the raw lock of this very value until the set is gone, and
            // `&mut self` outlives the reference, so no other reference comes out of the set.
            unsafe { &mut *value }
        })
    }
}
