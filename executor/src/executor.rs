//! The executor: what its workers, tasks and handles share, and its end.
//!
//! ```text
//! Executor (counted handle) ─┐                 ┌─ Stealer per worker ── the worker's Owner
//! Worker, EnterGuard ────────┴─► Shared ───────┼─ injector: tasks readied by threads that are no workers
//! task ── Scheduler ─────────────► (Arc)       ├─ idle: who sleeps, who searches
//!                                              ├─ registry: every live task
//!                                              ├─ pool: the threads for blocking code
//!                                              └─ errands: those for the runtime's own calls
//! ```
//!
//! Invariants:
//! - `stop` comes before the registry closes; a task is either listed before its shard closes, and
//!   then aborted by `stop`, or refused.
//! - Tasks hold the `Shared` alive, and the registry the tasks: the last *handle* breaks this circle.
//!   When it goes, no worker is left (a worker is a handle); it stops the executor and runs what is
//!   queued, which drops all futures. A waker that queues its task later than that runs it in place.
//!   A goroutine that keeps an `Executor` of its own executor keeps the circle closed; only `stop`
//!   ends it then.
//!
//! Must not: see a file descriptor, or hold a lock while user code runs.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::task::Waker;

use gorin_base::primitive::{
    Arc, AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, PlainArc, fence, unwinding,
};
use gorin_base::width::Width;
use gorin_base::{mishap, seeded};

use crate::blocking::{BlockingConfig, Pool};
use crate::context::{self, Context, EnterGuard};
use crate::crash::OnCrash;
use crate::drained::Drained;
use crate::idle::Idle;
use crate::injector::Injector;
use crate::local::Mailbox;
use crate::registry::{Place, Registry};
use crate::run_queue::{self, Owner, Stealer};
use crate::task::{self, JoinHandle, Payload, Readied, Runnable, Schedule, Spec, TaskInfo, TaskOf};
use crate::worker::Worker;
use crate::{report, task::TaskRef};

/// What happens to a panic that nobody can join any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PanicPolicy {
    /// It is reported on stderr; the others run on, as with std's threads.
    #[default]
    Isolate,
    /// The executor stops, and [`Worker::run_until`] raises the panic again: Go's way.
    Crash,
}

/// How an executor is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many workers there are; at least 1.
    pub workers: usize,
    /// One worker more, number `workers`. It is not called, and takes no goroutine but those that become
    /// ready on its own thread, until it [relieves](crate::relieve) another one.
    pub spare: bool,
    /// Workers that stay in one poll are [relieved](crate::relieve) within a fraction of a millisecond. Then a
    /// worker does what takes less time than to wake another one, some 50 µs, by itself.
    pub relieved: bool,
    /// What happens to a panic that nobody can join.
    pub panic_policy: PanicPolicy,
    /// Who is told of a crash, beside [`Worker::run_until`].
    pub on_crash: Option<OnCrash>,
    /// How many workers go on as usual where CPUs are contended. Who narrows it must
    /// [relieve](crate::relieve) workers that stay in one poll: while it is narrow what a worker readies
    /// is left to that worker for a millisecond before another one is called.
    pub width: PlainArc<Width>,
    /// The threads of [`Executor::unblock`].
    pub blocking: BlockingConfig,
    /// The threads of [`Executor::errand`].
    pub errands: BlockingConfig,
}

impl Default for Config {
    /// One worker per CPU that the process may use.
    fn default() -> Config {
        Config {
            workers: std::thread::available_parallelism().map_or(1, Into::into),
            spare: false,
            relieved: false,
            panic_policy: PanicPolicy::default(),
            on_crash: None,
            width: PlainArc::default(),
            blocking: BlockingConfig::default(),
            errands: BlockingConfig {
                thread_name: "gorin-errand".to_owned(),
                ..BlockingConfig::default()
            },
        }
    }
}

/// What the workers have done so far; see [`Executor::counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Polls of goroutines.
    pub polls: u64,
    /// Times a worker took goroutines from another's queue.
    pub steals: u64,
    /// Times an idle worker was woken for work: each is at most one system call.
    pub calls: u64,
}

/// What the others see of a worker.
pub(crate) struct Colleague {
    pub(crate) stealer: Stealer,
    /// The owner's side of the queue, until [`Executor::worker`] takes it.
    owner: Mutex<Option<Owner>>,
    /// Polls so far. Written by the worker, relaxed; thieves compare two reads to see whether it is
    /// stuck in one poll.
    pub(crate) polls: AtomicUsize,
    /// The number of the task that it polls, or 0. Written by the worker, relaxed; read for reports.
    pub(crate) polled: AtomicU64,
    /// Somebody has found it stuck in one poll. Set by anyone, taken by the worker, relaxed: a hint
    /// that its turn has taken long, since it seldom looks at the clock itself.
    pub(crate) overdue: AtomicBool,
    /// Times it took tasks of others. Written by the worker, relaxed.
    pub(crate) steals: AtomicUsize,
    /// For tasks that only this worker may run.
    pub(crate) mailbox: Mailbox,
}

/// Adds one to a count that its worker alone writes.
#[inline]
pub(crate) fn count(counter: &AtomicUsize) {
    // Relaxed, and no read-modify-write: one writer, and nothing depends on what readers see.
    let count = counter.load(Ordering::Relaxed);
    counter.store(count.wrapping_add(1), Ordering::Relaxed);
}

/// What all parts of one executor share.
pub(crate) struct Shared {
    /// All workers; the spare one, if there is one, is the last.
    pub(crate) colleagues: Box<[Colleague]>,
    /// How many there are without it.
    pub(crate) workers: usize,
    pub(crate) width: PlainArc<Width>,
    pub(crate) idle: Idle,
    pub(crate) registry: Registry,
    /// Closed by `stop`.
    pub(crate) pool: Pool,
    pub(crate) errands: Pool,
    pub(crate) drained: Drained,
    pub(crate) injector: Injector,
    /// As configured.
    pub(crate) relieved: bool,
    /// How often a worker was found stuck in a poll. Counted by all who find one, read by workers;
    /// relaxed, a hint.
    pub(crate) reliefs: AtomicUsize,
    /// Set once, by `stop`, before the registry closes; read by who takes a task off the list, relaxed.
    stopped: AtomicBool,
    /// Set when no task lives any more after that, by whoever finds it so: who takes the last one off
    /// the list, or `stop` (release); workers acquire it.
    over: AtomicBool,
    /// Set once, when the last handle goes; see [`inject`](Self::inject).
    abandoned: AtomicBool,
    /// `Executor`s, `Worker`s and `EnterGuard`s. The last decrement acquires what the others did.
    handles: AtomicUsize,
    panic_policy: PanicPolicy,
    on_crash: Option<OnCrash>,
    /// `crash` is filled; written under its lock, so that others need not take it to see.
    crashed: AtomicBool,
    /// The first panic under [`PanicPolicy::Crash`], until `run_until` takes it.
    crash: Mutex<Option<Payload>>,
}

/// The scheduler of each task: the executor, and where the task is listed.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
    /// A [`Place`]. Written by the spawning thread before it schedules the task, read by the task's
    /// last owner; the hand-over of ownership orders them.
    place: AtomicU64,
}

impl Schedule for Scheduler {
    const REGISTERS: bool = true;

    #[inline]
    fn schedule(task: TaskOf<Scheduler>, readied: Readied) {
        let shared = &task.scheduler().shared;
        match context::worker_of(shared) {
            Some(context) => context.ready(task.into_runnable(), readied),
            None => {
                let shared = shared.clone();
                shared.inject(task.into_runnable());
            }
        }
    }

    fn finished(&self, _: TaskRef<'_>) {
        // Relaxed: see the field.
        self.shared.finished(self.place.load(Ordering::Relaxed));
    }

    fn wake_joiner(&self, joiner: Waker) {
        context::wake_joiner(&self.shared, joiner);
    }

    fn panicked(&self, task: TaskRef<'_>, payload: Payload) {
        self.shared.panicked(task, payload);
    }
}

/// A task that the closed registry refused.
pub(crate) const UNLISTED: u64 = u64::MAX;

impl Shared {
    fn new(config: &Config) -> Shared {
        let colleague = |_| {
            let (owner, stealer) = run_queue::new();
            Colleague {
                stealer,
                owner: Mutex::new(Some(owner)),
                polls: AtomicUsize::new(0),
                polled: AtomicU64::new(0),
                overdue: AtomicBool::new(false),
                steals: AtomicUsize::new(0),
                mailbox: Mailbox::new(),
            }
        };
        Shared {
            colleagues: (0..config.workers + usize::from(config.spare))
                .map(colleague)
                .collect(),
            workers: config.workers,
            idle: Idle::new(config.workers, config.spare),
            // One per worker, one for other threads, one per worker for its local tasks.
            registry: Registry::new(2 * (config.workers + usize::from(config.spare)) + 1),
            pool: Pool::new(config.blocking.clone()),
            errands: Pool::new(config.errands.clone()),
            drained: Drained::default(),
            injector: Injector::new(),
            relieved: config.relieved,
            reliefs: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            over: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            handles: AtomicUsize::new(0),
            panic_policy: config.panic_policy,
            on_crash: config.on_crash.clone(),
            width: config.width.clone(),
            crashed: AtomicBool::new(false),
            crash: Mutex::new(None),
        }
    }

    /// Queues a task that was readied by a thread that is no worker of this executor.
    ///
    /// Once the last handle is gone there is no worker: the thread runs what is queued, which was
    /// aborted by `stop`. Either the one who abandons sees our push, or we see that it has.
    pub(crate) fn inject(&self, task: Runnable) {
        self.injector.push(task);
        self.idle.call_one();
        // Relaxed: the fence in `call_one` orders it behind the push; paired with `abandon`.
        if self.abandoned.load(Ordering::Relaxed) && !seeded::bug("executor.late_push_ignored") {
            self.run_injected();
        }
    }

    /// True if some queue has a task that any worker may take.
    pub(crate) fn has_visible_work(&self) -> bool {
        // In this order: tasks go from the injector to a ring.
        !self.injector.is_empty()
            || self
                .colleagues
                .iter()
                .any(|other| other.stealer.has_tasks())
    }

    /// True if the executor was stopped and no task lives.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// True once it was stopped, for those who have learnt that a task was aborted for it.
    pub(crate) fn is_stopped(&self) -> bool {
        // Relaxed: the lock of the task's shard has brought it.
        self.stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        // Relaxed: the locks of the shards that are closed next bring it to who needs it.
        self.stopped.store(true, Ordering::Relaxed);
        if !seeded::bug("executor.stop_forgets_tasks") {
            self.registry.close();
        }
        self.pool.close();
        self.errands.close();
        self.end_if_over();
        // Also those who have to see a crash.
        self.idle.call_all();
    }

    /// A task that was listed at `place`, a [`Place`], is gone.
    pub(crate) fn finished(&self, place: u64) {
        if place == UNLISTED {
            return;
        }
        if !self.registry.remove(Place::from_bits(place)) {
            return;
        }
        self.tell_if_drained();
        // If the shard closed before we left it, its lock has brought the flag; if it
        // closes later, `stop` itself finds it empty then.
        if self.is_stopped() {
            self.end_if_over();
        }
    }

    /// If no task lives any more after `stop`: says so to the workers, which end then.
    #[cold]
    fn end_if_over(&self) {
        if self.registry.is_over() && !seeded::bug("executor.nobody_ends_it") {
            self.over.store(true, Ordering::Release);
            self.idle.call_all();
        }
    }

    /// A task panicked and nobody can join it.
    pub(crate) fn panicked(&self, task: TaskRef<'_>, payload: Payload) {
        report::unjoined_panic(&task.info(), &*payload);
        match self.panic_policy {
            PanicPolicy::Isolate => mishap::discard(payload),
            PanicPolicy::Crash => self.crash(payload),
        }
    }

    /// Stops because of a panic; `run_until` raises the first one again.
    fn crash(&self, payload: Payload) {
        let superfluous = {
            let mut crash = self.crash.lock();
            if crash.is_some() {
                Some(payload)
            } else {
                // Relaxed: under the lock; those who read without it are called by `stop`.
                self.crashed.store(true, Ordering::Relaxed);
                crash.replace(payload)
            }
        };
        mishap::discard(superfluous);
        self.stop();
        if let Some(on_crash) = &self.on_crash {
            on_crash.call();
        }
    }

    /// True if a panic waits to be raised again.
    #[inline]
    pub(crate) fn has_crashed(&self) -> bool {
        // Relaxed: see `crash`.
        self.crashed.load(Ordering::Relaxed)
    }

    /// The panic that is to be raised again; once.
    pub(crate) fn take_crash(&self) -> Option<Payload> {
        if !self.has_crashed() {
            return None;
        }
        let mut crash = self.crash.lock();
        self.crashed.store(false, Ordering::Relaxed);
        crash.take()
    }

    /// The last handle is gone: nobody will ever run a task here again.
    #[cold]
    fn abandon(&self) {
        self.stop();
        // Relaxed: the fence orders it before our look at the injector; paired with `inject`.
        self.abandoned.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.run_injected();
    }

    /// Runs what is in the injector, in the place of workers that are no more: all of it is aborted.
    fn run_injected(&self) {
        while let Some(task) = self.injector.pop() {
            task.run();
        }
    }
}

/// Spawns a goroutine on the executor, from `worker` if this thread is one of it.
pub(crate) fn spawn_on<F>(
    shared: &Arc<Shared>,
    worker: Option<&Context>,
    spec: Spec,
    future: F,
    site: &'static Location<'static>,
) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let scheduler = Scheduler {
        shared: shared.clone(),
        place: AtomicU64::new(UNLISTED),
    };
    let (task, handle) = task::allocate(spec, future, scheduler, site);
    let spawner = worker.map_or(shared.colleagues.len(), Context::index);
    match shared.registry.insert(spawner, task.registered()) {
        Some(place) => {
            // Relaxed: see the field.
            task.scheduler()
                .place
                .store(place.to_bits(), Ordering::Relaxed);
            match worker {
                Some(worker) => worker.ready(task.into_runnable(), Readied::Woken),
                None => shared.inject(task.into_runnable()),
            }
        }
        // Stopped: the task is cancelled, and its future dropped, here.
        None => drop(task),
    }
    handle
}

/// A work-stealing executor: a handle that can be cloned and sent.
///
/// It owns no thread: each worker runs on the thread that takes it by [`worker`](Self::worker) and
/// polls what [`Worker::run`] returns. Any `block_on` will do.
///
/// When the last handle is gone (`Executor`s, [`Worker`]s and [`EnterGuard`]s) without
/// [`stop`](Self::stop), all goroutines are dropped on the thread that dropped it, and no memory is
/// lost, unless a goroutine itself keeps an `Executor`.
///
/// ```
/// use gorin_executor::{Config, Executor, Spec};
///
/// let executor = Executor::new(Config { workers: 1, ..Config::default() });
/// let mut worker = executor.worker(0);
/// let handle = executor.spawn(Spec::new().name("answer"), async { 6 * 7 });
/// let answer = futures::executor::block_on(worker.run_until(handle));
/// assert_eq!(answer.unwrap(), 42);
/// ```
pub struct Executor {
    shared: Arc<Shared>,
}

impl Executor {
    /// An executor with `config.workers` workers, none of which runs yet.
    ///
    /// # Panics
    /// If `config.workers` is 0 or more than 65,535.
    pub fn new(config: Config) -> Executor {
        assert!(config.workers > 0, "an executor needs at least one worker");
        Executor::of(&Arc::new(Shared::new(&config)))
    }

    /// One more handle.
    pub(crate) fn of(shared: &Arc<Shared>) -> Executor {
        // Relaxed: the caller has, or is, a handle already.
        shared.handles.fetch_add(1, Ordering::Relaxed);
        Executor {
            shared: shared.clone(),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Starts a goroutine. On a worker of this executor it runs next there; from any other thread
    /// it goes through the common queue.
    ///
    /// After [`stop`](Self::stop) the future is dropped at once, on this thread, and the handle
    /// gives [`JoinError::Cancelled`](crate::JoinError::Cancelled).
    #[track_caller]
    pub fn spawn<F>(&self, spec: Spec, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let worker = context::worker_of(&self.shared);
        spawn_on(
            &self.shared,
            worker.as_deref(),
            spec,
            future,
            Location::caller(),
        )
    }

    /// The owner's side of worker `index`, to be taken once and on the thread that will run it.
    ///
    /// From now on this thread is that worker: `spawn` and `current` refer to this executor.
    ///
    /// # Panics
    /// If `index` is out of range or the worker was taken before.
    pub fn worker(&self, index: usize) -> Worker {
        let workers = self.shared.colleagues.len();
        assert!(
            index < workers,
            "there are {workers} workers, so no worker {index}"
        );
        let owner = self.shared.colleagues[index].owner.lock().take();
        let owner = owner.unwrap_or_else(|| panic!("worker {index} was taken before"));
        Worker::new(self.clone(), index, owner)
    }

    /// Makes `spawn` and `current` on this thread refer to this executor until the guard is
    /// dropped. It does not make the thread a worker.
    pub fn enter(&self) -> EnterGuard {
        EnterGuard::new(self.clone())
    }

    /// Ends the executor: refuses new goroutines and blocking jobs (their handles give
    /// [`JoinError::Cancelled`](crate::JoinError::Cancelled)), aborts all live goroutines, drops the
    /// jobs that have not begun, and wakes all workers. [`Worker::run`] is ready once no goroutine
    /// lives. Returns at once; calling it again does nothing.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// How many goroutines live: spawned, and neither finished nor dropped.
    pub fn num_tasks(&self) -> usize {
        self.shared.registry.len()
    }

    /// How many goroutines wait for a worker, but for those that one alone may run: those that move meanwhile
    /// may be missed, or counted twice.
    pub fn num_ready(&self) -> usize {
        let colleagues = self.shared.colleagues.iter();
        let queued: usize = colleagues.map(|colleague| colleague.stealer.len()).sum();
        queued + self.shared.injector.len()
    }

    /// How many workers the executor has, without the spare one.
    pub fn num_workers(&self) -> usize {
        self.shared.workers
    }

    /// True if there is one more, number [`num_workers`](Self::num_workers); see [`Config::spare`].
    pub fn has_spare(&self) -> bool {
        self.shared.colleagues.len() > self.shared.workers
    }

    /// What all workers together have done since the executor was made; counts that move meanwhile
    /// may be missed.
    pub fn counters(&self) -> Counters {
        let sum = |count: fn(&Colleague) -> &AtomicUsize| {
            // Relaxed: nothing depends on them.
            let counts = self.shared.colleagues.iter().map(count);
            counts.map(|n| n.load(Ordering::Relaxed) as u64).sum()
        };
        Counters {
            polls: sum(|colleague| &colleague.polls),
            steals: sum(|colleague| &colleague.steals),
            calls: self.shared.idle.calls(),
        }
    }

    /// Which goroutine worker `index` polls at this moment; `None` if none, or the future of
    /// [`Worker::run_until`].
    pub fn running_on(&self, index: usize) -> Option<TaskInfo> {
        // Relaxed: a moment is past when it is told.
        let polled = self
            .shared
            .colleagues
            .get(index)?
            .polled
            .load(Ordering::Relaxed);
        self.shared.registry.find(polled)
    }

    /// Which goroutines live, for shutdown reports.
    pub fn tasks(&self) -> Vec<TaskInfo> {
        self.shared.registry.tasks()
    }
}

impl Clone for Executor {
    fn clone(&self) -> Executor {
        Executor::of(&self.shared)
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if unwinding() {
            return;
        }
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.abandon();
        }
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("workers", &self.num_workers())
            .field("tasks", &self.num_tasks())
            .finish_non_exhaustive()
    }
}
