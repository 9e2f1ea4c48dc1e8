//! What was found, in words that a person can act on.
//!
//! Must not look at the program any more: a failure is plain data.

use std::fmt;
use std::time::Duration;

use gorin_base::hook::{Site, Wait};
use gorin_base::primitive::PlainArc;
use gorin_executor::task::JOIN_FILE;

use super::{Goroutine, Object};

/// What a check has covered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Executions of the program, from its start to its end.
    pub executions: usize,
    /// Executions cut short because all that could follow was known; not counted above.
    pub redundant: usize,
    /// Steps of all executions.
    pub steps: usize,
    /// What the executions prove.
    pub coverage: Coverage,
    /// How long it took.
    pub elapsed: Duration,
}

/// What a check that found nothing proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coverage {
    /// Every interleaving was explored, or is equivalent to one that was.
    Complete,
    /// Every interleaving with at most so many preemptions was explored.
    Bounded(usize),
    /// The limit of executions or of time ended the search: the rest is unknown.
    Capped,
    /// Interleavings were drawn at random.
    Sampled,
    /// One given schedule was run.
    Replayed,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Coverage::Complete => f.write_str("complete"),
            Coverage::Bounded(bound) => write!(f, "complete up to {bound} preemptions"),
            Coverage::Capped => f.write_str("CAPPED: the rest is unknown"),
            Coverage::Sampled => f.write_str("sampled at random"),
            Coverage::Replayed => f.write_str("one schedule replayed"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} executions, {} steps, {} redundant, {} ms, {}",
            self.executions,
            self.steps,
            self.redundant,
            self.elapsed.as_millis(),
            self.coverage
        )
    }
}

/// Why an execution failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// `main` waits, and nobody can go on.
    Deadlock,
    /// `main` has ended, others wait for ever.
    Leak,
    /// A goroutine panicked.
    Panic {
        /// Number of the goroutine in this execution.
        number: usize,
        message: String,
    },
    /// A goroutine dropped values that nobody had received.
    #[cfg_attr(loom, expect(dead_code, reason = "values are not watched under loom"))]
    LostValue {
        /// Number of the goroutine in this execution.
        number: usize,
        object: Object,
        values: usize,
    },
    /// A goroutine sends on a channel that it has been told is closed.
    #[cfg_attr(loom, expect(dead_code, reason = "answers are not watched under loom"))]
    IgnoredSend {
        /// Number of the goroutine in this execution.
        number: usize,
        object: Object,
        /// The step in which it was told.
        since: usize,
    },
    /// So many steps and no end.
    #[cfg_attr(loom, expect(dead_code, reason = "loom has its own limit"))]
    Endless(usize),
    /// The program did not do again what it had done.
    #[cfg_attr(loom, expect(dead_code, reason = "loom finds that out by itself"))]
    Nondeterministic(String),
}

/// An object, and where it was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thing {
    pub(super) object: Object,
    pub(super) kind: &'static str,
    /// Its number among those of its kind.
    pub(super) number: usize,
    pub(super) site: Site,
}

/// The kind of a goroutine, as an object that others wait for.
pub(super) const TASK: &str = "goroutine";

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.number)
    }
}

/// One step of the failed execution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    #[cfg_attr(loom, expect(dead_code, reason = "loom takes no steps that we see"))]
    pub(super) goroutine: Goroutine,
    /// Its number in this execution.
    pub(super) number: usize,
    pub(super) operation: &'static str,
    pub(super) site: Option<Site>,
    pub(super) object: Option<Object>,
}

/// Where a goroutine stood when the execution ended.
#[derive(Clone, Debug)]
pub(super) enum Status {
    Done,
    /// It waits: for what, and since which step if steps are counted.
    Waiting(Vec<(Wait, Option<Object>, Option<usize>)>),
    /// It waits for a time only.
    #[cfg_attr(loom, expect(dead_code, reason = "under loom there is no time"))]
    Sleeping,
    /// It could go on.
    #[cfg_attr(loom, expect(dead_code, reason = "loom does not say who could"))]
    Ready(&'static str, Option<Site>),
}

/// A goroutine of the failed execution.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: Option<PlainArc<str>>,
    /// Where it was started; `main` was not.
    pub(super) site: Option<Site>,
    pub(super) status: Status,
}

/// An execution that went wrong: what happened, who waits where for what, and the schedule.
#[derive(Clone, Debug)]
pub struct Failure {
    pub(super) cause: Cause,
    pub(super) members: Vec<Member>,
    pub(super) things: Vec<Thing>,
    pub(super) steps: Vec<Step>,
    pub(super) schedule: String,
}

/// Steps printed from the end of a long execution.
const STEPS_SHOWN: usize = 40;

impl Failure {
    /// The decisions that lead here, for `GORIN_REPLAY`.
    pub fn schedule(&self) -> &str {
        &self.schedule
    }

    /// True if `main` or all goroutines wait for ever.
    pub fn is_deadlock(&self) -> bool {
        self.cause == Cause::Deadlock
    }

    /// True if `main` ended and left goroutines that wait for ever.
    pub fn is_leak(&self) -> bool {
        self.cause == Cause::Leak
    }

    /// True if a goroutine panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.cause, Cause::Panic { .. })
    }

    /// True if a goroutine dropped the last receiver of a channel with values in it that nobody will
    /// ever see.
    pub fn is_lost_value(&self) -> bool {
        matches!(self.cause, Cause::LostValue { .. })
    }

    /// True if a goroutine was told that a channel is closed, and sent on it again.
    pub fn is_ignored_send(&self) -> bool {
        matches!(self.cause, Cause::IgnoredSend { .. })
    }

    /// True if an execution took more steps than the limit.
    pub fn is_endless(&self) -> bool {
        matches!(self.cause, Cause::Endless(_))
    }

    fn write_cause(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Deadlock => writeln!(f, "all goroutines are asleep - deadlock!"),
            Cause::Leak => writeln!(
                f,
                "goroutine leak: main has ended, and these goroutines wait for ever"
            ),
            Cause::Panic { number, message } => {
                writeln!(f, "goroutine {number} panicked: {message}")?;
                self.write_origin(f, *number)
            }
            Cause::LostValue {
                number,
                object,
                values,
            } => {
                let (plural, were) = if *values == 1 {
                    ("", "was")
                } else {
                    ("s", "were")
                };
                writeln!(
                    f,
                    "lost value{plural}: goroutine {number} dropped the last receiver of {} with \
                     {values} value{plural} in it, which {were} sent and which nobody will see",
                    self.made(*object)
                )?;
                self.write_origin(f, *number)
            }
            Cause::IgnoredSend {
                number,
                object,
                since,
            } => {
                writeln!(
                    f,
                    "send on a closed channel: goroutine {number} was told in step {since} that {} \
                     is closed, and sends on it again",
                    self.made(*object)
                )?;
                self.write_origin(f, *number)
            }
            Cause::Endless(steps) => writeln!(
                f,
                "no end after {steps} steps: goroutines that loop without waiting, or keep each other \
                 going until a third comes to its turn, or a limit that is too low"
            ),
            Cause::Nondeterministic(reason) => writeln!(
                f,
                "the program did not repeat itself: {reason}. A model must depend on nothing but \
                 its goroutines: no clock, no random numbers, no address, no map with a random \
                 order, no state kept from one execution to the next"
            ),
        }
    }

    /// Where goroutine `number` was last seen, and where it comes from: it may have ended since, and
    /// is not among those listed then.
    fn write_origin(&self, f: &mut fmt::Formatter<'_>, number: usize) -> fmt::Result {
        let last = self.steps.iter().rfind(|step| step.number == number);
        if let Some(site) = last.and_then(|step| step.site).filter(is_users) {
            writeln!(f, "  after its step at {site}")?;
        }
        match self.members.get(number).and_then(|member| member.site) {
            Some(site) => writeln!(f, "  it was started at {site}"),
            None => Ok(()),
        }
    }

    /// An object with the place where it was made.
    fn made(&self, object: Object) -> String {
        match self.thing(object) {
            Some(thing) => format!("{thing}, made at {},", thing.site),
            None => "a channel made outside of the model".to_owned(),
        }
    }

    fn write_members(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, member) in self.members.iter().enumerate() {
            let status = match &member.status {
                Status::Done => continue,
                Status::Waiting(waits) if waits.is_empty() && cfg!(loom) => {
                    "has not ended, and waits for no channel (for a join handle or a lock, then)\n"
                        .to_owned()
                }
                Status::Waiting(waits) if waits.is_empty() => {
                    "waits for something that is not gorin's\n".to_owned()
                }
                Status::Waiting(waits) => waits.iter().map(|wait| self.wait(wait)).collect(),
                Status::Sleeping => {
                    "sleeps: the time it waits for had not come, because others could go on\n"
                        .to_owned()
                }
                Status::Ready(next, site) => match site.filter(is_users) {
                    Some(site) => format!("can go on: {next} at {site}\n"),
                    None => format!("can go on: {next}\n"),
                },
            };
            write!(f, "  goroutine {number}")?;
            if let Some(name) = &member.name {
                write!(f, " {name:?}")?;
            }
            match member.site {
                Some(site) => writeln!(f, ", started at {site}")?,
                None => writeln!(f, ", main")?,
            }
            for line in status.lines() {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }

    fn wait(&self, (wait, object, since): &(Wait, Option<Object>, Option<usize>)) -> String {
        let Wait {
            operation, site, ..
        } = wait;
        let since = since.map_or_else(String::new, |step| format!(", since step {step}"));
        match object.and_then(|object| self.thing(object)) {
            Some(task) if task.kind == TASK => {
                let started = task.site;
                format!("blocked in {operation} of {task}, started at {started}{since}\n")
            }
            Some(thing) => {
                let made = thing.site;
                format!("blocked in {operation} at {site}{since}, on {thing} made at {made}\n")
            }
            None => format!("blocked in {operation} at {site}{since}\n"),
        }
    }

    fn thing(&self, object: Object) -> Option<&Thing> {
        self.things.iter().find(|thing| thing.object == object)
    }

    fn write_steps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = self.steps.len().saturating_sub(STEPS_SHOWN);
        match hidden {
            0 => writeln!(f, "the steps that led there:")?,
            _ => writeln!(f, "the last {STEPS_SHOWN} of {} steps:", self.steps.len())?,
        }
        for (index, step) in self.steps.iter().enumerate().skip(hidden) {
            write!(
                f,
                "  {:>4}  goroutine {}: {}",
                index + 1,
                step.number,
                step.operation
            )?;
            let thing = step.object.and_then(|object| self.thing(object));
            if let Some(thing) = thing {
                write!(f, ", {thing}")?;
            }
            match step.site.filter(is_users) {
                Some(site) => writeln!(f, ", at {site}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

/// True if the user wrote it: a handle dropped at the end of its scope is dropped by the standard
/// library, and one that is awaited is polled from a place that nobody wrote.
fn is_users(site: &Site) -> bool {
    !site.file().starts_with("/rustc/") && site.file() != JOIN_FILE
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_cause(f)?;
        self.write_members(f)?;
        if self.steps.is_empty() {
            return Ok(());
        }
        self.write_steps(f)?;
        write!(f, "schedule: {}", self.schedule)
    }
}

impl std::error::Error for Failure {}
