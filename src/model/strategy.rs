//! Who decides which goroutine runs next: the search, chance, or a schedule of an earlier run.
//!
//! A strategy sees goroutines and footprints only. Must not touch the program.

use super::Goroutine;
use super::footprint::Footprint;

/// One decision of an execution, as a schedule lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// This goroutine took the next step.
    Run(Goroutine),
    /// A choice inside the step, such as which ready case of a select is taken.
    Choose(usize),
}

/// The goroutines that a strategy chooses from.
#[derive(Debug)]
pub(super) struct Options<'a> {
    /// Those that can take a step, in ascending order; never empty.
    pub(super) enabled: &'a [Goroutine],
    /// The one that took the last step, if it can go on: running another one preempts it.
    pub(super) running: Option<Goroutine>,
    /// What they are about to do, as a number.
    pub(super) about: u64,
}

/// Makes the decisions of all executions of a model.
pub(super) trait Strategy {
    /// The goroutine that takes the next step; `None` if whatever follows here is known already.
    ///
    /// # Errors
    /// A text that says in what the program is not the one that the strategy knows.
    fn pick(&mut self, options: &Options<'_>) -> Result<Option<Goroutine>, String>;

    /// A number in `0..n`.
    ///
    /// # Errors
    /// As [`pick`](Self::pick).
    fn choose(&mut self, n: usize) -> Result<usize, String>;

    /// `goroutine` takes a step that uses `footprint`.
    fn step(&mut self, goroutine: Goroutine, footprint: &Footprint) {
        let _ = (goroutine, footprint);
    }

    /// What `goroutine` does next happens after the step taken last: that started it or woke it.
    fn follows(&mut self, goroutine: Goroutine) {
        let _ = goroutine;
    }

    /// What happens from now on happens after everything before: the virtual time has moved.
    fn barrier(&mut self) {}

    /// Forgets all executions so far.
    fn restart(&mut self) {}

    /// Prepares the next execution; false if there is none.
    fn next(&mut self) -> bool;
}

/// Decides as a given schedule says: one execution.
#[derive(Debug)]
pub(super) struct Replay {
    schedule: Vec<Decision>,
    /// How many decisions have been made.
    position: usize,
}

impl Replay {
    /// Replays `schedule`. Goroutines are numbered in the order in which they were started.
    pub(super) fn new(schedule: Vec<Decision>) -> Self {
        Self {
            schedule,
            position: 0,
        }
    }

    fn following(&mut self) -> Option<Decision> {
        let decision = self.schedule.get(self.position).copied();
        self.position += 1;
        decision
    }
}

impl Strategy for Replay {
    fn pick(&mut self, options: &Options<'_>) -> Result<Option<Goroutine>, String> {
        match self.following() {
            Some(Decision::Run(next)) if options.enabled.contains(&next) => Ok(Some(next)),
            // Past its end the schedule has shown what it was for; whoever runs last goes on.
            None => Ok(options.running.or(options.enabled.first().copied())),
            Some(other) => Err(format!(
                "the schedule says `{}`, but goroutines {:?} can run",
                super::schedule::word(other),
                options.enabled
            )),
        }
    }

    fn choose(&mut self, n: usize) -> Result<usize, String> {
        match self.following() {
            Some(Decision::Choose(choice)) if choice < n => Ok(choice),
            None => Ok(0),
            Some(other) => Err(format!(
                "the schedule says `{}`, but there is a choice among {n}",
                super::schedule::word(other)
            )),
        }
    }

    fn restart(&mut self) {
        self.position = 0;
    }

    fn next(&mut self) -> bool {
        false
    }
}

/// Decides by a seeded generator: as many executions as the limits allow.
#[derive(Debug)]
pub(super) struct Random {
    seed: u64,
    stream: fastrand::Rng,
}

impl Random {
    /// The n-th execution draws from the stream of `seed + n`.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            stream: fastrand::Rng::with_seed(seed),
        }
    }
}

impl Strategy for Random {
    fn pick(&mut self, options: &Options<'_>) -> Result<Option<Goroutine>, String> {
        Ok(Some(
            options.enabled[self.stream.usize(..options.enabled.len())],
        ))
    }

    fn choose(&mut self, n: usize) -> Result<usize, String> {
        Ok(self.stream.usize(..n))
    }

    fn next(&mut self) -> bool {
        self.seed = self.seed.wrapping_add(1);
        self.stream.seed(self.seed);
        true
    }
}
