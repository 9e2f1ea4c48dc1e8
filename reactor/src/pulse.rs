//! A worker's pulse: since when it has been in code that is not ours.
//!
//! The worker writes the time when it begins to poll its future, and 0 when it has control again.
//! So a single look says whether it is a *hog*, and for how long; no watcher has to remember what
//! it saw before.
//!
//! A worker that is about to block on purpose says so by [`Pulse::expect_block`].

use std::time::Duration;

use gorin_base::primitive::{AtomicU64, Ordering, fence};
use gorin_base::seeded;

/// In user code for that long: a hog. A worker has control every 100 to 200 µs if its goroutines let
/// it; with 50 µs healthy workers were taken for hogs, at a cost of 25 % of the CPU time.
pub(crate) const HOG: Duration = Duration::from_micros(300);

/// Set in the beginning of a poll that is to block.
const EXPECTED: u64 = 1 << 63;

/// See the module text. In a cache line of its own: it is written twice per turn.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Pulse {
    /// Nanoseconds on the reactor's clock, perhaps with `EXPECTED`; or 0. Written by the worker with release, so that who
    /// sees a hog sees all that the hog has armed before; read by watchers with acquire.
    since: AtomicU64,
}

/// A poll that has not come back yet. Its beginning names it: no other poll of the worker has the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Episode {
    pub(crate) since: u64,
    pub(crate) lasted: Duration,
}

impl Pulse {
    pub(crate) fn new() -> Pulse {
        Pulse {
            since: AtomicU64::new(0),
        }
    }

    /// Owner: it begins to run code that is not ours, at `now`.
    pub(crate) fn begin(&self, now: u64) {
        let order = if seeded::bug("pulse.relaxed") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        self.since.store(now.max(1), order);
    }

    /// Owner: it has control again.
    pub(crate) fn end(&self) {
        self.since.store(0, Ordering::Release);
    }

    /// Owner, while it runs code that is not ours: it will not have control for long. False if it
    /// is not in such code. Of two workers that say so at the same time, and then look at each other, one
    /// sees that the other has.
    pub(crate) fn expect_block(&self) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        if since == 0 {
            return false;
        }
        self.since.store(since | EXPECTED, Ordering::Release);
        if !seeded::bug("pulse.expected_without_fence") {
            // Pairs with itself on another worker.
            fence(Ordering::SeqCst);
        }
        true
    }

    /// Anybody, at `now`: the worker has not had control for so long.
    pub(crate) fn silence(&self, now: u64) -> Option<Episode> {
        let since = self.since.load(Ordering::Acquire);
        if since == 0 {
            return None;
        }
        let lasted = Duration::from_nanos(now.saturating_sub(since & !EXPECTED));
        Some(Episode { since, lasted })
    }
}

impl Episode {
    pub(crate) fn is_hog(&self) -> bool {
        self.lasted >= HOG || self.is_expected()
    }

    /// When it began.
    pub(crate) fn began(&self) -> u64 {
        self.since & !EXPECTED
    }

    /// The worker has said that it would block.
    pub(crate) fn is_expected(&self) -> bool {
        self.since & EXPECTED != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gorin_base::check::model;
    use gorin_base::primitive::{PlainArc, thread};

    const LONG: u64 = 1_000_000;

    /// Who sees a hog sees what it did before. For: a pulse that publishes nothing, so that the
    /// sockets which the hog has armed last are overlooked.
    #[test]
    fn what_a_hog_did_before_is_seen() {
        model("pulse: begin × look", || {
            let pulse = PlainArc::new(Pulse::new());
            let armed = PlainArc::new(AtomicU64::new(0));
            let worker = {
                let (pulse, armed) = (pulse.clone(), armed.clone());
                thread::spawn(move || {
                    pulse.begin(2);
                    pulse.end();
                    armed.store(7, Ordering::Relaxed);
                    pulse.begin(3);
                })
            };
            if let Some(episode) = pulse.silence(3 + LONG)
                && episode.since == 3
            {
                assert!(episode.is_hog());
                assert_eq!(armed.load(Ordering::Relaxed), 7);
            }
            worker.join().unwrap();
        });
    }

    /// The last of those who will block sees that all do, and calls the spare worker. For: two who do not
    /// see each other.
    #[test]
    fn of_two_who_will_block_one_sees_the_other() {
        model("pulse: expect × expect", || {
            let pulses = PlainArc::new([Pulse::new(), Pulse::new()]);
            pulses.iter().for_each(|pulse| pulse.begin(2));
            let sees_the_other = |pulses: &[Pulse; 2], own: usize| {
                assert!(pulses[own].expect_block());
                pulses[1 - own].silence(2).unwrap().is_expected()
            };
            let other = {
                let pulses = pulses.clone();
                thread::spawn(move || sees_the_other(&pulses, 1))
            };
            let first = sees_the_other(&pulses, 0);
            assert!(other.join().unwrap() || first);
        });
    }

    #[cfg(not(loom))]
    #[test]
    fn a_hog_is_who_has_been_silent_for_long_or_says_that_it_will() {
        let pulse = Pulse::new();
        assert_eq!(pulse.silence(LONG), None);
        assert!(!pulse.expect_block(), "it has control");
        pulse.begin(10);
        assert!(!pulse.silence(11).unwrap().is_hog());
        assert!(pulse.silence(10 + LONG).unwrap().is_hog());
        assert!(pulse.expect_block());
        assert!(pulse.silence(11).unwrap().is_hog());
        pulse.end();
        assert_eq!(pulse.silence(2 * LONG), None);
    }
}
