//! What users hold of a reader-writer lock: guards, and the futures that end in one.
//!
//! Nothing happens here: each is one of the holds and entries of `cell.rs` under a name of its own.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use gorin_base::hook::Site;
use gorin_base::primitive::PlainArc;

use super::RwLock;
use super::cell::{Entry, Reading, Writing};
use super::state::{Read, Write};

/// What a future and its guard are, but for the documentation: how they reach the lock, and the hold.
macro_rules! guard {
    (
        $(#[$guard_doc:meta])* $([$life:lifetime])? $guard:ident($hold:ident),
        $(#[$future_doc:meta])* $future:ident($rule:ident),
        $handle:ty
    ) => {
        $(#[$guard_doc])*
        #[must_use = "a guard that is dropped at once guards nothing"]
        pub struct $guard<$($life,)? T: ?Sized>($hold<$handle>);

        impl<$($life,)? T: ?Sized> $guard<$($life,)? T> {
            #[inline]
            pub(super) fn now(handle: $handle, site: Site) -> Option<Self> {
                $hold::now(handle, site).map(Self)
            }
        }

        impl<$($life,)? T: ?Sized> Deref for $guard<$($life,)? T> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                &self.0
            }
        }

        impl<$($life,)? T: ?Sized + fmt::Debug> fmt::Debug for $guard<$($life,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&**self, f)
            }
        }

        impl<$($life,)? T: ?Sized + fmt::Display> fmt::Display for $guard<$($life,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&**self, f)
            }
        }

        $(#[$future_doc])*
        #[must_use = "futures do nothing unless polled"]
        pub struct $future<$($life,)? T: ?Sized>(Entry<$handle, $rule>);

        impl<$($life,)? T: ?Sized> $future<$($life,)? T> {
            #[inline]
            pub(super) fn new(handle: $handle, site: Site) -> Self {
                Self(Entry::new(handle, $rule, site))
            }
        }

        impl<$($life,)? T: ?Sized> Future for $future<$($life,)? T> {
            type Output = $guard<$($life,)? T>;

            #[inline]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                $hold::poll(&mut self.get_mut().0, cx).map($guard)
            }
        }

        impl<$($life,)? T: ?Sized> fmt::Debug for $future<$($life,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($future))
                    .field("in_line", &self.0.is_in_line())
                    .finish_non_exhaustive()
            }
        }
    };
}

/// Of guards that write.
macro_rules! write_guard {
    ($([$life:lifetime])? $guard:ident => $reading:ident) => {
        impl<$($life,)? T: ?Sized> $guard<$($life,)? T> {
            /// Goes on reading, without letting another writer in between: what was written is what the
            /// guard shows. Readers that wait are let in beside it.
            ///
            /// ```
            /// use std::sync::Arc;
            ///
            /// use gorin_channel::sync::{OwnedRwLockWriteGuard, RwLock, RwLockWriteGuard};
            /// # futures::executor::block_on(async {
            /// let lock = Arc::new(RwLock::new(1));
            /// let mut writing = lock.write().await;
            /// *writing += 1;
            /// let reading = RwLockWriteGuard::downgrade(writing);
            /// assert_eq!((*reading, *lock.read().await), (2, 2));
            /// drop(reading);
            ///
            /// let owned = lock.write_owned().await;
            /// assert_eq!(*OwnedRwLockWriteGuard::downgrade(owned), 2);
            /// # });
            /// ```
            #[track_caller]
            pub fn downgrade(guard: Self) -> $reading<$($life,)? T> {
                $reading(guard.0.downgrade(Location::caller()))
            }
        }

        impl<$($life,)? T: ?Sized> DerefMut for $guard<$($life,)? T> {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                &mut self.0
            }
        }
    };
}

guard!(
    /// The right to read what is in an [`RwLock`], until it is dropped; from [`RwLock::read`]. It may be
    /// held across an await, and dropped by another goroutine or thread.
    ['a] RwLockReadGuard(Reading),
    /// The future of [`RwLock::read`].
    RwLockReadFut(Read),
    &'a RwLock<T>
);

guard!(
    /// The right to change what is in an [`RwLock`], until it is dropped; from [`RwLock::write`]. It may
    /// be held across an await, and dropped by another goroutine or thread.
    ['a] RwLockWriteGuard(Writing),
    /// The future of [`RwLock::write`].
    RwLockWriteFut(Write),
    &'a RwLock<T>
);

guard!(
    /// As [`RwLockReadGuard`], with a share in the lock: it can go where no reference can; from
    /// [`RwLock::read_owned`].
    OwnedRwLockReadGuard(Reading),
    /// The future of [`RwLock::read_owned`].
    OwnedRwLockReadFut(Read),
    PlainArc<RwLock<T>>
);

guard!(
    /// As [`RwLockWriteGuard`], with a share in the lock: it can go where no reference can; from
    /// [`RwLock::write_owned`].
    OwnedRwLockWriteGuard(Writing),
    /// The future of [`RwLock::write_owned`].
    OwnedRwLockWriteFut(Write),
    PlainArc<RwLock<T>>
);

write_guard!(['a] RwLockWriteGuard => RwLockReadGuard);
write_guard!(OwnedRwLockWriteGuard => OwnedRwLockReadGuard);
