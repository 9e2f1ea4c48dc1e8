//! The switch between std (production, miri, sanitizers) and loom (models).
//!
//! Every member takes its atomics, locks, cells and threads from here, so that one
//! `--cfg loom` puts the whole protocol under the checker. No other file of the members may name
//! `std::sync::{Mutex, Condvar, atomic}` or `std::thread::spawn` (`tests/tidy.rs` checks it):
//! what loom does not see, it cannot prove.
//!
//! Which `Arc`? [`PlainArc`] (always std's) for wakers and for contents that only sit behind a
//! [`Mutex`]; it costs loom nothing. [`Arc`] (loom's under loom) where the value's destructor takes
//! exclusive access to loom objects, and where a model is to find a leak.

/// Always std's `Arc`. See the module text for when to use which.
pub use std::sync::Arc as PlainArc;

#[cfg(not(loom))]
mod imp {
    #[cfg(miri)]
    use super::miri as parking_lot;
    pub use parking_lot::{Condvar, MutexGuard};
    pub use std::hint::spin_loop;
    pub use std::sync::atomic::{
        AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
        Ordering, fence,
    };
    pub use std::sync::{Arc, OnceLock};
    pub use std::thread;
    pub use std::thread_local;

    /// A mutex that spins briefly before it sleeps and knows no poisoning.
    ///
    /// Four senders on two workers cost 270 ns a message on std's mutex and 39–48 ns on this one.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(parking_lot::Mutex<T>);

    impl<T> Mutex<T> {
        /// A mutex that holds `value`.
        pub const fn new(value: T) -> Self {
            Self(parking_lot::Mutex::new(value))
        }

        /// Waits for the lock.
        #[inline]
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock()
        }

        /// Takes the lock if it is free.
        #[inline]
        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock()
        }

        /// The value, without locking: `&mut` proves that nobody else is here.
        pub fn get_mut(&mut self) -> &mut T {
            self.0.get_mut()
        }

        /// The value.
        pub fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }

    /// Waits on `condvar`, giving up `guard` meanwhile.
    #[cfg(not(miri))]
    pub fn wait<'a, T>(condvar: &Condvar, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        condvar.wait(&mut guard);
        guard
    }
    #[cfg(miri)]
    pub use super::miri::wait;

    /// Waits on `condvar`, which goes with `mutex`, at most for `limit`, giving up `guard`
    /// meanwhile; true if the limit was reached. loom's form needs the mutex.
    #[cfg(not(miri))]
    pub fn wait_timeout<'a, T>(
        condvar: &Condvar,
        _mutex: &'a Mutex<T>,
        mut guard: MutexGuard<'a, T>,
        limit: std::time::Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let timed_out = condvar.wait_for(&mut guard, limit).timed_out();
        (guard, timed_out)
    }

    /// As for parking_lot's.
    #[cfg(miri)]
    pub fn wait_timeout<'a, T>(
        condvar: &Condvar,
        _mutex: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        limit: std::time::Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let waited = condvar.wait_timeout(guard, limit);
        let (guard, result) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        (guard, result.timed_out())
    }

    /// `std::cell::UnsafeCell` with loom's closure interface.
    #[derive(Debug, Default)]
    pub struct UnsafeCell<T: ?Sized>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell that holds `value`.
        pub const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// The value.
        pub fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }

    impl<T: ?Sized> UnsafeCell<T> {
        /// Calls `f` with a pointer for reading; under loom a concurrent write is reported.
        #[inline(always)]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Calls `f` with a pointer for writing; under loom any concurrent access is reported.
        #[inline(always)]
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

/// std's locks with the interface of parking_lot's, whose futex calls miri rejects.
#[cfg(all(miri, not(loom)))]
mod miri {
    use std::sync::PoisonError;
    pub use std::sync::{Condvar, MutexGuard};

    #[derive(Debug, Default)]
    pub struct Mutex<T>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub const fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }

        pub fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
        }

        pub fn into_inner(self) -> T {
            self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// Waits on `condvar`, giving up `guard` meanwhile.
    pub fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(loom)]
mod imp {
    pub use loom::hint::spin_loop;
    pub use loom::sync::Arc;
    pub use loom::sync::atomic::{
        AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
        Ordering, fence,
    };
    pub use loom::sync::{Condvar, MutexGuard};
    pub use loom::thread;
    pub use loom::thread_local;

    /// loom's mutex with the interface of the production one.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        /// A mutex that holds `value`.
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        /// Waits for the lock.
        #[track_caller]
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("loom's mutex is never poisoned")
        }

        /// Takes the lock if it is free.
        #[track_caller]
        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }

        /// The value, without locking: `&mut` proves that nobody else is here.
        pub fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().expect("loom's mutex is never poisoned")
        }

        /// The value.
        pub fn into_inner(self) -> T {
            self.0.into_inner().expect("loom's mutex is never poisoned")
        }
    }

    /// Waits on `condvar`, giving up `guard` meanwhile.
    #[track_caller]
    pub fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        condvar.wait(guard).expect("loom's mutex is never poisoned")
    }

    /// Gives up `guard` and takes the lock again, as if `limit` had passed: loom has no time, and
    /// this is what races with whoever would have notified. To wait without end is [`wait`].
    #[track_caller]
    pub fn wait_timeout<'a, T>(
        _condvar: &Condvar,
        mutex: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        _limit: std::time::Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        drop(guard);
        (mutex.lock(), true)
    }

    /// std's `OnceLock`, whose order loom sees: who finds the value has all that came before it was set.
    ///
    /// The value lies in one of std's, which nobody looks into before `is_set`, nor fills but under
    /// `turn`; so std's never blocks, which loom would not notice.
    #[derive(Debug)]
    pub struct OnceLock<T> {
        is_set: AtomicBool,
        turn: Mutex<()>,
        value: std::sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        /// A cell without a value.
        pub fn new() -> Self {
            Self {
                is_set: AtomicBool::new(false),
                turn: Mutex::new(()),
                value: std::sync::OnceLock::new(),
            }
        }

        /// The value, if it has been set.
        #[track_caller]
        pub fn get(&self) -> Option<&T> {
            // Acquire: pairs with the Release store of who has set it.
            let is_set = self.is_set.load(Ordering::Acquire);
            is_set.then(|| self.value.get()).flatten()
        }

        /// Sets the value, unless there is one: then it comes back.
        #[track_caller]
        pub fn set(&self, value: T) -> Result<(), T> {
            let _turn = self.turn.lock();
            self.value.set(value)?;
            // Release: pairs with the Acquire load in `get`.
            self.is_set.store(true, Ordering::Release);
            Ok(())
        }

        /// The value, made by `make` if there is none; others wait meanwhile.
        #[track_caller]
        pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            if let Some(value) = self.get() {
                return value;
            }
            let _turn = self.turn.lock();
            if self.value.get().is_none() {
                let _ = self.value.set(make());
                // Release: pairs with the Acquire load in `get`.
                self.is_set.store(true, Ordering::Release);
            }
            self.value.get().expect("it has just been set")
        }

        /// The value, for who is alone.
        pub fn get_mut(&mut self) -> Option<&mut T> {
            self.value.get_mut()
        }

        /// The value.
        pub fn into_inner(self) -> Option<T> {
            self.value.into_inner()
        }
    }

    /// `loom::cell::UnsafeCell`: concurrent access is an error that the model reports.
    #[derive(Debug, Default)]
    pub struct UnsafeCell<T: ?Sized>(loom::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell that holds `value`.
        pub fn new(value: T) -> Self {
            Self(loom::cell::UnsafeCell::new(value))
        }

        /// The value.
        pub fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }

    impl<T: ?Sized> UnsafeCell<T> {
        /// Calls `f` with a pointer for reading; a concurrent write is reported.
        #[track_caller]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            self.0.with(f)
        }

        /// Calls `f` with a pointer for writing; any concurrent access is reported.
        #[track_caller]
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            self.0.with_mut(f)
        }
    }
}

pub use imp::*;

/// A function that is const, but not under loom, whose objects are made at run time.
///
/// ```
/// # use gorin_base::primitive::AtomicBool;
/// struct Flag(AtomicBool);
///
/// impl Flag {
///     gorin_base::const_unless_loom! {
///         /// A flag that is not set.
///         pub const fn new() -> Self {
///             Self(AtomicBool::new(false))
///         }
///     }
/// }
/// ```
#[macro_export]
macro_rules! const_unless_loom {
    ($(#[$attribute:meta])* $vis:vis const fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$attribute])*
        $vis const fn $($rest)*

        #[cfg(loom)]
        $(#[$attribute])*
        $vis fn $($rest)*
    };
}

/// True while a failed model unwinds: loom's objects must not be touched then, or the process
/// aborts in a second panic. Destructors return early on it; in production it is `false`, known at
/// compile time.
#[inline(always)]
pub fn unwinding() -> bool {
    cfg!(loom) && std::thread::panicking()
}
