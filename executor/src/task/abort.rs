//! [`AbortHandle`]: aborting a goroutine that somebody else joins, or nobody.
//!
//! Invariant: it is a counted reference and touches the state word and what never changes, so it may outlive
//! join handle and goroutine.
//!
//! Must not: take the output, or store a waker.

use std::fmt;
use std::panic::Location;

use gorin_base::hook::{self, Access};

use super::TaskId;
use super::reference::Counted;

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
        hook::step("abort", self.object(), Access::Write, Location::caller());
        self.task.abort();
    }

    /// The goroutine's number.
    pub fn id(&self) -> TaskId {
        self.task.id()
    }

    /// True once the goroutine has finished, by itself or by an abort.
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        let site = Location::caller();
        hook::step("is_finished", self.object(), Access::Read, site);
        self.task.is_complete()
    }

    /// What a model checker calls the task.
    fn object(&self) -> u64 {
        hook::task(self.id().get())
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle")
            .field("id", &self.id())
            .field("finished", &self.task.is_complete())
            .finish()
    }
}
