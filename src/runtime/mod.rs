//! The one place where executor and reactor meet.
//!
//! ```text
//! worker thread = reactor.attach(index)?.block_on(executor.worker(index).run())
//! ```
//!
//! The executor's worker is a future that runs goroutines; the reactor's `block_on` polls it and
//! sleeps in io_uring when it has nothing to do. Neither knows the other.
//!
//! | file | holds |
//! |---|---|
//! | this one | [`run`], [`Runtime`], [`Handle`]: what users hold |
//! | `builder.rs` | [`Builder`]: settings, their defaults and checks, and `run` itself |
//! | `environment.rs` | the variables that set what the builder was not told |
//! | `cpus.rs` | how many CPUs there are for the workers |
//! | `threads.rs` | the worker threads: start, end, and who did not end in time |
//! | `current.rs` | which runtime a thread belongs to |
//! | `stall.rs` | which goroutine computes without an await point |
//! | `stats.rs`, `trace.rs` | what the runtime has done, for who asks, or on stderr |
//! | `role.rs` | what the calling thread is, and the texts for calls from the wrong thread |
//!
//! # Teardown
//!
//! 1. `executor.stop()`: no new goroutine; those that live are aborted at their await points.
//! 2. Each worker's `run` ends when no goroutine lives: all destructors have run, on workers, with
//!    timers and sockets still there.
//! 3. `Local::shutdown` on each worker cancels what the kernel still has and waits for it.
//! 4. The threads are joined, those for blocking code too.
//!
//! All of it before one deadline. A goroutine that computes without ever awaiting cannot be stopped
//! from outside; when the deadline passes it is reported and left behind, with its worker's thread,
//! which ends by itself if the goroutine ever does. Rejected: waiting for it (an exit that hangs),
//! and ending the process (not ours to decide).

mod builder;
pub(crate) mod cpus;
mod current;
pub(crate) mod environment;
mod role;
mod stall;
mod stats;
mod threads;
mod trace;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use gorin_base::{check, clock};
use gorin_channel::{Receiver, Sender};
use gorin_executor::{Executor, JoinHandle, Spec, TaskInfo};
use gorin_reactor::Reactor;

pub use builder::{Builder, MainExit};
pub use cpus::available_cpus;
#[doc(inline)]
pub use gorin_reactor::DriverKind;
use role::Role;
pub use stall::Stall;
pub use stats::Stats;
pub use threads::Shutdown;
use threads::Threads;
use trace::Trace;

/// How long `run` and a dropped [`Runtime`] wait for goroutines to be dropped, unless
/// [`Builder::exit_timeout`] says otherwise.
pub const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs `main` and returns its value: what Go does with `func main`.
///
/// The calling thread becomes worker 0 and polls `main` beside the goroutines, so `main` may
/// borrow and need not be [`Send`]; the other workers are threads of their own. When `main` is done all
/// goroutines that still live are dropped where they wait, and their destructors run (Go ends the
/// process there and then). One that computes and never awaits is waited for [`EXIT_TIMEOUT`] and
/// then reported on stderr and left behind.
///
/// Since `main` stays on this thread, a goroutine that computes for long on worker 0 delays it.
///
/// A panic of `main` is passed on after the same teardown.
///
/// ```
/// let name = String::from("world");
/// let greeting = gorin::run(async {
///     let (tx, rx) = gorin::chan(0);
///     gorin::go(async move { tx.send("hello").await });
///     format!("{} {name}", rx.recv().await.unwrap())
/// });
/// assert_eq!(greeting, "hello world");
/// ```
///
/// # Panics
/// If the runtime cannot start; the text names cause and cure. [`Builder::run`] returns the same as
/// an error. Also inside a runtime or a model, where `.await` is what is meant.
#[track_caller]
pub fn run<F: Future>(main: F) -> F::Output {
    match Runtime::builder().run(main) {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// A runtime whose workers are threads of their own, for programs that are not one big future.
///
/// Where `main` is one, prefer [`run`]: its main future lives on a worker and needs no hop.
///
/// Dropping it stops it as [`shutdown_timeout`](Runtime::shutdown_timeout) does, with the exit
/// timeout, and reports on stderr who did not stop. In one of its own closures for blocking code
/// ([`unblock`](crate::unblock)) it does not wait for those, among which is the one that waits.
///
/// ```
/// use gorin::Runtime;
///
/// # fn main() -> std::io::Result<()> {
/// let runtime = Runtime::builder().workers(2).build()?;
/// let answer = runtime.block_on(async { gorin::go(async { 42 }).await.unwrap() });
/// assert_eq!(answer, 42);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// Dropping it on a worker, as when a goroutine owns its own runtime: the wait would block that
/// worker, and for its own runtime it would never end. The runtime is stopped all the same.
#[derive(Debug)]
pub struct Runtime {
    handle: Handle,
    /// `None` once they have been waited for or let go.
    threads: Option<Threads>,
    exit_timeout: Duration,
    /// To its end.
    _trace: Option<Trace>,
}

impl Runtime {
    /// Starts from the defaults; see [`Builder`].
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A runtime with the defaults.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn new() -> io::Result<Runtime> {
        Builder::new().build()
    }

    /// How its workers wait for the kernel; see [`Builder::driver`].
    pub fn driver(&self) -> DriverKind {
        self.handle.driver()
    }

    /// A handle to this runtime, which does not keep it running.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs `future` on this thread and sleeps while it waits; goroutines, sockets and timers that
    /// it makes belong to this runtime. See [`Handle::block_on`].
    ///
    /// # Panics
    /// Inside a runtime; the text says what to do. Panics of `future` are passed on.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }

    /// Starts a goroutine on this runtime. See [`go`](crate::go).
    #[track_caller]
    pub fn go<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.go(future)
    }

    /// Runs `run` on a thread for blocking code of this runtime. See [`unblock`](crate::unblock).
    #[track_caller]
    pub fn unblock<F, T>(&self, run: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.handle.unblock(run)
    }

    /// Makes this thread belong to the runtime until the guard is dropped. See [`Handle::enter`].
    pub fn enter(&self) -> EnterGuard {
        self.handle.enter()
    }

    /// Stops the runtime: drops all goroutines where they wait, cancels what the kernel still has,
    /// and joins the threads; waits at most `limit` for all of it (and for destructors of thread-locals, which
    /// run when a thread of it has ended). Tells who did not stop.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let runtime = gorin::Runtime::new().unwrap();
    /// runtime.go(std::future::pending::<()>());
    /// let shutdown = runtime.shutdown_timeout(Duration::from_secs(1));
    /// assert!(shutdown.is_complete(), "{shutdown}");
    /// ```
    ///
    /// # Panics
    /// On a worker, which would have to wait for itself.
    pub fn shutdown_timeout(mut self, limit: Duration) -> Shutdown {
        match self.threads.take() {
            Some(threads) => {
                role::refuse_wait_on_worker(&self.handle);
                threads.stop(&self.handle, limit)
            }
            None => unreachable!("only this call and `Drop` take the threads"),
        }
    }

    /// Stops the runtime without waiting for it; for code that runs on a worker.
    ///
    /// The threads end by themselves when the goroutines are dropped.
    pub fn shutdown_background(mut self) {
        self.handle.stop(self.exit_timeout);
        self.threads = None;
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let Some(threads) = self.threads.take() else {
            return;
        };
        if Role::current() == Role::Worker && std::thread::panicking() {
            // A second panic would end the process; the first one is the news.
            self.handle.stop(self.exit_timeout);
            return;
        }
        role::refuse_wait_on_worker(&self.handle);
        threads.stop(&self.handle, self.exit_timeout).report();
    }
}

/// Refers to a runtime, from any thread; cheap to clone, does not keep the runtime running.
///
/// ```
/// use gorin::Runtime;
///
/// # fn main() -> std::io::Result<()> {
/// let runtime = Runtime::new()?;
/// let handle = runtime.handle();
/// let thread = std::thread::spawn(move || handle.block_on(async { 1 + 1 }));
/// assert_eq!(thread.join().unwrap(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    executor: Executor,
    reactor: Reactor,
    /// Set once, when the runtime is told to stop: until when the teardown may take.
    teardown_deadline: OnceLock<Instant>,
    /// Closed when no goroutine lives any more and none can be started, when the time for the teardown is
    /// over, or when a goroutine has crashed the runtime: who is still in `block_on` then might wait for ever,
    /// and it is he who is to end the runtime. Nobody sends.
    over: Sender<()>,
    is_over: Receiver<()>,
}

impl Handle {
    fn new(
        executor: Executor,
        reactor: Reactor,
        (over, is_over): (Sender<()>, Receiver<()>),
    ) -> Handle {
        Handle {
            shared: Arc::new(Shared {
                executor,
                reactor,
                teardown_deadline: OnceLock::new(),
                over,
                is_over,
            }),
        }
    }

    /// The runtime of this thread: to give it to threads that do not belong to it.
    ///
    /// ```
    /// use gorin::runtime::Handle;
    ///
    /// gorin::run(async {
    ///     let (tx, rx) = gorin::chan(1);
    ///     let handle = Handle::current();
    ///     std::thread::spawn(move || handle.go(async move { tx.send("from a thread").await }));
    ///     assert_eq!(rx.recv().await, Some("from a thread"));
    /// });
    /// ```
    ///
    /// # Panics
    /// On a thread that belongs to no runtime.
    #[track_caller]
    pub fn current() -> Handle {
        Handle::try_current().unwrap_or_else(|| {
            panic!(
                "Handle::current was called on a thread that belongs to no gorin runtime: call it \
                 inside gorin::run, and give the handle to the thread that needs it"
            )
        })
    }

    /// As [`current`](Handle::current), but `None` on a thread that belongs to no runtime. In a
    /// [`model`](crate::model()) there is none, whatever the thread belongs to otherwise.
    pub fn try_current() -> Option<Handle> {
        current::get().filter(|_| !crate::model::is_running())
    }

    /// Starts a goroutine on this runtime. See [`go`](crate::go). After the runtime was stopped
    /// the handle of the new goroutine gives `Cancelled`.
    #[track_caller]
    pub fn go<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.go_with(Spec::new(), future)
    }

    /// As [`go`](Handle::go), with a [`Spec`] that names the goroutine in reports.
    #[track_caller]
    pub fn go_with<F>(&self, spec: Spec, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.shared.executor.spawn(spec, future)
    }

    /// Runs `run` on a thread for blocking code of this runtime. See [`unblock`](crate::unblock).
    #[track_caller]
    pub fn unblock<F, T>(&self, run: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.unblock_with(Spec::new(), run)
    }

    /// As [`unblock`](Handle::unblock), with a [`Spec`] that names the closure in reports.
    #[track_caller]
    pub fn unblock_with<F, T>(&self, spec: Spec, run: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let handle = self.clone();
        let run = move || current::in_closure(handle, run);
        self.shared.executor.unblock(spec, run)
    }

    /// Makes a call of gorin's own that may block, and waits for nobody who needs this runtime.
    pub(crate) fn errand<F, T>(&self, spec: Spec, run: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.shared.executor.errand(spec, run)
    }

    fn is_same(&self, other: &Handle) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Number of threads for blocking code, idle ones and those for gorin's own calls too; see
    /// [`unblock`](crate::unblock).
    pub fn num_blocking_threads(&self) -> usize {
        self.shared.executor.num_blocking_threads()
    }

    /// Runs `future` on this thread and sleeps while it waits. The future may borrow and need not
    /// be [`Send`]. Its sockets and timers are served by the runtime's workers, which costs a
    /// thread switch for each wait: accept loops and the like belong into goroutines.
    ///
    /// # Panics
    /// Inside a runtime or another `block_on`, where `.await` is what is meant; and if the runtime
    /// has stopped, or stops before `future` is ready ([`PanicPolicy::Crash`] does that). Panics of
    /// `future` are passed on.
    ///
    /// [`PanicPolicy::Crash`]: crate::PanicPolicy::Crash
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _role = Role::enter(Role::BlockedOn, "block_on");
        let _entered = self.enter();
        let finished = check::block_on(async {
            let (mut future, mut over) = (pin!(future), pin!(self.shared.is_over.recv()));
            poll_fn(|cx| match future.as_mut().poll(cx) {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending => over.as_mut().poll(cx).map(|_closed| None),
            })
            .await
        });
        match finished {
            Some(value) => value,
            None => panic!(
                "gorin: the runtime of this `block_on` has stopped. Keep the `Runtime` alive as \
                 long as its handles are used; if a goroutine has crashed it, stderr says which."
            ),
        }
    }

    /// Makes this runtime the one that `go`, sockets and timers of this thread belong to, until
    /// the guard is dropped.
    ///
    /// ```
    /// let runtime = gorin::Runtime::new().unwrap();
    /// let handle = runtime.handle();
    /// let _entered = handle.enter();
    /// let joined = gorin::go(async { "on a worker" });
    /// assert_eq!(runtime.block_on(joined).unwrap(), "on a worker");
    /// ```
    #[must_use = "the runtime is left when the guard is dropped"]
    pub fn enter(&self) -> EnterGuard {
        EnterGuard {
            _executor: self.shared.executor.enter(),
            _reactor: self.shared.reactor.enter(),
            _current: current::set(self),
        }
    }

    /// Number of goroutines alive.
    pub fn num_goroutines(&self) -> usize {
        self.shared.executor.num_tasks()
    }

    /// How the workers wait for the kernel: what [`Builder::driver`] says, or what the kernel allows.
    pub fn driver(&self) -> DriverKind {
        self.shared.reactor.driver()
    }

    /// The goroutines alive: number, name, and where each was started. Those that start or end
    /// meanwhile may be missed.
    pub fn goroutines(&self) -> Vec<TaskInfo> {
        self.shared.executor.tasks()
    }

    /// What the runtime has to do now, and has done so far: numbers to watch a service by. With `GORIN_DEBUG=schedtrace=1000`
    /// in the environment they are told on stderr once in so many milliseconds.
    ///
    /// ```
    /// use gorin::runtime::Handle;
    ///
    /// gorin::run(async {
    ///     let stats = Handle::current().stats();
    ///     println!("{} goroutines, {} wait for a worker", stats.goroutines, stats.ready);
    /// });
    /// ```
    pub fn stats(&self) -> Stats {
        Stats::of(self)
    }

    /// True if there is a worker that waits until all others compute; see [`Builder::rescue`].
    fn has_spare(&self) -> bool {
        self.shared.executor.has_spare()
    }

    /// Number of workers, without the spare one (see [`Builder::rescue`]).
    pub fn num_workers(&self) -> usize {
        self.shared.executor.num_workers()
    }

    /// Tells the runtime to stop within `limit`; returns until when. The first call decides.
    fn stop(&self, limit: Duration) -> Instant {
        let now = clock::now();
        // A limit beyond the clock means "as long as it takes"; a year stands for it.
        let latest = now
            .checked_add(limit)
            .unwrap_or(now + Duration::from_secs(365 * 24 * 3600));
        let deadline = *self.shared.teardown_deadline.get_or_init(|| latest);
        self.shared.executor.stop();
        deadline
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("workers", &self.num_workers())
            .field("goroutines", &self.num_goroutines())
            .finish_non_exhaustive()
    }
}

/// While it lives, its thread belongs to a runtime; made by [`Handle::enter`]. Guards are dropped
/// in the reverse order of their making.
#[derive(Debug)]
pub struct EnterGuard {
    _executor: gorin_executor::EnterGuard,
    _reactor: gorin_reactor::EnterGuard,
    _current: current::Guard,
}
