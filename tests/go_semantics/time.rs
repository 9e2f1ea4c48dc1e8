//! G52–G55: sleeping, timers, tickers, functions run later. (Here elapsed time itself is under
//! test.)

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt;
use gorin::JoinError;
use gorin::prelude::*;
use gorin::time::{
    MissedTick, Timer, after, after_func, sleep, sleep_until, ticker, ticker_at, timeout,
    timeout_at,
};
use gorin_base::check::poll_once;

use super::{common, everywhere};

#[test]
fn g52_a_sleep_of_nothing_returns_at_once() {
    everywhere(|| async {
        let past = Instant::now() - Duration::from_millis(1);
        assert!(poll_once(pin!(sleep(Duration::ZERO))).is_ready());
        assert!(poll_once(pin!(sleep_until(past))).is_ready());
    });
}

#[test]
fn g52_a_sleep_is_never_too_short_and_lets_others_run() {
    everywhere(|| async {
        // If it held its worker, nothing here would ever end.
        let hour = go(sleep(Duration::from_secs(3600)));
        let lengths = [1, 30, 3, 17, 8, 0].map(Duration::from_millis);
        let sleepers = lengths.map(|length| {
            go(async move {
                let start = Instant::now();
                sleep(length).await;
                (length, start.elapsed())
            })
        });
        for sleeper in sleepers {
            let (length, slept) = sleeper.await.unwrap();
            assert!(slept >= length, "{slept:?} instead of {length:?}");
        }
        assert!(!hour.is_finished(), "that was no hour");
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

/// Waits until the clock has passed `deadline`, without a timer of gorin's.
async fn until(deadline: Instant) {
    while Instant::now() < deadline {
        yield_now().await;
    }
}

/// True if `future` is not ready within some milliseconds.
async fn is_silent(future: impl Future) -> bool {
    timeout(Duration::from_millis(5), future).await.is_err()
}

#[test]
fn g53_a_timer_that_was_stopped_has_no_stale_value() {
    everywhere(|| async {
        let mut timer = Timer::new(Duration::from_millis(1));
        until(timer.deadline().unwrap()).await;
        // Fired, by the clock, but not received: it can still be prevented, as in Go.
        assert!(timer.stop());
        assert!(is_silent(&mut timer).await);
        assert!(!timer.stop());
        assert_eq!(timer.deadline(), None);
    });
}

#[test]
fn g53_a_timer_is_ready_once_for_each_reset() {
    everywhere(|| async {
        let mut timer = Timer::new(Duration::from_secs(3600));
        for round in 0..3 {
            let start = Instant::now();
            let was_set = timer.reset(Duration::from_millis(2));
            assert_eq!(was_set, round == 0);
            let at = (&mut timer).await;
            assert!(at >= start + Duration::from_millis(2));
            assert!(is_silent(&mut timer).await, "it was received");
        }
        // Set, fired, not received, set anew: only the new time counts.
        timer.reset(Duration::ZERO);
        let start = Instant::now();
        assert!(timer.reset(Duration::from_millis(3)));
        assert!((&mut timer).await >= start + Duration::from_millis(3));
    });
}

#[test]
fn g53_a_reset_moves_a_timer_that_is_waited_for() {
    everywhere(|| async {
        let mut timer = Timer::new(Duration::from_secs(3600));
        let (tx, rx) = chan(0);
        go(async move {
            for n in 0..20 {
                tx.send(n).await.unwrap();
                yield_now().await;
            }
            tx
        });
        let mut seen = 0;
        loop {
            select! {
                biased;
                received = rx.recv() => match received {
                    Some(_) => {
                        seen += 1;
                        timer.reset(if seen < 20 { Duration::MAX } else { Duration::ZERO });
                    }
                    None => unreachable!("the sender is the goroutine's result"),
                },
                _ = &mut timer => break,
            }
        }
        assert_eq!(seen, 20);
    });
}

#[test]
fn g54_a_ticker_ticks_on_its_grid_without_drift() {
    everywhere(|| async {
        let period = Duration::from_millis(2);
        let start = Instant::now();
        let mut ticks = ticker(period);
        let first = ticks.tick().await;
        assert!(first >= start + period);
        for _ in 0..10 {
            let due = ticks.tick().await;
            let since_first = due.duration_since(first).as_nanos();
            assert_eq!(since_first % period.as_nanos(), 0, "off the grid");
            assert!(due <= Instant::now(), "early");
        }
    });
}

#[test]
fn g54_a_ticker_may_begin_at_any_time() {
    everywhere(|| async {
        let (start, period) = (Instant::now(), Duration::from_millis(3));
        let mut ticks = ticker_at(start + period, period);
        for number in 1..=4 {
            let due = ticks.tick().await;
            let since = due.duration_since(start).as_nanos();
            assert!(since >= number * period.as_nanos());
            assert_eq!(since % period.as_nanos(), 0, "on its grid");
        }
        // One that has passed is due at once, and the next one is to come.
        let long = Duration::from_secs(1000);
        let mut ticks = ticker_at(start, long);
        assert_eq!(ticks.tick().await, start);
        assert!(is_silent(ticks.tick()).await);
    });
}

#[test]
fn g53_a_timer_may_be_set_to_a_time() {
    everywhere(|| async {
        let start = Instant::now();
        let mut timer = Timer::at(start);
        (&mut timer).await;
        assert!(
            !timer.reset_at(start + Duration::from_secs(1000)),
            "received"
        );
        assert!(is_silent(&mut timer).await);
        assert_eq!(timer.deadline(), Some(start + Duration::from_secs(1000)));
        assert!(timer.reset_at(start), "it was still to come");
        (&mut timer).await;
    });
}

#[test]
fn g54_a_slow_receiver_gets_one_tick_and_then_those_to_come() {
    everywhere(|| async {
        let period = Duration::from_millis(2);
        let mut ticks = ticker(period);
        let first = ticks.tick().await;
        // From when it was received, which on a busy machine is long after it was due.
        until(Instant::now() + 10 * period).await;
        let late = Instant::now();
        let kept = ticks.tick().await;
        assert!(first < kept && kept <= late, "the one that was kept");
        let next = ticks.tick().await;
        assert!(next > late, "the others are dropped");
    });
}

#[test]
fn g54_missed_ticks_come_in_a_burst_or_delay_the_rest_for_who_asks() {
    everywhere(|| async {
        let period = Duration::from_millis(2);
        let mut ticks = ticker(period).missed(MissedTick::Burst);
        let first = ticks.tick().await;
        until(first + 5 * period).await;
        for n in 1..=5 {
            assert_eq!(ticks.tick().await, first + n * period);
        }
        let mut ticks = ticker(period).missed(MissedTick::Delay);
        ticks.tick().await;
        let late = Instant::now() + 5 * period;
        until(late).await;
        assert!(ticks.tick().await < late);
        assert!(ticks.tick().await >= late + period);
    });
}

#[test]
fn g54_stop_silences_a_ticker_without_ending_it_and_reset_starts_it_anew() {
    everywhere(|| async {
        let mut ticks = ticker(Duration::from_millis(1));
        ticks.tick().await;
        until(Instant::now() + Duration::from_millis(3)).await;
        ticks.stop();
        assert!(
            is_silent(ticks.tick()).await,
            "the tick that was kept is gone"
        );
        let start = Instant::now();
        ticks.reset(Duration::from_millis(2));
        assert!(ticks.tick().await >= start + Duration::from_millis(2));
        // As a stream it does not end.
        let second = ticks.next().await;
        assert!(second.is_some());
    });
}

#[test]
fn g54_a_ticker_without_a_period_is_refused_and_one_beyond_the_clock_waits() {
    everywhere(|| async {
        let refused = go(async { drop(ticker(Duration::ZERO)) }).await;
        assert!(matches!(refused, Err(JoinError::Panic(_))));
        let mut ticks = ticker(Duration::MAX);
        assert!(is_silent(ticks.tick()).await);
        ticks.reset(Duration::from_millis(1));
        ticks.tick().await;
        ticks.reset(Duration::MAX);
        assert!(is_silent(ticks.tick()).await);
    });
}

#[test]
fn g55_after_func_runs_in_a_goroutine_of_its_own() {
    everywhere(|| async {
        let (tx, rx) = chan(0);
        let start = Instant::now();
        let later = after_func(Duration::from_millis(3), async move {
            tx.send(Instant::now()).await.unwrap();
        });
        drop(later); // It is not the handle that keeps it.
        let ran = rx.recv().await.unwrap();
        assert!(ran >= start + Duration::from_millis(3));
    });
}

#[test]
fn g55_stop_tells_whether_it_prevented_the_run() {
    everywhere(|| async {
        let (tx, rx) = chan::<()>(0);
        let mut later = after_func(Duration::from_secs(3600), async move {
            tx.send(()).await.unwrap();
        });
        assert!(later.stop());
        assert!(!later.stop());
        assert_eq!((&mut later).await.unwrap(), None);
        drop(later);
        assert_eq!(
            rx.recv().await,
            None,
            "the future is dropped with the handle"
        );

        let (begun, wait) = chan(0);
        let (finish, finished) = chan::<()>(0);
        let mut later = after_func(Duration::ZERO, async move {
            begun.send(()).await.unwrap();
            finished.recv().await;
            "done"
        });
        wait.recv().await.unwrap();
        assert!(!later.stop(), "it runs");
        assert!(!later.reset(Duration::ZERO), "and cannot run twice");
        finish.close();
        assert_eq!(later.await.unwrap(), Some("done"));
    });
}

#[test]
fn g55_stops_and_runs_that_race_agree_on_who_was_first() {
    everywhere(|| async {
        for round in 0..200 {
            let (ran, runs) = chan(1);
            let mut later = after_func(Duration::from_micros(round % 50), async move {
                ran.send(()).await.unwrap();
            });
            if round % 3 == 0 {
                yield_now().await;
            }
            if round % 4 == 1 && later.reset(Duration::from_micros(10)) {
                yield_now().await;
            }
            let prevented = later.stop();
            assert_eq!(later.await.unwrap().is_none(), prevented);
            assert_eq!(runs.try_recv().is_err(), prevented);
        }
    });
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn the_past_zero_and_forever_are_harmless_everywhere() {
    everywhere(|| async {
        let past = Instant::now() - Duration::from_secs(1);
        assert_eq!(timeout_at(past, async { 1 }).await, Ok(1));
        assert!(
            timeout_at(past, std::future::pending::<()>())
                .await
                .is_err()
        );
        assert_eq!(timeout(Duration::MAX, async { 1 }).await, Ok(1));
        let mut moved = sleep(Duration::MAX);
        moved.reset(past);
        moved.await;
        Timer::new(Duration::ZERO).await;
        let mut never = Timer::new(Duration::MAX);
        assert!(is_silent(&mut never).await);
        assert!(never.stop());
        assert_eq!(
            after_func(Duration::ZERO, async { 2 }).await.unwrap(),
            Some(2)
        );
        let mut later = after_func(Duration::MAX, async { 3 });
        assert!(later.reset(Duration::ZERO));
        assert_eq!(later.await.unwrap(), Some(3));
    });
}

/// The best of some, since the machine may be busy.
async fn least_lateness() -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..50 {
        let due = Instant::now() + Duration::from_millis(1);
        sleep_until(due).await;
        least = least.min(due.elapsed());
    }
    least
}

/// F24: a crowd of timers, half of which are dropped at random; the rest end, none early, and
/// later timers are as punctual as the first ones.
fn crowd(timers: u32) {
    common::within_patience(move || {
        gorin::Runtime::builder()
            .workers(2)
            .run(async move {
                let spread = Duration::from_millis(500);
                let rng = &mut fastrand::Rng::with_seed(24);
                let usual = least_lateness().await;
                let start = Instant::now();
                let mut joins = Vec::new();
                let mut cancelled = 0;
                let mut handles = Vec::new();
                for n in 0..timers {
                    // Some of those that are cancelled race with their time, the others do not.
                    let cancel = rng.bool();
                    let length = match cancel && n % 2 == 0 {
                        true => HOUR,
                        false => spread.mul_f64(rng.f64()),
                    };
                    let task = go(async move {
                        sleep_until(start + length).await;
                        start
                            .elapsed()
                            .checked_sub(length)
                            .expect("a timer fired early")
                    });
                    match cancel {
                        true => handles.push(task),
                        false => joins.push(task),
                    }
                }
                rng.shuffle(&mut handles);
                for task in &handles {
                    task.abort();
                }
                for task in handles {
                    cancelled += u32::from(task.await.is_err());
                }
                let mut fired = 0;
                for task in joins {
                    task.await.expect("none early");
                    fired += 1;
                }
                assert!(fired + cancelled <= timers && cancelled > 0);
                // Drift: after the crowd a sleep is as late as it was before. What has drifted stays late, a
                // machine that has become busy meanwhile does not.
                let allowed = Duration::from_millis(2) + 2 * usual;
                let after_it = Instant::now();
                loop {
                    let least = least_lateness().await;
                    if least <= allowed {
                        break;
                    }
                    let drifts = after_it.elapsed() > common::PATIENCE / 2;
                    assert!(!drifts, "drifted by {least:?}, before {usual:?}");
                }
            })
            .expect("a runtime can be started")
    });
}

#[test]
fn f24_a_crowd_of_timers_half_of_them_cancelled() {
    crowd(20_000);
}

#[test]
#[ignore = "a million goroutines: half a gigabyte, some seconds"]
fn f24_a_million_timers_half_of_them_cancelled() {
    crowd(1_000_000);
}
