//! Executions one after another, until the strategy or a limit says that it is enough.

use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use gorin_base::clock;

use super::builder::Builder;
use super::execution::{End, Execution, Limits, Session};
use super::report::{Coverage, Failure, Report};
use super::schedule::{self, Shown};
use super::search::{Reduction, Search};
use super::spawn::run_main;
use super::strategy::{Decision, Random, Replay, Strategy};

impl Builder {
    /// Runs the check; `site` is where it was called.
    pub(super) fn run<F, M>(
        mut self,
        main: M,
        site: &'static Location<'static>,
    ) -> Result<Report, Box<Failure>>
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        self.obey_environment();
        let (strategy, coverage, shown) = self.strategy(site);
        let start = clock::now();
        let session = Rc::new(Session::new(
            Limits {
                steps: self.max_steps,
                leaks: self.leaks,
                panics: self.panics,
                lost_values: self.lost_values,
                ignored_sends: self.ignored_sends,
            },
            strategy,
            start,
        ));
        session.shown.set(shown);
        let main = Arc::new(main);
        let mut report = Report {
            executions: 0,
            redundant: 0,
            steps: 0,
            coverage,
            elapsed: start.elapsed(),
        };
        loop {
            let body = main.clone();
            let job = Box::new(move || run_main(|| body()));
            let end = Execution::run(&session, job)?;
            match end {
                End::Finished => report.executions += 1,
                End::Redundant | End::Misled => report.redundant += 1,
            }
            report.steps = session.steps.get();
            report.elapsed = start.elapsed();
            if end == End::Misled {
                session.strategy.borrow_mut().restart();
            } else if !session.strategy.borrow_mut().next() {
                return Ok(report);
            }
            if self.is_over(&report) {
                if coverage != Coverage::Sampled {
                    report.coverage = Coverage::Capped;
                }
                return Ok(report);
            }
        }
    }

    fn is_over(&self, report: &Report) -> bool {
        // Chance repeats nothing: what was cut short has only shown what the program does.
        let cut_short = match report.coverage {
            Coverage::Sampled => 0,
            _ => report.redundant,
        };
        report.executions + cut_short >= self.max_iterations || report.elapsed >= self.max_duration
    }

    /// `GORIN_MODEL` overrides how every model of the process is checked.
    fn obey_environment(&mut self) {
        let Ok(mode) = std::env::var("GORIN_MODEL") else {
            return;
        };
        match Mode::read(&mode) {
            Some(Mode::Exhaustive) => self.seed = None,
            Some(Mode::Random { seed, iterations }) => {
                self.seed = Some(seed);
                self.max_iterations = iterations;
            }
            None => panic!(
                "GORIN_MODEL is `{mode}`; it must be `exhaustive` or `random:<seed>:<executions>`"
            ),
        }
    }

    /// Who decides, what that covers, and what is known of the program.
    fn strategy(&self, site: &Location<'_>) -> (Box<dyn Strategy>, Coverage, Shown) {
        if let Some((schedule, shown)) = schedule_for(site) {
            return (Box::new(Replay::new(schedule)), Coverage::Replayed, shown);
        }
        let shown = Shown::default();
        if let Some(seed) = self.seed {
            return (Box::new(Random::new(seed)), Coverage::Sampled, shown);
        }
        let reduction = Reduction {
            none: self.unreduced,
            preemption_bound: self.preemption_bound,
        };
        let coverage = match self.preemption_bound {
            Some(bound) => Coverage::Bounded(bound),
            None => Coverage::Complete,
        };
        (Box::new(Search::new(reduction)), coverage, shown)
    }
}

/// What `GORIN_MODEL` can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Exhaustive,
    Random { seed: u64, iterations: usize },
}

impl Mode {
    /// What `text` asks for, if it is one of the two.
    pub(crate) fn read(text: &str) -> Option<Mode> {
        let mut words = text.split(':');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("exhaustive"), None, ..) => Some(Mode::Exhaustive),
            (Some("random"), Some(seed), Some(iterations), None) => Some(Mode::Random {
                seed: seed.parse().ok()?,
                iterations: iterations.parse().ok()?,
            }),
            _ => None,
        }
    }
}

/// The schedule that `GORIN_REPLAY` gives for the model at `site`, or for whichever model if it
/// names no site.
fn schedule_for(site: &Location<'_>) -> Option<(Vec<Decision>, Shown)> {
    let text = std::env::var("GORIN_REPLAY").ok()?;
    let (words, at) = text.split_once('@').unwrap_or((&text, ""));
    if !at.is_empty() && at.trim() != site.to_string() {
        return None;
    }
    let read = schedule::read(words);
    Some(read.unwrap_or_else(|reason| panic!("GORIN_REPLAY cannot be read: {reason}")))
}
