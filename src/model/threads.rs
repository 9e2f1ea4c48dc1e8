//! The engine under `--cfg loom`: each goroutine is a loom thread, so that the memory model and all
//! the locks and atomics of gorin itself are explored, too.
//!
//! A goroutine's task is built as in production and driven by its own thread. loom decides who runs;
//! this file only takes notes for the report. Random choices cannot be explored by loom, so a
//! program that makes some is explored once for each answer, the same answer everywhere.
//!
//! Must not use a std primitive that goroutines wait for: loom would not see it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use gorin_base::check::{Bounds, block_on, explore_within};
use gorin_base::hook::{self, Access, Checker, Site, TimerKey, Wait};
use gorin_base::primitive::{self, PlainArc};
use gorin_base::rng;
use gorin_executor::task::{self, Payload, Readied, Schedule, TaskOf, TaskRef};
use gorin_executor::{JoinHandle, Spec};

use super::builder::Builder;
use super::report::{Cause, Coverage, Failure, Member, Report, Status, Thing};

/// Threads that loom allows beside `main`.
const MOST_GOROUTINES: usize = 4;

/// Preemptions explored if neither the builder nor `LOOM_MAX_PREEMPTIONS` says how many.
const DEFAULT_PREEMPTIONS: usize = 2;

/// How loom's panic begins when no thread can go on.
const DEADLOCK: &str = "deadlock";

/// Branches of one execution; loom's default of 1,000 is for a data structure, not for a program.
const BRANCHES: usize = 50_000;

// The notes of the execution that runs; std's on purpose: loom runs all threads on one OS thread,
// and reports must survive an execution that failed.
std::thread_local! {
    static NOTES: RefCell<Notes> = const { RefCell::new(Notes::new()) };
}

primitive::thread_local! {
    /// Number of the goroutine that runs on this loom thread.
    static CURRENT: Cell<usize> = Cell::new(0);
}

/// What is known of the goroutines of one execution.
struct Notes {
    members: Vec<Member>,
    things: Vec<Thing>,
    /// A goroutine panicked: its number, and what it said.
    panic: Option<(usize, String)>,
    panics_allowed: bool,
}

impl Notes {
    const fn new() -> Self {
        Self {
            members: Vec::new(),
            things: Vec::new(),
            panic: None,
            panics_allowed: false,
        }
    }

    fn add(&mut self, name: Option<PlainArc<str>>, site: Option<Site>) -> usize {
        let status = Status::Waiting(Vec::new());
        self.members.push(Member { name, site, status });
        self.members.len() - 1
    }

    fn done(&mut self, number: usize) {
        self.members[number].status = Status::Done;
    }
}

/// Notes what waits where.
struct Observer;

impl Checker for Observer {
    fn created(&self, object: u64, kind: &'static str, _: Option<usize>, site: Site) {
        NOTES.with_borrow_mut(|notes| {
            let same_kind = notes.things.iter().filter(|thing| thing.kind == kind);
            let number = same_kind.count() + 1;
            notes.things.push(Thing {
                object: object as usize,
                kind,
                number,
                site,
            });
        });
    }

    fn parked(&self, wait: Wait) {
        let number = CURRENT.with(Cell::get);
        NOTES.with_borrow_mut(|notes| {
            if let Status::Waiting(waits) = &mut notes.members[number].status {
                waits.push((wait, Some(wait.object as usize), None));
            }
        });
    }

    fn unparked(&self, object: u64, key: usize) {
        let number = CURRENT.with(Cell::get);
        NOTES.with_borrow_mut(|notes| {
            if let Status::Waiting(waits) = &mut notes.members[number].status {
                waits.retain(|(wait, ..)| (wait.object, wait.key) != (object, key));
            }
        });
    }

    fn step(&self, _: &'static str, _: &[(u64, Access)], _: Site) {}
    fn waiting_step(&self, _: &'static str, _: u64, _: Access, _: Site) {}

    fn refused(&self, _: u64, _: bool) {}
    fn lost(&self, _: u64, _: usize) {}

    fn leaves(&self, _: u64) -> bool {
        false
    }

    fn was_last(&self, _: Access) {}

    fn steps(&self) -> usize {
        0
    }

    fn choose(&self, _: usize) -> Option<usize> {
        None
    }

    fn now(&self) -> Option<Instant> {
        None
    }

    fn set_timer(&self, _: Instant, _: &Waker) -> TimerKey {
        unreachable!("an observer is never in control")
    }
    fn move_timer(&self, _: TimerKey, _: Instant) {}
    fn cancel_timer(&self, _: TimerKey) {}
}

/// True while a model runs on this thread.
pub(crate) fn is_running() -> bool {
    NOTES.with_borrow(|notes| !notes.members.is_empty())
}

/// Starts `future` on a loom thread of its own.
#[track_caller]
pub(crate) fn spawn<F>(spec: Spec, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    // Not loom's and not ours on purpose: both ends are used by the goroutine's own thread.
    let (output, delivered) = oneshot::channel();
    let (delivery, handle) = task::build(spec, Delivery(delivered), OnItsThread);
    let info = delivery.info();
    let number = NOTES.with_borrow_mut(|notes| notes.add(info.name, Some(info.site)));
    assert!(
        number <= MOST_GOROUTINES,
        "a model has at most {MOST_GOROUTINES} goroutines beside main under loom; without --cfg \
         loom the explorer takes as many as there are"
    );
    let watched = Watched::new(number, future);
    primitive::thread::spawn(move || {
        CURRENT.with(|current| current.set(number));
        let ended = block_on(watched);
        assert!(output.send(ended).is_ok(), "the delivery has not been run");
        delivery.run();
        NOTES.with_borrow_mut(|notes| notes.done(number));
    });
    handle
}

/// Notes a panic of the program where it happens. A panic ends the execution unless panics are
/// allowed.
///
/// While a failed execution unwinds, the program's future is leaked: what it holds belongs to an
/// execution that is gone, and loom aborts the process when its objects are touched then.
struct Watched<F> {
    number: usize,
    future: Option<Pin<Box<F>>>,
}

impl<F> Watched<F> {
    fn new(number: usize, future: F) -> Self {
        Self {
            number,
            future: Some(Box::pin(future)),
        }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = Result<F::Output, Payload>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.future.as_mut().expect("polled until it ends");
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        let payload = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => {
                self.future = None;
                return Poll::Ready(Ok(value));
            }
            Err(payload) => payload,
        };
        let allowed = NOTES.with_borrow_mut(|notes| {
            let text = text(&*payload);
            if !text.starts_with(DEADLOCK) {
                notes.panic = Some((self.number, text));
            }
            notes.panics_allowed && self.number > 0
        });
        if !allowed {
            resume_unwind(payload);
        }
        Poll::Ready(Err(payload))
    }
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        if primitive::unwinding() {
            std::mem::forget(self.future.take());
        }
    }
}

/// The task of a goroutine: not the program's future, which its thread drives to the end without
/// one, but the handing over of what it gave. A task around the future would be right, too, but its
/// state word is explored with everything else: a pipeline of one stage and one value had 13,092
/// executions. The price is that `abort` has no effect here but on who joins.
struct Delivery<T>(oneshot::Receiver<Result<T, Payload>>);

impl<T> Future for Delivery<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        let ended = self.0.try_recv().ok().flatten();
        match ended.expect("a delivery is polled once, at the end") {
            Ok(value) => Poll::Ready(value),
            Err(payload) => resume_unwind(payload),
        }
    }
}

/// A delivery is run by its goroutine's thread, and never waits.
struct OnItsThread;

impl Schedule for OnItsThread {
    fn schedule(_: TaskOf<Self>, _: Readied) {
        unreachable!("a delivery never waits, so that nobody wakes it");
    }

    fn panicked(&self, _: TaskRef<'_>, _: Payload) {
        // Noted where it happened.
    }
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("(no text)").to_owned()
}

impl Builder {
    /// Runs the check. `site` matters only to the explorer, whose schedules name it.
    pub(super) fn run<F, M>(
        self,
        main: M,
        _site: &'static Location<'static>,
    ) -> Result<Report, Box<Failure>>
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        let bounds = Bounds {
            preemptions: self.preemption_bound.unwrap_or(DEFAULT_PREEMPTIONS),
            executions: self.max_iterations,
            duration: self.max_duration,
            branches: BRANCHES,
        };
        let main = PlainArc::new(main);
        let mut report = Report {
            executions: 0,
            redundant: 0,
            steps: 0,
            coverage: Coverage::Complete,
            elapsed: Duration::ZERO,
        };
        let mut choices = 1;
        let mut choice = 0;
        let _observed = hook::observe(Rc::new(Observer));
        while choice < choices {
            rng::set_choice(choice);
            let (main, panics) = (main.clone(), self.panics);
            let checked = catch_unwind(AssertUnwindSafe(|| {
                explore_within(bounds, move || run_main(&*main, panics))
            }));
            let notes = NOTES.replace(Notes::new());
            let explored = checked.map_err(|payload| failure(notes, &text(&*payload)))?;
            report.executions += explored.executions;
            report.elapsed += explored.elapsed;
            report.coverage = match (explored.capped, explored.preemptions) {
                (true, _) => Coverage::Capped,
                (false, _) if report.coverage == Coverage::Capped => Coverage::Capped,
                (false, Some(bound)) => Coverage::Bounded(bound),
                (false, None) => Coverage::Complete,
            };
            choices = choices.max(rng::take_most_choices());
            choice += 1;
        }
        Ok(report)
    }
}

/// One execution.
fn run_main<F: Future<Output = ()>>(main: &dyn Fn() -> F, panics_allowed: bool) {
    NOTES.with_borrow_mut(|notes| {
        *notes = Notes::new();
        notes.panics_allowed = panics_allowed;
        notes.add(None, None);
    });
    if let Err(payload) = block_on(Watched::new(0, main())) {
        resume_unwind(payload);
    }
    NOTES.with_borrow_mut(|notes| notes.done(0));
}

/// What loom's panic was about.
fn failure(notes: Notes, text: &str) -> Box<Failure> {
    let main_is_done = matches!(
        notes.members.first().map(|main| &main.status),
        Some(Status::Done)
    );
    let cause = match (notes.panic, text.starts_with(DEADLOCK)) {
        (Some((number, message)), _) => Cause::Panic { number, message },
        (None, true) if main_is_done => Cause::Leak,
        (None, true) => Cause::Deadlock,
        (None, false) => Cause::Panic {
            number: 0,
            message: text.to_owned(),
        },
    };
    Box::new(Failure {
        cause,
        members: notes.members,
        things: notes.things,
        steps: Vec::new(),
        schedule: String::new(),
    })
}
