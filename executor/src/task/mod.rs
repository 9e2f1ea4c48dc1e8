//! The task cell: one allocation per goroutine, and the kinds of reference to it.
//!
//! | reference | counted | may |
//! |---|---|---|
//! | [`Runnable`] | no: it *is* the `OWNED` bit | poll the future, drop it, complete the task |
//! | `Waker` | yes | make the task runnable |
//! | [`JoinHandle`] | yes | take the output, abort |
//! | `Registered` | yes, if the scheduler registers its tasks | give others a reference; kept from spawn to completion |
//! | `Counted`, and [`AbortHandle`] around it | yes | abort |
//! | [`TaskRef`] | borrowed | read what never changes: id, name, spawn site |
//!
//! The cell is generic over a [`Schedule`]: the work-stealing executor is one, a model checker that
//! drives each goroutine by hand is another. `state.rs` has the transitions, `raw.rs` the memory, `label.rs` the name,
//! `reference.rs` the kinds of reference, `join.rs` and `abort.rs` the handles.
//!
//! Must not: know about workers, queues, or what a goroutine waits for. Bookkeeping for dumps (what
//! a parked task waits for, since when) will be one more field of the header, written by leaf
//! futures through the waker; the header has its own place for it so that this file alone changes.

mod abort;
mod join;
mod label;
mod raw;
mod reference;
mod state;

#[cfg(test)]
mod models;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::task::Waker;

use gorin_base::mishap;
use gorin_base::primitive::PlainArc;

pub use abort::AbortHandle;
pub use join::{JOIN_FILE, JoinError, JoinHandle, PanicPayload};
pub(crate) use raw::{Header, allocate, allocate_local};
pub(crate) use reference::{Counted, Registered};
pub use reference::{Runnable, TaskOf, TaskRef};

/// What a panic carried.
pub type Payload = Box<dyn Any + Send + 'static>;

/// The number of a goroutine: unique in the process, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

/// How many ids a thread takes at once, so that spawning shares no cache line.
const ID_BLOCK: u64 = 64;

impl TaskId {
    /// A number nobody else has.
    fn next() -> TaskId {
        // std's atomic and thread-local on purpose: numbers are no part of any protocol, and loom
        // must not explore them.
        // Relaxed: the counter only has to give each thread another block.
        static BLOCKS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        std::thread_local! {
            static NEXT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
        }
        let mut id = NEXT.get();
        if id.is_multiple_of(ID_BLOCK) {
            id = BLOCKS.fetch_add(1, Ordering::Relaxed) * ID_BLOCK;
        }
        NEXT.set(id + 1);
        TaskId(id + 1)
    }

    /// A number that changes when the thread that takes the ids has taken some dozens.
    pub(crate) fn block(self) -> usize {
        ((self.0 - 1) / ID_BLOCK) as usize
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

/// What is said about a goroutine when it is spawned.
///
/// ```
/// use gorin_executor::Spec;
///
/// let spec = Spec::new().name("acceptor");
/// # let _ = spec;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Spec {
    name: Option<PlainArc<str>>,
}

impl Spec {
    /// A goroutine without a name.
    pub const fn new() -> Spec {
        Spec { name: None }
    }

    /// Gives it a name, for panic and shutdown reports. A goroutine without one costs nothing.
    pub fn name(mut self, name: impl Into<PlainArc<str>>) -> Spec {
        self.name = Some(name.into());
        self
    }
}

/// What a task is to its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskKind {
    /// A future that workers poll.
    Goroutine,
    /// A closure on a thread of its own.
    BlockingJob,
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TaskKind::Goroutine => "goroutine",
            TaskKind::BlockingJob => "blocking job",
        })
    }
}

/// Which goroutine or blocking job: what reports print.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskInfo {
    /// What it is.
    pub kind: TaskKind,
    /// Its number.
    pub id: TaskId,
    /// The name it was given.
    pub name: Option<PlainArc<str>>,
    /// Where it was spawned.
    pub site: &'static Location<'static>,
}

impl fmt::Display for TaskInfo {
    /// `goroutine 7 "acceptor" started at src/main.rs:3:5`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        write!(f, " started at {}", self.site)
    }
}

/// Why a task is handed to its scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readied {
    /// It was idle and somebody woke or aborted it.
    Woken,
    /// It was woken while it was being polled: it yields, and others should go first.
    Yielded,
}

/// Decides when and where a task runs.
///
/// The cell calls these functions from any thread, outside of any lock. They must not panic.
pub trait Schedule: Send + Sync + 'static {
    /// Whether the scheduler keeps a registration of each task from [`build`] to
    /// [`finished`](Self::finished). Without one a task that nobody can wake any more is handed
    /// to [`schedule`](Self::schedule) a last time, to be dropped.
    const REGISTERS: bool = false;

    /// What reports call its tasks.
    const KIND: TaskKind = TaskKind::Goroutine;

    /// Takes over a task that can run. Dropping the [`Runnable`] in it drops the future at once.
    fn schedule(task: TaskOf<Self>, readied: Readied)
    where
        Self: Sized;

    /// The future is gone, and the output too if nobody will take it; called exactly once.
    fn finished(&self, task: TaskRef<'_>) {
        let _ = task;
    }

    /// The task is complete: wakes whoever awaits it. The default does no more than that.
    fn wake_joiner(&self, joiner: Waker) {
        joiner.wake();
    }

    /// The task panicked and nobody can join it any more. The default reports it on stderr.
    fn panicked(&self, task: TaskRef<'_>, payload: Payload) {
        crate::report::unjoined_panic(&task.info(), &*payload);
        mishap::discard(payload);
    }
}

/// Makes a task of `future`, to be scheduled by `scheduler`: the cell without an executor.
///
/// The task is owned by the [`Runnable`] from the start: run it or give it to a queue. The caller
/// of `build` counts as the place where the goroutine was started.
///
/// ```
/// use std::sync::mpsc;
/// use gorin_executor::{Spec, task::{self, Readied, Runnable, Schedule, TaskOf}};
///
/// struct Queue(mpsc::Sender<Runnable>);
///
/// impl Schedule for Queue {
///     fn schedule(task: TaskOf<Queue>, _: Readied) {
///         let queue = task.scheduler().0.clone();
///         let _ = queue.send(task.into_runnable());
///     }
/// }
///
/// let (sender, queue) = mpsc::channel();
/// let (first, handle) = task::build(Spec::new(), async { 6 * 7 }, Queue(sender));
/// first.run();
/// while let Ok(task) = queue.try_recv() {
///     task.run();
/// }
/// assert!(handle.is_finished());
/// ```
#[track_caller]
pub fn build<F, S>(spec: Spec, future: F, scheduler: S) -> (Runnable, JoinHandle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
    S: Schedule,
{
    let (task, handle) = raw::allocate(spec, future, scheduler, Location::caller());
    (task.into_runnable(), handle)
}
