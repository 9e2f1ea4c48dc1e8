//! The join handle: awaiting, aborting and detaching a goroutine.
//!
//! Invariants: the handle holds one reference from spawn to drop. It touches the join waker's field
//! only while `JOIN_WAKER` is clear (it clears the bit first), and the output only once the task is
//! complete (invariants 3 and 4 of `state.rs`).
//!
//! Must not: run user code under a lock, or let a panic of the output's destructor out of its drop.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use gorin_base::hook::{self, Access, Wait};
use gorin_base::primitive::unwinding;

use super::abort::{self, AbortHandle};
use super::raw::RawTask;
use super::reference::Counted;
use super::{Payload, TaskId};

/// What a report of a model checker calls a join. A poll does not know where the handle is awaited:
/// the report says which goroutine is waited for instead.
const JOIN: &str = "join";

/// This file, where a join is announced: an `.await` does not say where it stands, so that no report
/// should show it.
pub const JOIN_FILE: &str = file!();

/// Waits for a goroutine and takes its output.
///
/// Dropping the handle *detaches* the goroutine: it runs on, and its output is dropped; see
/// [`abort_on_drop`](JoinHandle::abort_on_drop) for the other kind. If it panics when nobody can
/// join it any more, the panic is reported on stderr with the goroutine's id, name and the place
/// where it was started.
///
/// What the goroutine did happens before `await` returns.
///
/// # Cancel safety
/// Dropping a pending `await` of `&mut handle` loses nothing.
///
/// # Panics
/// If it is polled again after it gave its result.
///
/// ```
/// # use gorin_executor::{Config, Executor, Spec};
/// # let executor = Executor::new(Config::default());
/// # let mut worker = executor.worker(0);
/// # futures::executor::block_on(worker.run_until(async {
/// let handle = gorin_executor::spawn(Spec::new(), async { 6 * 7 });
/// assert_eq!(handle.await.unwrap(), 42);
/// # }));
/// ```
pub struct JoinHandle<T> {
    task: RawTask,
    /// The output was given out.
    taken: bool,
    abort_on_drop: bool,
    /// The join waker was published before.
    registered: bool,
    /// A model checker was told that this waits.
    announced: bool,
    marker: PhantomData<T>,
}

// SAFETY: the handle moves a `T` to its thread, and otherwise uses the state word and what never
// changes.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: shared, it gives no access to the `T`.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// The handle of a new task; it takes over one reference.
    pub(super) fn new(task: RawTask) -> JoinHandle<T> {
        JoinHandle {
            task,
            taken: false,
            abort_on_drop: false,
            registered: false,
            announced: false,
            marker: PhantomData,
        }
    }

    /// Asks the goroutine to stop: its future is dropped at the await point where it is, on a
    /// worker, and never while it is being polled. Awaiting the handle then gives
    /// [`JoinError::Cancelled`], unless the goroutine had finished before.
    ///
    /// Returns at once. A goroutine that never awaits cannot be stopped.
    ///
    /// ```
    /// # use gorin_executor::{Config, Executor, Spec};
    /// # let executor = Executor::new(Config::default());
    /// # let mut worker = executor.worker(0);
    /// # futures::executor::block_on(worker.run_until(async {
    /// let handle = gorin_executor::spawn(Spec::new(), std::future::pending::<()>());
    /// handle.abort();
    /// assert!(handle.await.unwrap_err().is_cancelled());
    /// # }));
    /// ```
    #[track_caller]
    pub fn abort(&self) {
        abort::abort(self.task);
    }

    /// A handle that can abort the goroutine, and do nothing else, for somebody who does not join it.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle::new(Counted::new(self.task))
    }

    /// Makes this a handle whose drop aborts the goroutine instead of detaching it.
    #[must_use = "a handle that is dropped here aborts the goroutine at once"]
    pub fn abort_on_drop(mut self) -> JoinHandle<T> {
        self.abort_on_drop = true;
        self
    }

    /// The goroutine's number.
    pub fn id(&self) -> TaskId {
        self.task.id()
    }

    /// True once the goroutine has finished and its result can be had without waiting.
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        abort::is_finished(self.task)
    }

    /// What a model checker calls the task.
    fn object(&self) -> u64 {
        abort::object(self.task)
    }

    /// Tells a model checker that the join begins, before the state is looked at.
    #[cold]
    fn announce(&self) {
        if !self.announced {
            hook::waiting_step(JOIN, self.object(), Access::Take, Location::caller());
        }
    }

    /// Tells a model checker that the join waits, or that it waits no more.
    #[cold]
    fn announce_waiting(&mut self, waits: bool) {
        let (object, key) = (self.object(), 0);
        match waits {
            true => hook::parked(Wait {
                operation: JOIN,
                object,
                key,
                site: Location::caller(),
            }),
            false => hook::unparked(object, key),
        }
        self.announced = waits;
    }

    /// Stores `cx`'s waker where completion finds it; false if the task is complete.
    fn register(&mut self, cx: &Context<'_>) -> bool {
        if self.registered && !self.task.state().reclaim_join_waker() {
            return false;
        }
        self.registered = true;
        // SAFETY: the field was just reclaimed, or never published.
        let previous = unsafe { self.task.replace_join_waker(None) };
        let waker = match previous {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        // SAFETY: still the handle's: it is published below.
        drop(unsafe { self.task.replace_join_waker(Some(waker)) });
        self.task.state().publish_join_waker()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(
            !self.taken,
            "a JoinHandle was polled after it gave its result"
        );
        if hook::is_active() {
            self.announce();
        }
        if !self.task.state().is_complete() && self.register(cx) {
            if hook::is_active() && !self.announced {
                self.announce_waiting(true);
            }
            return Poll::Pending;
        }
        if self.announced {
            self.announce_waiting(false);
        }
        std::task::ready!(gorin_base::coop::poll_ready(cx));
        gorin_base::coop::spend();
        self.taken = true;
        // SAFETY: the task is complete, has an output of type `T`, and it is taken once.
        Poll::Ready(unsafe { self.task.take_output() })
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if unwinding() {
            return;
        }
        if self.announced {
            self.announce_waiting(false);
        }
        if self.abort_on_drop {
            self.abort();
        }
        // SAFETY: this is the handle, and it goes.
        unsafe { self.task.detach(self.taken) };
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id())
            .field("state", self.task.state())
            .finish()
    }
}

/// Why a goroutine, or a blocking closure, gave no output.
///
/// It is `Send` and `Sync`, so that `?` turns it into the error types of most programs.
#[derive(Debug)]
pub enum JoinError {
    /// It panicked with this payload.
    Panic(PanicPayload),
    /// It was aborted, or its runtime shut down.
    Cancelled,
}

impl JoinError {
    pub(super) fn panicked(payload: Payload) -> JoinError {
        JoinError::Panic(PanicPayload(payload))
    }

    /// True for [`JoinError::Panic`].
    pub fn is_panic(&self) -> bool {
        matches!(self, JoinError::Panic(_))
    }

    /// True for [`JoinError::Cancelled`].
    pub fn is_cancelled(&self) -> bool {
        matches!(self, JoinError::Cancelled)
    }

    /// What the panic carried, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    /// If the goroutine was cancelled.
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(_) => panic!("the goroutine was cancelled and has no panic payload"),
        }
    }

    /// What the panic carried, if it was one.
    ///
    /// # Errors
    /// The error itself if the goroutine was cancelled.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, JoinError> {
        match self {
            JoinError::Panic(payload) => Ok(payload.into_inner()),
            JoinError::Cancelled => Err(self),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panic(payload) => {
                let text = crate::report::message(&*payload.0);
                write!(f, "the goroutine panicked: {text}")
            }
            JoinError::Cancelled => f.write_str("the goroutine was cancelled"),
        }
    }
}

impl std::error::Error for JoinError {}

/// For `?` where [`std::io::Result`] is returned. The kind is `Other`: `Interrupted` would be retried
/// by those who repeat interrupted calls.
impl From<JoinError> for std::io::Error {
    fn from(error: JoinError) -> std::io::Error {
        std::io::Error::other(error)
    }
}

/// What a panic carried.
pub struct PanicPayload(Payload);

// SAFETY: shared, it gives access to the payload only if that is a `&str` or a `String`, which are
// `Sync`.
unsafe impl Sync for PanicPayload {}

impl PanicPayload {
    /// The text of the panic: what `panic!` was given.
    pub fn message(&self) -> Option<&str> {
        crate::report::text(&*self.0)
    }

    /// The payload itself, for [`std::panic::resume_unwind`].
    pub fn into_inner(self) -> Box<dyn Any + Send + 'static> {
        self.0
    }
}

impl fmt::Debug for PanicPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", crate::report::message(&*self.0))
    }
}
