//! With more goroutines ready than a worker's ring holds, each gets its share of the polls.
//!
//! Counts polls on one worker, so it depends on no other thread, and on the clock only as turns do.

#![cfg(not(loom))]

mod common;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use common::{block_on, run};
use gorin_executor::{Config, Executor, Spec, spawn, yield_now};

/// Some times what the ring holds.
const MANY: usize = 4_000;

/// Polls of each goroutine, on average.
const ROUNDS: usize = if cfg!(miri) { 2 } else { 20 };

type Turns = Arc<Vec<AtomicUsize>>;

fn turns() -> Turns {
    Arc::new((0..MANY).map(|_| AtomicUsize::new(0)).collect())
}

fn total(turns: &Turns) -> usize {
    turns.iter().map(|n| n.load(Ordering::Relaxed)).sum()
}

/// Nobody had fewer than a fifth, or more than three times, of what is fair. (Where turns end early,
/// because the thread is kept from running, it was 6 to 35 polls for 20.)
fn assert_fair(turns: &Turns) {
    let fair = total(turns) / MANY;
    let each = || turns.iter().map(|n| n.load(Ordering::Relaxed));
    let (least, most) = (each().min().unwrap(), each().max().unwrap());
    assert!(
        least >= fair / 5 && most <= 3 * fair,
        "{least} to {most} polls where {fair} are fair"
    );
}

#[test]
fn who_yields_gets_a_fair_share() {
    let turns = turns();
    let counts = turns.clone();
    run(1, async move {
        for n in 0..MANY {
            let counts = counts.clone();
            spawn(Spec::new(), async move {
                loop {
                    counts[n].fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
            });
        }
        while total(&counts) < MANY * ROUNDS {
            yield_now().await;
        }
        assert_fair(&counts);
    });
    assert!(total(&turns) >= MANY * ROUNDS);
}

/// As behind a reactor: between two turns of the worker all are woken that wait.
#[test]
fn who_is_woken_between_turns_gets_a_fair_share() {
    let turns = turns();
    let waiting: Arc<Mutex<Vec<Waker>>> = Arc::default();
    let executor = Executor::new(Config {
        workers: 1,
        ..Config::default()
    });
    for n in 0..MANY {
        let (turns, waiting) = (turns.clone(), waiting.clone());
        executor.spawn(
            Spec::new(),
            poll_fn(move |cx| {
                turns[n].fetch_add(1, Ordering::Relaxed);
                waiting.lock().unwrap().push(cx.waker().clone());
                Poll::<()>::Pending
            }),
        );
    }
    let mut worker = executor.worker(0);
    {
        let mut running = pin!(worker.run());
        block_on(poll_fn(|cx| {
            let woken = std::mem::take(&mut *waiting.lock().unwrap());
            woken.into_iter().for_each(Waker::wake);
            if total(&turns) >= MANY * ROUNDS {
                return Poll::Ready(());
            }
            assert!(running.as_mut().poll(cx).is_pending());
            Poll::Pending
        }));
    }
    assert_fair(&turns);
    executor.stop();
    block_on(worker.run());
}
