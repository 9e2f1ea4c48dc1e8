//! The interface on std threads and a parking `block_on`: spawn, join, abort, detach, stop.

#![cfg(not(loom))]

mod common;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::{future, thread};

use common::{Gate, Threads, block_on, run};
use gorin_executor::{Config, Executor, JoinHandle, Spec, current, spawn, yield_now};

#[test]
fn goroutines_run_and_give_their_output_on_any_number_of_workers() {
    for workers in [1, 2, 4] {
        let sum = run(workers, async {
            let handles: Vec<_> = (0..100_u64)
                .map(|n| {
                    spawn(Spec::new(), async move {
                        yield_now().await;
                        n
                    })
                })
                .collect();
            let mut sum = 0;
            for handle in handles {
                sum += handle.await.unwrap();
            }
            sum
        });
        assert_eq!(sum, 4950);
    }
}

#[test]
fn main_may_borrow_and_need_not_be_send() {
    let count = Cell::new(0);
    run(2, async {
        for _ in 0..3 {
            yield_now().await;
            count.set(count.get() + 1);
        }
    });
    assert_eq!(count.get(), 3);
}

#[test]
fn a_foreign_thread_spawns_and_joins() {
    let threads = Threads::new(2);
    let handle = threads
        .executor
        .spawn(Spec::new(), async { current().is_some() });
    assert!(
        block_on(handle).unwrap(),
        "a goroutine has a current executor"
    );
    assert!(current().is_none(), "this thread has none");
    let guard = threads.executor.enter();
    assert_eq!(block_on(spawn(Spec::new(), async { 7 })).unwrap(), 7);
    drop(guard);
    assert!(current().is_none());
}

#[test]
fn enter_guards_may_be_dropped_in_any_order() {
    let executor = |workers| {
        Executor::new(Config {
            workers,
            ..Config::default()
        })
    };
    let (one, two) = (executor(1), executor(2));
    let first = one.enter();
    let second = two.enter();
    drop(first);
    assert_eq!(current().unwrap().num_workers(), 2);
    drop(second);
    assert!(current().is_none());
}

#[test]
fn spawning_outside_says_what_to_do() {
    let panic = thread::spawn(|| spawn(Spec::new(), async {}))
        .join()
        .unwrap_err();
    let text = panic.downcast_ref::<&str>().unwrap();
    assert!(text.contains("inside a gorin runtime"), "{text}");
}

/// Counts drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn abort_drops_the_future_at_its_await_and_the_handle_gives_cancelled() {
    let drops = Arc::new(AtomicUsize::new(0));
    let gate = Gate::default();
    run(2, async {
        let parked = {
            let (gate, counted) = (gate.clone(), Counted(drops.clone()));
            spawn(Spec::new(), async move {
                gate.await;
                drop(counted);
            })
        };
        while gate.waiting() == 0 {
            yield_now().await;
        }
        parked.abort();
        parked.abort();
        assert!(parked.await.unwrap_err().is_cancelled());
    });
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn a_goroutine_can_abort_itself_and_ends_at_the_next_await() {
    run(1, async {
        let reached = Arc::new(AtomicUsize::new(0));
        let handle: Arc<std::sync::Mutex<Option<JoinHandle<()>>>> = Arc::default();
        let gate = Gate::default();
        let spawned = {
            let (handle, gate, reached) = (handle.clone(), gate.clone(), reached.clone());
            spawn(Spec::new(), async move {
                gate.await;
                handle.lock().unwrap().as_ref().unwrap().abort();
                reached.fetch_add(1, Ordering::SeqCst);
                yield_now().await;
                reached.fetch_add(1, Ordering::SeqCst);
            })
        };
        *handle.lock().unwrap() = Some(spawned);
        gate.open();
        while !handle.lock().unwrap().as_ref().unwrap().is_finished() {
            yield_now().await;
        }
        assert_eq!(reached.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_dropped_handle_detaches_and_one_that_aborts_on_drop_aborts() {
    let drops = Arc::new(AtomicUsize::new(0));
    let gate = Gate::default();
    run(1, async {
        let start = || {
            let (gate, counted) = (gate.clone(), Counted(drops.clone()));
            spawn(Spec::new(), async move {
                let _counted = counted;
                gate.await;
            })
        };
        drop(start());
        yield_now().await;
        yield_now().await;
        assert_eq!(drops.load(Ordering::SeqCst), 0, "detached, and still there");
        drop(start().abort_on_drop());
        yield_now().await;
        yield_now().await;
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        gate.open();
        while drops.load(Ordering::SeqCst) < 2 {
            yield_now().await;
        }
    });
}

#[test]
fn stop_drops_parked_goroutines_whose_wakers_strangers_hold() {
    let drops = Arc::new(AtomicUsize::new(0));
    let gate = Gate::default();
    let mut threads = Threads::new(2);
    let mut handles = Vec::new();
    for _ in 0..100 {
        let (gate, counted) = (gate.clone(), Counted(drops.clone()));
        handles.push(threads.executor.spawn(Spec::new(), async move {
            let _counted = counted;
            gate.await;
        }));
    }
    while gate.waiting() < 100 {
        thread::yield_now();
    }
    assert_eq!(threads.executor.num_tasks(), 100);
    threads.shut_down();
    assert_eq!(drops.load(Ordering::SeqCst), 100);
    assert_eq!(threads.executor.num_tasks(), 0);
    assert!(handles.iter().all(JoinHandle::is_finished));
    for waker in gate.take_wakers() {
        waker.wake_by_ref();
        waker.wake();
    }
    let late = threads.executor.spawn(Spec::new(), async {});
    assert!(
        block_on(late).unwrap_err().is_cancelled(),
        "spawn after stop is refused"
    );
}

#[test]
fn the_last_handle_drops_what_was_never_run() {
    let drops = Arc::new(AtomicUsize::new(0));
    let gate = Gate::default();
    let executor = Executor::new(Config {
        workers: 2,
        ..Config::default()
    });
    let counted = Counted(drops.clone());
    let never_run = executor.spawn(Spec::new(), async move { drop(counted) });
    let (parking, counted) = (gate.clone(), Counted(drops.clone()));
    let parked = executor.spawn(Spec::new(), async move {
        let _counted = counted;
        parking.await;
    });
    let mut worker = executor.worker(0);
    let mut parked_once = false;
    block_on(worker.run_until(future::poll_fn(|cx| {
        parked_once = gate.waiting() > 0;
        cx.waker().wake_by_ref();
        if parked_once {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })));
    drop(executor);
    drop(worker);
    assert_eq!(drops.load(Ordering::SeqCst), 2);
    assert!(never_run.is_finished());
    assert!(block_on(parked).unwrap_err().is_cancelled());
    for waker in gate.take_wakers() {
        waker.wake();
    }
}

#[test]
fn tasks_are_listed_with_name_and_place() {
    let threads = Threads::new(1);
    let gate = Gate::default();
    let spec = Spec::new().name("acceptor");
    let line = line!() + 1;
    let handle = threads.executor.spawn(spec, gate.clone());
    let tasks = threads.executor.tasks();
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].id, handle.id());
    assert_eq!(tasks[0].name.as_deref(), Some("acceptor"));
    assert_eq!(tasks[0].site.line(), line);
    let text = tasks[0].to_string();
    let place = format!("\"acceptor\" started at {}:{line}:", file!());
    assert!(
        text.starts_with("goroutine ") && text.contains(&place),
        "{text}"
    );
    gate.open();
    block_on(handle).unwrap();
}

#[test]
fn a_worker_is_taken_once() {
    let executor = Executor::new(Config {
        workers: 1,
        ..Config::default()
    });
    let _worker = executor.worker(0);
    let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| executor.worker(0)));
    assert!(again.is_err());
}
