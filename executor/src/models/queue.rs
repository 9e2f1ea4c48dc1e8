//! Models of the ring and the LIFO slot, and an oracle for their order.
//!
//! Each task counts itself, and looks for what its maker wrote: relaxed, so that the queue has to
//! publish it.

use gorin_base::check::model;
use gorin_base::primitive::{AtomicUsize, Ordering, PlainArc, thread};

use crate::injector::Injector;
use crate::run_queue::{self, CAPACITY, Owner};
use crate::task::{self, Readied, Runnable, Schedule, Spec, TaskOf};

/// The tasks of this file never wait.
struct Nowhere;

impl Schedule for Nowhere {
    fn schedule(_: TaskOf<Nowhere>, _: Readied) {
        unreachable!("these tasks are done after one poll");
    }
}

/// Makes tasks that count themselves.
#[derive(Clone, Default)]
struct Counter(PlainArc<AtomicUsize>);

impl Counter {
    fn task(&self) -> Runnable {
        let count = self.0.clone();
        let written = AtomicUsize::new(0);
        written.store(1, Ordering::Relaxed);
        let future = async move {
            assert_eq!(
                written.load(Ordering::Relaxed),
                1,
                "published with the task"
            );
            count.fetch_add(1, Ordering::Relaxed);
        };
        task::build(Spec::new(), future, Nowhere).0
    }

    fn ran(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn no_overflow(_: Vec<Runnable>) {
    panic!("the ring has room");
}

/// Takes a share of the injector and runs it.
fn run_taken(injector: &Injector, share: impl FnOnce(usize) -> usize) {
    let mut taken = Vec::new();
    injector.take(share, |task| taken.push(task));
    taken.into_iter().for_each(Runnable::run);
}

fn run_all(owner: &Owner) {
    while let Some(task) = owner.pop() {
        task.run();
    }
}

/// Property: of owner and thief each task is taken by one.
/// Bugs: claiming by a store; publishing the tail without release.
#[test]
fn pop_vs_steal() {
    model("pop_vs_steal", || {
        let counter = Counter::default();
        let (owner, stealer) = run_queue::new();
        let thief = thread::spawn(move || {
            let (own, _stealer) = run_queue::new();
            if let Some(task) = stealer.steal_into(&own) {
                task.run();
            }
            run_all(&own);
        });
        owner.push(counter.task(), no_overflow);
        owner.push(counter.task(), no_overflow);
        run_all(&owner);
        thief.join().unwrap();
        run_all(&owner);
        assert_eq!(counter.ran(), 2);
    });
}

/// Property: two thieves and the owner share without loss.
#[test]
fn two_thieves() {
    model("two_thieves", || {
        let counter = Counter::default();
        let (owner, stealer) = run_queue::new();
        owner.push(counter.task(), no_overflow);
        owner.push(counter.task(), no_overflow);
        let steal = |stealer: run_queue::Stealer| {
            move || {
                let (own, _stealer) = run_queue::new();
                if let Some(task) = stealer.steal_into(&own) {
                    task.run();
                }
                run_all(&own);
            }
        };
        let one = thread::spawn(steal(stealer.clone()));
        let two = thread::spawn(steal(stealer));
        if let Some(task) = owner.pop() {
            task.run();
        }
        one.join().unwrap();
        two.join().unwrap();
        run_all(&owner);
        assert_eq!(counter.ran(), 2);
    });
}

/// Property: a push into a full ring while a thief steals loses nothing: the older half, or what
/// the thief left of it, goes to the overflow.
#[test]
fn overflow_vs_steal() {
    model("overflow_vs_steal", || {
        let counter = Counter::default();
        let (owner, stealer) = run_queue::new();
        for _ in 0..CAPACITY {
            owner.push(counter.task(), no_overflow);
        }
        let thief = thread::spawn(move || {
            let (own, _stealer) = run_queue::new();
            if let Some(task) = stealer.steal_into(&own) {
                task.run();
            }
            run_all(&own);
        });
        for _ in 0..2 {
            owner.push(counter.task(), |older| {
                older.into_iter().for_each(Runnable::run)
            });
        }
        thief.join().unwrap();
        run_all(&owner);
        assert_eq!(counter.ran(), CAPACITY + 2);
    });
}

/// Property: a task in the LIFO slot is taken once, by the owner or a thief, also while the owner
/// puts the next one there.
/// Bugs: taking by load and store; displacing by load and store.
#[test]
fn lifo_vs_steal() {
    model("lifo_vs_steal", || {
        let counter = Counter::default();
        let (owner, stealer) = run_queue::new();
        assert!(owner.put_lifo(counter.task()).is_none());
        let thief = thread::spawn(move || {
            if let Some(task) = stealer.steal_lifo() {
                task.run();
            }
        });
        if let Some(displaced) = owner.put_lifo(counter.task()) {
            displaced.run();
        }
        if let Some(task) = owner.take_lifo() {
            task.run();
        }
        thief.join().unwrap();
        assert!(owner.take_lifo().is_none());
        assert_eq!(counter.ran(), 2);
    });
}

/// Property: what two threads put into the injector is taken once, and whoever has put something in
/// finds it not empty until then.
/// Bug: the length is not kept.
#[test]
fn inject_vs_take() {
    model("inject_vs_take", || {
        let counter = Counter::default();
        let injector = PlainArc::new(Injector::new());
        let (own, task) = (injector.clone(), counter.task());
        let other = thread::spawn(move || {
            own.push(task);
            run_taken(&own, |all| all);
        });
        injector.append(vec![counter.task(), counter.task()]);
        run_taken(&injector, |all| all.div_ceil(2));
        other.join().unwrap();
        run_taken(&injector, |all| all);
        assert!(injector.is_empty());
        assert_eq!(counter.ran(), 3);
    });
}

/// Property: who looks at the injector and then at the ring that tasks are taken into finds them in one
/// of the two, so that no worker sits down beside them.
/// Bug: they are gone from the one before they are in the other.
#[test]
fn take_vs_look() {
    model("take_vs_look", || {
        let counter = Counter::default();
        let injector = PlainArc::new(Injector::new());
        injector.append(vec![counter.task(), counter.task()]);
        let (owner, stealer) = run_queue::new();
        let looked_at = injector.clone();
        let looker = thread::spawn(move || {
            assert!(!looked_at.is_empty() || stealer.has_tasks());
        });
        injector.take(|all| all, |task| owner.push(task, no_overflow));
        looker.join().unwrap();
        run_all(&owner);
        assert_eq!(counter.ran(), 2);
    });
}

/// The ring against a `VecDeque`, one thread, over the wrap of its counters.
#[cfg(not(loom))]
#[test]
fn the_ring_does_what_a_deque_does() {
    use std::collections::VecDeque;

    use gorin_base::rng;

    rng::reseed(1);
    let counter = Counter::default();
    let (owner, stealer) = run_queue::new_at(u32::MAX - 500);
    let (thief, _) = run_queue::new();
    let mut oracle = VecDeque::new();
    let mut pushed = Vec::new();
    let rounds = if cfg!(miri) { 2_000 } else { 100_000 };
    for _ in 0..rounds {
        match rng::below(8) {
            0..=4 => {
                let task = counter.task();
                pushed.push(task.id());
                if oracle.len() == CAPACITY {
                    let half: Vec<_> = oracle.drain(..CAPACITY / 2).collect();
                    let mut overflow = Vec::new();
                    let id = task.id();
                    owner.push(task, |older| {
                        overflow.extend(older.iter().map(Runnable::id))
                    });
                    assert_eq!(overflow, [half, vec![id]].concat());
                } else {
                    oracle.push_back(task.id());
                    owner.push(task, no_overflow);
                }
            }
            5 | 6 => assert_eq!(owner.pop().map(|task| task.id()), oracle.pop_front()),
            _ => {
                let half: Vec<_> = oracle.drain(..oracle.len().div_ceil(2)).collect();
                let last = stealer.steal_into(&thief).map(|task| task.id());
                let mut stolen = Vec::new();
                while let Some(task) = thief.pop() {
                    stolen.push(task.id());
                }
                stolen.extend(last);
                assert_eq!(stolen, half);
            }
        }
        assert_eq!(owner.len(), oracle.len());
    }
    assert!(pushed.len() > rounds / 2);
}
