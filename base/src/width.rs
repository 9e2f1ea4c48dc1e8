//! How many workers of a runtime share its sockets and its small change at the moment.
//!
//! Where more threads want to run than there are CPUs, a second worker serves nobody faster: it takes
//! the CPU from the first one, or from the clients, for milliseconds at a time. So who notices that
//! *narrows* the runtime for a while: workers from a certain one on stand down. They keep what they
//! have, and can be called to help; they get nothing new.
//!
//! This is advice. It is one relaxed word, read without any order to anything else: whoever acts on a
//! stale reading does what was right a moment ago. Nothing may be lost for it, so
//! - who calls nobody because of it must come back to that within a bounded time;
//! - who narrows must see to it that a worker which does not come back is relieved (the reactor's
//!   rescue).

use std::time::{Duration, Instant};

use crate::clock;
use crate::primitive::{AtomicU64, Ordering};

/// Bits of the word that hold the number of workers.
const BITS: u32 = 12;

/// See the module text.
#[derive(Debug)]
pub struct Width {
    /// Time zero of the word.
    origin: Instant,
    /// Until when the runtime is narrow, in microseconds, and how many workers that leaves; 0 if it is
    /// not. Written by who decides (one at a time), read by every worker; relaxed, see the module text.
    word: AtomicU64,
}

impl Default for Width {
    /// All workers.
    fn default() -> Width {
        Width {
            origin: clock::now(),
            word: AtomicU64::new(0),
        }
    }
}

impl Width {
    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin).as_micros();
        u64::try_from(since).map_or(u64::MAX, |micros| micros.min(u64::MAX >> BITS))
    }

    /// Lets only the first `workers` go on as usual, for `hold` from `now` on.
    ///
    /// # Panics
    /// If `workers` is 0 or more than 4,095.
    pub fn narrow(&self, workers: usize, now: Instant, hold: Duration) {
        assert!((1..1 << BITS).contains(&workers), "somebody must go on");
        let until = self.micros(now + hold);
        self.word
            .store(until << BITS | workers as u64, Ordering::Relaxed);
    }

    /// Lets all workers go on.
    pub fn widen(&self) {
        self.word.store(0, Ordering::Relaxed);
    }

    /// How many workers go on as usual at `now`; `None` if all do.
    pub fn limit(&self, now: Instant) -> Option<usize> {
        let word = self.word.load(Ordering::Relaxed);
        if word == 0 || word >> BITS <= self.micros(now) {
            return None;
        }
        Some((word & ((1 << BITS) - 1)) as usize)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_is_narrow_until_the_time_is_over() {
        let (width, hold) = (Width::default(), Duration::from_millis(100));
        let now = clock::now();
        assert_eq!(width.limit(now), None);
        width.narrow(3, now, hold);
        assert_eq!(width.limit(now), Some(3));
        assert_eq!(width.limit(now + hold / 2), Some(3));
        assert_eq!(width.limit(now + hold + Duration::from_micros(1)), None);
        width.narrow(1, now, Duration::from_secs(u64::MAX >> 32));
        assert_eq!(width.limit(now + hold), Some(1), "the far end is the end");
        width.widen();
        assert_eq!(width.limit(now), None);
    }
}
