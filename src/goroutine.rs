//! Starting goroutines: `go` and its relatives.
//!
//! Everything here works on the executor of the calling thread and is a thin name over
//! `gorin_executor`. Must not look at sockets or timers: goroutines run under loom too, where
//! neither exists.

use std::future::Future;

pub use gorin_executor::{
    AbortHandle, JoinError, JoinHandle, PanicPayload, PanicPolicy, Spec, TaskId, TaskInfo, TaskKind,
};

/// Starts `future` as a goroutine of the runtime of this thread: Go's `go` statement.
///
/// What stands in the argument outside of `async` is evaluated now, by the caller, as in Go; the
/// future itself runs concurrently, on whichever worker is free. Whatever the caller did before
/// `go` happens before the goroutine's first step; the goroutine's last step happens before
/// `handle.await` returns (in Go nothing follows the end of a goroutine).
///
/// Dropping the handle detaches the goroutine: it runs on. A panic goes to whoever awaits the
/// handle, as [`JoinError::Panic`]; when nobody can await it any more it is reported on stderr, or
/// ends the runtime, as [`PanicPolicy`] says.
///
/// ```
/// use gorin::{go, run};
///
/// let sum = run(async {
///     let left = go(async { 20 });
///     let right = go(async { 22 });
///     left.await.unwrap() + right.await.unwrap()
/// });
/// assert_eq!(sum, 42);
/// ```
///
/// # Panics
/// On a thread that belongs to no runtime; the text says what to do.
#[track_caller]
pub fn go<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    go_with(Spec::new(), future)
}

/// As [`go`], with a [`Spec`] that names the goroutine in reports.
///
/// ```
/// use gorin::{Spec, go_with, run};
///
/// run(async {
///     let handle = go_with(Spec::new().name("adder"), async { 1 + 1 });
///     assert_eq!(handle.await.unwrap(), 2);
/// });
/// ```
///
/// # Panics
/// On a thread that belongs to no runtime; the text says what to do.
#[track_caller]
pub fn go_with<F>(spec: Spec, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    if crate::model::is_running() {
        return crate::model::spawn(spec, future);
    }
    gorin_executor::spawn(spec, future)
}

/// Starts `future` as a goroutine that stays on this worker, so that it need not be [`Send`]: it may
/// hold `Rc`, `RefCell` and guards of locks across an await.
///
/// It shares the worker with all other goroutines and takes turns with them; no other worker ever
/// helps it out, so it should not compute for long. A wake from another thread comes as a message to
/// the worker, which costs more than that of a goroutine that may move. The future is dropped on this
/// worker's thread, whoever aborts it, and also at the end of the runtime.
///
/// Everything else is as with [`go`]: the handle can be awaited here and, if the output is `Send`,
/// anywhere.
///
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
///
/// gorin::run(async {
///     let log = Rc::new(RefCell::new(Vec::new()));
///     let writer = gorin::go_local({
///         let log = log.clone();
///         async move { log.borrow_mut().push("written beside main") }
///     });
///     writer.await.unwrap();
///     assert_eq!(*log.borrow(), ["written beside main"]);
/// });
/// ```
///
/// # Panics
/// On a thread that is no worker, in `block_on` too; and in a [`model`](crate::model()). The text says
/// what to do.
#[track_caller]
pub fn go_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    go_local_with(Spec::new(), future)
}

/// As [`go_local`], with a [`Spec`] that names the goroutine in reports.
///
/// ```
/// use gorin::{Spec, go_local_with, run};
///
/// run(async {
///     let handle = go_local_with(Spec::new().name("window"), async { 1 + 1 });
///     assert_eq!(handle.await.unwrap(), 2);
/// });
/// ```
///
/// # Panics
/// As [`go_local`].
#[track_caller]
pub fn go_local_with<F>(spec: Spec, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    assert!(
        !crate::model::is_running(),
        "gorin::go_local was called in a model, which knows no workers: start the goroutine with \
         gorin::go, with a future that is Send, as its order of steps is the same"
    );
    gorin_executor::spawn_local(spec, future)
}

/// Lets other goroutines run before this one goes on: Go's `runtime.Gosched`.
///
/// The caller goes to the back of its worker's queue, behind all that are ready there; so does `main`. Those in
/// other queues, among them what goes beyond the 1,024 places of that one, may come later.
///
/// # Cancel safety
/// Dropping the future has no effect.
///
/// ```
/// # gorin::run(async {
/// gorin::yield_now().await;
/// # });
/// ```
pub async fn yield_now() {
    gorin_executor::yield_now().await;
}

/// Number of goroutines alive in the runtime of this thread, `main` not counted.
///
/// ```
/// use gorin::{go, num_goroutines, run};
///
/// run(async {
///     let idle = go(std::future::pending::<()>());
///     assert_eq!(num_goroutines(), 1);
///     idle.abort();
///     assert!(idle.await.unwrap_err().is_cancelled());
/// });
/// ```
///
/// # Panics
/// On a thread that belongs to no runtime, and in a [model](crate::model()).
#[track_caller]
pub fn num_goroutines() -> usize {
    current("num_goroutines").num_tasks()
}

/// The goroutines alive in the runtime of this thread, in no order: number, name, and where each was
/// started; `main` is not among them. Those that start or end meanwhile may be missed.
///
/// ```
/// use gorin::{Spec, go_with, goroutines, run};
///
/// run(async {
///     go_with(Spec::new().name("acceptor"), std::future::pending::<()>());
///     let alive = goroutines();
///     assert_eq!(alive.len(), 1);
///     assert_eq!(alive[0].name.as_deref(), Some("acceptor"));
///     println!("{}", alive[0]);
/// });
/// ```
///
/// A program that hangs says who is left on Ctrl-\\, as one in Go does, if a goroutine waits for that:
///
/// ```no_run
/// use gorin::signal::{Signal, signals};
///
/// # async fn serve() {}
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let mut asked = signals([Signal::QUIT])?;
///     gorin::go(async move {
///         while asked.recv().await.is_ok() {
///             for one in gorin::goroutines() {
///                 eprintln!("{one}");
///             }
///         }
///     });
///     serve().await;
///     Ok(())
/// })
/// # }
/// ```
///
/// # Panics
/// On a thread that belongs to no runtime, and in a [model](crate::model()).
#[track_caller]
pub fn goroutines() -> Vec<TaskInfo> {
    current("goroutines").tasks()
}

/// Number of workers of the runtime of this thread: Go's `GOMAXPROCS`.
///
/// ```
/// # gorin::run(async {
/// assert!(gorin::num_workers() >= 1);
/// # });
/// ```
///
/// # Panics
/// On a thread that belongs to no runtime, and in a [model](crate::model()).
#[track_caller]
pub fn num_workers() -> usize {
    current("num_workers").num_workers()
}

/// The executor of this thread, or a panic that tells what to do.
#[track_caller]
fn current(called: &str) -> gorin_executor::Executor {
    assert!(
        !crate::model::is_running(),
        "gorin::{called} was called in a gorin::model, where there is no runtime to ask"
    );
    gorin_executor::current().unwrap_or_else(|| {
        panic!(
            "gorin::{called} was called on a thread that belongs to no gorin runtime: call it \
             inside gorin::run, or hold the guard of gorin::runtime::Handle::enter"
        )
    })
}
