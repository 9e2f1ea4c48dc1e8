//! The spare worker's sleep: it is woken when all others may compute, and is not while nobody does
//! anything.
//!
//! A reactor may have one worker more than it says, the *spare* ([`Config::spare`](crate::Config::spare)). It stands
//! down for good: nothing is given to it, it does not keep the time, and those that watch each other
//! (`watch.rs`) know it only while it is awake. Once all others are hogs it is on duty: it serves their sockets, timers and
//! goroutines, and takes the kernel's turns with them for a CPU. What it does is in `worker/spare.rs`; this
//! file is about when it looks.
//!
//! # The protocol
//!
//! The spare is *alert* while its sleep has a limit, or its alarm is set: then it looks in a while. Whoever
//! begins to run what is not ours while none of the others sleeps calls it, unless it is alert. When it
//! finds that not all of them do, it relaxes; and who goes to sleep relaxes it.
//!
//! ```text
//! worker                                  spare
//! pulse = since                           alert = false
//! fence(SeqCst)                    (W)    fence(SeqCst)                   (S)
//! alert? anybody asleep?                  read every pulse: all run?
//! else exchange it, set the alarm         exchange alert, stay
//! ```
//!
//! Suppose that all workers run what is not ours, and look at the last of their fences, W. It comes after
//! those of the others, so this worker sees all of them awake. If W comes before S in the one order of these
//! fences, the spare sees every pulse, and stays alert unless somebody has called it meanwhile; else this
//! worker sees that it has relaxed, or that another has called it since. Who goes to sleep relaxes it only
//! when counted as asleep, and is awake again when it has taken the alarm back. So while all workers run what
//! is not ours the spare is alert.
//!
//! A worker may be late between its look at the others and its exchange: meanwhile another one calls the
//! spare, runs for a moment, goes to sleep, and is about to take the alarm back, also the one that the late
//! worker sets then. So each recall is counted beside `alert`, and a call succeeds only if there was none
//! since the look. What one recalls is seen, with its sleep, by whoever's fence comes after its next one.
//!
//! An alert spare wakes after 10 ms, as Go's monitor does. That costs 10 to 70 µs, more than to set the alarm
//! and to take it back by two calls of 0.4 µs: a process that is busy for a moment every 20 ms spent 16 % more
//! CPU time without the latter. Where workers sleep and wake all the time it is the other way round, so it is
//! taken back only [`MOST_RECALLS`] times between two wakes.
//!
//! Must not: know clocks, rings, or what it looks for.

use gorin_base::primitive::{AtomicU32, Ordering, fence};
use gorin_base::seeded;

const ALERT: u32 = 1;
const RECALL: u32 = 2;

/// How often the alarm is taken back until the spare has woken.
const MOST_RECALLS: u32 = 8;

/// See the module text.
#[derive(Debug)]
pub(crate) struct Spare {
    /// Which worker it is.
    pub(crate) index: usize,
    /// [`ALERT`], and how often it was recalled, in units of [`RECALL`]. Written by workers and the spare by
    /// read-modify-writes, read by workers; the fences order it. Besides, who takes an alarm back releases
    /// that it is counted as asleep, and who calls acquires that.
    word: AtomicU32,
    /// Alarms taken back since the spare woke last. Relaxed: a count that bounds a cost.
    recalls: AtomicU32,
}

impl Spare {
    /// It has not slept yet: until it does nobody need call it.
    pub(crate) fn new(index: usize) -> Spare {
        Spare {
            index,
            word: AtomicU32::new(ALERT),
            recalls: AtomicU32::new(0),
        }
    }

    /// For a worker whose pulse says that it runs what is not ours: true if it has to set the spare's
    /// alarm. `sleeps` looks whether any other worker sleeps.
    #[must_use]
    pub(crate) fn call(&self, sleeps: impl FnOnce() -> bool) -> bool {
        if !seeded::bug("spare.called_without_fence") {
            fence(Ordering::SeqCst);
        }
        let seen = self.word.load(Ordering::Acquire);
        if seen & ALERT != 0 || sleeps() {
            return false;
        }
        if seeded::bug("spare.called_late") {
            return self.set_alert();
        }
        self.exchange(seen, seen | ALERT, Ordering::Relaxed)
    }

    /// For a worker that is counted as asleep: true if it has to take the alarm back.
    #[must_use]
    pub(crate) fn recall(&self) -> bool {
        let seen = self.word.load(Ordering::Relaxed);
        if seen & ALERT == 0 || self.recalls.load(Ordering::Relaxed) >= MOST_RECALLS {
            return false;
        }
        self.recalls.fetch_add(1, Ordering::Relaxed);
        let order = match seeded::bug("spare.recall_releases_nothing") {
            true => Ordering::Relaxed,
            false => Ordering::Release,
        };
        self.exchange(seen, (seen & !ALERT).wrapping_add(RECALL), order)
    }

    /// For the spare, about to sleep: true if it has to look again soon. `busy` looks whether all workers
    /// run what is not ours.
    #[must_use]
    pub(crate) fn relax(&self, busy: impl Fn() -> bool) -> bool {
        self.recalls.store(0, Ordering::Relaxed);
        let look_first = seeded::bug("spare.looks_before_it_relaxes").then(&busy);
        // No store: whoever sees this sees what the last recall has released, too.
        self.word.fetch_and(!ALERT, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        look_first.unwrap_or_else(busy) && self.set_alert()
    }

    /// True if it was not alert.
    fn set_alert(&self) -> bool {
        self.word.fetch_or(ALERT, Ordering::Relaxed) & ALERT == 0
    }

    fn exchange(&self, from: u32, to: u32, order: Ordering) -> bool {
        self.word
            .compare_exchange(from, to, order, Ordering::Relaxed)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pulse::Pulse;
    use crate::watch::Watch;
    use gorin_base::check::{model, model_bounded};
    use gorin_base::primitive::{AtomicBool, PlainArc, thread};

    /// The workers, and the spare's alarm.
    struct World {
        spare: Spare,
        watch: Watch,
        pulses: [Pulse; 2],
        alarm: AtomicBool,
    }

    impl World {
        /// All are awake.
        fn new() -> PlainArc<World> {
            let world = World {
                spare: Spare::new(2),
                watch: Watch::new(2),
                pulses: [Pulse::new(), Pulse::new()],
                alarm: AtomicBool::new(false),
            };
            world.watch.enter();
            world.watch.enter();
            PlainArc::new(world)
        }

        /// Worker `index` runs what is not ours, for long.
        fn run(&self, index: usize) {
            self.pulses[index].begin(1);
            if self.spare.call(|| self.watch.sleeps()) {
                self.alarm.store(true, Ordering::Relaxed);
            }
        }

        /// Worker `index` sleeps for a moment.
        fn nap(&self, index: usize) {
            let lie_down = || {
                let _watches = self.watch.sleep(index);
            };
            let early = seeded::bug("spare.recalled_before_sleeping");
            if !early {
                lie_down();
            }
            if self.spare.recall() {
                self.alarm.store(false, Ordering::Relaxed);
            }
            if early {
                lie_down();
            }
            let _woken = self.watch.wake(index);
        }

        /// The spare goes to sleep: true if it has a limit.
        fn relax(&self) -> bool {
            let busy = || self.pulses.iter().all(|pulse| pulse.silence(2).is_some());
            self.spare.relax(busy)
        }
    }

    /// All workers begin to compute for long while the spare is about to sleep: it will be woken, by the
    /// alarm or by the limit of its sleep. For: a missing fence; a look that comes too early.
    #[test]
    fn all_do_not_compute_unseen() {
        model("spare: two begin × relax", || {
            let world = World::new();
            let workers = [0, 1].map(|index| {
                let world = world.clone();
                thread::spawn(move || world.run(index))
            });
            let stays = world.relax();
            for worker in workers {
                worker.join().unwrap();
            }
            let alarmed = world.alarm.load(Ordering::Relaxed);
            assert!(stays || alarmed, "nobody wakes the spare");
            assert!(!(stays && alarmed), "both do");
        });
    }

    /// As before, and one of them has slept a moment ago, and taken the alarm back. For: one who takes it
    /// back before it is known to be asleep; one who keeps that to itself.
    #[test]
    fn a_recall_is_followed_by_a_call() {
        model_bounded("spare: begin × nap, begin × relax", 3, || {
            let world = World::new();
            assert!(!world.relax());
            world.run(0);
            world.pulses[0].end();
            let first = {
                let world = world.clone();
                thread::spawn(move || world.run(0))
            };
            let second = {
                let world = world.clone();
                thread::spawn(move || {
                    world.nap(1);
                    world.run(1);
                })
            };
            first.join().unwrap();
            second.join().unwrap();
            assert!(
                world.alarm.load(Ordering::Relaxed),
                "nobody wakes the spare"
            );
        });
    }

    /// As before, but who has seen all awake before the other one slept calls the spare only after that
    /// has taken the alarm back, or while it does.
    #[test]
    fn a_late_call_is_no_lost_one() {
        model_bounded("spare: begin × begin, nap, begin", 3, || {
            let world = World::new();
            assert!(!world.relax());
            let first = {
                let world = world.clone();
                thread::spawn(move || world.run(0))
            };
            world.run(1);
            world.pulses[1].end();
            world.nap(1);
            world.run(1);
            first.join().unwrap();
            assert!(
                world.alarm.load(Ordering::Relaxed),
                "nobody wakes the spare"
            );
        });
    }

    /// (One thread: no model.)
    #[cfg(not(loom))]
    #[test]
    fn alarms_are_taken_back_so_often_only() {
        let world = World::new();
        assert!(!world.relax());
        let alarms = || {
            (0..3 * MOST_RECALLS)
                .filter(|_| {
                    world.run(0);
                    world.nap(1);
                    world.alarm.load(Ordering::Relaxed)
                })
                .count()
        };
        assert_eq!(alarms(), 2 * MOST_RECALLS as usize);
        assert!(!world.relax());
        assert_eq!(alarms(), 2 * MOST_RECALLS as usize);
    }
}
