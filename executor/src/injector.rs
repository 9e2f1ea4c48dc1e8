//! The common queue: tasks that no worker has in its own. Those readied by threads that are no
//! workers, and what overflows.
//!
//! Workers put in and take out many at once: half a ring under one lock. A lock-free queue that takes
//! them one by one (concurrent-queue) costs four read-modify-writes for each, and a worker that has
//! run dry comes back for every single one.
//!
//! Invariants:
//! - `len` is the number of tasks whenever the lock is free. Whoever must not miss a push looks at it
//!   after a fence of its own (`idle.rs`); the pusher has one behind the push.
//! - Tasks that a worker takes are in its ring before `len` says that they are gone. So who looks at
//!   `len` first and at the rings then sees them in one of the two.
//!
//! Rejected: tasks linked through their cells, which need no memory here. Taking a share then walks
//! from cell to cell, each a cache miss that waits for the one before: waking a million goroutines at
//! once took a quarter longer.
//!
//! Must not: run or drop a task under its lock.

use std::collections::VecDeque;

use gorin_base::primitive::{AtomicUsize, Mutex, Ordering};
use gorin_base::seeded;

use crate::task::Runnable;

/// Room for so many tasks is kept when the last one goes; more is given back.
const KEPT: usize = 4096;

pub(crate) struct Injector {
    /// Written under the lock, read by all. `take` releases what it has put elsewhere, and `is_empty`
    /// acquires it; otherwise relaxed: see the module text.
    len: AtomicUsize,
    tasks: Mutex<VecDeque<Runnable>>,
}

impl Injector {
    pub(crate) fn new() -> Injector {
        Injector {
            len: AtomicUsize::new(0),
            tasks: Mutex::new(VecDeque::new()),
        }
    }

    /// A hint; but what was pushed before a fence is seen behind it.
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    /// How many tasks wait here. A hint.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Adds a task.
    pub(crate) fn push(&self, task: Runnable) {
        let mut tasks = self.tasks.lock();
        tasks.push_back(task);
        self.len.store(tasks.len(), Ordering::Relaxed);
    }

    /// Adds tasks in their order.
    pub(crate) fn append(&self, more: Vec<Runnable>) {
        let mut tasks = self.tasks.lock();
        tasks.extend(more);
        if !seeded::bug("injector.length_forgotten") {
            self.len.store(tasks.len(), Ordering::Relaxed);
        }
    }

    /// Takes the oldest task.
    pub(crate) fn pop(&self) -> Option<Runnable> {
        let mut oldest = None;
        self.take(|_| 1, |task| oldest = Some(task));
        oldest
    }

    /// Gives the oldest tasks to `take`, as many as `share` says if there are so many; it is told the
    /// number of all. Both are called under the lock.
    pub(crate) fn take(&self, share: impl FnOnce(usize) -> usize, take: impl FnMut(Runnable)) {
        if self.is_empty() {
            return;
        }
        let mut tasks = self.tasks.lock();
        let count = share(tasks.len()).min(tasks.len());
        if seeded::bug("injector.gone_early") {
            self.len.store(tasks.len() - count, Ordering::Release);
        }
        tasks.drain(..count).for_each(take);
        self.len.store(tasks.len(), Ordering::Release);
        if tasks.is_empty() && tasks.capacity() > KEPT {
            let memory = std::mem::take(&mut *tasks);
            // Given back by someone who holds no lock.
            drop(tasks);
            drop(memory);
        }
    }
}
