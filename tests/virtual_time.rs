//! Timers, tickers and functions run later inside `gorin::model`: every order that could make a
//! difference, in virtual time, which moves only when all wait. So exact times can be asserted.

// The explorer of goroutine programs; under loom there is no time.
#![cfg(not(loom))]

use std::time::{Duration, Instant};

use gorin::prelude::*;
use gorin::time::{Timer, after_func, sleep, ticker, timeout};

const HOUR: Duration = Duration::from_secs(3600);

/// The model's time since `start`, which a tick names; the model has no other clock for users.
async fn now() -> Instant {
    Timer::new(Duration::ZERO).await
}

#[test]
fn a_ticker_keeps_its_grid_and_drops_what_is_missed() {
    gorin::model(|| async {
        let start = now().await;
        let mut ticks = ticker(HOUR);
        assert_eq!(ticks.tick().await, start + HOUR);
        sleep(3 * HOUR + HOUR / 2).await;
        assert_eq!(ticks.tick().await, start + 2 * HOUR, "one is kept");
        assert_eq!(ticks.tick().await, start + 5 * HOUR, "the others are gone");
        ticks.stop();
        assert!(timeout(10 * HOUR, ticks.tick()).await.is_err());
    });
}

#[test]
fn a_timer_that_is_reset_by_each_message_fires_after_the_last_one() {
    gorin::model(|| async {
        let (tx, rx) = chan(0);
        go(async move {
            for n in 0..2 {
                sleep(HOUR).await;
                tx.send(n).await.unwrap();
            }
            sleep(10 * HOUR).await;
        });
        let start = now().await;
        let mut quiet = Timer::new(2 * HOUR);
        let mut seen = 0;
        let fired = loop {
            select! {
                received = rx.recv(), if seen < 2 => {
                    assert_eq!(received, Some(seen));
                    seen += 1;
                    assert!(quiet.reset(2 * HOUR));
                }
                at = &mut quiet => break at,
            }
        };
        assert_eq!((seen, fired), (2, start + 4 * HOUR));
        assert!(!quiet.stop());
    });
}

#[test]
fn a_stop_and_a_run_at_the_same_time_agree_in_every_order() {
    gorin::model(|| async {
        let (ran, runs) = chan(1);
        let mut later = after_func(HOUR, async move {
            ran.send(()).await.unwrap();
        });
        sleep(HOUR).await;
        let prevented = later.stop();
        assert_eq!(later.await.unwrap().is_none(), prevented);
        assert_eq!(runs.try_recv().is_err(), prevented);
    });
}

#[test]
fn a_reset_at_the_time_of_the_run_is_obeyed_or_refused() {
    gorin::model(|| async {
        let mut later = after_func(HOUR, now());
        let start = now().await;
        sleep(HOUR).await;
        let moved = later.reset(HOUR);
        let ran = later.await.unwrap().expect("it was not stopped");
        assert_eq!(ran, start + if moved { 2 * HOUR } else { HOUR });
    });
}
