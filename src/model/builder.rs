//! Limits and modes of a check, from the builder and from the environment.
//!
//! Must not explore: it puts a strategy together and counts.

use std::fmt::Display;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use super::report::{Failure, Report};

/// A check with limits of its own; [`model`](crate::model()) is one with the defaults.
///
/// ```
/// use gorin::{chan, go};
/// use gorin::model::{Builder, Coverage};
///
/// let report = Builder::new().max_iterations(10_000).check(|| async {
///     let (tx, rx) = chan(0);
///     go(async move { tx.send(1).await.unwrap() });
///     assert_eq!(rx.recv().await, Some(1));
/// });
/// assert_eq!(report.coverage, Coverage::Complete);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a check runs only when `check` or `explore` is called"]
pub struct Builder {
    pub(super) preemption_bound: Option<usize>,
    pub(super) max_iterations: usize,
    pub(super) max_duration: Duration,
    pub(super) max_steps: usize,
    pub(super) seed: Option<u64>,
    pub(super) leaks: bool,
    pub(super) panics: bool,
    pub(super) lost_values: bool,
    pub(super) ignored_sends: bool,
    pub(super) unreduced: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// No bound on preemptions (under loom: 2), a million executions, a minute.
    pub fn new() -> Self {
        Self {
            preemption_bound: None,
            max_iterations: 1_000_000,
            max_duration: Duration::from_secs(60),
            max_steps: 10_000,
            seed: None,
            leaks: false,
            panics: false,
            lost_values: false,
            ignored_sends: false,
            unreduced: false,
        }
    }

    /// Explores only interleavings in which at most `bound` goroutines are interrupted although they
    /// could go on. Most bugs need one or two such interruptions. There is no reduction then: a small
    /// program takes more executions with a bound than without.
    pub fn preemption_bound(mut self, bound: usize) -> Self {
        self.preemption_bound = Some(bound);
        self
    }

    /// Ends the search after so many executions; the report then says that it was capped.
    pub fn max_iterations(mut self, iterations: usize) -> Self {
        self.max_iterations = iterations;
        self
    }

    /// Ends the search after so much time; the report then says that it was capped.
    pub fn max_duration(mut self, duration: Duration) -> Self {
        self.max_duration = duration;
        self
    }

    /// Takes an execution of more than `steps` steps for an endless one, which is a failure.
    pub fn max_steps(mut self, steps: usize) -> Self {
        self.max_steps = steps;
        self
    }

    /// Draws interleavings at random instead of searching all of them: for programs that are too
    /// large. The same seed draws the same interleavings; [`max_iterations`](Self::max_iterations)
    /// says how many.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Lets `main` end while other goroutines still wait, as Go does; they are dropped then, and what
    /// happens to them after the end of `main` is no failure. Without this, a goroutine that can
    /// never end is one.
    pub fn allow_leaks(mut self) -> Self {
        self.leaks = true;
        self
    }

    /// Lets goroutines panic, for programs that look at what their join handles say. A panic of
    /// `main` is always a failure.
    pub fn allow_panics(mut self) -> Self {
        self.panics = true;
        self
    }

    /// Lets values get lost. Without this it is a failure if a goroutine drops the last receiver of
    /// a channel with values in it while `main` waits: their senders were told that they are sent,
    /// the program goes on, and nobody will ever see them.
    ///
    /// Not counted: values without a size (`()` is a signal, not a value), and what goes when `main`
    /// drops the receiver itself, or has ended: then the program has what it wanted.
    ///
    /// ```
    /// use gorin::prelude::*;
    /// use gorin::model::Builder;
    ///
    /// async fn leaves_early() {
    ///     let (tx, rx) = chan(2);
    ///     tx.send(1).await.unwrap();
    ///     tx.send(2).await.unwrap();
    ///     assert_eq!(go(async move { rx.recv().await }).await.unwrap(), Some(1));
    /// }
    /// let failure = Builder::new().explore(leaves_early).unwrap_err();
    /// assert!(failure.is_lost_value());
    /// Builder::new().allow_lost_values().check(leaves_early);
    /// ```
    ///
    /// Under `--cfg loom` values are not watched.
    pub fn allow_lost_values(mut self) -> Self {
        self.lost_values = true;
        self
    }

    /// Lets goroutines send on channels that they have been told are closed. Without this it is a
    /// failure if a goroutine whose send was refused, because the channel is closed or nobody is left
    /// to receive, begins another send (or `try_send`, or `reserve`) on the same channel: it has not
    /// looked at the first answer, which in Go would have been a panic.
    ///
    /// A goroutine that is refused once and goes on to something else is not reported, and one that
    /// begins several sends at a time (`join!`) is, although it had no chance to look.
    ///
    /// ```
    /// use gorin::prelude::*;
    /// use gorin::model::Builder;
    ///
    /// async fn tells_nobody() {
    ///     let (tx, rx) = chan(0);
    ///     drop(rx);
    ///     for n in 0..3 {
    ///         let _ = tx.send(n).await;
    ///     }
    /// }
    /// let failure = Builder::new().explore(tells_nobody).unwrap_err();
    /// assert!(failure.is_ignored_send());
    /// Builder::new().allow_ignored_sends().check(tells_nobody);
    /// ```
    ///
    /// Under `--cfg loom` answers are not watched.
    pub fn allow_ignored_sends(mut self) -> Self {
        self.ignored_sends = true;
        self
    }

    /// Explores every order of all steps, also those that cannot be told apart. To measure what the
    /// reduction saves, and to check it.
    pub fn without_reduction(mut self) -> Self {
        self.unreduced = true;
        self
    }

    /// Checks the program that `main` starts; prints how many executions there were.
    ///
    /// # Panics
    /// If an execution fails: the text says how, who waits where for what, and gives the schedule.
    #[track_caller]
    pub fn check<F, M>(self, main: M) -> Report
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        let site = Location::caller();
        match self.run(main, site) {
            Ok(report) => {
                println!("model {site}: {report}");
                report
            }
            Err(failure) => panic!("{}", describe(&failure, site)),
        }
    }

    /// As [`check`](Self::check), but returns what it finds.
    ///
    /// ```
    /// use gorin::model::Builder;
    ///
    /// let failure = Builder::new()
    ///     .explore(|| async {
    ///         let (_tx, rx) = gorin::chan::<()>(0);
    ///         rx.recv().await;
    ///     })
    ///     .unwrap_err();
    /// assert!(failure.is_deadlock());
    /// ```
    ///
    /// # Errors
    /// The first execution that fails.
    #[track_caller]
    pub fn explore<F, M>(self, main: M) -> Result<Report, Box<Failure>>
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        self.run(main, Location::caller())
    }
}

/// The text of a failed check.
fn describe(failure: &Failure, site: &dyn Display) -> String {
    let thread = std::thread::current();
    let test = match thread.name() {
        Some(name) if name != "main" => format!(" (test {name})"),
        _ => String::new(),
    };
    let replay = match failure.schedule() {
        "" => String::new(),
        schedule => format!("\nrun it again with GORIN_REPLAY='{schedule} @ {site}'"),
    };
    format!("the model at {site} failed{test}: {failure}{replay}")
}
