//! When a worker looks whether others compute. Statistics: only the times of looks hang on it.

use std::time::Duration;

use gorin_base::primitive::{AtomicU64, Ordering};

use crate::pulse::HOG;

/// How often one of the workers that are awake looks at the others; like the following in
/// nanoseconds.
pub(super) const BUSY_LOOK: u64 = 300_000;
/// The shortest time limit of a watcher's sleep.
const LEAST_LIMIT: u64 = HOG.as_nanos() as u64;
/// The longest, reached when looking is in vain again and again.
const MOST_LIMIT: u64 = 5_000_000;
/// The longest for [`MEMORY`] after a hog.
const MOST_LIMIT_NEAR_HOGS: u64 = 1_000_000;
/// How long a hog is remembered.
const MEMORY: u64 = 1_000_000_000;
/// The shortest delay of an alarm.
const LEAST_ALARM: u64 = 2_000_000;

/// What a look has found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// A hog that nobody has seen before.
    pub(super) news: bool,
    /// Something was stuck.
    pub(super) rescued: bool,
    /// More may be moved at once.
    pub(super) more: bool,
}

/// When to look. Written by who looks, read by who sleeps; relaxed, since only the times of looks
/// hang on it.
#[derive(Debug)]
pub(super) struct Pace {
    /// Nanoseconds that a watcher sleeps at most.
    limit: AtomicU64,
    /// When a hog was seen for the first time, or relieved, last; 0 for never.
    hog_at: AtomicU64,
    /// When a worker that is awake looked last.
    looked_at: AtomicU64,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace {
            limit: AtomicU64::new(LEAST_LIMIT),
            hog_at: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
        }
    }

    /// How long a watcher may sleep.
    pub(super) fn sleep_limit(&self) -> Duration {
        Duration::from_nanos(self.limit.load(Ordering::Relaxed))
    }

    /// After how long who is alarmed comes to look.
    pub(super) fn alarm_delay(&self) -> Duration {
        let limit = self.limit.load(Ordering::Relaxed);
        Duration::from_nanos(limit.max(LEAST_ALARM))
    }

    /// True for one of the workers that are awake, once per [`BUSY_LOOK`].
    pub(super) fn is_time(&self, now: u64) -> bool {
        let last = self.looked_at.load(Ordering::Relaxed);
        let due = now.saturating_sub(last) >= BUSY_LOOK;
        due && self
            .looked_at
            .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// The next worker that is awake looks at once.
    pub(super) fn hurry(&self) {
        self.looked_at.store(0, Ordering::Relaxed);
    }

    pub(super) fn is_near_a_hog(&self, now: u64) -> bool {
        let last = self.hog_at.load(Ordering::Relaxed);
        last != 0 && now.saturating_sub(last) < MEMORY
    }

    /// Takes note of what a look at `now` has found.
    pub(super) fn note(&self, now: u64, found: Found) {
        if found.news || found.rescued {
            self.hog_at.store(now, Ordering::Relaxed);
        }
        let limit = match self.limit.load(Ordering::Relaxed) {
            _ if found.rescued => LEAST_LIMIT,
            limit if self.is_near_a_hog(now) => (2 * limit).min(MOST_LIMIT_NEAR_HOGS),
            limit => (2 * limit).min(MOST_LIMIT),
        };
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The watcher was woken for work before its limit.
    pub(super) fn note_early(&self, now: u64) {
        if self.is_near_a_hog(now) {
            self.limit.store(LEAST_LIMIT, Ordering::Relaxed);
        }
    }
}
