//! Programs under `gorin::model`: right ones pass, and the bugs of the others are found.
//!
//! The same file runs under the explorer (`cargo test --test model`) and under loom (`cargo loom`);
//! what loom is too slow for, or has too few threads for, is left to the explorer.

use std::mem::swap;

use gorin::channel::{Receiver, Sender};
use gorin::model::{Builder, Coverage, Failure, Report};
use gorin::prelude::*;
use gorin::sync::WaitGroup;

/// Checks a program that is right: all of it must be explored.
#[track_caller]
fn passes<F: Future<Output = ()> + 'static>(
    program: impl Fn() -> F + Send + Sync + 'static,
) -> Report {
    let report = Builder::new().check(program);
    match report.coverage {
        Coverage::Complete | Coverage::Bounded(_) => report,
        other => panic!("not explored to the end: {other}"),
    }
}

/// Checks a program that is wrong.
#[track_caller]
fn fails<F: Future<Output = ()> + 'static>(
    program: impl Fn() -> F + Send + Sync + 'static,
) -> Failure {
    let failure = Builder::new().explore(program).expect_err("it has a bug");
    println!("{failure}");
    *failure
}

/// `stages` goroutines that add one to each value and hand it on.
async fn pipeline(stages: u32, values: u32) {
    let (first, mut last) = chan(0);
    for _ in 0..stages {
        let (tx, rx) = chan(0);
        let input = std::mem::replace(&mut last, rx);
        go(async move {
            while let Some(value) = input.recv().await {
                tx.send(value + 1).await.unwrap();
            }
        });
    }
    go(async move {
        for value in 0..values {
            first.send(value).await.unwrap();
        }
    });
    let mut received = Vec::new();
    while let Some(value) = last.recv().await {
        received.push(value);
    }
    assert!(received.into_iter().eq(stages..stages + values));
}

#[test]
fn pipeline_of_one_stage() {
    passes(|| pipeline(1, 1));
}

#[test]
#[cfg(not(loom))]
fn pipelines_need_one_execution_because_nothing_in_them_is_a_race() {
    for (stages, values) in [(1, 2), (2, 2), (3, 3), (6, 4)] {
        assert_eq!(passes(move || pipeline(stages, values)).executions, 1);
    }
}

/// Workers that share a queue of jobs.
async fn pool(workers: u32, jobs: u32) {
    let (job, queue) = chan(1);
    let (result, results) = chan(jobs as usize);
    let all = WaitGroup::new();
    for _ in 0..workers {
        let (queue, result, token) = (queue.clone(), result.clone(), all.add());
        go(async move {
            while let Some(n) = queue.recv().await {
                result.send(n * 2).await.unwrap();
            }
            drop(token);
        });
    }
    for n in 0..jobs {
        job.send(n).await.unwrap();
    }
    drop(job);
    all.wait().await;
    let mut sum = 0;
    for _ in 0..jobs {
        sum += results.recv().await.unwrap();
    }
    assert_eq!(sum, (0..jobs).map(|n| n * 2).sum::<u32>());
}

#[test]
fn pool_of_one_worker() {
    passes(|| pool(1, 1));
}

#[test]
#[cfg(not(loom))]
fn pools() {
    passes(|| pool(2, 2));
    passes(|| pool(2, 3));
    passes(|| pool(3, 3));
}

/// A goroutine that serves two channels until it is told to quit. If `main` does not wait for it,
/// `main` closes the other channel, too, by dropping its sender: the bug.
async fn select_and_quit(wait: bool) {
    let (data, input) = chan(0);
    let (quit, quits) = chan::<()>(0);
    let server = go(async move {
        let mut next = 0;
        loop {
            select! {
                value = input.recv() => {
                    assert_eq!(value, Some(next));
                    next += 1;
                }
                _ = quits.recv() => break,
            }
        }
        assert_eq!(next, 2);
    });
    data.send(0).await.unwrap();
    data.send(1).await.unwrap();
    quit.close();
    if wait {
        server.await.unwrap();
    }
}

#[test]
fn select_loop_ends_when_told() {
    passes(|| select_and_quit(true));
}

#[test]
fn select_loop_sees_the_other_channel_closed_as_well() {
    assert!(fails(|| select_and_quit(false)).is_panic());
}

type Fork = (Sender<()>, Receiver<()>);

async fn dine(left: Fork, right: Fork) {
    left.0.send(()).await.unwrap();
    right.0.send(()).await.unwrap();
    right.1.recv().await;
    left.1.recv().await;
}

/// `n` philosophers; the last one is left-handed unless `all_alike`, which is the bug.
async fn dining(n: usize, all_alike: bool) {
    let forks: Vec<Fork> = (0..n).map(|_| chan(1)).collect();
    for i in 0..n {
        let (mut left, mut right) = (forks[i].clone(), forks[(i + 1) % n].clone());
        if i == n - 1 && !all_alike {
            swap(&mut left, &mut right);
        }
        go(dine(left, right));
    }
}

#[test]
fn two_philosophers() {
    passes(|| dining(2, false));
}

#[test]
fn three_philosophers_alike_starve() {
    let failure = fails(|| dining(3, true));
    assert!(failure.is_leak());
    let text = failure.to_string();
    for goroutine in 1..=3 {
        assert!(text.contains(&format!("goroutine {goroutine}, started at tests/model.rs")));
    }
    assert!(text.contains("blocked in chan send at tests/model.rs"));
}

#[test]
#[cfg(not(loom))]
fn philosophers_need_one_execution_for_each_order_of_the_forks() {
    for n in 2..=6 {
        // Each fork goes to one of its two neighbours first, but not all of them the same way round.
        assert_eq!(passes(move || dining(n, false)).executions, (1 << n) - 2);
    }
}

#[test]
#[cfg(not(loom))]
fn five_philosophers_alike_starve() {
    assert!(fails(|| dining(5, true)).is_leak());
}

/// Each of two goroutines first sends, then receives.
async fn both_send_first() {
    let (to_a, from_b) = chan(0);
    let (to_b, from_a) = chan(0);
    go(async move {
        to_b.send(1).await.unwrap();
        from_b.recv().await;
    });
    to_a.send(2).await.unwrap();
    from_a.recv().await;
}

#[test]
fn both_sending_first_is_a_deadlock() {
    let failure = fails(both_send_first);
    assert!(failure.is_deadlock());
    assert!(
        failure
            .to_string()
            .contains("all goroutines are asleep - deadlock!")
    );
}

/// Two locks taken in opposite order.
async fn opposite_locks() {
    let (a, b): (Fork, Fork) = (chan(1), chan(1));
    let one = go(dine(a.clone(), b.clone()));
    let other = go(dine(b, a));
    one.await.unwrap();
    other.await.unwrap();
}

#[test]
fn opposite_order_of_locks_is_a_deadlock() {
    assert!(fails(opposite_locks).is_deadlock());
}

/// The loser of a race blocks for ever: the channel would need room for two.
async fn first_of_two() {
    let (tx, rx) = chan(0);
    // Kept open, or the loser's send would fail instead of waiting.
    let _open = rx.clone();
    for n in 0..2 {
        let tx = tx.clone();
        go(async move {
            let _ = tx.send(n).await;
            std::future::pending::<()>().await;
        });
    }
    rx.recv().await;
}

#[test]
fn a_goroutine_left_behind_is_a_leak() {
    assert!(fails(first_of_two).is_leak());
}

/// The token is taken inside the goroutine: `wait` may come before it.
async fn token_taken_too_late() {
    let (tx, rx) = chan(2);
    let all = WaitGroup::new();
    for n in 0..2 {
        let (tx, all) = (tx.clone(), all.clone());
        go(async move {
            let token = all.add();
            tx.send(n).await.unwrap();
            drop(token);
        });
    }
    all.wait().await;
    assert_eq!(rx.len(), 2, "wait returned too early");
}

#[test]
fn a_token_taken_inside_the_goroutine_is_too_late() {
    let failure = fails(token_taken_too_late);
    assert!(failure.is_panic());
    assert!(failure.to_string().contains("wait returned too early"));
}

/// A check and an act that are two steps.
async fn check_then_act() {
    let (tx, _rx) = chan(1);
    let offer = |n| {
        let tx = tx.clone();
        async move {
            if !tx.is_full() {
                tx.try_send(n).expect("there was room a moment ago");
            }
        }
    };
    let other = go(offer(1));
    offer(2).await;
    other.await.unwrap();
}

#[test]
fn checking_before_acting_is_no_reservation() {
    let failure = fails(check_then_act);
    assert!(failure.is_panic());
    assert!(failure.to_string().contains("there was room a moment ago"));
}
