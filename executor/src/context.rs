//! Which executor this thread works for, and how a worker readies a task.
//!
//! A stack per thread: [`Executor::worker`] and [`Executor::enter`] push an entry, their guards take
//! it away again, in any order; the topmost entry counts.
//!
//! Where a readied task goes, on its worker's own thread:
//!
//! | when | where | who is called |
//! |---|---|---|
//! | a goroutine is polled and wakes or spawns another | LIFO slot; what was there, to the ring | another worker, if something was displaced |
//! | a goroutine ends and wakes its joiner, and the ring has others | ring | another worker |
//! | a goroutine yields or woke itself | ring | another worker, if there was more to run already |
//! | the worker is in `block_in_place` | injector | another worker |
//! | it is local (`local.rs`) | its worker's own queue | this worker itself, if it sits |
//! | between polls (the reactor reaps) | ring | this worker itself, if it sits; [`Worker::run`] calls another if more came than it can do soon |
//!
//! Why a joiner goes behind what is ready: who awaits one goroutine after another would otherwise run
//! after each of them. With a thousand that were started together this was a switch, and five
//! read-modify-writes, for each; now it finds all complete that were ready with the first. So does the
//! main future (`main_future.rs`).
//!
//! Where CPUs are contended the other worker is called later ([`Worker::run`]).
//!
//! So neither a pair that plays ping-pong nor a goroutine that yields wakes a second worker.
//!
//! Must not: keep the thread-local borrowed while anything is called.
//!
//! [`Executor::worker`]: crate::Executor::worker
//! [`Executor::enter`]: crate::Executor::enter
//! [`Worker::run`]: crate::Worker::run

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use gorin_base::primitive::{Arc, Ordering, thread_local, unwinding};
use gorin_base::{clock, seeded};

use crate::executor::{Executor, Shared, count, spawn_on};
use crate::local::Ready;
use crate::run_queue::Owner;
use crate::task::{JoinHandle, Readied, Runnable, Spec};

/// How long the spare worker looks for what others may leave after it has relieved one. While all are stuck it
/// relieves one of them as often as that, and oftener while it has something to run.
const DUTY_TIME: Duration = Duration::from_millis(1);

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "loom's macro has no const form")]
    static STACK: RefCell<Vec<Rc<Context>>> = RefCell::new(Vec::new());
}

/// One entry of the stack.
pub(crate) struct Context {
    shared: Arc<Shared>,
    /// `None` for a thread that only entered.
    desk: Option<Desk>,
}

/// The worker's things that its wakers need, all on its own thread.
pub(crate) struct Desk {
    pub(crate) index: usize,
    pub(crate) queue: Owner,
    /// Local tasks that can run.
    pub(crate) ready: Ready,
    pub(crate) doing: Cell<Doing>,
    /// In this turn it calls nobody for what is in its ring: it will run that itself, or call later.
    pub(crate) quiet: Cell<bool>,
    /// Tasks that go before the main future.
    pub(crate) before_main: Cell<usize>,
    /// The worker's thread may be blocked: what it readies is for others.
    pub(crate) blocked: Cell<bool>,
    /// The worker sits on the idle list and was not called by this thread yet.
    pub(crate) seated: Cell<bool>,
    /// Until when the spare worker, which has relieved another one, looks for what others may leave.
    pub(crate) on_duty: Cell<Option<Instant>>,
}

/// What a worker does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It looks for a task, sits, or has given control away.
    Nothing,
    /// A task or the main future is being polled.
    Polling,
    /// The task that was polled is complete and wakes its joiner.
    Ending,
}

impl Desk {
    /// Tasks in the LIFO slot and the ring.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        self.queue.len() + usize::from(self.queue.has_lifo())
    }
}

impl Context {
    #[inline]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// True if it is a worker's, not only that of a thread that entered.
    pub(crate) fn is_worker(&self) -> bool {
        self.desk.is_some()
    }

    /// True if it is the spare worker's.
    pub(crate) fn is_spare(&self) -> bool {
        self.index() == self.shared.workers
    }

    /// The number of the worker.
    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.desk().index
    }

    /// The worker's things; the context must be a worker's.
    #[inline]
    pub(crate) fn desk(&self) -> &Desk {
        self.desk
            .as_ref()
            .expect("the context of a worker has a desk")
    }

    /// Takes over a task on the thread of its executor's worker.
    #[inline]
    pub(crate) fn ready(&self, task: Runnable, readied: Readied) {
        let desk = self.desk();
        if desk.blocked.get() && !seeded::bug("in_place.wakes_kept") {
            return self.shared.inject(task);
        }
        match (desk.doing.get(), readied) {
            (Doing::Ending, _) if !desk.queue.is_empty() => {
                self.push(task);
                self.call_colleague();
            }
            (Doing::Polling | Doing::Ending, Readied::Woken) => {
                if let Some(displaced) = desk.queue.put_lifo(task) {
                    self.push(displaced);
                    self.call_colleague();
                }
            }
            (Doing::Polling | Doing::Ending, Readied::Yielded) => {
                let more = desk.queued() > 0;
                self.push(task);
                if more {
                    self.call_colleague();
                }
            }
            (Doing::Nothing, _) => {
                self.push(task);
                self.get_up();
            }
        }
    }

    /// Takes over what is stuck behind a poll that does not come back on worker `hog`; called
    /// between polls. True if there was something.
    fn relieve(&self, hog: usize) -> bool {
        let desk = self.desk();
        let Some(colleague) = self
            .shared
            .colleagues
            .get(hog)
            .filter(|_| hog != desk.index)
        else {
            return false;
        };
        colleague.overdue.store(true, Ordering::Relaxed);
        self.shared.reliefs.fetch_add(1, Ordering::Relaxed);
        // Filling the LIFO slot calls nobody, since its owner takes it next.
        let next = colleague.stealer.steal_lifo();
        let stuck = next.is_some();
        if let Some(next) = next {
            count(&self.shared.colleagues[desk.index].steals);
            self.push(next);
            self.get_up();
        }
        let more = colleague.stealer.has_tasks();
        if more {
            self.shared.idle.call_one();
        }
        if self.is_spare() && self.shared.has_visible_work() {
            desk.on_duty.set(Some(clock::now() + DUTY_TIME));
            self.get_up();
        }
        stuck || more
    }

    /// Has another worker look for what this one, which runs, has put into its ring.
    #[inline]
    pub(crate) fn call_colleague(&self) {
        // Alone it has nobody to call, and a fence costs as much as all the rest of a push.
        if self.shared.colleagues.len() > 1 && !self.desk().quiet.get() {
            self.shared.idle.call_one();
        }
    }

    /// Puts a task at the back of the ring.
    #[inline]
    pub(crate) fn push(&self, task: Runnable) {
        self.desk()
            .queue
            .push(task, |overflow| self.shared.injector.append(overflow));
    }

    /// Wakes this very worker, if it sits.
    #[inline]
    pub(crate) fn get_up(&self) {
        let desk = self.desk();
        if desk.seated.replace(false) {
            self.shared.idle.call(desk.index);
        }
    }
}

/// This thread's topmost entry.
#[inline]
pub(crate) fn top() -> Option<Rc<Context>> {
    // No entry while the thread's locals are being destroyed: wakers may be used there.
    STACK
        .try_with(|stack| stack.borrow().last().cloned())
        .ok()
        .flatten()
}

/// The context of this thread if it is a worker of `shared`.
#[inline]
pub(crate) fn worker_of(shared: &Arc<Shared>) -> Option<Rc<Context>> {
    top().filter(|context| context.desk.is_some() && Arc::ptr_eq(&context.shared, shared))
}

/// Wakes the joiner of a task of `shared` that is complete; on a worker it goes behind what is ready.
pub(crate) fn wake_joiner(shared: &Arc<Shared>, joiner: Waker) {
    if let Some(context) = worker_of(shared) {
        context.desk().doing.set(Doing::Ending);
    }
    joiner.wake();
}

/// An entry of this thread's stack; it goes when this is dropped.
pub(crate) struct Entry {
    context: Rc<Context>,
}

impl Entry {
    pub(crate) fn new(shared: &Arc<Shared>, worker: Option<(usize, Owner)>) -> Entry {
        let context = Rc::new(Context {
            shared: shared.clone(),
            desk: worker.map(|(index, queue)| Desk {
                index,
                queue,
                ready: Ready::default(),
                doing: Cell::new(Doing::Nothing),
                quiet: Cell::new(false),
                before_main: Cell::new(0),
                blocked: Cell::new(false),
                seated: Cell::new(false),
                on_duty: Cell::new(None),
            }),
        });
        let pushed = STACK.try_with(|stack| stack.borrow_mut().push(context.clone()));
        // While the thread's locals are being destroyed: who only enters may go on with what needs no entry.
        assert!(
            pushed.is_ok() || context.desk.is_none(),
            "a thread whose locals are being destroyed can be no worker"
        );
        Entry { context }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if unwinding() {
            return;
        }
        // `Err`: the thread's locals are gone, and the entry with them.
        let removed = STACK.try_with(|stack| {
            let mut stack = stack.borrow_mut();
            let place = stack
                .iter()
                .rposition(|entry| Rc::ptr_eq(entry, &self.context));
            place.map(|place| stack.remove(place))
        });
        drop(removed);
    }
}

/// While it lives, [`spawn`] and [`current`] on this thread refer to an executor; see
/// [`Executor::enter`](crate::Executor::enter).
#[must_use = "dropping the guard leaves the executor"]
pub struct EnterGuard {
    /// Declared first: the entry goes before the handle.
    _entry: Entry,
    executor: Executor,
}

impl EnterGuard {
    pub(crate) fn new(executor: Executor) -> EnterGuard {
        EnterGuard {
            _entry: Entry::new(executor.shared(), None),
            executor,
        }
    }
}

impl std::fmt::Debug for EnterGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("EnterGuard").field(&self.executor).finish()
    }
}

/// The executor of this worker thread, or of the innermost [`EnterGuard`] on this thread.
pub fn current() -> Option<Executor> {
    top().map(|context| Executor::of(&context.shared))
}

/// True on a worker whose executor was stopped: who runs here is about to be dropped.
pub fn is_ending() -> bool {
    top().is_some_and(|context| context.is_worker() && context.shared.is_stopped())
}

/// For a worker that finds, between polls of its future, that worker `hog` of the same executor is
/// stuck in one poll: takes the goroutine in the LIFO slot there, which nobody else would take, and
/// calls a worker if there are more; its turn ends with that poll. True if there was something to
/// take over.
///
/// On a thread that is no worker it does nothing.
pub fn relieve(hog: usize) -> bool {
    top().is_some_and(|context| context.desk.is_some() && context.relieve(hog))
}

/// Starts a goroutine on the current executor; see [`Executor::spawn`](crate::Executor::spawn).
///
/// # Panics
/// On a thread that is neither a worker nor inside [`Executor::enter`](crate::Executor::enter).
#[track_caller]
pub fn spawn<F>(spec: Spec, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let Some(context) = top() else { no_executor() };
    let worker = context.desk.is_some().then_some(&*context);
    spawn_on(&context.shared, worker, spec, future, Location::caller())
}

#[cold]
#[track_caller]
fn no_executor() -> ! {
    panic!(
        "a goroutine can be started only inside a gorin runtime: call this from a goroutine or from \
         the future given to `gorin::run`, or enter a runtime on this thread first (`Handle::enter`)"
    )
}
