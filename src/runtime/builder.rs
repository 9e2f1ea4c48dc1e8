//! Settings of a runtime, their defaults and checks; starting it.
//!
//! Starting is all or nothing: when the k-th thread or ring cannot be had, those before it are ended
//! and the caller gets the error. But for the spare worker's, which is the last.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::time::timeout;
use gorin_base::rng;
use gorin_executor::{BlockingConfig, Executor, OnCrash, PanicPolicy};
use gorin_reactor::{DriverKind, Local, Offload, Reactor, Sleep};

use super::cpus::available_cpus;
use super::environment::{MAX_WORKERS, POLL_US, RESCUE, WORKERS, can_be};
use super::role::{self, Role};
use super::stall::{self, Report, Stall};
use super::threads::{Threads, WorkerThread, persevere};
use super::trace::Trace;
use super::{EXIT_TIMEOUT, Handle, Runtime, current};

/// The least number of threads for gorin's own calls that block: a few may wait for long, as for a
/// resolver, and must not hold up the others.
const LEAST_ERRAND_THREADS: usize = 4;

/// The smallest stack of a worker: a file or a socket, in a program that is not optimized, needs half of it.
const LEAST_STACK: usize = 64 << 10;

/// What becomes of the goroutines that still live when `main` returns; see
/// [`Builder::on_main_exit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MainExit {
    /// They are dropped where they wait, and their destructors run. (Go ends them there and then.)
    #[default]
    Drop,
    /// They may finish, within this time; then they are dropped. New ones may still be started. If
    /// `main` panics they are dropped at once.
    Wait(Duration),
}

/// Settings of a runtime; made by [`Runtime::builder`].
///
/// ```
/// use gorin::Runtime;
/// use gorin::PanicPolicy;
///
/// # fn main() -> std::io::Result<()> {
/// let answer = Runtime::builder()
///     .workers(2)
///     .thread_name("five-rings")
///     .panic_policy(PanicPolicy::Crash)
///     .run(async { 42 })?;
/// assert_eq!(answer, 42);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder starts nothing until `build` or `run` is called"]
pub struct Builder {
    workers: Option<usize>,
    thread_name: String,
    thread_stack_bytes: Option<usize>,
    panic_policy: PanicPolicy,
    exit_timeout: Duration,
    poll_before_sleep: Option<Duration>,
    driver: Option<DriverKind>,
    require_io_uring: bool,
    main_exit: MainExit,
    max_blocking_threads: usize,
    blocking_idle_timeout: Duration,
    rescue: Option<bool>,
    stall: Option<Report>,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            workers: None,
            thread_name: "gorin".to_owned(),
            thread_stack_bytes: None,
            panic_policy: PanicPolicy::Isolate,
            exit_timeout: EXIT_TIMEOUT,
            poll_before_sleep: None,
            driver: None,
            require_io_uring: false,
            main_exit: MainExit::Drop,
            max_blocking_threads: 512,
            blocking_idle_timeout: Duration::from_secs(10),
            rescue: None,
            stall: None,
        }
    }

    /// Number of workers, `run`'s calling thread included: Go's `GOMAXPROCS`.
    ///
    /// Default: the environment variable `GORIN_WORKERS`; else [`available_cpus`]: those that this
    /// process may use, by affinity and by the quotas of its cgroups. They are read now; a quota that
    /// changes later is not followed.
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = Some(workers);
        self
    }

    /// Name of the worker threads, to which `-0`, `-1`, … is added. Linux shows 15 bytes.
    pub fn thread_name(mut self, name: impl Into<String>) -> Builder {
        self.thread_name = name.into();
        self
    }

    /// Size of the stacks of worker threads, and of those for [`unblock`](crate::unblock), in bytes. A
    /// goroutine keeps what it needs between two awaits on the heap, and only what it calls meanwhile
    /// on the stack: for code that recurses deeply. The thread that calls [`run`](Builder::run) is a
    /// worker with a stack of its own.
    ///
    /// Default: std's, 2 MiB unless the environment variable `RUST_MIN_STACK` says otherwise. Less than
    /// 64 KiB is refused.
    ///
    /// ```
    /// fn depth(n: usize) -> usize {
    ///     let frame = std::hint::black_box([0_u8; 4096]);
    ///     if n == 0 { frame.len() } else { depth(n - 1) }
    /// }
    ///
    /// let runtime = gorin::Runtime::builder().thread_stack_size(64 << 20).build().unwrap();
    /// let deep = runtime.go(async { depth(2000) });
    /// assert_eq!(runtime.block_on(deep).unwrap(), 4096);
    /// ```
    pub fn thread_stack_size(mut self, bytes: usize) -> Builder {
        self.thread_stack_bytes = Some(bytes);
        self
    }

    /// What happens when a goroutine panics whose handle nobody holds any more. Default:
    /// [`PanicPolicy::Isolate`].
    pub fn panic_policy(mut self, policy: PanicPolicy) -> Builder {
        self.panic_policy = policy;
        self
    }

    /// How long the end of the runtime waits for goroutines to be dropped. Default:
    /// [`EXIT_TIMEOUT`].
    pub fn exit_timeout(mut self, limit: Duration) -> Builder {
        self.exit_timeout = limit;
        self
    }

    /// The longest that a worker which has nothing to do looks for new events before it sleeps;
    /// `Duration::ZERO` turns that off, and more than a second counts as one.
    ///
    /// It looks only while events keep coming within that time, one worker of the process at a
    /// time, and not with more workers than CPUs: a request that follows closely on the last one is
    /// then served without the some 45 µs that a sleep and its end take. An idle program sleeps.
    /// Meanwhile it takes over nothing from a worker that computes, so that times of more than some 300 µs
    /// let others wait.
    ///
    /// It may take more CPU time than sleeping: one connection that exchanges 64 KiB was served 1.6 times as
    /// often, for 1.35 times the CPU time each. Who sets this time, here or by the environment variable
    /// `GORIN_POLL_US` (in microseconds), accepts that.
    ///
    /// Default: 50 µs, and while sleeping would take less CPU time, not at all.
    pub fn poll_before_sleep(mut self, limit: Duration) -> Builder {
        self.poll_before_sleep = Some(limit);
        self
    }

    /// What becomes of the goroutines that still live when `main` of [`run`](Builder::run) returns.
    /// Default: [`MainExit::Drop`].
    ///
    /// ```
    /// use gorin::runtime::{MainExit, Runtime};
    /// use std::time::Duration;
    ///
    /// let (tx, rx) = std::sync::mpsc::channel();
    /// Runtime::builder()
    ///     .on_main_exit(MainExit::Wait(Duration::from_secs(5)))
    ///     .run(async move {
    ///         gorin::go(async move {
    ///             gorin::yield_now().await;
    ///             tx.send("finished").unwrap();
    ///         });
    ///     })
    ///     .unwrap();
    /// assert_eq!(rx.recv(), Ok("finished"));
    /// ```
    pub fn on_main_exit(mut self, exit: MainExit) -> Builder {
        self.main_exit = exit;
        self
    }

    /// How many threads [`unblock`](crate::unblock) may use; further closures wait in line. The
    /// threads are started when they are needed. Default: 512.
    ///
    /// Calls that gorin itself makes where they may block (names are looked up, directories listed;
    /// without io_uring, [`DriverKind::Epoll`], all that is done to files) have as many threads of
    /// their own, and at least 4. So closures may wait for them by `Handle::block_on`, also if they
    /// hold all threads at once. What must not wait for each other with all threads taken is closures,
    /// among them those that [wait for a lock](crate::fs::File::lock) or write to
    /// [`stdout`](crate::io::stdout).
    pub fn max_blocking_threads(mut self, threads: usize) -> Builder {
        self.max_blocking_threads = threads;
        self
    }

    /// How long a thread of [`unblock`](crate::unblock), or for gorin's own calls, stays without work.
    /// Default: 10 s.
    pub fn blocking_idle_timeout(mut self, limit: Duration) -> Builder {
        self.blocking_idle_timeout = limit;
        self
    }

    /// Whether workers watch each other: when a goroutine computes for more than 300 µs without
    /// coming to an await point, another worker that has time takes over the sockets, timers and
    /// goroutines that wait for its worker. An idle program is not woken for it.
    ///
    /// When all of several workers have computed for 10 ms, or block in place, a *spare* worker does the
    /// same for all of them: one more thread, named `-spare`, which otherwise sleeps and is not counted. So
    /// one goroutine more may run at a time than there are workers, and a server answers however many of
    /// its goroutines compute. (Go interrupts them; what waits then shares their CPUs as threads do.) Where
    /// there is no thread, descriptor or memory left for it, the runtime goes on without, and one line on
    /// stderr says why.
    ///
    /// Workers that watch each other also notice when they are kept from running because CPUs are
    /// contended, by clients on the same machine, say. Then fewer of them serve the sockets for some
    /// seconds, if that serves as much: a worker that is preempted holds its sockets for milliseconds.
    ///
    /// Operations on files that were started on such a worker end when it is free again; and with
    /// one worker there is nobody to watch, and no spare one: who asks for one has goroutines run one at a
    /// time, also while one computes.
    ///
    /// Default: the environment variable `GORIN_RESCUE`, 0 or 1; else they do.
    pub fn rescue(mut self, rescue: bool) -> Builder {
        self.rescue = Some(rescue);
        self
    }

    /// How workers wait for the kernel.
    ///
    /// Default: the environment variable `GORIN_DRIVER` (`uring`, `hybrid` or `epoll`); else
    /// [`DriverKind::Uring`], and where the kernel or a container refuses io_uring, or the memory for
    /// the ring of each worker, [`DriverKind::Epoll`], with one line on stderr that names cause and
    /// cure.
    ///
    /// ```
    /// use gorin::Runtime;
    /// use gorin::runtime::{DriverKind, Handle};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let builder = Runtime::builder().driver(DriverKind::Epoll);
    /// let driver = builder.run(async { Handle::current().driver() })?;
    /// assert_eq!(driver, DriverKind::Epoll);
    /// # Ok(())
    /// # }
    /// ```
    pub fn driver(mut self, driver: DriverKind) -> Builder {
        self.driver = Some(driver);
        self
    }

    /// Refuses to start where io_uring cannot be had, instead of running on epoll. The error names
    /// cause and cure.
    pub fn require_io_uring(mut self) -> Builder {
        self.require_io_uring = true;
        self
    }

    /// Calls `tell`, once for each time, when a goroutine has kept its worker for `limit` without
    /// coming to an await point: it computes, or blocks the thread.
    ///
    /// It is another worker that sees it, some milliseconds late, and calls `tell` where it stands:
    /// that must be short, and must not block or panic. So nothing is told with a single worker or
    /// without [`rescue`](Builder::rescue).
    ///
    /// Default: if the environment variable `GORIN_STALL_MS` is set, a line on stderr after so many
    /// milliseconds; else nothing.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let limit = Duration::from_millis(5);
    /// let tell = move |stall: &gorin::runtime::Stall| drop(tell.send(stall.to_string()));
    /// gorin::Runtime::builder().workers(2).on_stall(limit, tell).run(async move {
    ///     let line = gorin::go_with(gorin::Spec::new().name("slow"), async move {
    ///         told.recv().unwrap() // Blocks its worker.
    ///     });
    ///     assert!(line.await.unwrap().contains("\"slow\" started at"));
    /// }).unwrap();
    /// ```
    pub fn on_stall(
        mut self,
        limit: Duration,
        tell: impl Fn(&Stall) + Send + Sync + 'static,
    ) -> Builder {
        self.stall = Some(Report::new(limit, tell));
        self
    }

    /// Starts a runtime whose workers are all threads of their own.
    ///
    /// # Errors
    /// If a setting is invalid, or a thread or a ring cannot be had; the text names cause and cure.
    /// Nothing is left behind then.
    pub fn build(self) -> io::Result<Runtime> {
        let started = self.start(false)?;
        Ok(Runtime {
            handle: started.handle,
            threads: Some(started.threads),
            _trace: started.trace,
            exit_timeout: self.exit_timeout,
        })
    }

    /// Runs `main` on this thread as worker 0 and returns its value; see [`run`](super::run).
    ///
    /// # Errors
    /// If a setting is invalid, or a thread or a ring cannot be had; `main` has not been polled
    /// then, and nothing is left behind.
    ///
    /// # Panics
    /// Inside a runtime or a model, where `.await` is what is meant; and in a destructor of a thread-local.
    /// Panics of `main` are passed on.
    #[track_caller]
    pub fn run<F: Future>(self, main: F) -> io::Result<F::Output> {
        let _role = Role::enter(Role::Worker, "run");
        role::refuse_run_at_the_end_of_a_thread();
        let Started {
            handle,
            threads,
            local,
            trace: _trace,
        } = self.start(true)?;
        let mut local = local.expect("this thread is to be worker 0");
        let _current = current::set(&handle);
        let mut worker = handle.shared.executor.worker(0);
        // Caught so that goroutines, ring and threads are gone when the panic reaches the caller.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let value = local.block_on(worker.run_until(main));
            if let MainExit::Wait(limit) = self.main_exit {
                let drained = timeout(limit, handle.shared.executor.drained());
                // Those that are late are dropped as all are otherwise.
                let _ = local.block_on(worker.run_until(drained));
            }
            value
        }));
        let deadline = handle.stop(self.exit_timeout);
        persevere(0, || finish(&mut local, worker.run(), deadline));
        drop(worker);
        handle.shared.over.close();
        let own = local.shutdown(deadline);
        threads.join(&handle, deadline).with(&own).report();
        match outcome {
            Ok(value) => Ok(value),
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Starts the workers, of which the calling thread becomes worker 0 if it is `here`. If the kernel
    /// does not give each of them a ring, all begin anew without.
    fn start(&self, here: bool) -> io::Result<Started> {
        let handle = self.prepare(self.driver)?;
        let reactor = handle.shared.reactor.clone();
        match self.start_workers(handle, here) {
            Err(error) if reactor.gives_way(&error) => {
                self.start_workers(self.prepare(Some(DriverKind::Epoll))?, here)
            }
            started => started,
        }
    }

    fn start_workers(&self, handle: Handle, here: bool) -> io::Result<Started> {
        // Before the spare worker's ring, which is the last one to be made.
        let local = here.then(|| handle.shared.reactor.attach(0)).transpose()?;
        let trace = Trace::from_environment(&handle)?;
        let threads = Threads::start(&handle, usize::from(here), &self.worker_thread())?;
        Ok(Started {
            handle,
            threads,
            local,
            trace,
        })
    }

    /// `max` threads for code that blocks, of this `kind`.
    fn threads(&self, kind: &str, max: usize) -> BlockingConfig {
        BlockingConfig {
            max_threads: max,
            idle_timeout: Some(self.blocking_idle_timeout),
            thread_name: format!("{}-{kind}", self.thread_name),
            stack_bytes: self.thread_stack_bytes,
        }
    }

    fn worker_thread(&self) -> WorkerThread<'_> {
        WorkerThread {
            name: &self.thread_name,
            stack_bytes: self.thread_stack_bytes,
        }
    }

    /// Checks the settings and makes the shared halves.
    fn prepare(&self, driver: Option<DriverKind>) -> io::Result<Handle> {
        let workers = workers(self.workers)?;
        if self.thread_name.contains('\0') {
            return Err(invalid("Builder::thread_name: the name contains a NUL"));
        }
        if let Some(bytes) = self.thread_stack_bytes.filter(|&bytes| bytes < LEAST_STACK) {
            return Err(invalid(&format!(
                "Builder::thread_stack_size is {bytes}: a worker needs at least {LEAST_STACK} bytes"
            )));
        }
        let report = match &self.stall {
            Some(report) => Some(report.clone()),
            None => Report::from_environment()?,
        };
        let mut config = gorin_reactor::Config {
            workers,
            on_hog: Some(stall::on_hog(workers + 1, report)),
            ..gorin_reactor::Config::default()
        };
        if let Err(text) = rng::configured_seed() {
            return Err(invalid(&format!(
                "GORIN_SEED is `{text}`: it must be a number from 0 to {}",
                u64::MAX
            )));
        }
        let limit = match self.poll_before_sleep {
            Some(limit) => Some(limit),
            None => POLL_US.get()?,
        };
        config.poll_before_sleep = limit;
        if self.max_blocking_threads == 0 {
            return Err(invalid(
                "Builder::max_blocking_threads is 0: `unblock` needs at least one thread",
            ));
        }
        let rescue = match self.rescue {
            Some(rescue) => Some(rescue),
            None => RESCUE.get()?,
        };
        if let Some(rescue) = rescue {
            config.rescue = rescue;
        }
        // None for a single worker. Go, with GOMAXPROCS=1, interrupts a goroutine that computes and lets others
        // run, but never two at a time; a spare one would run beside it.
        config.spare = config.rescue && (2..MAX_WORKERS).contains(&workers);
        let (over, is_over) = gorin_channel::chan(0);
        let crashed = over.clone();
        let on_crash = move || {
            crashed.close();
        };
        let executor = Executor::new(gorin_executor::Config {
            width: config.width.clone(),
            workers,
            spare: config.spare,
            relieved: config.rescue && workers > 1,
            panic_policy: self.panic_policy,
            on_crash: Some(OnCrash::new(on_crash)),
            blocking: self.threads("block", self.max_blocking_threads),
            errands: self.threads(
                "errand",
                self.max_blocking_threads.max(LEAST_ERRAND_THREADS),
            ),
        });
        config.driver = driver;
        config.require_io_uring = self.require_io_uring;
        let pool = executor.offload();
        config.offload = Offload::new(move |task| pool.run(task));
        let reactor = Reactor::new(config)?;
        Ok(Handle::new(executor, reactor, (over, is_over)))
    }
}

/// What has been started.
struct Started {
    handle: Handle,
    threads: Threads,
    /// Of worker 0, if that is the calling thread.
    local: Option<Local>,
    trace: Option<Trace>,
}

/// Lets worker 0 drop its goroutines until all are gone, or until `deadline`.
fn finish(local: &mut Local, run: impl Future<Output = ()>, deadline: Instant) {
    let mut run = pin!(run);
    let mut late = Sleep::until(deadline);
    local.block_on(poll_fn(|cx| {
        if run.as_mut().poll(cx).is_ready() || Pin::new(&mut late).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    }));
}

/// The number that was set, if a runtime can have so many workers; else that of the environment, or of
/// the CPUs that may be used.
fn workers(set: Option<usize>) -> io::Result<usize> {
    match set {
        Some(workers) if can_be(workers) => Ok(workers),
        Some(workers) => Err(invalid(&format!(
            "Builder::workers is {workers}: it must be a number of workers from 1 to {MAX_WORKERS}"
        ))),
        None => {
            let asked = WORKERS.get()?;
            Ok(asked.unwrap_or_else(|| available_cpus().min(MAX_WORKERS)))
        }
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.to_owned())
}
