//! The rows over timers: made and dropped, and fired.

use super::{Outcome, Setup, measure};
use crate::rt;
use gorin_bench::{process, wire};
use hdrhistogram::Histogram;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Makes timers that are armed and dropped long before they are due, as deadlines of I/O are.
pub(crate) fn create_and_cancel(setup: &Setup) -> Outcome {
    measure(setup, "timer", 1000, |count| async move {
        let start = Instant::now();
        for index in 0..count {
            let due = Duration::from_secs(3600) + Duration::from_micros(index);
            let mut timer = pin!(rt::sleep(due));
            let elapsed = poll_fn(|cx| Poll::Ready(timer.as_mut().poll(cx).is_ready())).await;
            assert!(!elapsed, "an hour passed");
        }
        start.elapsed()
    });
    Ok(())
}

/// The tasks of `fire` are due this far apart: 100,000 in a second.
const FIRE_GAP: Duration = Duration::from_micros(10);

/// One timer in a task each, due one after the other: how late, and at what CPU time.
pub(crate) fn fire(setup: &Setup) -> Outcome {
    let count = setup.count as u32;
    // Long enough that all tasks are asleep before the first is due.
    let lead = Duration::from_millis(200) + Duration::from_micros(2) * count;
    rt::run(setup.workers, async move {
        let start = Instant::now();
        let tasks: Vec<_> = (0..count)
            .map(|index| {
                // A fixed scatter: neighbours in time are not neighbours in creation.
                let place = u64::from(index) * 7919 % u64::from(count);
                let due = start + lead + FIRE_GAP * place as u32;
                rt::spawn(async move {
                    rt::sleep(due.saturating_duration_since(Instant::now())).await;
                    due.elapsed()
                })
            })
            .collect();
        rt::sleep((start + lead).saturating_duration_since(Instant::now())).await;
        let cpu = process::usage().cpu;
        let mut lateness = Histogram::<u64>::new_with_max(60_000_000_000, 3)
            .expect("a minute in ns fits with 3 digits");
        for task in tasks {
            lateness.saturating_record(rt::join(task).await.as_nanos() as u64);
        }
        let cpu = process::usage().cpu - cpu;
        wire::metric("p50", lateness.value_at_quantile(0.5) as f64 / 1e3);
        wire::metric("p99", lateness.value_at_quantile(0.99) as f64 / 1e3);
        wire::metric("cpu", cpu.as_nanos() as f64 / f64::from(count));
    });
    Ok(())
}
