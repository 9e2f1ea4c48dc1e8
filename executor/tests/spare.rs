//! The spare worker: it takes nothing of others until it relieves one.

#![cfg(not(loom))]

use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use gorin_executor::{Config, Executor, Spec, relieve, spawn, yield_now};

/// Turns of a worker that is polled by hand.
const TURNS: usize = 10;

#[test]
fn it_runs_what_others_leave_only_after_it_has_relieved_one() {
    let executor = Executor::new(Config {
        workers: 1,
        spare: true,
        ..Config::default()
    });
    assert_eq!((executor.num_workers(), executor.has_spare()), (1, true));
    let (ran, runs) = mpsc::channel();
    let mut spare = executor.worker(1);
    let mut run = pin!(spare.run());
    let mut cx = Context::from_waker(Waker::noop());
    let mut turn = || assert!(run.as_mut().poll(&mut cx).is_pending());

    let injected = ran.clone();
    let inject = || {
        let (executor, ran) = (executor.clone(), injected.clone());
        thread::spawn(move || {
            drop(executor.spawn(Spec::new(), async move { ran.send("injected") }))
        })
        .join()
        .unwrap();
    };
    inject();
    (0..TURNS).for_each(|_| turn());
    assert!(runs.try_recv().is_err(), "it was the others'");

    drop(spawn(Spec::new(), async move { ran.send("its own") }));
    (0..TURNS).for_each(|_| turn());
    assert_eq!(runs.try_iter().collect::<Vec<_>>(), ["its own"]);

    relieve(0);
    (0..TURNS).for_each(|_| turn());
    assert_eq!(runs.try_iter().collect::<Vec<_>>(), ["injected"]);

    inject();
    (0..TURNS).for_each(|_| turn());
    assert!(runs.try_recv().is_err(), "its duty has ended");
    relieve(0);
    (0..TURNS).for_each(|_| turn());
    assert_eq!(runs.try_iter().count(), 1);
}

/// A goroutine that is always ready does not make it one worker more for good.
#[test]
fn it_leaves_what_does_not_end_to_the_others_when_its_duty_is_over() {
    const LIMIT: Duration = Duration::from_secs(20);
    let executor = Executor::new(Config {
        workers: 1,
        spare: true,
        ..Config::default()
    });
    let (ran, runs) = mpsc::channel();
    let endless = || {
        let ran = ran.clone();
        async move {
            while ran.send(thread::current().id()).is_ok() {
                yield_now().await;
            }
        }
    };
    for _ in 0..3 {
        drop(executor.spawn(Spec::new(), endless()));
    }
    let mut spare = executor.worker(1);
    let mut run = pin!(spare.run());
    let turn = |run: Pin<&mut dyn Future<Output = ()>>| {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(run.poll(&mut cx).is_pending());
        runs.try_iter().count()
    };
    relieve(0);
    assert!(turn(run.as_mut()) > 0, "it is on duty");
    let start = Instant::now();
    while turn(run.as_mut()) > 0 {
        assert!(start.elapsed() < LIMIT, "it goes on");
    }
    assert_eq!((0..TURNS).map(|_| turn(run.as_mut())).sum::<usize>(), 0);

    // What becomes ready on its own thread has one turn.
    drop(spawn(Spec::new(), endless()));
    assert!(turn(run.as_mut()) > 0);
    assert_eq!(turn(run.as_mut()), 0);
    let theirs = executor.clone();
    let other = thread::spawn(move || {
        let mut worker = theirs.worker(0);
        futures::executor::block_on(worker.run());
    });
    assert_eq!(runs.recv_timeout(LIMIT), Ok(other.thread().id()));
    executor.stop();
    other.join().unwrap();
}

#[test]
fn it_ends_with_the_executor() {
    let executor = Executor::new(Config {
        workers: 1,
        spare: true,
        ..Config::default()
    });
    let (sits, sat) = mpsc::channel();
    let theirs = executor.clone();
    let spare = thread::spawn(move || {
        let mut spare = theirs.worker(1);
        sits.send(()).unwrap();
        futures::executor::block_on(spare.run());
    });
    sat.recv().unwrap();
    executor.stop();
    spare.join().unwrap();
}
