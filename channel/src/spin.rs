//! The lock of a channel in production: one atomic read-modify-write per critical section.
//!
//! A futex mutex needs a second read-modify-write to unlock, because it must learn whether somebody
//! sleeps. That is 5 of the 11 ns a buffered send costs here. This lock never learns it: unlocking
//! is a plain store, and who finds the lock taken polls it, ever more rarely. Critical sections of
//! a channel are some tens of nanoseconds and run no user code, so the only long wait is for a
//! holder that the kernel preempted; after [`SPINS`] polls the waiter yields its CPU, and after
//! [`YIELDS`] yields it sleeps, so a waiter of higher priority cannot keep the holder from running.
//!
//! ```text
//!   locked   false --swap(true, Acquire)--> true    by whoever enters
//!            true  --store(false, Release)--> false by the holder, when it leaves
//! ```
//!
//! Must not: be held across user code, a wake-up or an await point (see `lock.rs`).

use gorin_base::primitive::{AtomicBool, Ordering, spin_loop, thread};

/// Polls of a taken lock before the waiter gives up its CPU.
const SPINS: u32 = 100;

/// Times the waiter yields before it starts to sleep.
#[cfg(not(loom))]
const YIELDS: u32 = 20;

/// The shortest and the longest sleep, in microseconds.
#[cfg(not(loom))]
const SLEEP_US: (u64, u64) = (50, 1000);

/// A lock without data; `lock.rs` puts the data beside it.
#[derive(Debug)]
pub(crate) struct SpinLock {
    /// Written and read by every thread that uses the channel. The Release store of `unlock` pairs
    /// with the Acquire swap of the next `lock`, so the data's last writes are seen.
    locked: AtomicBool,
}

impl SpinLock {
    pub(crate) fn new() -> Self {
        Self {
            locked: AtomicBool::new(false),
        }
    }

    /// Waits until the lock is free and takes it.
    #[inline]
    pub(crate) fn lock(&self) -> SpinGuard<'_> {
        // Acquire: pairs with the Release store of the last holder.
        if self.locked.swap(true, Ordering::Acquire) {
            self.lock_contended();
        }
        SpinGuard(self)
    }

    #[cold]
    fn lock_contended(&self) {
        let mut wait = Backoff::default();
        loop {
            // Relaxed: only a hint that the swap may succeed; reading keeps the cache line shared.
            while self.locked.load(Ordering::Relaxed) {
                wait.pause();
            }
            // Acquire: as in `lock`.
            if !self.locked.swap(true, Ordering::Acquire) {
                return;
            }
        }
    }
}

/// How a waiter passes its time: spin, then yield, then sleep.
#[derive(Default)]
struct Backoff {
    rounds: u32,
}

impl Backoff {
    #[cfg(not(loom))]
    fn pause(&mut self) {
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds < SPINS {
            spin_loop();
        } else if self.rounds < SPINS + YIELDS {
            thread::yield_now();
        } else {
            let doublings = (self.rounds - SPINS - YIELDS).min(10);
            let us = (SLEEP_US.0 << doublings).min(SLEEP_US.1);
            thread::sleep(std::time::Duration::from_micros(us));
        }
    }

    /// loom switches to another thread only if this one says that it waits.
    #[cfg(loom)]
    fn pause(&mut self) {
        self.rounds = (self.rounds + 1).min(SPINS);
        spin_loop();
        thread::yield_now();
    }
}

/// Holds a [`SpinLock`]; leaving the scope unlocks it, also on a panic.
#[derive(Debug)]
pub(crate) struct SpinGuard<'a>(&'a SpinLock);

impl Drop for SpinGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release: pairs with the Acquire swap of the next holder.
        self.0.locked.store(false, Ordering::Release);
    }
}
