//! Numbers for the objects that goroutines communicate by.
//!
//! One sequence for the whole process, so that a report, a lock order and a
//! [checker](crate::hook) can name a channel, a wait group or a timer by one number.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that no other object of this process has; later calls on one thread give greater ones.
///
/// ```
/// # use gorin_base::id;
/// assert!(id::next() < id::next());
/// ```
pub fn next() -> u64 {
    // std's atomic under loom too: models depend on the order of ids, not on their values, and a
    // counter that loom explored would multiply every model's executions.
    static LAST: AtomicU64 = AtomicU64::new(0);
    // Relaxed: the number itself is all that is shared.
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}
