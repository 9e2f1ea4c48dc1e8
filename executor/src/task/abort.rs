//! [`AbortHandle`]: aborting a goroutine that somebody else joins, or nobody.
//!
//! Invariant: it is a counted reference and touches the state word and what never changes, so it may outlive
//! join handle and goroutine.
//!
//! What both handles do, and tell a model checker, stands here as functions of the task.
//!
//! Must not: take the output, or store a waker.

use std::fmt;
use std::panic::Location;

use gorin_base::hook::{self, Access};

use super::TaskId;
use super::raw::RawTask;
use super::reference::Counted;

/// What a model checker calls the task.
pub(super) fn object(task: RawTask) -> u64 {
    hook::task(task.id().get())
}

/// Aborts the goroutine.
#[track_caller]
pub(super) fn abort(task: RawTask) {
    hook::step("abort", object(task), Access::Write, Location::caller());
    task.abort();
}

/// Whether the goroutine has finished.
#[track_caller]
pub(super) fn is_finished(task: RawTask) -> bool {
    let site = Location::caller();
    hook::step("is_finished", object(task), Access::Read, site);
    task.state().is_complete()
}

/// Aborts a goroutine; made by [`JoinHandle::abort_handle`](super::JoinHandle::abort_handle).
///
/// Clones are handles to the same goroutine. Dropping one does nothing to it; while one lives, the memory of
/// the goroutine does.
///
/// ```
/// # use gorin_executor::{Config, Executor, Spec};
/// # let executor = Executor::new(Config::default());
/// # let mut worker = executor.worker(0);
/// # futures::executor::block_on(worker.run_until(async {
/// let handle = gorin_executor::spawn(Spec::new(), std::future::pending::<()>());
/// let abort = handle.abort_handle();
/// gorin_executor::spawn(Spec::new(), async move { abort.abort() });
/// assert!(handle.await.unwrap_err().is_cancelled());
/// # }));
/// ```
#[derive(Clone)]
pub struct AbortHandle {
    task: Counted,
}

impl AbortHandle {
    pub(super) fn new(task: Counted) -> AbortHandle {
        AbortHandle { task }
    }

    /// As [`JoinHandle::abort`](super::JoinHandle::abort). Of a goroutine that has finished it does nothing.
    #[track_caller]
    pub fn abort(&self) {
        abort(self.task.task());
    }

    /// The goroutine's number.
    pub fn id(&self) -> TaskId {
        self.task.task().id()
    }

    /// True once the goroutine has finished, by itself or by an abort.
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        is_finished(self.task.task())
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle")
            .field("id", &self.id())
            .field("state", self.task.task().state())
            .finish()
    }
}
