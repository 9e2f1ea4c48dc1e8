//! A line of waiters under a lock, and what becomes of one of them when it is polled.
//!
//! Must not: clone, wake or drop a waker while the lock is held.

use std::task::{Poll, Waker};

use gorin_base::{hook, seeded};

use crate::lock::Lock;
use crate::waiter::{Key, Outcome, Phase, Waiters};

/// What is under a lock and has operations in line.
pub(crate) trait Line {
    /// What its waiters hand over.
    type Value;

    /// The waiters.
    fn waiters(&mut self) -> &mut Waiters<Self::Value>;
}

/// What a checker knows a wait by: the object, and the key among those who wait for it.
pub(crate) type HookKey = (u64, usize);

/// Polls the operation whose waiter is `key`: its outcome if a partner has completed it, else `Pending`
/// with `waker` to be woken.
#[inline(always)]
pub(crate) fn poll_waiter<L: Line>(
    lock: &Lock<L>,
    key: Key,
    hook_key: HookKey,
    waker: &Waker,
) -> Poll<Outcome<L::Value>> {
    let mut line = lock.lock();
    let waiter = line.waiters().get_mut(key);
    if waiter.phase != Phase::Queued {
        let outcome = line.waiters().take(key);
        drop(line);
        hook::unparked(hook_key.0, hook_key.1);
        return Poll::Ready(outcome);
    }
    if waiter
        .waker
        .as_ref()
        .is_some_and(|mine| mine.will_wake(waker))
        || seeded::bug("chan.waker_not_replaced")
    {
        return Poll::Pending;
    }
    drop(line);
    replace_waker(lock, key, hook_key, waker)
}

/// The task that polls has changed since the operation stood in line.
#[cold]
fn replace_waker<L: Line>(
    lock: &Lock<L>,
    key: Key,
    hook_key: HookKey,
    waker: &Waker,
) -> Poll<Outcome<L::Value>> {
    // Cloned before the lock, and what it replaces is dropped after it.
    let mut fresh = Some(waker.clone());
    let mut line = lock.lock();
    let waiter = line.waiters().get_mut(key);
    if waiter.phase == Phase::Queued || seeded::bug("chan.replaced_waker_no_second_look") {
        std::mem::swap(&mut waiter.waker, &mut fresh);
        return Poll::Pending;
    }
    let outcome = line.waiters().take(key);
    drop(line);
    hook::unparked(hook_key.0, hook_key.1);
    Poll::Ready(outcome)
}
