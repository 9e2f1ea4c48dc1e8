//! Models of the idle list: a task that is pushed while workers sit down is taken, and by enough
//! of them.
//!
//! The queue of these models is a counter, and a worker has the shape of the real one: look, sit,
//! look again, sleep, stand up, search.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use gorin_base::check::{block_on, model, model_bounded};
use gorin_base::primitive::{AtomicUsize, Ordering, PlainArc, thread};

use crate::idle::{Idle, Stood};

/// The shared queue: how many tasks it holds. Relaxed: the protocol's fences are what orders it.
struct Office {
    idle: Idle,
    tasks: AtomicUsize,
    /// Tasks that were taken.
    taken: AtomicUsize,
    /// Tasks that there are in all.
    total: usize,
}

impl Office {
    fn new(workers: usize, total: usize) -> PlainArc<Office> {
        Office::of(Idle::new(workers, false), total)
    }

    fn of(idle: Idle, total: usize) -> PlainArc<Office> {
        PlainArc::new(Office {
            idle,
            tasks: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            total,
        })
    }

    fn push(&self) {
        self.tasks.fetch_add(1, Ordering::Relaxed);
        self.idle.call_one();
    }

    fn take(&self) -> bool {
        let take = |tasks: usize| tasks.checked_sub(1);
        let taken = self
            .tasks
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok()
    }

    fn has_tasks(&self) -> bool {
        self.tasks.load(Ordering::Relaxed) > 0
    }

    fn is_done(&self) -> bool {
        self.taken.load(Ordering::Acquire) == self.total
    }

    /// Worker `index` until all tasks are taken.
    fn work(&self, index: usize) {
        let (mut searching, mut sat) = (false, false);
        block_on(poll_fn(|cx| {
            if std::mem::take(&mut sat) {
                searching = self.idle.stand(index) == Stood::Searching;
            }
            loop {
                if !searching {
                    searching = self.idle.try_search();
                }
                if self.take() {
                    if std::mem::take(&mut searching) && self.idle.stop_search() && self.has_tasks()
                    {
                        self.idle.call_one();
                    }
                    self.taken.fetch_add(1, Ordering::AcqRel);
                    if self.is_done() {
                        self.idle.call_all();
                    }
                    // The task waits for all the others: only another worker can take them.
                    return Poll::Ready(());
                }
                self.idle
                    .sit(index, cx.waker().clone(), std::mem::take(&mut searching));
                sat = true;
                let work = self.has_tasks();
                if !work && !self.is_done() {
                    return Poll::Pending;
                }
                sat = false;
                searching = self.idle.stand(index) == Stood::Searching;
                if !work {
                    if searching {
                        let _ = self.idle.stop_search();
                    }
                    return Poll::Ready(());
                }
                if !searching {
                    self.idle.start_search();
                    searching = true;
                }
            }
        }));
    }
}

/// Property: a task pushed while the only worker sits down is taken.
/// Bugs: no fence between push and the look at the counts; none between sitting and the last look.
#[test]
fn push_vs_sit() {
    model("push_vs_sit", || {
        let office = Office::new(1, 1);
        let worker = {
            let office = office.clone();
            thread::spawn(move || office.work(0))
        };
        office.push();
        worker.join().unwrap();
        assert!(office.is_done());
    });
}

/// Property: what is pushed while the spare worker searches, which calls nobody, and the only other worker
/// sits down, is taken.
/// Bug: the spare leaves what it has not found.
#[test]
fn spare_vs_sit() {
    model_bounded("spare_vs_sit", 3, || {
        let office = Office::of(Idle::new(1, true), 1);
        // It has relieved the other one, and has looked in vain.
        office.idle.start_search();
        let worker = {
            let office = office.clone();
            thread::spawn(move || office.work(0))
        };
        let spare = {
            let office = office.clone();
            thread::spawn(move || {
                let idle = &office.idle;
                idle.sit_as_spare(1, Waker::noop().clone(), true, || office.has_tasks());
            })
        };
        office.push();
        worker.join().unwrap();
        spare.join().unwrap();
        assert!(office.is_done());
    });
}

/// Property: two tasks pushed while two workers sit down are taken by both, though only one is
/// called: the searcher that found work calls the next.
/// Bug: the last searcher keeps quiet.
#[test]
fn two_tasks_two_workers() {
    model_bounded("two_tasks_two_workers", 2, || {
        let office = Office::new(2, 2);
        let start = |index| {
            let office = office.clone();
            thread::spawn(move || office.work(index))
        };
        let workers = [start(0), start(1)];
        office.push();
        office.push();
        for worker in workers {
            worker.join().unwrap();
        }
        assert!(office.is_done());
    });
}

/// Property: a worker that is called by name gets up exactly once, and being called by two is being
/// called once.
#[test]
fn call_by_name_vs_push() {
    model("call_by_name_vs_push", || {
        let office = Office::new(1, 1);
        let worker = {
            let office = office.clone();
            thread::spawn(move || office.work(0))
        };
        office.idle.call(0);
        office.push();
        worker.join().unwrap();
        assert!(office.is_done());
    });
}
