//! The one place that asks what time it is, so that a fake clock has one place to stand in.
//!
//! Inside `gorin::model` it is the model's virtual time. Under loom time stands still: a model that depends on it would not be replayable, and protocols
//! take their deadlines as numbers.

use std::time::Instant;

/// The monotonic time now. Costs about 19 ns; do not call it per operation.
#[inline]
pub fn now() -> Instant {
    if let Some(virtual_time) = crate::hook::now() {
        return virtual_time;
    }
    #[cfg(not(loom))]
    return Instant::now();
    #[cfg(loom)]
    {
        use std::sync::OnceLock;
        // std's cell on purpose: the same value in every execution of every model.
        static START: OnceLock<Instant> = OnceLock::new();
        *START.get_or_init(Instant::now)
    }
}
