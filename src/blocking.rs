//! Code that blocks its thread, kept away from the workers.
//!
//! A thin name over the executor's threads for such code; what is added here is that the closure's
//! thread belongs to the runtime. Must not start a thread itself.

#[cfg(not(loom))]
use std::io;

#[cfg(not(loom))]
use crate::goroutine::JoinError;
use crate::goroutine::{JoinHandle, Spec};

/// The error of a call of gorin's own that was to be made on a thread and was not.
#[cfg(not(loom))]
pub(crate) fn not_made(error: JoinError) -> io::Error {
    match error {
        JoinError::Cancelled => io::Error::other(
            "the call was not made: its runtime has ended, or can start no thread for it",
        ),
        panic => panic.into(),
    }
}

/// Runs `run` on a thread where it may block, and gives its value to whoever awaits the handle: for
/// system calls that wait, for libraries that know nothing of goroutines, for long computations.
///
/// A worker that blocks cannot run goroutines, and holds up those in its queue; Go starts a thread
/// for such a call by itself, which a future cannot. The threads are started when they are needed, up
/// to [`Builder::max_blocking_threads`](crate::runtime::Builder::max_blocking_threads) (512), stay
/// for ten seconds without work, and belong to the runtime: in the closure [`go`](crate::go),
/// [`Handle::current`](crate::runtime::Handle::current) and `Handle::block_on` work.
///
/// The closure is started at once, whether or not the handle is awaited; giving it away and getting
/// the value back costs some 10 µs if a thread must be woken, so short calls are better made in
/// place. What the closure did happens before `await` returns.
///
/// A panic of the closure is [`JoinError::Panic`] for whoever awaits it, and
/// is reported as that of a goroutine if nobody does.
///
/// # Cancel safety
/// Dropping the handle detaches the closure: nothing can stop it once it has begun.
/// [`JoinHandle::abort`] keeps it from beginning if it still waits in line: it is dropped, and the handle
/// ready, when its turn comes. At the end of the runtime those that wait
/// in line are dropped, and give [`JoinError::Cancelled`]; those that
/// run are waited for as long as goroutines are, and then reported and left behind.
///
/// ```
/// gorin::run(async {
///     let text = gorin::unblock(|| std::fs::read_to_string("/proc/self/comm")).await;
///     assert!(!text.unwrap().unwrap().is_empty());
/// });
/// ```
///
/// # Panics
/// On a thread that belongs to no runtime; the text says what to do.
#[track_caller]
pub fn unblock<F, T>(run: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    unblock_with(Spec::new(), run)
}

/// As [`unblock`], with a [`Spec`] that names the closure in reports.
///
/// ```
/// use gorin::Spec;
///
/// gorin::run(async {
///     let sum = gorin::unblock_with(Spec::new().name("adder"), || (1..=100).sum::<u32>());
///     assert_eq!(sum.await.unwrap(), 5050);
/// });
/// ```
///
/// # Panics
/// On a thread that belongs to no runtime; the text says what to do.
#[track_caller]
pub fn unblock_with<F, T>(spec: Spec, run: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if crate::model::is_running() {
        // A checker looks at what goroutines do to each other, and knows no other threads.
        return crate::model::spawn(spec, async move { run() });
    }
    #[cfg(not(loom))]
    if let Some(handle) = crate::runtime::Handle::try_current() {
        return handle.unblock_with(spec, run);
    }
    gorin_executor::unblock(spec, run)
}

/// Runs `run`, which may block, on this very thread; before it does, the worker gives the goroutines
/// in its queue to the other workers, and those that `run` starts or wakes go to them too. They look
/// after its sockets and timers meanwhile.
///
/// For code that must not move to another thread, because it borrows or is not `Send`; else
/// [`unblock`] is the better choice, since it costs no worker:
/// - There is one worker less meanwhile. When all of them block in place at once the spare one runs the
///   other goroutines (see [`Builder::rescue`](crate::runtime::Builder::rescue)). If that blocks as well, or
///   with a single worker, no goroutine runs until one of them is back; if what they wait for is to come
///   from a goroutine, that is never. (Go and tokio would start more threads.) So give away what may wait
///   for long or for a goroutine with [`unblock`], which has threads enough; or let no more goroutines
///   block in place at a time than there are workers: a channel with as many places is a semaphore, and
///   [`Builder::workers`](crate::runtime::Builder::workers) may be more than the CPUs.
/// - The [`go_local`](crate::go_local) goroutines of this worker wait, and so does `main` on the thread
///   of [`run`](crate::run()).
/// - Sockets and timers that wait on this worker are taken over by the others at once, unless
///   [`Builder::rescue`](crate::runtime::Builder::rescue) is off; but what else it has asked of the kernel, as
///   reads of files, is seen when the closure has ended.
/// - Who waits here for a [pipe](crate::io::pipe()) tries again elsewhere, and ends that were dropped are closed:
///   the closure may wait for what a goroutine does with the other end, if there is a worker left to run it.
///   (So before `run` begins wakers run here, and destructors of buffers whose calls were dropped: hold no lock
///   that those take.)
///
/// Outside of a worker (in `block_on`, in [`unblock`], on a thread of no runtime) it just runs `run`.
/// Calls may be nested. `Handle::block_on` stays refused inside; who waits for a channel or a lock has the calls of
/// the names `recv_blocking` and `lock_blocking`.
///
/// ```
/// use std::sync::mpsc;
///
/// gorin::runtime::Runtime::builder().workers(2).run(async {
///     let (tx, rx) = mpsc::channel();
///     gorin::go(async move { tx.send("from another worker") });
///     let text = gorin::block_in_place(|| rx.recv().unwrap());
///     assert_eq!(text, "from another worker");
/// }).unwrap();
/// ```
///
/// # Panics
/// Those of `run` are passed on.
pub fn block_in_place<R>(run: impl FnOnce() -> R) -> R {
    #[cfg(not(loom))]
    gorin_reactor::expect_block();
    gorin_executor::block_in_place(run)
}
