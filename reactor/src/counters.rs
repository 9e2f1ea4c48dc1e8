//! What a worker has done, in numbers that anybody may read while it runs.
//!
//! Statistics: nothing may hang on them, and they cost their writer no read-modify-write.

use gorin_base::primitive::{AtomicU64, Ordering};

/// What one worker's ring has done. Written by the worker (and `wakes` by who wakes it), read by
/// anybody: relaxed, these are statistics.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) enters: AtomicU64,
    pub(crate) sleeps: AtomicU64,
    pub(crate) completions: AtomicU64,
    pub(crate) overflows: AtomicU64,
    pub(crate) backlogs: AtomicU64,
    pub(crate) refusals: AtomicU64,
    pub(crate) interrupts: AtomicU64,
    pub(crate) wakes: AtomicU64,
    pub(crate) looks: AtomicU64,
    pub(crate) moves: AtomicU64,
}

/// Adds to a counter that one thread writes.
#[inline]
pub(crate) fn count(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}
