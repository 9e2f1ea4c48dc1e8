//! G52: sleeping. (Here elapsed time itself is under test.)

use std::time::{Duration, Instant};

use gorin::prelude::*;
use gorin::time::{after, sleep, sleep_until, timeout};

use super::everywhere;

#[test]
fn g52_a_sleep_of_nothing_returns_at_once() {
    everywhere(|| async {
        let start = Instant::now();
        sleep(Duration::ZERO).await;
        sleep_until(start - Duration::from_millis(1)).await;
        assert!(start.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn g52_a_sleep_is_never_too_short_and_lets_others_run() {
    everywhere(|| async {
        let lengths = [1, 30, 3, 17, 8, 0].map(Duration::from_millis);
        let sleepers = lengths.map(|length| {
            go(async move {
                let start = Instant::now();
                sleep(length).await;
                start.elapsed()
            })
        });
        let start = Instant::now();
        for (length, sleeper) in lengths.iter().zip(sleepers) {
            let slept = sleeper.await.unwrap();
            assert!(slept >= *length, "{slept:?} instead of {length:?}");
        }
        // 59 ms one after the other; a busy machine may take its time, but they must overlap.
        let together = start.elapsed();
        assert!(together >= Duration::from_millis(30), "{together:?}");
    });
}

#[test]
fn g52_many_sleepers_each_wake_at_their_own_time() {
    everywhere(|| async {
        let (tx, rx) = chan(3);
        let start = Instant::now();
        for millis in [40, 5, 20] {
            let tx = tx.clone();
            go(async move {
                sleep_until(start + Duration::from_millis(millis)).await;
                tx.send((millis, start.elapsed())).await
            });
        }
        drop(tx);
        while let Some((millis, woken)) = rx.recv().await {
            assert!(
                woken >= Duration::from_millis(millis),
                "{millis} ms: {woken:?}"
            );
        }
    });
}

#[test]
fn a_sleep_beyond_the_clock_never_ends() {
    everywhere(|| async {
        let limited = timeout(Duration::from_millis(5), sleep(Duration::MAX)).await;
        assert!(limited.is_err());
    });
}

#[test]
fn after_says_when_it_was_ready() {
    everywhere(|| async {
        let start = Instant::now();
        let ready = after(Duration::from_millis(5)).await;
        assert!(ready >= start + Duration::from_millis(5));
    });
}

#[test]
fn a_timeout_finds_a_future_that_never_waits_too_long() {
    everywhere(|| async {
        let (tx, rx) = chan(1);
        // Always ready, so each poll uses up its budget; only the timer can end it.
        let busy = async {
            loop {
                tx.send(()).await.unwrap();
                rx.recv().await.unwrap();
            }
        };
        assert!(timeout(Duration::from_millis(5), busy).await.is_err());
    });
}

#[test]
fn a_loop_over_limits_that_are_over_lets_others_run() {
    everywhere(|| async {
        let (tx, rx) = chan(0);
        go(async move { tx.send("me too").await });
        let received = loop {
            if let Ok(received) = timeout(Duration::ZERO, rx.recv()).await {
                break received;
            }
        };
        assert_eq!(received, Some("me too"));
    });
}
