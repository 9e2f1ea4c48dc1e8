//! Waiting until no goroutine lives, without stopping.
//!
//! Invariant: whoever takes the last task off the registry's list after the waiting began sees that
//! somebody waits: `waiting` is set before the shards are counted, each under its lock, and read
//! after a task left its shard, under the same lock.
//!
//! Must not: keep goroutines from being started meanwhile; then it goes on waiting.

use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};

use gorin_base::primitive::{AtomicBool, Mutex, Ordering};
use gorin_base::{mishap, seeded};

use crate::executor::{Executor, Shared};

/// Who waits for the end of all goroutines.
#[derive(Default)]
pub(crate) struct Drained {
    /// Set by those who wait, read by those who end, relaxed: see the module text.
    waiting: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Drained {
    /// Keeps the waker of one who waits; gives it back if it is known already.
    fn register(&self, waker: Waker) -> Option<Waker> {
        let mut wakers = self.wakers.lock();
        if wakers.iter().any(|known| known.will_wake(&waker)) {
            return Some(waker);
        }
        wakers.push(waker);
        None
    }
}

impl Shared {
    /// A task has left the registry.
    #[inline]
    pub(crate) fn tell_if_drained(&self) {
        if self.drained.waiting.load(Ordering::Relaxed) && self.registry.len() == 0 {
            self.tell_drained();
        }
    }

    #[cold]
    fn tell_drained(&self) {
        if seeded::bug("drained.nobody_told") {
            return;
        }
        let wakers = std::mem::take(&mut *self.drained.wakers.lock());
        for waker in wakers {
            mishap::wake(waker);
        }
    }
}

impl Executor {
    /// Ready when no goroutine lives; at once if none does. Others may have been started by the time
    /// it is looked at.
    ///
    /// It is for the end of a program: once it was polled, the end of a goroutine may cost a count
    /// of all that live.
    pub fn drained(&self) -> impl Future<Output = ()> + use<> {
        let executor = self.clone();
        poll_fn(move |cx| {
            let shared = executor.shared();
            let waker = cx.waker().clone();
            let replaced = shared.drained.register(waker);
            drop(replaced);
            shared.drained.waiting.store(true, Ordering::Relaxed);
            if shared.registry.len() == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
    }
}
