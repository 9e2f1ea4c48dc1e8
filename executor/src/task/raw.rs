//! The memory of a task: header, scheduler, join waker, and the future or its output.
//!
//! Invariants (numbers as in `state.rs`):
//! - The header is the first field of the cell, so that a pointer to the one is a pointer to the
//!   other; all other fields are reached through the vtable, whose functions know the types.
//! - Id, label, vtable and scheduler are written before the cell is shared and never
//!   again.
//! - `stage` belongs to the owner until completion (1), and then to the side that invariant 4 names.
//! - `join_waker` belongs to the side that invariant 3 names.
//! - No destructor and no `poll` of a user unwinds out of this file: a panic becomes the result of
//!   the task, or is reported.
//!
//! Must not: decide transitions (`state.rs` does) or where a task runs (the scheduler does).

use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

use gorin_base::primitive::UnsafeCell;
use gorin_base::{mishap, seeded};

use super::join::{JoinError, JoinHandle};
use super::label::Label;
use super::reference::{TaskOf, TaskRef, WAKER};
use super::state::{OnComplete, OnDetach, OnDrop, OnPause, OnStart, OnWake, State};
use super::{Payload, Readied, Schedule, Spec, TaskId, TaskInfo, TaskKind};

/// The part of the cell that does not depend on the future's type.
#[repr(C)]
pub(crate) struct Header {
    state: State,
    vtable: &'static Vtable,
    id: TaskId,
    label: Label,
}

impl Header {
    #[inline]
    pub(super) fn id(&self) -> TaskId {
        self.id
    }

    pub(super) fn info(&self) -> TaskInfo {
        let (site, name) = self.label.parts();
        TaskInfo {
            kind: self.vtable.kind,
            id: self.id,
            name,
            site,
        }
    }
}

/// The functions that know the types of future and scheduler, and what the latter says of its tasks.
struct Vtable {
    kind: TaskKind,
    /// Polls or cancels; the caller gives up ownership.
    run: unsafe fn(NonNull<Header>),
    /// Drops the future; the caller gives up ownership.
    cancel: unsafe fn(NonNull<Header>),
    /// Queues; the caller gives up ownership.
    schedule: unsafe fn(NonNull<Header>, Readied),
    /// Moves the output to the pointer, an `Option<Result<T, JoinError>>`.
    take_output: unsafe fn(NonNull<Header>, *mut ()),
    /// Drops the output if it is still there; reports the panic that nobody joined.
    drop_output: unsafe fn(NonNull<Header>),
    /// The field of the join waker.
    join_waker: unsafe fn(NonNull<Header>) -> NonNull<UnsafeCell<Option<Waker>>>,
    /// Frees the cell.
    free: unsafe fn(NonNull<Header>),
}

/// What is left of the future.
enum Stage<F: Future> {
    Future(F),
    Output(Result<F::Output, JoinError>),
    Gone,
}

#[repr(C)]
struct Cell<F: Future, S> {
    header: Header,
    scheduler: S,
    join_waker: UnsafeCell<Option<Waker>>,
    stage: UnsafeCell<Stage<F>>,
}

/// Allocates the cell, with one more reference if the scheduler registers its tasks: see
/// [`Registered`](super::Registered).
pub(crate) fn allocate<F, S>(
    spec: Spec,
    future: F,
    scheduler: S,
    site: &'static Location<'static>,
) -> (TaskOf<S>, JoinHandle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
    S: Schedule,
{
    // SAFETY: the future may go to any thread.
    unsafe { allocate_local(spec, future, scheduler, site) }
}

/// As [`allocate`], for a future that need not be `Send`.
///
/// # Safety
/// If it is not `Send`, whoever runs or drops the task's [`Runnable`](super::Runnable) must be on the
/// thread of this call: the scheduler must see to it. (The handle of an output that is not `Send`
/// cannot leave the thread by itself.)
pub(crate) unsafe fn allocate_local<F, S>(
    spec: Spec,
    future: F,
    scheduler: S,
    site: &'static Location<'static>,
) -> (TaskOf<S>, JoinHandle<F::Output>)
where
    F: Future + 'static,
    F::Output: 'static,
    S: Schedule,
{
    let cell = Box::new(Cell::<F, S> {
        header: Header {
            state: State::new(S::REGISTERS),
            vtable: Cell::<F, S>::VTABLE,
            id: TaskId::next(),
            label: Label::new(site, spec.name),
        },
        scheduler,
        join_waker: UnsafeCell::new(None),
        stage: UnsafeCell::new(Stage::Future(future)),
    });
    let task: NonNull<Header> = NonNull::from(Box::leak(cell)).cast();
    // SAFETY: a new task is owned by whoever built it.
    let runnable = unsafe { Cell::<F, S>::runnable(task) };
    (runnable, JoinHandle::new(RawTask(task)))
}

impl<F: Future, S: Schedule> Cell<F, S> {
    const VTABLE: &'static Vtable = &Vtable {
        kind: S::KIND,
        run: Self::run,
        cancel: Self::cancel,
        schedule: Self::schedule,
        take_output: Self::take_output,
        drop_output: Self::drop_output,
        join_waker: Self::join_waker,
        free: Self::free,
    };

    /// # Safety
    /// `task` must be a live cell of these types, and stay live for `'a`.
    unsafe fn of<'a>(task: NonNull<Header>) -> &'a Self {
        // SAFETY: by contract; the header is the first field, and only shared references to the
        // whole cell are ever made.
        unsafe { task.cast::<Self>().as_ref() }
    }

    /// # Safety
    /// The caller must be the owner; it is not afterwards.
    unsafe fn runnable(task: NonNull<Header>) -> TaskOf<S> {
        // SAFETY: the owner keeps the cell alive.
        let scheduler = NonNull::from(unsafe { &Self::of(task).scheduler });
        // SAFETY: by contract; the scheduler lies in the cell.
        unsafe { TaskOf::new(RawTask(task), scheduler) }
    }

    /// # Safety
    /// The caller must be the owner; it is not afterwards.
    #[inline]
    unsafe fn run(task: NonNull<Header>) {
        // SAFETY: the owner keeps the cell alive.
        let cell = unsafe { Self::of(task) };
        let result = match cell.header.state.start() {
            OnStart::Cancel => Err(JoinError::Cancelled),
            OnStart::Poll => match cell.poll_future(task) {
                Ok(Poll::Ready(output)) => Ok(output),
                Err(payload) => Err(JoinError::panicked(payload)),
                Ok(Poll::Pending) => match cell.header.state.pause() {
                    OnPause::Idle => return,
                    OnPause::Again => {
                        // SAFETY: still the owner; ownership goes with the runnable.
                        let runnable = unsafe { Self::runnable(task) };
                        return S::schedule(runnable, Readied::Yielded);
                    }
                    OnPause::Cancel => Err(JoinError::Cancelled),
                },
            },
        };
        // SAFETY: still the owner: only `Idle` and `schedule` gave ownership up.
        unsafe { Self::finish(task, result) };
    }

    /// Polls with a waker that borrows the owner's hold on the cell: no counting.
    fn poll_future(&self, task: NonNull<Header>) -> Result<Poll<F::Output>, Payload> {
        // SAFETY: the vtable's functions hold for a pointer to a live cell, and the reference that
        // they would drop is never counted: `ManuallyDrop` keeps the waker from being dropped.
        let waker = unsafe { Waker::new(task.as_ptr().cast_const().cast(), &WAKER) };
        let waker = ManuallyDrop::new(waker);
        let mut context = Context::from_waker(&waker);
        self.stage.with_mut(|stage| {
            // SAFETY: the owner alone has access to the stage (invariant 1).
            let Stage::Future(future) = (unsafe { &mut *stage }) else {
                unreachable!("an owned task that is not complete has its future");
            };
            // SAFETY: the future lies in the heap and is dropped in place, never moved.
            let future = unsafe { Pin::new_unchecked(future) };
            catch_unwind(AssertUnwindSafe(|| future.poll(&mut context)))
        })
    }

    /// # Safety
    /// The caller must be the owner; it is not afterwards.
    unsafe fn cancel(task: NonNull<Header>) {
        // SAFETY: by contract.
        unsafe { Self::finish(task, Err(JoinError::Cancelled)) };
    }

    /// Drops the future, stores the result and completes.
    ///
    /// Takes no `&self`: a reference that is an argument must outlive the call, and the cell may
    /// be freed in it.
    ///
    /// # Safety
    /// The caller must be the owner; it is not afterwards.
    unsafe fn finish(task: NonNull<Header>, result: Result<F::Output, JoinError>) {
        // SAFETY: the owner keeps the cell alive.
        let cell = unsafe { Self::of(task) };
        let state = &cell.header.state;
        cell.store_output(result);
        let mut dropped = !state.is_joinable();
        if dropped {
            cell.drop_stored_output();
        }
        cell.scheduler.finished(TaskRef::new(&cell.header));
        let free = loop {
            match state.complete(S::REGISTERS, dropped) {
                OnComplete::Unclaimed => {
                    cell.drop_stored_output();
                    dropped = true;
                }
                OnComplete::WakeJoiner => {
                    cell.wake_joiner();
                    break state.release_completed(S::REGISTERS);
                }
                OnComplete::Released => break false,
                OnComplete::Free => break true,
            }
        };
        if free {
            // SAFETY: the last reference is gone, and ownership with it (2).
            unsafe { Self::free(task) };
        }
    }

    /// Drops the future and puts `result` in its place; a panic of the future's destructor
    /// becomes the result.
    fn store_output(&self, result: Result<F::Output, JoinError>) {
        self.stage.with_mut(|stage| {
            // SAFETY: the owner alone has access to the stage (1). The value is dropped once: the
            // write below replaces it without dropping it.
            let drop_future = || unsafe { stage.drop_in_place() };
            let result = match catch_unwind(AssertUnwindSafe(drop_future)) {
                Ok(()) => result,
                Err(payload) => {
                    mishap::discard(result);
                    Err(JoinError::panicked(payload))
                }
            };
            // SAFETY: as above; what was there is dropped.
            unsafe { stage.write(Stage::Output(result)) };
        });
    }

    fn wake_joiner(&self) {
        // SAFETY: complete with JOIN_WAKER on, so the field is the completer's (3).
        let waker = self.join_waker.with_mut(|field| unsafe { (*field).take() });
        let Some(waker) = waker else { return };
        if seeded::bug("task.joiner_not_woken") {
            return;
        }
        // A foreign waker may panic; that must not take the worker down.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.scheduler.wake_joiner(waker))) {
            self.scheduler.panicked(TaskRef::new(&self.header), payload);
        }
    }

    /// Drops an output that nobody will take, and reports the panic in it, or of its destructor.
    fn drop_stored_output(&self) {
        let stage = self.stage.with_mut(|stage| {
            // SAFETY: the caller owns the output (4); a stage that is no future may move.
            unsafe { stage.replace(Stage::Gone) }
        });
        let payload = match stage {
            Stage::Output(Err(JoinError::Panic(payload))) => payload.into_inner(),
            Stage::Output(output) => match catch_unwind(AssertUnwindSafe(|| drop(output))) {
                Ok(()) => return,
                Err(payload) => payload,
            },
            Stage::Gone => return,
            Stage::Future(_) => unreachable!("the output is dropped after the future"),
        };
        self.scheduler.panicked(TaskRef::new(&self.header), payload);
    }

    /// # Safety
    /// The caller must be the owner; it is not afterwards.
    unsafe fn schedule(task: NonNull<Header>, readied: Readied) {
        // SAFETY: by contract; ownership goes with the runnable.
        S::schedule(unsafe { Self::runnable(task) }, readied);
    }

    /// # Safety
    /// The caller must be the join handle, and the task complete; `out` must point to an
    /// `Option<Result<F::Output, JoinError>>`.
    unsafe fn take_output(task: NonNull<Header>, out: *mut ()) {
        // SAFETY: the handle holds a reference.
        let cell = unsafe { Self::of(task) };
        let stage = cell.stage.with_mut(|stage| {
            // SAFETY: the output is the handle's (4); a stage that is no future may move.
            unsafe { stage.replace(Stage::Gone) }
        });
        let Stage::Output(output) = stage else {
            unreachable!("the output is taken once");
        };
        // SAFETY: by contract.
        unsafe { *out.cast::<Option<Result<F::Output, JoinError>>>() = Some(output) };
    }

    /// # Safety
    /// The caller must be the join handle, and the task complete.
    unsafe fn drop_output(task: NonNull<Header>) {
        // SAFETY: the handle holds a reference.
        unsafe { Self::of(task) }.drop_stored_output();
    }

    /// # Safety
    /// The cell must be alive.
    unsafe fn join_waker(task: NonNull<Header>) -> NonNull<UnsafeCell<Option<Waker>>> {
        // SAFETY: by contract.
        NonNull::from(&unsafe { Self::of(task) }.join_waker)
    }

    /// # Safety
    /// No reference and no owner may be left.
    unsafe fn free(task: NonNull<Header>) {
        // SAFETY: by contract.
        let cell = unsafe { Self::of(task) };
        // Nothing in production; under loom an access that is not over is reported.
        cell.stage.with_mut(|_| ());
        cell.join_waker.with_mut(|_| ());
        // SAFETY: the cell came from a `Box` of this type, and nobody else has it any more.
        drop(unsafe { Box::from_raw(task.cast::<Self>().as_ptr()) });
    }
}

/// A pointer to a cell; whoever holds one says by its wrapper what keeps the cell alive.
#[derive(Clone, Copy)]
pub(super) struct RawTask(NonNull<Header>);

impl RawTask {
    /// The header of the cell.
    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: every wrapper of a `RawTask` keeps the cell alive, and only shared references to
        // it exist.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    pub(super) fn state(&self) -> &State {
        &self.header().state
    }

    #[inline]
    pub(super) fn id(&self) -> TaskId {
        self.header().id
    }

    /// Wakes or aborts through a reference that stays.
    #[inline]
    pub(super) fn after_wake(self, outcome: OnWake) {
        match outcome {
            OnWake::Nothing => {}
            // SAFETY: the transition made the caller the owner.
            OnWake::Schedule => unsafe {
                (self.header().vtable.schedule)(self.0, Readied::Woken);
            },
            // SAFETY: the consumed reference was the last one, and there is no owner.
            OnWake::Free => unsafe { (self.header().vtable.free)(self.0) },
        }
    }

    pub(super) fn abort(self) {
        self.after_wake(self.state().abort());
    }

    /// # Safety
    /// The caller gives up one counted reference.
    pub(super) unsafe fn drop_reference(self) {
        self.after_drop(self.state().drop_reference());
    }

    fn after_drop(self, outcome: OnDrop) {
        match outcome {
            OnDrop::Alive => {}
            // SAFETY: the transition made the caller the owner.
            OnDrop::Schedule => unsafe {
                (self.header().vtable.schedule)(self.0, Readied::Woken);
            },
            // SAFETY: the last reference is gone, and there is no owner.
            OnDrop::Free => unsafe { (self.header().vtable.free)(self.0) },
        }
    }

    /// Detaches the join handle; `taken` says that it took the output.
    ///
    /// # Safety
    /// The caller must be the join handle, and gives itself up.
    pub(super) unsafe fn detach(self, taken: bool) {
        match self.state().detach() {
            OnDetach::Detached(outcome) => return self.after_drop(outcome),
            OnDetach::DropWaker => {
                // SAFETY: the transition took the field back from the completer (3).
                drop(unsafe { self.replace_join_waker(None) });
            }
            OnDetach::DropOutput if taken => {}
            // SAFETY: the caller is the join handle, and the task complete.
            OnDetach::DropOutput => unsafe { (self.header().vtable.drop_output)(self.0) },
        }
        // SAFETY: the handle's reference was not given up yet.
        unsafe { self.drop_reference() };
    }

    /// # Safety
    /// The field must be the caller's (3).
    pub(super) unsafe fn replace_join_waker(self, waker: Option<Waker>) -> Option<Waker> {
        // SAFETY: the caller keeps the cell alive.
        let field = unsafe { (self.header().vtable.join_waker)(self.0) };
        // SAFETY: it points into the cell.
        let field = unsafe { field.as_ref() };
        // SAFETY: by contract.
        field.with_mut(|field| unsafe { field.replace(waker) })
    }

    /// # Safety
    /// The caller must be the join handle of a task with output `T`, which is complete, and take
    /// the output once.
    pub(super) unsafe fn take_output<T>(self) -> Result<T, JoinError> {
        let mut output: Option<Result<T, JoinError>> = None;
        // SAFETY: by contract; `output` has the type that the vtable's function writes.
        unsafe { (self.header().vtable.take_output)(self.0, (&raw mut output).cast()) };
        output.expect("a complete task has its output")
    }

    pub(super) fn info(&self) -> TaskInfo {
        self.header().info()
    }

    /// The pointer that queues and wakers store.
    #[inline]
    pub(super) fn as_ptr(self) -> NonNull<Header> {
        self.0
    }

    /// # Safety
    /// `task` must come from [`as_ptr`](Self::as_ptr), and what keeps the cell alive must come with
    /// it.
    #[inline]
    pub(super) unsafe fn from_ptr(task: NonNull<Header>) -> RawTask {
        RawTask(task)
    }

    /// Polls, or drops the future if it was aborted.
    ///
    /// # Safety
    /// The caller must be the owner; it is not afterwards.
    #[inline]
    pub(super) unsafe fn run(self) {
        // SAFETY: by contract.
        unsafe { (self.header().vtable.run)(self.0) };
    }

    /// Drops the future.
    ///
    /// # Safety
    /// The caller must be the owner; it is not afterwards.
    pub(super) unsafe fn cancel(self) {
        // SAFETY: by contract.
        unsafe { (self.header().vtable.cancel)(self.0) };
    }
}
