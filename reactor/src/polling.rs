//! Looking for completions for a while before sleeping: when it pays.
//!
//! A sleep costs the worker and whoever ends it some 12 µs each, and the sleeper starts some 33 µs
//! late. Where the next event comes within that time, looking for it is cheaper than sleeping. It
//! is looked for in memory: in the worker's word (a worker that looks is *running*, so waking it
//! takes no system call, see `park.rs`) and in the queues it shares with the kernel.
//!
//! # When
//!
//! - After [`Patience::needed`] short waits in a row, until looking has been in vain too often; each
//!   time that happens the next start needs twice as many. So a worker whose events are far apart
//!   never looks, and an idle process uses no CPU.
//! - One worker of the process at a time: the others sleep at once.
//! - Not in a process that has more workers than CPUs, nor while as many workers as there are CPUs
//!   are awake, or fewer than all go on because CPUs are contended (`crowd.rs`): somebody else needs the
//!   CPU. And not for a timer that is due soon: its
//!   time is known.
//! - Whoever loses the CPU while it looks has kept somebody from it, perhaps the very one it waits
//!   for: it has looked in vain, whatever it found. That shows as a gap between two readings of the
//!   clock and needs no system call.
//! - Unless somebody has said how long it may look: not while that takes more CPU time than sleeping
//!   (`polling/economy.rs`).
//!
//! Rejected: to look only for what comes within 30 µs (after 64 KiB the next ones come after 26, after 64 B
//! after 22), and to compare what an event costs the worker by trial (64 sleeps after 64 looks are much
//! cheaper than 64 sleeps after many: the kernel's own waiting has to get used to them; looking at 64 B was
//! given up).
//!
//! This file decides, and neither looks nor sleeps.

use std::time::Duration;

use gorin_base::primitive::{AtomicBool, Ordering, thread};

use economy::Economy;

mod economy;

/// A wait is short if it takes at most this many times the limit: looking would have ended most of
/// them, since a sleep ends later than its event comes.
const SHORT: u32 = 2;
/// Short waits in a row before a worker looks for the first time.
const LEAST_NEEDED: u32 = 4;
/// The same for a worker that looks in vain whenever it starts.
const MOST_NEEDED: u32 = 1024;
/// For how long to look if nobody has said.
const USUAL_LIMIT: Duration = Duration::from_micros(50);
/// Nobody is let look for longer.
const MOST_LIMIT: Duration = Duration::from_secs(1);
/// The most that successes count.
const BEST_SCORE: i32 = 8;
/// What one time in vain costs.
const MISS: i32 = 4;

/// How a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Without looking.
    Slept,
    /// Looking has found something.
    Found,
    /// Looking has found nothing, or nothing that a sleep would not have found as well.
    InVain,
}

/// Whether a worker looks before it sleeps. See the module text.
#[derive(Debug)]
pub(crate) struct Patience {
    /// For how long it looks; zero if never.
    limit: Duration,
    /// `None`: CPU time does not count.
    economy: Option<Economy>,
    looking: bool,
    /// Short waits in a row, while it does not look.
    short: u32,
    /// How many of them let it look.
    needed: u32,
    /// Successes less failures, while it looks.
    score: i32,
}

impl Patience {
    /// Of a worker that may look for `limit`; if nobody has said for how long, while that costs little.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self {
            limit: limit.unwrap_or(USUAL_LIMIT),
            economy: limit.is_none().then(Economy::default),
            looking: false,
            short: 0,
            needed: LEAST_NEEDED,
            score: 0,
        }
    }

    /// For how long to look; zero if never, and then waits need not be [noted](Self::note).
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// A gap between two looks that means that the thread was not running: somebody else took his
    /// time, or the interrupts of a few microseconds were many.
    pub(crate) fn gap(&self) -> Duration {
        self.limit / 8
    }

    /// True if it pays to look before the next sleep.
    pub(crate) fn is_looking(&self) -> bool {
        self.looking && self.economy.as_ref().is_none_or(Economy::pays)
    }

    /// Takes note of a wait that took `time`, and of the `work` that took the worker's time before it.
    pub(crate) fn note(&mut self, work: Duration, wait: Wait, time: Duration) {
        if let Some(economy) = &mut self.economy {
            // Also while it does not look: a pause is one for whoever it works for.
            match wait {
                Wait::Found => economy.note_look(work, time),
                Wait::Slept | Wait::InVain => economy.note_sleep(work, time),
            }
        }
        match wait {
            // Sleeping is cheaper, another worker looked, or a timer was due: that says nothing.
            Wait::Slept if self.looking => {}
            Wait::Slept if time <= self.limit * SHORT => {
                self.short += 1;
                self.looking = self.short >= self.needed;
                self.score = 0;
            }
            Wait::Slept => self.short = 0,
            Wait::Found => {
                self.score = (self.score + 1).min(BEST_SCORE);
                if self.score == BEST_SCORE {
                    self.needed = LEAST_NEEDED;
                }
            }
            Wait::InVain => {
                self.score -= MISS;
                if self.score < 0 {
                    self.looking = false;
                    self.short = 0;
                    self.needed = (self.needed * 2).min(MOST_NEEDED);
                }
            }
        }
    }
}

/// Set while a worker of this process looks. Only an exchange decides who: relaxed, nothing is
/// handed over.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The right to look, which one worker of the process has at a time. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn(());

impl Turn {
    pub(crate) fn take() -> Option<Turn> {
        let free = !TAKEN.load(Ordering::Relaxed) && !TAKEN.swap(true, Ordering::Relaxed);
        free.then_some(Turn(()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Relaxed);
    }
}

/// How many CPUs this process may use, as far as `workers` workers need to know.
pub(crate) fn cpus(workers: usize) -> usize {
    // Whoever runs has one CPU: for the second the files of cgroups are read.
    if workers < 2 {
        return 1;
    }
    thread::available_parallelism().map_or(1, Into::into)
}

/// `limit`, at most [`MOST_LIMIT`], or zero if there are fewer `cpus` than `workers`.
pub(crate) fn allowed(limit: Option<Duration>, workers: usize, cpus: usize) -> Option<Duration> {
    if cpus < workers {
        return Some(Duration::ZERO);
    }
    limit.map(|limit| limit.min(MOST_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_micros(50);
    const LONG: Duration = Duration::from_millis(1);

    /// Short waits until it looks.
    fn start(patience: &mut Patience) -> u32 {
        let mut waits = 0;
        while !patience.is_looking() {
            patience.note(Duration::ZERO, Wait::Slept, LIMIT);
            waits += 1;
        }
        waits
    }

    #[test]
    fn only_short_waits_in_a_row_let_a_worker_look() {
        let mut patience = Patience::new(Some(LIMIT));
        for _ in 0..100 {
            for _ in 1..LEAST_NEEDED {
                patience.note(Duration::ZERO, Wait::Slept, LIMIT);
            }
            patience.note(Duration::ZERO, Wait::Slept, LONG);
            assert!(!patience.is_looking());
        }
        assert_eq!(start(&mut patience), LEAST_NEEDED);
    }

    #[test]
    fn who_looks_in_vain_stops_and_starts_later_each_time() {
        let mut patience = Patience::new(Some(LIMIT));
        let mut before = start(&mut patience);
        for _ in 0..3 {
            patience.note(Duration::ZERO, Wait::InVain, LIMIT);
            assert!(!patience.is_looking());
            let now = start(&mut patience);
            assert_eq!(now, 2 * before);
            before = now;
        }
        for _ in 0..20 {
            patience.note(Duration::ZERO, Wait::InVain, LIMIT);
            start(&mut patience);
        }
        patience.note(Duration::ZERO, Wait::InVain, LIMIT);
        assert_eq!(start(&mut patience), MOST_NEEDED);
    }

    #[test]
    fn success_forgives_a_failure_and_forgets_earlier_ones() {
        let mut patience = Patience::new(Some(LIMIT));
        start(&mut patience);
        patience.note(Duration::ZERO, Wait::InVain, LIMIT);
        start(&mut patience);
        for _ in 0..BEST_SCORE {
            patience.note(Duration::ZERO, Wait::Found, LIMIT);
        }
        patience.note(Duration::ZERO, Wait::InVain, LIMIT);
        assert!(patience.is_looking());
        patience.note(Duration::ZERO, Wait::InVain, LIMIT);
        patience.note(Duration::ZERO, Wait::InVain, LIMIT);
        assert!(!patience.is_looking());
        assert_eq!(start(&mut patience), 2 * LEAST_NEEDED);
    }

    /// Of a worker that works and looks for so long per event: whether it looks on.
    fn goes_on(limit: Option<Duration>, work: Duration, wait: Duration) -> bool {
        let mut patience = Patience::new(limit);
        start(&mut patience);
        for _ in 0..10_000 {
            if !patience.is_looking() {
                return false;
            }
            patience.note(work, Wait::Found, wait);
        }
        true
    }

    #[test]
    fn only_who_was_told_how_long_looks_where_sleeping_is_cheaper() {
        let (work, wait) = (Duration::from_micros(31), Duration::from_micros(29));
        assert!(goes_on(Some(LIMIT), work, wait));
        assert!(!goes_on(None, work, wait));
        assert!(goes_on(None, work / 4, wait));
    }

    #[test]
    fn sleeping_because_it_is_cheaper_comes_to_an_end() {
        let mut patience = Patience::new(None);
        start(&mut patience);
        while patience.is_looking() {
            patience.note(LIMIT, Wait::Found, LIMIT);
        }
        // However long these sleeps are: nobody looked.
        for _ in 0..70_000 {
            patience.note(LIMIT, Wait::Slept, LONG);
        }
        assert!(patience.is_looking());
    }

    #[test]
    fn a_trial_that_a_pause_interrupts_begins_anew() {
        let mut patience = Patience::new(None);
        for _ in 0..10 {
            start(&mut patience);
            for _ in 0..2000 {
                patience.note(LIMIT, Wait::Found, LIMIT);
                assert!(patience.is_looking(), "it judges too soon");
            }
            while patience.is_looking() {
                patience.note(Duration::ZERO, Wait::InVain, LIMIT);
            }
            patience.note(Duration::ZERO, Wait::Slept, 2 * LONG);
        }
    }

    #[test]
    fn one_worker_looks_at_a_time() {
        let turn = Turn::take().expect("nobody looks in this test binary");
        assert!(Turn::take().is_none());
        drop(turn);
        assert!(Turn::take().is_some());
    }

    #[test]
    fn more_workers_than_cpus_do_not_look() {
        assert_eq!(allowed(Some(LIMIT), 3, 2), Some(Duration::ZERO));
        assert_eq!(allowed(None, 3, 2), Some(Duration::ZERO));
        assert_eq!(allowed(Some(LIMIT), 2, 2), Some(LIMIT));
        assert_eq!(allowed(Some(LIMIT), 1, cpus(1)), Some(LIMIT));
        assert_eq!(allowed(None, 1, 1), None);
        assert_eq!(allowed(Some(Duration::MAX), 1, 1), Some(MOST_LIMIT));
        assert_eq!(allowed(Some(Duration::ZERO), 1, 1), Some(Duration::ZERO));
    }
}
