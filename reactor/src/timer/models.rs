//! Models of the timers: firing, cancelling, resetting and migrating on two threads, and the
//! timekeeper's promise that some thread is awake for every deadline.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use gorin_base::check::{block_on, model, model_bounded};
use gorin_base::primitive::{Mutex, thread};

use super::shard::{Caller, Timer};
use super::*;

/// Wakes nobody, but notes for whom that would have been.
#[derive(Default)]
struct Woken(Mutex<Vec<usize>>);

/// Timers of `workers` workers, and the list of those that were woken.
fn timers(workers: usize) -> (PlainArc<Timers>, PlainArc<Woken>) {
    let woken = PlainArc::new(Woken::default());
    let list = woken.clone();
    let timers = Timers::new(workers, move |worker| list.0.lock().push(worker));
    (PlainArc::new(timers), woken)
}

fn insert(timers: &Timers, deadline: u64, waker: &Waker, caller: Caller) -> Timer {
    timers
        .shard(0)
        .clone()
        .insert(deadline, waker.clone(), caller)
        .expect("the timers are open")
}

/// As a worker's tick.
fn fire(timers: &Timers, now: u64) {
    let mut due = Vec::new();
    timers.fire_number(now, &mut due);
    for waker in due {
        waker.wake();
    }
}

/// Counts its wake-ups. std's atomics: they must not order anything for loom.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: PlainArc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Bugs: the timer fires while its future moves to another thread and another waker, and the
/// wake-up is lost: it goes to the old waker, or falls between the look and the registration.
#[test]
fn fire_while_the_future_migrates() {
    model("timer: fire while the future migrates", || {
        let (timers, _) = timers(1);
        let timer = insert(&timers, 10, Waker::noop(), Caller::Worker);
        let worker = {
            let timers = timers.clone();
            thread::spawn(move || fire(&timers, 10))
        };
        let ended = block_on(poll_fn(|cx| timer.poll(cx.waker())));
        assert_eq!(ended, Ok(()));
        worker.join().expect("the worker ends");
    });
}

/// Bugs: a timer fires after it was cancelled, or leaves something behind; cancelling hits the
/// timer that got its place.
#[test]
fn fire_while_cancelled() {
    model("timer: fire while cancelled", || {
        let (timers, _) = timers(1);
        let (first, second) = (
            PlainArc::new(Count::default()),
            PlainArc::new(Count::default()),
        );
        let timer = insert(&timers, 10, &Waker::from(first.clone()), Caller::Worker);
        let worker = {
            let (timers, second) = (timers.clone(), second.clone());
            thread::spawn(move || {
                fire(&timers, 10);
                // May get the place of the first one.
                let timer = insert(&timers, 20, &Waker::from(second), Caller::Worker);
                fire(&timers, 20);
                timer
            })
        };
        drop(timer);
        let other = worker.join().expect("the worker ends");
        assert!(first.0.load(Ordering::SeqCst) <= 1);
        assert_eq!(
            second.0.load(Ordering::SeqCst),
            1,
            "the stranger's timer fires"
        );
        drop(other);
        assert_eq!(timers.len(), 0);
        assert_eq!(PlainArc::strong_count(&first), 1, "no waker is left");
    });
}

/// Bug: a timer that was moved to a later time fires at the old one although the move won.
#[test]
fn fire_while_reset() {
    model("timer: fire while reset", || {
        let (timers, _) = timers(1);
        let count = PlainArc::new(Count::default());
        let timer = insert(&timers, 10, &Waker::from(count.clone()), Caller::Worker);
        let worker = {
            let timers = timers.clone();
            thread::spawn(move || fire(&timers, 10))
        };
        let moved = timer.reset(20, Caller::Worker);
        worker.join().expect("the worker ends");
        let expected = usize::from(!moved);
        assert_eq!(count.0.load(Ordering::SeqCst), expected, "at the old time");
        fire(&timers, 20);
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "once in all");
    });
}

/// A waker that comes back to the timers, as the waker of a task does whose drop cancels a timer.
struct ComesBack(PlainArc<Timers>);

impl Wake for ComesBack {
    fn wake(self: PlainArc<Self>) {
        drop(insert(&self.0, 30, Waker::noop(), Caller::Worker));
    }
}

/// Bug: a waker is woken under the shard's lock and wants that lock.
#[test]
fn wakers_may_come_back() {
    model("timer: wakers may come back", || {
        let (timers, _) = timers(1);
        let waker = Waker::from(PlainArc::new(ComesBack(timers.clone())));
        let timer = insert(&timers, 10, &waker, Caller::Worker);
        drop(waker);
        let worker = {
            let timers = timers.clone();
            thread::spawn(move || fire(&timers, 10))
        };
        drop(timer);
        worker.join().expect("the worker ends");
        assert_eq!(timers.len(), 0);
    });
}

/// Bug: a timer that is registered while the reactor shuts down waits for ever.
#[test]
fn close_while_registered() {
    model("timer: close while registered", || {
        let (timers, _) = timers(1);
        let closer = {
            let timers = timers.clone();
            thread::spawn(move || timers.close())
        };
        let timer = timers
            .shard(0)
            .clone()
            .insert(10, Waker::noop().clone(), Caller::Worker);
        if let Ok(timer) = timer {
            assert!(block_on(poll_fn(|cx| timer.poll(cx.waker()))).is_err());
        }
        closer.join().expect("the closer ends");
        assert_eq!(timers.len(), 0);
    });
}

/// The promise of the timekeeper, at a moment when all workers sleep: one of them wakes for
/// `deadline`, or has been woken.
fn assert_attended(deadline: u64, sleeps: &[u64], woken: &Woken) {
    let in_time = sleeps.iter().any(|&until| until <= deadline);
    let woken = woken.0.lock();
    assert!(
        in_time || !woken.is_empty(),
        "nobody is awake at {deadline}: the workers sleep until {sleeps:?}"
    );
}

/// Times that the role's word tells apart.
const SOON: u64 = 1 << 20;
const LATER: u64 = 1 << 30;

/// Bugs: the worker goes to sleep without seeing a deadline that a foreign thread inserts, and the
/// thread does not see the worker; the thread does not wake it.
#[test]
fn foreign_insert_while_a_worker_parks() {
    model("keeper: foreign insert while a worker parks", || {
        let (timers, woken) = timers(1);
        let worker = {
            let timers = timers.clone();
            thread::spawn(move || timers.park_number(0))
        };
        let timer = insert(&timers, SOON, Waker::noop(), Caller::Foreign);
        let until = worker.join().expect("the worker ends");
        assert_attended(SOON, &[until], &woken);
        drop(timer);
    });
}

/// Bug: a worker that holds the role, or has just given it up, leaves a foreign thread's deadline
/// to a worker that leaves it to the first.
#[test]
fn foreign_insert_while_the_role_moves() {
    // Unbounded: 307,598 executions, 14 s.
    model_bounded("keeper: foreign insert while the role moves", 3, || {
        let (timers, woken) = timers(2);
        // Asleep without a deadline; then an event wakes it.
        assert_eq!(timers.park_number(0), NEVER);
        let other = {
            let timers = timers.clone();
            thread::spawn(move || timers.park_number(1))
        };
        let foreign = {
            let timers = timers.clone();
            thread::spawn(move || insert(&timers, SOON, Waker::noop(), Caller::Foreign))
        };
        timers.unpark(0);
        let mine = timers.park_number(0);
        let timer = foreign.join().expect("the foreign thread ends");
        let theirs = other.join().expect("the worker ends");
        assert_attended(SOON, &[mine, theirs], &woken);
        drop(timer);
    });
}

/// Bugs: a worker that has inserted the next deadline goes to sleep and trusts a timekeeper that
/// sleeps longer.
#[test]
fn a_worker_parks_with_an_earlier_deadline() {
    model("keeper: a worker parks with an earlier deadline", || {
        let (timers, woken) = timers(2);
        let later = insert(&timers, LATER, Waker::noop(), Caller::Worker);
        let other = {
            let timers = timers.clone();
            thread::spawn(move || timers.park_number(1))
        };
        let timer = insert(&timers, SOON, Waker::noop(), Caller::Worker);
        let mine = timers.park_number(0);
        let theirs = other.join().expect("the worker ends");
        assert_attended(SOON, &[mine, theirs], &woken);
        assert!(woken.0.lock().is_empty(), "no wake-up was needed");
        drop((timer, later));
    });
}

/// Bug: the timer for which a worker has taken the role is cancelled, it sleeps longer than the
/// role says, and a deadline between the two finds a role that seems early enough.
#[test]
fn cancel_while_a_worker_parks() {
    model("keeper: cancel while a worker parks", || {
        let (timers, woken) = timers(1);
        let cancelled = insert(&timers, SOON / 2, Waker::noop(), Caller::Worker);
        let later = insert(&timers, LATER, Waker::noop(), Caller::Worker);
        let worker = {
            let timers = timers.clone();
            thread::spawn(move || timers.park_number(0))
        };
        drop(cancelled);
        let timer = insert(&timers, SOON, Waker::noop(), Caller::Foreign);
        let until = worker.join().expect("the worker ends");
        assert_attended(SOON, &[until], &woken);
        drop((timer, later));
    });
}

/// Bug: the worker that would have looked leaves its loop, and the others sleep because they had
/// left the time to it.
#[test]
fn foreign_insert_while_a_worker_leaves() {
    model("keeper: foreign insert while a worker leaves", || {
        let (timers, woken) = timers(2);
        assert_eq!(timers.park_number(0), NEVER);
        assert_eq!(timers.park_number(1), NEVER, "asleep from here on");
        let leaver = {
            let timers = timers.clone();
            thread::spawn(move || timers.leave(0))
        };
        let timer = insert(&timers, SOON, Waker::noop(), Caller::Foreign);
        leaver.join().expect("the worker ends");
        assert!(woken.0.lock().contains(&1), "worker 1 sleeps for ever");
        drop(timer);
    });
}

/// Bug: the worker that leaves trusts a role that its holder has given up, and that holder sleeps
/// again without seeing the deadline that the leaving worker has inserted.
#[test]
fn a_worker_leaves_while_the_timekeeper_parks() {
    model("keeper: a worker leaves while the timekeeper parks", || {
        let (timers, woken) = timers(2);
        let early = insert(&timers, SOON / 2, Waker::noop(), Caller::Worker);
        assert_eq!(timers.park_number(1), SOON / 2);
        drop(early);
        let keeper = {
            let timers = timers.clone();
            thread::spawn(move || {
                timers.unpark(1);
                timers.park_number(1)
            })
        };
        let timer = insert(&timers, SOON, Waker::noop(), Caller::Worker);
        timers.leave(0);
        let until = keeper.join().expect("the worker ends");
        assert_attended(SOON, &[until], &woken);
        drop(timer);
    });
}
