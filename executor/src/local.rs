//! Goroutines that stay on the worker that started them, because their futures are not `Send`.
//!
//! ```text
//! woken on the worker's own thread ─► ready   (a plain queue, nobody else's)
//! woken on any other thread ────────► mailbox (a shared queue), and the worker is called
//! ```
//!
//! They are tasks like the others, in shards of the registry of their own, but their scheduler
//! knows one worker only.
//!
//! Invariants:
//! 1. A runnable local task is popped by its worker alone: the mailbox and `ready` have one consumer,
//!    on the thread that `spawn` was called on. So the future is polled and dropped there, and the
//!    output too, unless it is `Send` and a handle takes it elsewhere.
//! 2. Who puts a task into the mailbox then calls the worker, whose look at it comes after it sat
//!    down: the lock of the idle list orders the two, so that one of them sees the other.
//! 3. The worker does not go before its local tasks have: it aborts them, and waits for those that a
//!    waker on another thread owns right then and is about to put into the mailbox.
//!
//! Rejected: a queue in a thread-local of its own (tokio's `LocalSet`), which a second context on the
//! thread would hide. The LIFO slot, which others may steal.
//!
//! Must not: be reached by thieves, or let a [`Runnable`] go anywhere else.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::Location;
use std::task::Waker;

use concurrent_queue::ConcurrentQueue;
use gorin_base::primitive::{Arc, AtomicU64, AtomicUsize, Ordering, thread};
use gorin_base::seeded;

use crate::context::{self, Context, Desk, Doing};
use crate::executor::{Shared, UNLISTED};
use crate::task::{self, JoinHandle, Payload, Readied, Runnable, Schedule, Spec, TaskOf, TaskRef};
use crate::worker::Worker;

/// What the others see of a worker's local tasks.
pub(crate) struct Mailbox {
    /// Tasks that other threads have readied.
    readied: ConcurrentQueue<Runnable>,
    /// How many local tasks the worker has. Written and read by its thread, relaxed; atomic because
    /// it lies beside what the others read.
    live: AtomicUsize,
}

impl Mailbox {
    pub(crate) fn new() -> Mailbox {
        Mailbox {
            readied: ConcurrentQueue::unbounded(),
            live: AtomicUsize::new(0),
        }
    }

    /// How many local tasks live. For the worker's own thread.
    fn live(&self) -> usize {
        // Relaxed: see the field.
        self.live.load(Ordering::Relaxed)
    }

    /// For the worker's own thread.
    fn set_live(&self, live: usize) {
        // Relaxed: see the field.
        self.live.store(live, Ordering::Relaxed);
    }
}

/// Local tasks that can run; the worker's own.
#[derive(Default)]
pub(crate) struct Ready(RefCell<VecDeque<Runnable>>);

impl Ready {
    pub(crate) fn push(&self, task: Runnable) {
        self.0.borrow_mut().push_back(task);
    }

    /// The next one, those in the mailbox included.
    #[inline]
    pub(crate) fn pop(&self, mailbox: &Mailbox) -> Option<Runnable> {
        if mailbox.live() == 0 {
            return None;
        }
        let mut ready = self.0.borrow_mut();
        ready.extend(mailbox.readied.try_iter());
        ready.pop_front()
    }

    /// How many there are at most.
    #[inline]
    pub(crate) fn len(&self, mailbox: &Mailbox) -> usize {
        if mailbox.live() == 0 {
            return 0;
        }
        self.0.borrow().len() + mailbox.readied.len()
    }
}

/// The scheduler of a local task.
struct LocalScheduler {
    shared: Arc<Shared>,
    owner: usize,
    /// A [`Place`](crate::registry::Place). Written when the task is spawned and read when it ends,
    /// on the same thread.
    place: AtomicU64,
}

impl Schedule for LocalScheduler {
    const REGISTERS: bool = true;

    fn schedule(task: TaskOf<LocalScheduler>, _: Readied) {
        let owner = task.scheduler().owner;
        let shared = &task.scheduler().shared;
        match context::worker_of(shared) {
            Some(context) if context.index() == owner => context.ready_local(task.into_runnable()),
            _ => {
                let shared = shared.clone();
                shared.send_home(owner, task.into_runnable());
            }
        }
    }

    fn finished(&self, _: TaskRef<'_>) {
        // Relaxed: see the field.
        let place = self.place.load(Ordering::Relaxed);
        if place != UNLISTED {
            let mailbox = &self.shared.colleagues[self.owner].mailbox;
            mailbox.set_live(mailbox.live() - 1);
        }
        self.shared.finished(place);
    }

    fn wake_joiner(&self, joiner: Waker) {
        context::wake_joiner(&self.shared, joiner);
    }

    fn panicked(&self, task: TaskRef<'_>, payload: Payload) {
        self.shared.panicked(task, payload);
    }
}

impl Shared {
    /// Gives a local task to its worker, from another thread.
    fn send_home(&self, owner: usize, task: Runnable) {
        if seeded::bug("local.to_anyone") {
            return self.inject(task);
        }
        if let Err(refused) = self.colleagues[owner].mailbox.readied.push(task) {
            unreachable!("a mailbox is unbounded and never closed: {refused}");
        }
        if !seeded::bug("local.owner_not_called") {
            self.idle.call(owner);
        }
    }

    /// Worker `owner` as the registry's spawner of local tasks.
    fn local_spawner(&self, owner: usize) -> usize {
        self.colleagues.len() + 1 + owner
    }
}

impl Context {
    /// Takes over a local task of this worker, on its thread.
    fn ready_local(&self, task: Runnable) {
        let desk = self.desk();
        desk.ready.push(task);
        if desk.doing.get() == Doing::Nothing {
            self.get_up();
        }
    }
}

/// Starts a goroutine that stays on this thread's worker; its future need not be `Send`.
///
/// After [`Executor::stop`](crate::Executor::stop) the future is dropped at once.
///
/// # Panics
/// On a thread that is no worker.
#[track_caller]
pub fn spawn_local<F>(spec: Spec, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let Some(context) = context::top().filter(|context| context.is_worker()) else {
        no_worker()
    };
    let shared = context.shared();
    let owner = context.index();
    let scheduler = LocalScheduler {
        shared: shared.clone(),
        owner,
        place: AtomicU64::new(UNLISTED),
    };
    // SAFETY: invariant 1: this thread is the worker's, and will be; its scheduler gives the task to
    // nobody else.
    let allocated = unsafe { task::allocate_local(spec, future, scheduler, Location::caller()) };
    let (task, handle) = allocated;
    let place = shared
        .registry
        .insert(shared.local_spawner(owner), task.registered());
    match place {
        Some(place) => {
            let mailbox = &shared.colleagues[owner].mailbox;
            mailbox.set_live(mailbox.live() + 1);
            // Relaxed: see the field.
            task.scheduler()
                .place
                .store(place.to_bits(), Ordering::Relaxed);
            context.ready_local(task.into_runnable());
        }
        // Stopped: the task is cancelled, and its future dropped, here.
        None => drop(task),
    }
    handle
}

#[cold]
#[track_caller]
fn no_worker() -> ! {
    panic!(
        "a goroutine whose future is not `Send` can be started only on a worker of a gorin runtime, \
         where it stays: call this from a goroutine or from the future given to `run`. Elsewhere \
         (in `block_on`, `unblock`, a thread that entered a runtime) start it with `go`, which takes \
         a `Send` future, or let a goroutine start it"
    )
}

impl Worker {
    /// Drops the local tasks of a worker that goes, on its thread; starts no more.
    pub(crate) fn end_local_tasks(&self) {
        let shared = self.shared();
        let desk: &Desk = self.desk();
        let mailbox = &shared.colleagues[desk.index].mailbox;
        shared
            .registry
            .close_spawner(shared.local_spawner(desk.index));
        loop {
            while let Some(task) = desk.ready.pop(mailbox) {
                // Aborted, so that this drops its future.
                task.run();
            }
            if mailbox.live() == 0 || seeded::bug("local.end_in_haste") {
                return;
            }
            // A waker on another thread owns it and puts it into the mailbox in a moment.
            thread::yield_now();
        }
    }
}
