//! Models of the whole executor through its public interface: workers that sit down, foreign
//! wakes, the main future, stop, and the last handle.
//!
//! The same bodies run under loom, as stress on std threads and under miri. Must not: use more than
//! two workers and one other thread.

use std::task::Poll;

use gorin_base::check::{block_on, model_bounded};
use gorin_base::primitive::{
    AtomicUsize, Condvar, Mutex, Ordering, PlainArc, thread, unwinding, wait,
};
use gorin_executor::{Config, Executor, JoinHandle, Spec, block_in_place, spawn, yield_now};
use std::future::poll_fn;
use std::task::Waker;

fn executor(workers: usize) -> Executor {
    Executor::new(Config {
        workers,
        ..Config::default()
    })
}

/// Worker `index` on a thread of its own, until the executor is over.
fn start(executor: &Executor, index: usize) -> thread::JoinHandle<()> {
    let executor = executor.clone();
    thread::spawn(move || {
        let mut worker = executor.worker(index);
        block_on(worker.run());
    })
}

/// Counts its drop.
struct CountsDrop(PlainArc<AtomicUsize>);

impl Drop for CountsDrop {
    fn drop(&mut self) {
        if !unwinding() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Property: a task from a foreign thread is run, though the worker may be sitting down.
/// Bug: the worker does not look at the queues again once it sits.
#[test]
fn inject_vs_sit() {
    model_bounded("inject_vs_sit", 2, || {
        let executor = executor(1);
        let worker = start(&executor, 0);
        let handle = executor.spawn(Spec::new(), async { 7 });
        assert_eq!(block_on(handle).unwrap(), 7);
        executor.stop();
        worker.join().unwrap();
    });
}

/// Property: a parked task that a foreign thread wakes is polled.
#[test]
fn foreign_wake_vs_sit() {
    model_bounded("foreign_wake_vs_sit", 2, || {
        let executor = executor(1);
        let slot: PlainArc<Mutex<(bool, Option<Waker>)>> = PlainArc::default();
        let waking = slot.clone();
        let waker = thread::spawn(move || {
            let waker = {
                let mut slot = waking.lock();
                slot.0 = true;
                slot.1.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        let mut worker = executor.worker(0);
        let handle = spawn(
            Spec::new(),
            poll_fn(move |cx| {
                let mut slot = slot.lock();
                if slot.0 {
                    return Poll::Ready(7);
                }
                slot.1 = Some(cx.waker().clone());
                Poll::Pending
            }),
        );
        assert_eq!(block_on(worker.run_until(handle)).unwrap(), 7);
        waker.join().unwrap();
    });
}

/// Property: the main future is polled after a wake from a foreign thread, also while its worker
/// sits down.
/// Bug: the wake does not get its worker up.
#[test]
fn main_wake_vs_sit() {
    model_bounded("main_wake_vs_sit", 3, || {
        let executor = executor(1);
        let slot: PlainArc<Mutex<(bool, Option<Waker>)>> = PlainArc::default();
        let waking = slot.clone();
        let waker = thread::spawn(move || {
            let waker = {
                let mut slot = waking.lock();
                slot.0 = true;
                slot.1.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        let mut worker = executor.worker(0);
        let main = poll_fn(|cx| {
            let mut slot = slot.lock();
            if slot.0 {
                return Poll::Ready(());
            }
            slot.1 = Some(cx.waker().clone());
            Poll::Pending
        });
        block_on(worker.run_until(main));
        waker.join().unwrap();
    });
}

/// Property: of two tasks on one worker, of which the first waits for the second in a way that
/// keeps its worker from running it, the other worker runs the second.
#[test]
fn two_workers_share() {
    model_bounded("two_workers_share", 1, || {
        let executor = executor(2);
        let other = start(&executor, 1);
        let mut worker = executor.worker(0);
        let count = PlainArc::new(AtomicUsize::new(0));
        block_on(worker.run_until(async {
            let start = || {
                let count = count.clone();
                spawn(Spec::new(), async move {
                    count.fetch_add(1, Ordering::Relaxed);
                })
            };
            let (one, two) = (start(), start());
            one.await.unwrap();
            two.await.unwrap();
        }));
        assert_eq!(count.load(Ordering::Relaxed), 2);
        executor.stop();
        block_on(worker.run());
        other.join().unwrap();
    });
}

/// Property: a task that is spawned while the executor stops either runs, or is dropped and its
/// handle says so; the worker ends, and no task lives on.
/// Bugs: a shard takes a task after it was closed; stop does not abort what lives.
#[test]
fn spawn_vs_stop() {
    model_bounded("spawn_vs_stop", 2, || {
        let executor = executor(1);
        let drops = PlainArc::new(AtomicUsize::new(0));
        let worker = start(&executor, 0);
        let spawning = {
            let (executor, counts) = (executor.clone(), CountsDrop(drops.clone()));
            thread::spawn(move || {
                let handle: JoinHandle<()> = executor.spawn(Spec::new(), async move {
                    let _counts = counts;
                    std::future::pending().await
                });
                drop(executor);
                handle
            })
        };
        executor.stop();
        worker.join().unwrap();
        let handle = spawning.join().unwrap();
        assert!(block_on(handle).unwrap_err().is_cancelled());
        assert_eq!(executor.num_tasks(), 0);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

/// Property: a goroutine whose executor goes away while a stranger wakes it is dropped, once, by
/// whoever comes last; nothing leaks.
/// Bug: the stranger does not look whether anybody is left to run what it queued.
#[test]
fn last_handle_vs_wake() {
    model_bounded("last_handle_vs_wake", 3, || {
        let executor = executor(1);
        let drops = PlainArc::new(AtomicUsize::new(0));
        let slot: PlainArc<Mutex<Option<Waker>>> = PlainArc::default();
        let (kept, counts) = (slot.clone(), CountsDrop(drops.clone()));
        let mut worker = executor.worker(0);
        drop(spawn(Spec::new(), async move {
            let _counts = counts;
            poll_fn(|cx| {
                *kept.lock() = Some(cx.waker().clone());
                Poll::<()>::Pending
            })
            .await;
        }));
        block_on(worker.run_until(yield_now()));
        let waker = slot.lock().take().expect("polled once");
        let waking = thread::spawn(move || waker.wake());
        drop(worker);
        drop(executor);
        waking.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

/// Property: an abort from a foreign thread reaches a task whose worker sits.
#[test]
fn foreign_abort_vs_sit() {
    model_bounded("foreign_abort_vs_sit", 2, || {
        let executor = executor(1);
        let worker = start(&executor, 0);
        let handle = executor.spawn(Spec::new(), std::future::pending::<()>());
        handle.abort();
        assert!(block_on(handle).unwrap_err().is_cancelled());
        executor.stop();
        worker.join().unwrap();
    });
}

/// Waits, blocking the thread, until the flag is up.
fn block_until(flag: &(Mutex<bool>, Condvar)) {
    let mut up = flag.0.lock();
    while !*up {
        up = wait(&flag.1, up);
    }
}

fn raise(flag: &(Mutex<bool>, Condvar)) {
    *flag.0.lock() = true;
    flag.1.notify_one();
}

/// Property: a goroutine that blocks in place for one in its own worker's queue gets it, from the
/// other worker.
/// Bug: what was handed over calls nobody.
#[test]
fn block_in_place_vs_sit() {
    model_bounded("block_in_place_vs_sit", 1, || {
        let executor = executor(2);
        let other = start(&executor, 1);
        let mut worker = executor.worker(0);
        block_on(worker.run_until(async {
            let flag = PlainArc::new((Mutex::new(false), Condvar::new()));
            let raising = flag.clone();
            drop(spawn(Spec::new(), async move { raise(&raising) }));
            block_in_place(|| block_until(&flag));
        }));
        executor.stop();
        block_on(worker.run());
        other.join().unwrap();
    });
}

/// Property: a goroutine that was started while its worker blocks is run by the other.
/// Bug: it goes into the blocked worker's queue.
#[test]
fn start_while_blocked() {
    model_bounded("start_while_blocked", 1, || {
        let executor = executor(2);
        let other = start(&executor, 1);
        let mut worker = executor.worker(0);
        block_on(worker.run_until(async {
            let flag = PlainArc::new((Mutex::new(false), Condvar::new()));
            let raising = flag.clone();
            block_in_place(|| {
                drop(spawn(Spec::new(), async move { raise(&raising) }));
                block_until(&flag);
            });
        }));
        executor.stop();
        block_on(worker.run());
        other.join().unwrap();
    });
}

/// Property: who waits for the end of all goroutines learns of it, also if the last one ends on
/// another worker just then.
/// Bug: the last one tells nobody.
#[test]
fn drained_vs_last_end() {
    model_bounded("drained_vs_last_end", 2, || {
        let executor = executor(1);
        let worker = start(&executor, 0);
        drop(executor.spawn(Spec::new(), async {}));
        block_on(executor.drained());
        assert_eq!(executor.num_tasks(), 0);
        executor.stop();
        worker.join().unwrap();
    });
}

/// Property: when the last two goroutines, which two threads had started, end on two workers after
/// `stop`, one of them finds that all is over; the workers end.
/// Bug: whoever ends a goroutine last does not say that all is over.
#[test]
fn last_two_ends_vs_stop() {
    model_bounded("last_two_ends_vs_stop", 1, || {
        let executor = executor(2);
        drop(executor.spawn(Spec::new(), std::future::pending::<()>()));
        let other = start(&executor, 1);
        let mut worker = executor.worker(0);
        drop(spawn(Spec::new(), std::future::pending::<()>()));
        executor.stop();
        block_on(worker.run());
        other.join().unwrap();
        assert_eq!(executor.num_tasks(), 0);
    });
}
