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

/// The number of an object that may be made where nothing runs: a static draws it when it is first asked
/// for.
///
/// ```
/// # use gorin_base::id::Lazy;
/// static OBJECT: Lazy = Lazy::new();
/// assert_eq!(OBJECT.get(), OBJECT.get());
/// assert_ne!(OBJECT.get(), Lazy::drawn().get());
/// ```
#[derive(Debug)]
pub struct Lazy(
    /// 0 until it is drawn, by whoever comes first; read by all. std's atomic under loom too, and all
    /// accesses relaxed, as in [`next`].
    AtomicU64,
);

impl Lazy {
    /// To be drawn later.
    #[expect(clippy::new_without_default, reason = "`drawn` is as good a default")]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// A number that is drawn now.
    pub fn drawn() -> Self {
        Self(AtomicU64::new(next()))
    }

    /// The number, which never changes.
    #[inline]
    pub fn get(&self) -> u64 {
        match self.0.load(Ordering::Relaxed) {
            0 => self.draw(),
            number => number,
        }
    }

    #[cold]
    fn draw(&self) -> u64 {
        let drawn = next();
        let first = self
            .0
            .compare_exchange(0, drawn, Ordering::Relaxed, Ordering::Relaxed);
        first.map_or_else(|earlier| earlier, |_| drawn)
    }
}
