//! The lock of a channel in production: one atomic read-modify-write per critical section.
//!
//! A futex mutex needs a second read-modify-write to unlock, because it must learn whether somebody
//! sleeps. That is 5 of the 11 ns a buffered send costs here. This lock never learns it: unlocking
//! is a plain store, and who finds the lock taken polls it, ever more rarely. Critical sections of
//! a channel are some tens of nanoseconds and run no user code. Still the first wait is some
//! [`FIRST_SPINS`] pauses, a microsecond or two: who takes the lock as soon as it is free takes the
//! channel's cache lines away from a worker that would have had them warm for its next dozens of
//! operations, and loses them again after one. With 8 senders on two workers a rendezvous cost 430 ns
//! when the first waits were 2, 4 and 8 pauses, and 190 with these; one sender and one receiver of an
//! unbounded channel 67 and 33. Waits of 1024 pauses would gain a quarter more with 8 senders on two
//! workers, but cost everybody whose locks collide now and then some 40 µs each time. The only long
//! wait is for a holder that the kernel preempted: after [`SPINS`] polls the waiter yields its CPU, and
//! after [`YIELDS`] yields it sleeps, so a waiter of higher priority cannot keep the holder from
//! running.
//!
//! Rejected: to wait by what the others do, so that only a channel that is fought over has long waits.
//! A count of turns beside the lock costs 2 ns of the 28 of a buffered message, one in the word of the
//! lock (`fetch_or`) 8; eight looks whether it is taken tell too little (8 senders, capacity 64: 1.4
//! times as slow). kanal's lock puts the second worker to sleep for a millisecond at a time, and so has
//! one worker's speed on two; here the sockets and timers of that worker would wait, too.
//!
//! ```text
//!   locked   false --exchange (Acquire)---> true    by whoever enters
//!            true  --store(false, Release)--> false by the holder, when it leaves
//! ```
//!
//! Must not: be held across user code, a wake-up or an await point (see `lock.rs`).

#[cfg(not(loom))]
use gorin_base::primitive::spin_loop;
use gorin_base::primitive::{AtomicBool, Ordering, thread};
use gorin_base::{const_unless_loom, seeded};

/// Pauses before the second attempt on a taken lock.
#[cfg(not(loom))]
const FIRST_SPINS: u32 = 64;

/// Attempts on a taken lock, each after four times as long a spin, before the waiter gives up its
/// CPU.
#[cfg(not(loom))]
const SPINS: u32 = 3;

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
    /// with the Acquire exchange of the next `lock`, so the data's last writes are seen.
    locked: AtomicBool,
}

impl SpinLock {
    const_unless_loom! {
        pub(crate) const fn new() -> Self {
            Self {
                locked: AtomicBool::new(false),
            }
        }
    }

    /// Waits until the lock is free and takes it.
    #[inline]
    pub(crate) fn lock(&self) -> SpinGuard<'_> {
        if !self.try_lock() {
            self.lock_contended();
        }
        SpinGuard(self)
    }

    /// Rejected: `swap(true)`, which is 2 to 3 % faster in every row on one worker. loom does not see
    /// that the holder's next store comes after such a swap, lets who waits read its own `true` for
    /// ever, and so can prove nothing.
    #[inline]
    fn try_lock(&self) -> bool {
        let success = if seeded::bug("spin.relaxed_lock") {
            Ordering::Relaxed
        } else {
            Ordering::Acquire
        };
        // Acquire: pairs with the Release store of the last holder. Relaxed if it is taken: there
        // is nothing to see yet.
        self.locked
            .compare_exchange(false, true, success, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    fn lock_contended(&self) {
        let mut wait = Backoff::default();
        loop {
            wait.pause();
            if self.try_lock() {
                return;
            }
        }
    }
}

/// How a waiter passes its time: spin, each time four times as long, then yield, then sleep.
#[derive(Default)]
struct Backoff {
    rounds: u32,
}

impl Backoff {
    #[cfg(not(loom))]
    fn pause(&mut self) {
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds <= SPINS {
            let pauses = FIRST_SPINS << (2 * (self.rounds - 1));
            (0..pauses).for_each(|_| spin_loop());
        } else if self.rounds <= SPINS + YIELDS {
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
        self.rounds += 1;
        thread::yield_now();
    }
}

/// Holds a [`SpinLock`]; leaving the scope unlocks it, also on a panic.
#[derive(Debug)]
pub(crate) struct SpinGuard<'a>(&'a SpinLock);

impl SpinGuard<'_> {
    /// True if it holds `lock`.
    #[inline]
    pub(crate) fn is_of(&self, lock: &SpinLock) -> bool {
        std::ptr::eq(self.0, lock)
    }
}

impl Drop for SpinGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        let order = if seeded::bug("spin.relaxed_unlock") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        // Release: pairs with the Acquire exchange of the next holder.
        self.0.locked.store(false, order);
    }
}

#[cfg(test)]
#[expect(
    unsafe_code,
    reason = "the model looks at memory that only the lock orders"
)]
mod models {
    use gorin_base::check::model;
    use gorin_base::primitive::{Arc, UnsafeCell, thread};

    use super::SpinLock;

    struct Counter {
        lock: SpinLock,
        count: UnsafeCell<usize>,
    }

    // SAFETY: the model is to show that `lock` orders the accesses to `count`; the checker stops
    // at one that is not.
    unsafe impl Sync for Counter {}
    // SAFETY: as above; a number may be used by any thread.
    unsafe impl Send for Counter {}

    impl Counter {
        fn increment(&self) {
            let _held = self.lock.lock();
            self.count.with_mut(|count| {
                // SAFETY: under the lock.
                unsafe { *count += 1 }
            });
        }
    }

    /// Holders exclude each other and see what the last one wrote. For: an unlock that publishes
    /// nothing, a contended lock that returns without having taken it.
    #[test]
    fn holders_take_turns() {
        model("holders of the spin lock take turns", || {
            let counter = Arc::new(Counter {
                lock: SpinLock::new(),
                count: UnsafeCell::new(0),
            });
            let other = counter.clone();
            let thread = thread::spawn(move || other.increment());
            counter.increment();
            thread.join().unwrap();
            let count = counter.count.with(|count| {
                // SAFETY: the other thread has ended.
                unsafe { *count }
            });
            assert_eq!(count, 2);
        });
    }
}
