//! Whether looking costs more CPU time than sleeping: judged now and then, over some looks in a row.
//!
//! A sleep and its end take some 12 µs of the sleeper's CPU time ([`OF_A_SLEEP`]); looking takes all of the
//! wait. That pays also if the wait is longer, as long as the worker is quick to answer: then whoever it works
//! for has not yet gone to sleep deeply when the answer comes, and waking him costs the worker hardly
//! anything. A worker that takes longer than [`QUICK`] has to pay for his waking anyway, and then waits for
//! it, and only its own sleep is saved.
//!
//! Measured, one connection (work and wait per request, in µs; CPU time and rate with looking, in units of
//! those without): 64 B 5, 20: 0.73, 3.0; 16 KiB 8, 21: 0.79, 2.9; 32 KiB 11, 21: 0.85, 2.6; 64 KiB 31, 29:
//! 1.35, 1.6. New connections, 50 at a time: work 16, wait 2.
//!
//! A single look says little, and so do the first ones: whoever has long been answered late sleeps deeply for
//! 400 to 1,100 answers more (his virtual CPU's host has to get used to them), and one look in ten is slow
//! even then. So it is judged by most of many looks in a row, after many that do not count. (With 64 looks
//! that count from the first on, half of all messages of 16 KiB were slept for.)
//!
//! Such a trial takes 2,304 looks that may all be dear: it is made again only after many times as many sleeps,
//! but at once where the worker has become quick to answer ([`QUICK_RUN`]), which is what changes when it gets
//! other work.

use std::time::Duration;

/// What a sleep and its end take of the CPU time of who sleeps.
const OF_A_SLEEP: Duration = Duration::from_micros(12);
/// Whoever waits for an answer for longer is asleep so deeply that his waking costs as much.
const QUICK: Duration = Duration::from_micros(20);
/// Looks until the other side has got used to being answered soon.
const SETTLING: u32 = 2048;
/// After such a wait it has to get used to that again.
const PAUSE: Duration = Duration::from_millis(1);
/// Looks that are judged together, after those.
const TRIAL: u32 = 256;
/// So many of them must have cost more than a sleep.
const MOST: u32 = 192;
/// Waits without looking after the first trial that did not pay.
const LEAST_REST: u32 = 1 << 16;
/// The same after many.
const MOST_REST: u32 = 1 << 20;
/// So many sleeps after quick work, one after the other, end the rest. (Where looking is dear some works are
/// quick, too: of what does not arrive in one piece.)
const QUICK_RUN: u32 = 256;

/// See the module text.
#[derive(Debug)]
pub(super) struct Economy {
    /// Looks that are left until judgement.
    looks: u32,
    /// Those of them that cost more than a sleep.
    dear: u32,
    /// Waits that are still to be slept through.
    rest: u32,
    /// How many there will be if the next trial does not pay.
    next_rest: u32,
    /// Sleeps after quick work in a row.
    quick: u32,
}

impl Default for Economy {
    fn default() -> Self {
        Self {
            looks: SETTLING + TRIAL,
            dear: 0,
            rest: 0,
            next_rest: LEAST_REST,
            quick: 0,
        }
    }
}

impl Economy {
    /// False if sleeping is cheaper, as far as is known.
    pub(super) fn pays(&self) -> bool {
        self.rest == 0
    }

    /// Takes note of a look that took `wait`, after `work`.
    pub(super) fn note_look(&mut self, work: Duration, wait: Duration) {
        self.looks -= 1;
        if self.looks < TRIAL {
            self.dear += u32::from(work > QUICK && wait > OF_A_SLEEP);
        }
        if self.looks > 0 {
            return;
        }
        self.looks = TRIAL;
        if self.dear >= MOST {
            self.looks += SETTLING;
            self.rest = self.next_rest;
            self.next_rest = (self.next_rest * 2).min(MOST_REST);
        } else {
            self.next_rest = LEAST_REST;
        }
        self.dear = 0;
    }

    /// Takes note of a wait that ended with a sleep after `work`, and of how long it took.
    pub(super) fn note_sleep(&mut self, work: Duration, wait: Duration) {
        self.rest = self.rest.saturating_sub(1);
        self.quick = if work > QUICK { 0 } else { self.quick + 1 };
        if self.quick == QUICK_RUN {
            self.quick = 0;
            self.rest = 0;
        }
        if wait > PAUSE {
            self.start();
        }
    }

    /// Starts a trial.
    fn start(&mut self) {
        self.looks = SETTLING + TRIAL;
        self.dear = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks until it is judged; true if it pays.
    fn is_worth(economy: &mut Economy, work: u64, wait: u64) -> bool {
        assert!(economy.pays(), "it is at rest");
        for _ in 0..SETTLING + TRIAL {
            economy.note_look(Duration::from_micros(work), Duration::from_micros(wait));
        }
        economy.pays()
    }

    /// How many sleeps it is at rest, with so much work before each.
    fn rest(economy: &mut Economy, work: Duration) -> u32 {
        let mut sleeps = 0;
        while !economy.pays() {
            economy.note_sleep(work, QUICK);
            sleeps += 1;
        }
        sleeps
    }

    #[test]
    fn looking_pays_after_short_work_and_for_short_waits() {
        let economy = &mut Economy::default();
        assert!(is_worth(economy, 5, 20));
        assert!(is_worth(economy, 11, 22));
        assert!(is_worth(economy, 16, 2));
        assert!(is_worth(economy, 100, 2));
        assert!(!is_worth(economy, 31, 29));
    }

    #[test]
    fn a_few_looks_of_many_do_not_count() {
        let economy = &mut Economy::default();
        for look in 0..SETTLING + 10 * TRIAL {
            let long = Duration::from_millis(u64::from(look % TRIAL < MOST - 1));
            economy.note_look(long, long);
            assert!(economy.pays());
        }
    }

    #[test]
    fn looks_do_not_count_soon_after_a_pause() {
        let economy = &mut Economy::default();
        for look in 1..10 * (SETTLING + TRIAL) {
            economy.note_look(2 * QUICK, 2 * OF_A_SLEEP);
            assert!(economy.pays());
            if look % (SETTLING + TRIAL - 1) == 0 {
                economy.note_sleep(QUICK, 2 * PAUSE);
            }
        }
    }

    #[test]
    fn it_is_tried_again_after_a_while_and_less_and_less_often() {
        let economy = &mut Economy::default();
        let mut expected = LEAST_REST;
        for _ in 0..6 {
            assert!(!is_worth(economy, 31, 29));
            assert_eq!(rest(economy, 2 * QUICK), expected);
            expected = (expected * 2).min(MOST_REST);
        }
        assert!(is_worth(economy, 5, 20));
        assert!(!is_worth(economy, 31, 29));
        assert_eq!(rest(economy, 2 * QUICK), LEAST_REST);
    }

    #[test]
    fn who_has_become_quick_tries_again_soon() {
        let economy = &mut Economy::default();
        assert!(!is_worth(economy, 31, 29));
        assert_eq!(rest(economy, QUICK), QUICK_RUN);
        assert!(is_worth(economy, 5, 20));
    }

    #[test]
    fn who_is_quick_now_and_then_stays_at_rest() {
        let economy = &mut Economy::default();
        assert!(!is_worth(economy, 31, 29));
        for _ in 0..LEAST_REST / QUICK_RUN {
            for _ in 1..QUICK_RUN {
                assert!(!economy.pays());
                economy.note_sleep(QUICK, QUICK);
            }
            economy.note_sleep(2 * QUICK, QUICK);
        }
        assert!(economy.pays());
    }
}
