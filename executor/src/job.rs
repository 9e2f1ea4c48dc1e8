//! Blocking code as a task: `unblock`, and the form without a handle for other parts of a runtime.
//!
//! Invariants: a job is polled once and never pending, so it is owned from its making to its end,
//! and no scheduler ever gets it back. It is not in the registry: `stop` cannot abort what runs
//! outside of any await point, and [`Pool`] itself drops what has not begun.
//!
//! There are two pools: a closure of a user may wait for a call that the runtime makes for a goroutine
//! (an *errand*: reading a file where there is no ring, looking a name up). With one pool such closures
//! could hold all of its threads, and the calls they wait for would never begin. Errands wait for no
//! closure and no goroutine.
//!
//! Must not: decide on which thread a job runs (the pool does).

use std::fmt;
use std::panic::Location;
use std::time::Instant;

use gorin_base::mishap;
use gorin_base::primitive::Arc;

use crate::blocking::Pool;
use crate::context;
use crate::executor::{Executor, Shared};
use crate::task::{
    self, JoinHandle, Payload, Readied, Schedule, Spec, TaskInfo, TaskKind, TaskOf, TaskRef,
};

/// The scheduler of a job: where its panic goes if nobody joins it.
struct Job {
    shared: Arc<Shared>,
}

impl Schedule for Job {
    const KIND: TaskKind = TaskKind::BlockingJob;

    fn schedule(_: TaskOf<Job>, _: Readied) {
        unreachable!("a job is owned from its making to its end");
    }

    fn panicked(&self, task: TaskRef<'_>, payload: Payload) {
        self.shared.panicked(task, payload);
    }
}

/// Gives `run` to `pool`, which is one of the two of `shared`.
fn unblock_on<F, T>(
    shared: &Arc<Shared>,
    pool: &Pool,
    spec: Spec,
    run: F,
    site: &'static Location<'static>,
) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let scheduler = Job {
        shared: shared.clone(),
    };
    let (job, handle) = task::allocate(spec, async move { run() }, scheduler, site);
    if let Err(error) = pool.submit(job.into_runnable()) {
        mishap::tell(format_args!(
            "gorin cannot start a thread for blocking code, so a job from {site} was cancelled: \
             {error}. Raise the limit on threads (`ulimit -u`, the cgroup's pids.max)."
        ));
    }
    handle
}

impl Executor {
    /// Runs `run` on a thread for blocking code; see [`BlockingConfig`](crate::BlockingConfig).
    ///
    /// Its panic goes to whoever awaits the handle, as with goroutines; dropping the handle
    /// detaches it. [`JoinHandle::abort`] cancels it if it has not begun, and does nothing else.
    ///
    /// After [`stop`](Self::stop) the closure is dropped at once, and the handle gives
    /// [`JoinError::Cancelled`](crate::JoinError::Cancelled).
    ///
    /// ```
    /// use gorin_executor::{Config, Executor, Spec};
    ///
    /// let executor = Executor::new(Config { workers: 1, ..Config::default() });
    /// let handle = executor.unblock(Spec::new(), || 6 * 7);
    /// assert_eq!(futures::executor::block_on(handle).unwrap(), 42);
    /// ```
    #[track_caller]
    pub fn unblock<F, T>(&self, spec: Spec, run: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let shared = self.shared();
        unblock_on(shared, &shared.pool, spec, run, Location::caller())
    }

    /// As [`unblock`](Self::unblock), for calls of the runtime itself, on threads of their own: `run`
    /// must not wait for a goroutine, nor for anything that `unblock` was given.
    ///
    /// ```
    /// use gorin_executor::{BlockingConfig, Config, Executor, Spec};
    ///
    /// let one = BlockingConfig { max_threads: 1, ..BlockingConfig::default() };
    /// let executor = Executor::new(Config { workers: 1, blocking: one, ..Config::default() });
    /// let own = executor.clone();
    /// let closure = executor.unblock(Spec::new(), move || {
    ///     let errand = own.errand(Spec::new(), || 42);
    ///     futures::executor::block_on(errand).unwrap()
    /// });
    /// assert_eq!(futures::executor::block_on(closure).unwrap(), 42);
    /// ```
    #[track_caller]
    pub fn errand<F, T>(&self, spec: Spec, run: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let shared = self.shared();
        unblock_on(shared, &shared.errands, spec, run, Location::caller())
    }

    /// A door to the threads for [errands](Self::errand) that keeps no executor running, for other
    /// parts of a runtime.
    pub fn offload(&self) -> Offload {
        Offload {
            shared: self.shared().clone(),
        }
    }

    /// After [`stop`](Self::stop): waits until the threads for blocking code have ended, at most
    /// until `deadline` (`None`: as long as it takes), and returns the jobs that still run. It
    /// blocks; a job of this executor must not call it.
    pub fn join_blocking(&self, deadline: Option<Instant>) -> Vec<TaskInfo> {
        let mut running = self.shared().pool.join(deadline);
        running.extend(self.shared().errands.join(deadline));
        running
    }

    /// How many threads for blocking code there are, those for errands included.
    pub fn num_blocking_threads(&self) -> usize {
        self.shared().pool.num_threads() + self.shared().errands.num_threads()
    }
}

/// A door to the threads for errands; see [`Executor::offload`].
#[derive(Clone)]
pub struct Offload {
    shared: Arc<Shared>,
}

impl Offload {
    /// Runs `run` as an [errand](Executor::errand). When the executor has stopped, or stops before it
    /// has begun, it is dropped instead: who waits for it must learn that from its destructor.
    #[track_caller]
    pub fn run(&self, run: Box<dyn FnOnce() + Send>) {
        let (shared, site) = (&self.shared, Location::caller());
        drop(unblock_on(shared, &shared.errands, Spec::new(), run, site));
    }
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Offload")
            .field(&self.shared.errands)
            .finish()
    }
}

/// Runs `run` on a thread for blocking code of the current executor; see [`Executor::unblock`].
///
/// # Panics
/// On a thread that is neither a worker nor inside [`Executor::enter`].
#[track_caller]
pub fn unblock<F, T>(spec: Spec, run: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let Some(executor) = context::current() else {
        panic!(
            "blocking code can be given away only inside a gorin runtime: call this from a \
             goroutine or from the future given to `gorin::run`, or enter a runtime on this thread \
             first (`Handle::enter`)"
        )
    };
    executor.unblock(spec, run)
}
