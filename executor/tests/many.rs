//! Many goroutines: spawned in one go, parked at once, torn down at once.

#![cfg(not(loom))]

mod common;

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Gate, Threads, block_on, run};
use gorin_executor::{Config, Executor, Spec, current, spawn, yield_now};

/// How many there are; fewer under miri, which checks each access.
fn many(full: usize) -> usize {
    if cfg!(miri) { full / 10_000 } else { full }
}

#[test]
fn a_million_goroutines_are_spawned_and_finish() {
    let total = many(1_000_000);
    let count = Arc::new(AtomicUsize::new(0));
    run(2, async {
        for _ in 0..total {
            let count = count.clone();
            spawn(Spec::new(), async move {
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
        while count.load(Ordering::Relaxed) < total {
            yield_now().await;
        }
    });
    assert_eq!(count.load(Ordering::Relaxed), total);
}

/// Who awaits many goroutines, one after another, does not run again after each of them: what is
/// ready goes first.
#[test]
fn who_joins_many_is_woken_seldom() {
    const WAVE: usize = if cfg!(miri) { 100 } else { 1_000 };
    async fn wave() {
        let handles: Vec<_> = (0..WAVE)
            .map(|n| spawn(Spec::new(), async move { n }))
            .collect();
        for (n, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.await.unwrap(), n);
        }
    }
    let polls = || current().unwrap().counters().polls as usize;
    run(1, async move {
        spawn(Spec::new(), wave()).await.unwrap();
        assert!(polls() < WAVE + WAVE / 10, "{} polls", polls());
    });
    // The main future is no task: its polls are those that found it pending.
    let awoken = Arc::new(AtomicUsize::new(0));
    let count = awoken.clone();
    let mut wave = Box::pin(wave());
    run(
        1,
        poll_fn(move |cx| {
            count.fetch_add(1, Ordering::Relaxed);
            wave.as_mut().poll(cx)
        }),
    );
    let awoken = awoken.load(Ordering::Relaxed);
    assert!(awoken < WAVE / 10, "{awoken} polls of main");
}

#[test]
fn many_parked_goroutines_are_aborted_by_stop() {
    let total = many(200_000);
    let gate = Gate::default();
    let mut threads = Threads::new(2);
    let handles: Vec<_> = (0..total)
        .map(|_| threads.executor.spawn(Spec::new(), gate.clone()))
        .collect();
    while gate.waiting() < total {
        std::thread::yield_now();
    }
    threads.shut_down();
    for handle in handles {
        assert!(block_on(handle).unwrap_err().is_cancelled());
    }
}

#[test]
fn executors_come_and_go_with_goroutines_in_all_states() {
    let count = Arc::new(AtomicUsize::new(0));
    let rounds = many(1_000_000) / 1_000;
    for round in 0..rounds {
        let executor = Executor::new(Config {
            workers: 2,
            ..Config::default()
        });
        let gate = Gate::default();
        let tracked = Arc::new(());
        for n in 0..4 {
            let (gate, count, tracked) = (gate.clone(), count.clone(), tracked.clone());
            executor.spawn(Spec::new(), async move {
                let _tracked = tracked;
                if n > 1 {
                    gate.await;
                }
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
        let mut worker = executor.worker(round % 2);
        block_on(worker.run_until(yield_now()));
        if round % 3 == 0 {
            executor.stop();
            block_on(worker.run());
        }
        drop(executor);
        drop(worker);
        assert_eq!(Arc::strong_count(&tracked), 1, "every future was dropped");
    }
}
