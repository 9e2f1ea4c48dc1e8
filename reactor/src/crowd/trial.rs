//! Whether one worker fewer serves as much: the steps of a trial. See `crowd.rs`.

use std::time::{Duration, Instant};

/// The least time between two steps of a trial; the rates of shorter times say little.
const STEP: Duration = Duration::from_millis(10);
/// A step that is later than that tells nothing of the time before.
const STALE: Duration = Duration::from_millis(100);
/// For so long after a change sockets are on their way; what is served then says little.
const SETTLE: Duration = Duration::from_millis(10);
/// By so much of the time after that a trial is judged.
const JUDGE: Duration = Duration::from_millis(30);
/// How long a success lasts at first, and at most.
const HOLDS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));
/// How long nothing is tried after a failure at first, and at most.
const RESTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Completions per second below which a worker more or less does not matter.
const BUSY: f64 = 10_000.0;
/// Serving less than this part of what was served before is a failure.
const WORSE: f64 = 0.9;
/// Serving so much more than all workers do keeps some of them out though CPUs seem to be free.
const BETTER: f64 = 1.03;

/// What a step of the trial comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Narrow(usize, Duration),
    Widen,
}

/// The state of the trial. Plain data: it is told the time and what was served.
#[derive(Debug)]
pub(super) struct Trial {
    workers: usize,
    state: State,
    /// The last step, and the completions until then.
    last: Option<(Instant, u64)>,
    /// When the next step is due; `None` before the first.
    next: Option<Instant>,
    /// Completions per second that fewer workers must come up to.
    best: f64,
    /// How long the next success lasts.
    hold: Duration,
    /// How long nothing is tried after the next failure, and now.
    rest: Duration,
    rests_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All workers go on. The last step found CPUs contended and sockets busy, or not.
    Wide { contended: bool },
    /// So many go on, and their sockets are on their way.
    Settling(usize),
    /// So many go on; to be judged by the time since the last step.
    Judged(usize),
    /// So many go on, and it was good, until the next step.
    Narrow(usize),
    /// All go on again, to be compared with so many; their sockets are on their way.
    Spreading(usize),
    /// All go on again, and are compared with so many.
    Compared(usize),
}

impl Trial {
    pub(super) fn new(workers: usize) -> Trial {
        Trial {
            workers,
            state: State::Wide { contended: false },
            last: None,
            next: None,
            best: 0.0,
            hold: HOLDS.0,
            rest: RESTS.0,
            rests_until: None,
        }
    }

    pub(super) fn step(
        &mut self,
        now: Instant,
        contended: bool,
        completions: impl FnOnce() -> u64,
    ) -> Option<Verdict> {
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        let completions = completions();
        let in_time = |next: Instant| now.saturating_duration_since(next) < STALE;
        let last = self.last.replace((now, completions));
        // Unless nobody was awake for long.
        let rate = last
            .filter(|_| self.next.is_some_and(in_time))
            .map(|(last, before)| {
                let served = completions.saturating_sub(before) as f64;
                served / now.saturating_duration_since(last).as_secs_f64()
            });
        let (state, lasts, verdict) = self.decide(now, contended, rate);
        self.state = state;
        self.next = Some(now + lasts);
        verdict
    }

    /// What comes next, for how long, and what is to be done. `rate`: completions per second since
    /// the last step, if that was not long ago.
    fn decide(
        &mut self,
        now: Instant,
        contended: bool,
        rate: Option<f64>,
    ) -> (State, Duration, Option<Verdict>) {
        let wide = State::Wide { contended: false };
        let Some(rate) = rate else {
            return (wide, STEP, Some(Verdict::Widen));
        };
        match self.state {
            State::Wide { contended: before } => {
                let rests = self.rests_until.is_some_and(|end| now < end);
                let contended = contended && rate >= BUSY && !rests;
                self.best = if before { self.best.max(rate) } else { rate };
                match contended && before {
                    true => Self::try_with(self.workers - 1),
                    false => (State::Wide { contended }, STEP, None),
                }
            }
            State::Settling(workers) => (State::Judged(workers), JUDGE, None),
            State::Judged(_) if rate < WORSE * self.best => {
                self.rests_until = Some(now + self.rest);
                self.rest = (2 * self.rest).min(RESTS.1);
                self.hold = HOLDS.0;
                (wide, STEP, Some(Verdict::Widen))
            }
            State::Judged(workers) => {
                self.best = self.best.max(rate);
                if contended && workers > 1 {
                    return Self::try_with(workers - 1);
                }
                let hold = self.hold;
                self.hold = (2 * hold).min(HOLDS.1);
                self.rest = RESTS.0;
                let verdict = Verdict::Narrow(workers, hold + STALE);
                (State::Narrow(workers), hold, Some(verdict))
            }
            State::Narrow(_) if rate < BUSY => (wide, STEP, Some(Verdict::Widen)),
            State::Narrow(workers) => {
                self.best = rate;
                (State::Spreading(workers), SETTLE, Some(Verdict::Widen))
            }
            State::Spreading(workers) => (State::Compared(workers), JUDGE, None),
            State::Compared(workers)
                if rate >= BUSY && (contended || self.best > BETTER * rate) =>
            {
                self.best = self.best.max(rate);
                Self::try_with(workers)
            }
            State::Compared(_) => {
                self.hold = HOLDS.0;
                (wide, STEP, None)
            }
        }
    }

    fn try_with(workers: usize) -> (State, Duration, Option<Verdict>) {
        let verdict = Verdict::Narrow(workers, SETTLE + JUDGE + STALE);
        (State::Settling(workers), SETTLE, Some(verdict))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
