//! The kinds of reference to a task, and its wakers; the table of them is in `task/mod.rs`.
//!
//! Each type here wraps the same pointer, and says what keeps the cell alive: ownership, a counted
//! reference, or a borrow.
//!
//! Must not: touch the cell's fields; `raw.rs` does.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable};

use gorin_base::primitive::unwinding;

use super::raw::{Header, RawTask};
use super::{Schedule, TaskId, TaskInfo};

/// A task that can run: the right and the duty to poll it. Dropping it drops the future, as if the
/// task had been aborted.
#[must_use = "dropping it cancels the task"]
pub struct Runnable(RawTask);

// SAFETY: the right to poll may move between threads: `build` asks for a `Send` future, and the
// executor's local tasks are kept on their thread by their scheduler.
unsafe impl Send for Runnable {}
// SAFETY: shared, it gives access to what never changes only.
unsafe impl Sync for Runnable {}

impl Runnable {
    /// Polls the future once, or drops it if the task was aborted.
    ///
    /// A panic of the future becomes the result of the task. What happens next is the state's
    /// business: idle, or given to the scheduler again, or complete.
    #[inline]
    pub fn run(self) {
        let task = ManuallyDrop::new(self).0;
        // SAFETY: the runnable is the ownership, and `ManuallyDrop` gives it up here.
        unsafe { task.run() };
    }

    /// Which goroutine it is.
    pub fn info(&self) -> TaskInfo {
        self.0.info()
    }

    /// Its number.
    #[inline]
    pub fn id(&self) -> TaskId {
        self.0.id()
    }

    /// The pointer a queue stores; ownership goes with it.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// # Safety
    /// `task` must come from [`into_raw`](Self::into_raw), once.
    #[inline]
    pub(crate) unsafe fn from_raw(task: NonNull<Header>) -> Runnable {
        // SAFETY: by contract; ownership keeps the cell alive.
        Runnable(unsafe { RawTask::from_ptr(task) })
    }
}

impl Drop for Runnable {
    fn drop(&mut self) {
        if unwinding() {
            return;
        }
        // SAFETY: the runnable is the ownership, and it goes.
        unsafe { self.0.cancel() };
    }
}

impl fmt::Debug for Runnable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Runnable({})", self.info())
    }
}

/// A runnable task together with the scheduler that lives in it.
///
/// The scheduler can be looked at only until the task is given away: another thread may run and
/// free it from then on. A scheduler that needs itself longer clones what it needs first.
pub struct TaskOf<S> {
    runnable: Runnable,
    scheduler: NonNull<S>,
}

// SAFETY: a `Runnable` is `Send`, and the scheduler is only shared, which `Schedule: Sync` allows.
unsafe impl<S: Schedule> Send for TaskOf<S> {}

impl<S: Schedule> TaskOf<S> {
    /// # Safety
    /// The caller must own `task`, in whose cell `scheduler` lies, and gives it up.
    pub(super) unsafe fn new(task: RawTask, scheduler: NonNull<S>) -> TaskOf<S> {
        TaskOf {
            runnable: Runnable(task),
            scheduler,
        }
    }

    /// The reference that the registry keeps. To be called once, by a scheduler that registers.
    pub(crate) fn registered(&self) -> Registered {
        debug_assert!(S::REGISTERS, "the reference must have been counted");
        Registered(self.runnable.0)
    }

    /// The scheduler that the task was built with.
    #[inline]
    pub fn scheduler(&self) -> &S {
        // SAFETY: the runnable keeps the cell alive, and the scheduler is written once.
        unsafe { self.scheduler.as_ref() }
    }

    /// The task alone.
    #[inline]
    pub fn into_runnable(self) -> Runnable {
        self.runnable
    }
}

impl<S> fmt::Debug for TaskOf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.runnable.fmt(f)
    }
}

/// The reference of the registration, which the task itself gives up when it completes: completing
/// and releasing are one step then. It must be thrown away, which does nothing, before
/// [`Schedule::finished`] returns.
pub(crate) struct Registered(RawTask);

// SAFETY: it gives access to the state word and to what never changes only.
unsafe impl Send for Registered {}

impl Registered {
    /// One more reference, which is its holder's own.
    pub(crate) fn count(&self) -> Counted {
        Counted::new(self.0)
    }

    pub(crate) fn info(&self) -> TaskInfo {
        self.0.info()
    }

    #[inline]
    pub(crate) fn id(&self) -> TaskId {
        self.0.id()
    }
}

/// A counted reference that can abort.
pub(crate) struct Counted(RawTask);

// SAFETY: it gives access to the state word and to what never changes only; the last reference may free
// the cell on any thread, as the last waker may.
unsafe impl Send for Counted {}
// SAFETY: as above; aborting is a transition of the state word.
unsafe impl Sync for Counted {}

impl Counted {
    /// One more reference, for who has one.
    pub(super) fn new(task: RawTask) -> Counted {
        task.state().add_reference();
        Counted(task)
    }

    pub(crate) fn abort(&self) {
        self.0.abort();
    }

    /// The task, which lives at least as long as this.
    pub(super) fn task(&self) -> RawTask {
        self.0
    }
}

impl Clone for Counted {
    fn clone(&self) -> Counted {
        Counted::new(self.0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if unwinding() {
            return;
        }
        // SAFETY: its own reference goes with it.
        unsafe { self.0.drop_reference() };
    }
}

/// A borrowed task: what never changes about it.
#[derive(Clone, Copy)]
pub struct TaskRef<'a>(&'a Header);

impl<'a> TaskRef<'a> {
    pub(super) fn new(header: &'a Header) -> TaskRef<'a> {
        TaskRef(header)
    }

    /// Its number.
    #[inline]
    pub fn id(&self) -> TaskId {
        self.0.id()
    }

    /// What reports say about it.
    pub fn info(&self) -> TaskInfo {
        self.0.info()
    }
}

impl fmt::Debug for TaskRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskRef({})", self.info())
    }
}

/// Wakers of tasks: the data pointer is the header, and each waker is one counted reference.
pub(super) static WAKER: RawWakerVTable =
    RawWakerVTable::new(clone_waker, wake, wake_by_ref, drop_waker);

/// The task of a waker's data pointer.
///
/// # Safety
/// `data` must come from a waker of this file.
#[inline]
unsafe fn task_of(data: *const ()) -> RawTask {
    // SAFETY: by contract it points to a header.
    let header = unsafe { NonNull::new_unchecked(data.cast_mut().cast()) };
    // SAFETY: the waker's reference keeps the cell alive.
    unsafe { RawTask::from_ptr(header) }
}

#[inline]
unsafe fn clone_waker(data: *const ()) -> RawWaker {
    // SAFETY: only this file's vtable calls this.
    unsafe { task_of(data) }.state().add_reference();
    RawWaker::new(data, &WAKER)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: only this file's vtable calls this.
    let task = unsafe { task_of(data) };
    task.after_wake(task.state().wake_by_value());
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: only this file's vtable calls this.
    let task = unsafe { task_of(data) };
    task.after_wake(task.state().wake_by_ref());
}

unsafe fn drop_waker(data: *const ()) {
    if unwinding() {
        return;
    }
    // SAFETY: only this file's vtable calls this.
    let task = unsafe { task_of(data) };
    // SAFETY: the waker's reference goes with it.
    unsafe { task.drop_reference() };
}
