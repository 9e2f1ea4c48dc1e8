//! A worker: the future that finds goroutines and polls them.
//!
//! One *turn* is one poll of that future. It runs goroutines until
//! - [`TURN_POLLS`] polls are done, or about [`TURN_TIME`](crate::pace::TURN_TIME) has passed (twice as much
//!   if many are ready), or
//! - another worker says that this one was stuck in a poll, or
//! - the worker has run dry after work, so that what the goroutines asked for is submitted and what
//!   has arrived is seen before anybody searches or sleeps;
//!
//! then it wakes itself and returns `Pending`, and whoever polls it (the reactor's `block_on`) gets
//! control. A turn that finds nothing at all searches, and then sits down on the idle list.
//!
//! The order: LIFO slot (at most [`LIFO_POLLS`] polls in a row while the ring has tasks, so that a
//! pair that wakes each other shares the worker; counted across turns, because a turn may be a single
//! long poll) → ring → injector → others' rings → injector again → others' LIFO slots. Every [`TURN_POLLS`] polls the injector goes
//! first, and the worker takes a share of it, as far as its ring has room: then those that are woken
//! again and again overflow into the injector, half a ring at a time, and all go round. One at a time was
//! not enough: of 1,000 connections in a closed loop 200 were served at once, and the others after a
//! tenth of a second.
//!
//! Where CPUs are contended ([`Width`](gorin_base::width::Width)) a worker calls nobody for what is in
//! its ring until that has not run dry for [`QUIET_TIME`]: who is called takes the CPU from somebody.
//!
//! For what the reactor has brought another worker is called only if that is worth it: `worth.rs`.
//!
//! The spare worker ([`Config::spare`](crate::Config::spare)) runs what becomes ready on its own thread and
//! nothing else, until it [relieves](crate::relieve) another one: then it is on duty, and looks at all queues
//! until they are empty, or for a millisecond. It sits down without being on the idle list. What is left on its
//! own queue at the end of a turn in which it is not on duty goes to the others: goroutines that yield again
//! and again made it one worker more for good.
//!
//! Every second poll is a local task's (`local.rs`), if one is ready.
//!
//! The main future of [`Worker::run_until`] goes before the tasks when it was woken, and behind all
//! that are ready when it woke itself, or was woken by the end of a task that it awaits.
//!
//! Invariants:
//! - `searching` is true exactly while this worker is counted as a searcher in `idle.rs`.
//! - Whoever drops the future in the middle leaves the worker up and not searching.
//!
//! Must not: sleep, or know who polls it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use gorin_base::primitive::{Arc, Ordering, spin_loop, unwinding};
use gorin_base::{coop, rng, seeded};

use crate::context::{Desk, Doing, Entry};
use crate::executor::{Colleague, Executor, Shared, count};
use crate::idle::Stood;
use crate::main_future::{Main, UntilMain, UntilOver};
use crate::pace::{Pace, TURN_POLLS};
use crate::run_queue::{CAPACITY, Owner};
use crate::task::Runnable;
use crate::worth::Worth;

/// How long a worker that has not run dry calls nobody where CPUs are contended.
const QUIET_TIME: Duration = Duration::from_millis(1);

/// Polls in a row from the LIFO slot while the ring has tasks.
const LIFO_POLLS: u32 = 3;

/// Looks at all queues in one search. Between them the searcher spins a little: a task is often
/// pushed just after a worker has run dry, and sleeping costs more than all of this.
const SEARCH_ROUNDS: u32 = if cfg!(loom) { 1 } else { 4 };

/// Spins after the first round of a search, and twice as many after each further one.
const SEARCH_SPINS: u32 = if cfg!(loom) { 0 } else { 8 };

/// How long a worker must stay in one poll, in spins, before its LIFO slot is stolen.
const LIFO_SPINS: u32 = if cfg!(loom) { 0 } else { 100 };

/// The owner's side of one worker; see [`Executor::worker`].
///
/// It stays on its thread: that thread's `spawn` and wakes use its queue. When it is dropped, what
/// is in its queue goes to the other workers, and its local goroutines are dropped.
pub struct Worker {
    /// Declared first: the entry goes before the handle.
    entry: Entry,
    executor: Executor,
    searching: bool,
    /// The last turn ended on the idle list.
    sat: bool,
    /// Tasks polled, for the injector's turn.
    tick: u32,
    /// Polls in a row from the LIFO slot.
    lifo_streak: u32,
    /// The first turn since the worker has run dry; `None` if it is dry.
    busy_since: Option<Instant>,
    worth: Worth,
}

impl Worker {
    pub(crate) fn new(executor: Executor, index: usize, owner: Owner) -> Worker {
        Worker {
            worth: Worth::new(executor.shared().relieved),
            entry: Entry::new(executor.shared(), Some((index, owner))),
            executor,
            searching: false,
            sat: false,
            tick: 0,
            lifo_streak: 0,
            busy_since: None,
        }
    }

    /// Runs goroutines; ready once the executor was stopped and no goroutine lives.
    ///
    /// # Cancel safety
    /// Goroutines stay where they are when the future is dropped; another `run` goes on.
    pub fn run(&mut self) -> impl Future<Output = ()> {
        let settled = Settled(self);
        poll_fn(move |cx| settled.0.turn(cx, &mut UntilOver))
    }

    /// Runs goroutines and polls `main` beside them; ready when `main` is. `main` need not be
    /// `Send` or `'static`, since it stays on this thread. Goroutines that still live then go on
    /// with the next `run`, or on other workers.
    ///
    /// # Panics
    /// If `main` panics, and with the payload of a goroutine's panic that nobody could join under
    /// [`PanicPolicy::Crash`](crate::PanicPolicy::Crash).
    ///
    /// # Cancel safety
    /// Dropping it drops `main`; goroutines stay where they are.
    pub fn run_until<F: Future>(&mut self, main: F) -> impl Future<Output = F::Output> {
        let settled = Settled(self);
        async move {
            let settled = settled;
            let index = settled.0.desk().index;
            let main = pin!(main);
            let mut main = UntilMain::new(main, settled.0.shared(), index);
            poll_fn(|cx| settled.0.turn(cx, &mut main)).await;
            main.into_output()
        }
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.executor.shared()
    }

    /// What the others see of this worker.
    #[inline]
    fn colleague(&self) -> &Colleague {
        &self.shared().colleagues[self.desk().index]
    }

    #[inline]
    pub(crate) fn desk(&self) -> &Desk {
        self.entry.context().desk()
    }

    /// One turn; see the module text.
    fn turn(&mut self, cx: &mut Context<'_>, main: &mut impl Main) -> Poll<()> {
        self.stand_up();
        let mut pace = Pace::new(self.desk().queued());
        self.keep_quiet(pace.started());
        self.share(pace.started());
        loop {
            let main_due = main.is_due(self.shared());
            if main_due && self.desk().before_main.get() == 0 {
                self.stop_searching();
                if self.poll_main(main) {
                    return Poll::Ready(());
                }
            } else if let Some(task) = self.next(pace.is_fresh() && !main_due) {
                let before_main = &self.desk().before_main;
                before_main.set(before_main.get().saturating_sub(1));
                self.stop_searching();
                self.poll_task(task);
            } else if main_due {
                self.desk().before_main.set(0);
                continue;
            } else if !pace.is_fresh() {
                // Run dry after work.
                self.busy_since = None;
                break;
            } else if self.sit_down(cx, main) {
                return Poll::Pending;
            } else {
                continue;
            }
            let over = pace.count();
            if self.worth.polled(pace.poll_time(), self.desk().queue.len()) {
                self.entry.context().call_colleague();
            }
            if over || self.is_overdue() {
                break;
            }
        }
        self.end_duty(pace.started());
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Where CPUs are contended, another worker is called only for what has waited for some time.
    fn keep_quiet(&mut self, now: Instant) {
        if self.desk().queued() == 0 {
            self.busy_since = None;
        }
        let since = *self.busy_since.get_or_insert(now);
        let quiet =
            now.duration_since(since) < QUIET_TIME && self.shared().width.limit(now).is_some();
        self.desk().quiet.set(quiet);
    }

    /// Calls another worker if the reactor has brought more than this one can do soon.
    fn share(&mut self, now: Instant) {
        // Relaxed: see the field.
        let reliefs = self.shared().reliefs.load(Ordering::Relaxed);
        if self.worth.begin(now, self.desk().queued(), reliefs) {
            self.entry.context().call_colleague();
        }
    }

    /// At the end of a turn that began at `now`: the spare worker gives away what is left, unless it is on duty.
    fn end_duty(&self, now: Instant) {
        let on_duty = &self.desk().on_duty;
        if on_duty.get().is_some_and(|until| until <= now) {
            on_duty.set(None);
        }
        if !self.helps() {
            self.entry.context().hand_over();
        }
    }

    /// True once if another worker has found this one stuck: what waits for the turn's end has waited
    /// long, though the pace may not look at the clock for many polls.
    #[inline]
    fn is_overdue(&self) -> bool {
        let overdue = &self.colleague().overdue;
        let seen = overdue.load(Ordering::Relaxed);
        if seen {
            overdue.store(false, Ordering::Relaxed);
        }
        seen
    }

    /// True if main is done. If it woke itself, what is ready now goes first.
    fn poll_main(&mut self, main: &mut impl Main) -> bool {
        let polling = Polling::new(self.desk());
        let done = coop::with_budget(|| main.poll());
        drop(polling);
        if main.is_due(self.shared()) {
            // One more than is here: something may wait in the injector.
            let local = self.desk().ready.len(&self.colleague().mailbox);
            self.desk()
                .before_main
                .set(1 + self.desk().queued() + local);
        }
        done
    }

    fn poll_task(&mut self, task: Runnable) {
        self.tick = self.tick.wrapping_add(1);
        count(&self.colleague().polls);
        let polled = &self.colleague().polled;
        polled.store(task.id().get(), Ordering::Relaxed);
        let polling = Polling::new(self.desk());
        coop::with_budget(|| task.run());
        drop(polling);
        self.colleague().polled.store(0, Ordering::Relaxed);
    }

    /// The next task; searches for one only if `search`.
    fn next(&mut self, search: bool) -> Option<Runnable> {
        if self.tick.is_multiple_of(TURN_POLLS)
            && let Some(task) = self.take_injected()
        {
            self.tick = 1;
            if !self.desk().queue.is_empty() {
                // Ours have to wait for a stranger: others may take them.
                self.entry.context().call_colleague();
            }
            return Some(task);
        }
        if self.tick.is_multiple_of(2)
            && let Some(task) = self.next_local()
        {
            return Some(task);
        }
        if self.lifo_streak < LIFO_POLLS
            && let Some(task) = self.desk().queue.take_lifo()
        {
            self.lifo_streak += 1;
            return Some(task);
        }
        if let Some(task) = self.desk().queue.pop() {
            self.lifo_streak = 0;
            return Some(task);
        }
        if let Some(task) = self.desk().queue.take_lifo() {
            return Some(task);
        }
        if let Some(task) = self.take_injected().or_else(|| self.next_local()) {
            return Some(task);
        }
        if search { self.search() } else { None }
    }

    /// Takes this worker's share of the injector, as far as the ring has room for it, and returns the
    /// first task.
    fn take_injected(&self) -> Option<Runnable> {
        let shared = self.shared();
        if !self.helps() {
            return None;
        }
        let workers = shared.workers;
        let queued = self.desk().queue.len();
        // The one that is returned needs no room.
        let most = match queued > 0 && seeded::bug("worker.one_at_a_time") {
            true => 1,
            false => (CAPACITY - queued).min(CAPACITY / 2 - 1) + 1,
        };
        let share = |all: usize| all.div_ceil(workers).min(most);
        let mut first = None;
        // From the one queue to the other under the lock: who looks at both misses none.
        shared.injector.take(share, |task| match &first {
            None => first = Some(task),
            Some(_) => self
                .desk()
                .queue
                .push(task, |_| unreachable!("others only make room in the ring")),
        });
        first
    }

    /// Whether it takes what is for all, and what others have: the spare worker does while it is on duty.
    #[inline]
    fn helps(&self) -> bool {
        !self.entry.context().is_spare() || self.desk().on_duty.get().is_some()
    }

    /// The next task that no other worker may run.
    #[inline]
    fn next_local(&self) -> Option<Runnable> {
        self.desk().ready.pop(&self.colleague().mailbox)
    }

    /// Becomes a searcher, if that is allowed, and looks at the others' queues.
    fn search(&mut self) -> Option<Runnable> {
        if self.shared().colleagues.len() < 2 || !self.helps() {
            return None;
        }
        self.searching = self.searching || self.shared().idle.try_search();
        if !self.searching {
            return None;
        }
        (0..SEARCH_ROUNDS)
            .find_map(|round| {
                let task = self.steal(|victim| victim.stealer.steal_into(&self.desk().queue));
                let task = task.or_else(|| self.take_injected());
                if task.is_none() {
                    spin(SEARCH_SPINS << round);
                }
                task
            })
            .or_else(|| self.steal(Colleague::steal_lifo_if_stuck))
    }

    /// Tries all other workers, beginning anywhere.
    fn steal(&self, from: impl Fn(&Colleague) -> Option<Runnable>) -> Option<Runnable> {
        let colleagues = &self.shared().colleagues;
        let me = self.desk().index;
        let (before, behind) = colleagues.split_at(rng::below(colleagues.len()));
        let task = behind
            .iter()
            .chain(before)
            .filter(|victim| !std::ptr::eq(*victim, &colleagues[me]))
            .find_map(from)?;
        count(&self.colleague().steals);
        Some(task)
    }

    /// Ends the search after work was found, and calls the next worker if there is more.
    #[inline]
    fn stop_searching(&mut self) {
        if !std::mem::take(&mut self.searching) {
            return;
        }
        let shared = self.shared();
        let more = shared.idle.stop_search() && shared.has_visible_work();
        if more && !seeded::bug("worker.searcher_calls_nobody") {
            shared.idle.call_one();
        }
    }

    /// Sits down on the idle list; false if there is something to do after all.
    fn sit_down(&mut self, cx: &Context<'_>, main: &impl Main) -> bool {
        let waker = cx.waker().clone();
        let searching = std::mem::take(&mut self.searching);
        self.sat = true;
        self.desk().seated.set(true);
        let work = self.sit(waker, searching) && !seeded::bug("worker.no_look_after_sitting");
        let local = self.desk().ready.len(&self.colleague().mailbox) > 0
            && !seeded::bug("local.no_look_after_sitting");
        if !work && !local && !main.is_due(self.shared()) {
            return true;
        }
        self.stand_up();
        if work && !self.searching {
            // Seen, so it is taken whatever the number of searchers: nobody sits beside work.
            self.shared().idle.start_search();
            self.searching = true;
        }
        false
    }

    /// Puts it on the idle list; true if there is work for it then.
    fn sit(&self, waker: Waker, searching: bool) -> bool {
        let (shared, index) = (self.shared(), self.desk().index);
        if self.entry.context().is_spare() {
            self.desk().on_duty.set(None);
            let has_work = || shared.has_visible_work();
            shared.idle.sit_as_spare(index, waker, searching, has_work);
            return false;
        }
        shared.idle.sit(index, waker, searching);
        shared.has_visible_work()
    }

    /// Gets up if it sat.
    fn stand_up(&mut self) {
        if std::mem::take(&mut self.sat) {
            self.desk().seated.set(false);
            let stood = self.shared().idle.stand(self.desk().index);
            self.searching = stood == Stood::Searching;
        }
    }
}

impl Colleague {
    /// Takes the task from the LIFO slot, if the worker stays in one poll: otherwise it is about to
    /// run that task itself.
    fn steal_lifo_if_stuck(&self) -> Option<Runnable> {
        if !self.stealer.has_lifo() {
            return None;
        }
        // Relaxed: a guess; a wrong one costs a migration.
        let before = self.polls.load(Ordering::Relaxed);
        spin(LIFO_SPINS);
        if self.polls.load(Ordering::Relaxed) != before {
            return None;
        }
        self.stealer.steal_lifo()
    }
}

fn spin(times: u32) {
    for _ in 0..times {
        spin_loop();
    }
}

impl Drop for Worker {
    /// Gives what is queued here to the others, and drops what they may not run.
    fn drop(&mut self) {
        if unwinding() {
            return;
        }
        self.end_local_tasks();
        self.entry.context().hand_over();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("index", &self.desk().index)
            .field("executor", &self.executor)
            .finish_non_exhaustive()
    }
}

/// Brings the worker into order when its future goes, also in the middle: up, and not searching.
struct Settled<'a>(&'a mut Worker);

impl Drop for Settled<'_> {
    fn drop(&mut self) {
        if unwinding() {
            return;
        }
        self.0.stand_up();
        self.0.stop_searching();
    }
}

/// Says that the worker is in a poll; ends also when the poll panics.
struct Polling<'a>(&'a Desk);

impl Polling<'_> {
    fn new(desk: &Desk) -> Polling<'_> {
        desk.doing.set(Doing::Polling);
        Polling(desk)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.doing.set(Doing::Nothing);
    }
}
