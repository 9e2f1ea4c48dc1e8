//! The spare worker: it takes nothing of others until it relieves one.

#![cfg(not(loom))]

use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;

use gorin_executor::{Config, Executor, Spec, relieve, spawn};

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
