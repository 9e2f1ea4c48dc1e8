//! The value of a reader-writer lock, and the holds by which it is reached: the unsafe code of the lock.
//!
//! [`Reading`] and [`Writing`] are made only here, where the lock's state has let somebody in, and when one
//! is dropped it is told that somebody has left. What lies between is the state's promise: any number of
//! readings, or one writing and nothing else. A hold is generic over how it reaches its lock, by
//! reference or by `Arc`.
//!
//! Must not: lock, wait, or look at the state but for entering and leaving.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::task::{Context, Poll, ready};

use gorin_base::hook::{self, Access, Site};
use gorin_base::primitive::{PlainArc, UnsafeCell, unwinding};
use gorin_base::seeded;

use super::RwLock;
use super::guard::{RwLockReadGuard, RwLockWriteGuard};
use super::state::{Read, State, Write};
use crate::sync::line::{Object, Rule, Wait};

/// State and value of a lock.
pub(super) struct Guarded<T: ?Sized> {
    pub(super) object: Object<State>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only through `&mut self` and holds. Readings give `&T` to several threads
// at a time (`T: Sync`); a writing gives `&mut T` to one thread after another (`T: Send`).
unsafe impl<T: ?Sized + Send + Sync> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub(super) fn new(value: T, site: Site) -> Self {
        Self {
            object: Object::new("RwLock", State::new(), site),
            value: UnsafeCell::new(value),
        }
    }

    pub(super) fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Guarded<T> {
    pub(super) fn get_mut(&mut self) -> &mut T {
        self.value.with_mut(|value| {
            // SAFETY: `&mut self` is borrowed as long as the reference lives, so there is no hold.
            unsafe { &mut *value }
        })
    }
}

/// A way to one and the same lock, as long as it lives. There are two, both in this file.
pub(super) trait Handle {
    type Value: ?Sized;

    fn guarded(&self) -> &Guarded<Self::Value>;
}

impl<T: ?Sized> Handle for &RwLock<T> {
    type Value = T;

    #[inline(always)]
    fn guarded(&self) -> &Guarded<T> {
        &self.guarded
    }
}

impl<T: ?Sized> Handle for PlainArc<RwLock<T>> {
    type Value = T;

    #[inline(always)]
    fn guarded(&self) -> &Guarded<T> {
        &self.guarded
    }
}

/// One that wants to be let in, on its way.
pub(super) struct Entry<P: Handle, R: Rule<State = State>> {
    /// Until it is in.
    handle: Option<P>,
    wait: Wait<R>,
}

impl<P: Handle, R: Rule<State = State, Output = ()>> Entry<P, R> {
    pub(super) fn new(handle: P, rule: R, site: Site) -> Self {
        Self {
            handle: Some(handle),
            wait: Wait::new(rule, site),
        }
    }

    /// True while it waits.
    pub(super) fn is_in_line(&self) -> bool {
        self.wait.is_in_line()
    }

    /// The handle when it has been let in, which is told once.
    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<P> {
        let Some(handle) = &self.handle else {
            panic!(
                "a {} was polled after it had ended",
                self.wait.rule().name()
            );
        };
        ready!(self.wait.poll(&handle.guarded().object, cx));
        Poll::Ready(self.handle.take().expect("it was there"))
    }
}

impl<P: Handle, R: Rule<State = State>> Drop for Entry<P, R> {
    #[inline]
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            self.wait.cancel(&handle.guarded().object);
        }
    }
}

/// Lets `handle` in by `rule` if it need not wait, as the step `operation`.
#[inline]
fn enter_now<P: Handle, R: Rule<State = State, Output = ()>>(
    handle: P,
    rule: &R,
    operation: &'static str,
    site: Site,
) -> Option<P> {
    let object = &handle.guarded().object;
    hook::step(operation, object.id(), R::ACCESS, site);
    let entered = object.now(rule);
    entered.map(|()| handle)
}

/// A reader that is in.
pub(super) struct Reading<P: Handle> {
    handle: P,
}

// SAFETY: it gives `&T`, and leaves, which any thread may do. It gives no way to the lock and keeps no
// value alive, so `T: Send` is not needed.
unsafe impl<T: ?Sized + Sync> Send for RwLockReadGuard<'_, T> {}

// SAFETY: a reference to it gives `&T` and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}

impl<P: Handle> Reading<P> {
    /// A reading, if it need not wait.
    #[inline]
    pub(super) fn now(handle: P, site: Site) -> Option<Self> {
        let handle = enter_now(handle, &Read, "RwLock try_read", site)?;
        Some(Self { handle })
    }

    #[inline]
    pub(super) fn poll(entry: &mut Entry<P, Read>, cx: &mut Context<'_>) -> Poll<Self> {
        entry.poll(cx).map(|handle| Self { handle })
    }
}

impl<P: Handle> Deref for Reading<P> {
    type Target = P::Value;

    #[inline]
    fn deref(&self) -> &P::Value {
        self.handle.guarded().value.with(|value| {
            // SAFETY: this reader is in until `self` is dropped, so no writer is; the state's loom
            // models prove that. The reference lives no longer than the borrow of `self`.
            unsafe { &*value }
        })
    }
}

impl<P: Handle> Drop for Reading<P> {
    #[inline]
    #[track_caller]
    fn drop(&mut self) {
        if unwinding() {
            return;
        }
        let object = &self.handle.guarded().object;
        let site = std::panic::Location::caller();
        hook::step("RwLock read unlock", object.id(), Read::ACCESS, site);
        let woken = object.lock().leave_reading();
        woken.wake();
    }
}

/// The writer that is in.
///
/// It may go to another thread if `T` is `Send` and `Sync`, as for a reference to the lock: with `Send`
/// alone it could be downgraded there, and the thread it came from could read at the same time.
pub(super) struct Writing<P: Handle> {
    handle: P,
}

// SAFETY: a reference to it gives `&T` and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<P: Handle> Writing<P> {
    /// A writing, if it need not wait.
    #[inline]
    pub(super) fn now(handle: P, site: Site) -> Option<Self> {
        let handle = enter_now(handle, &Write, "RwLock try_write", site)?;
        Some(Self { handle })
    }

    #[inline]
    pub(super) fn poll(entry: &mut Entry<P, Write>, cx: &mut Context<'_>) -> Poll<Self> {
        entry.poll(cx).map(|handle| Self { handle })
    }

    /// A reading in its place.
    pub(super) fn downgrade(self, site: Site) -> Reading<P> {
        let object = &self.handle.guarded().object;
        hook::step("RwLock downgrade", object.id(), Access::Write, site);
        let woken = object.lock().downgrade();
        let this = ManuallyDrop::new(self);
        let reading = Reading {
            // SAFETY: `this` is not used again and its destructor does not run, so the handle has moved.
            handle: unsafe { ptr::read(&this.handle) },
        };
        // With the reading there: a waker that panics must not leave the lock held.
        woken.wake();
        reading
    }
}

impl<P: Handle> Deref for Writing<P> {
    type Target = P::Value;

    #[inline]
    fn deref(&self) -> &P::Value {
        self.handle.guarded().value.with(|value| {
            // SAFETY: this writer is in until `self` is dropped, and nobody else is; the state's loom
            // models prove that. The reference lives no longer than the borrow of `self`.
            unsafe { &*value }
        })
    }
}

impl<P: Handle> DerefMut for Writing<P> {
    #[inline]
    fn deref_mut(&mut self) -> &mut P::Value {
        self.handle.guarded().value.with_mut(|value| {
            // SAFETY: as in `deref`, and `&mut self` makes this the only reference.
            unsafe { &mut *value }
        })
    }
}

impl<P: Handle> Drop for Writing<P> {
    #[inline]
    #[track_caller]
    fn drop(&mut self) {
        if unwinding() {
            return;
        }
        let object = &self.handle.guarded().object;
        let access = match seeded::bug("rwlock.unlock_is_no_news") {
            true => Access::Commute,
            false => Access::Write,
        };
        let site = std::panic::Location::caller();
        hook::step("RwLock write unlock", object.id(), access, site);
        let woken = object.lock().leave_writing();
        woken.wake();
    }
}
