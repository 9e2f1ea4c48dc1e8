//! The rows over tasks alone: spawn and join, yield, parked tasks, skewed work, start and idleness.

use super::{Outcome, Setup, measure};
use crate::rt;
use gorin_bench::{process, wire};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Tasks that are alive at once in `spawn_join`: enough that batching pays, few enough that the
/// row measures the scheduler and not the memory.
const WAVE: u64 = 1000;

/// Tasks that yield to each other in `yield`.
const YIELDERS: u64 = 64;

/// How long a task of `skew` computes.
const SKEW_WORK: Duration = Duration::from_micros(20);

/// Spawns empty tasks in waves and joins each wave.
pub(crate) fn spawn_join(setup: &Setup) -> Outcome {
    measure(setup, "task", WAVE, |count| async move {
        let start = Instant::now();
        let mut tasks = Vec::with_capacity(WAVE as usize);
        let mut sum = 0u64;
        for id in 0..count {
            tasks.push(rt::spawn(async move { id }));
            if tasks.len() == WAVE as usize || id + 1 == count {
                for task in tasks.drain(..) {
                    sum += rt::join(task).await;
                }
            }
        }
        let elapsed = start.elapsed();
        assert_eq!(sum, (0..count).sum(), "a task gave another's output");
        elapsed
    });
    Ok(())
}

/// Some tasks yield in turns.
pub(crate) fn yield_now(setup: &Setup) -> Outcome {
    if let Some(reason) = rt::NO_YIELD {
        return super::unsupported(reason);
    }
    measure(setup, "yield", YIELDERS * 50, |count| async move {
        let each = count.div_ceil(YIELDERS);
        let start = Instant::now();
        let tasks: Vec<_> = (0..YIELDERS)
            .map(|_| {
                rt::spawn(async move {
                    for _ in 0..each {
                        rt::yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            rt::join(task).await;
        }
        // The tasks may have done a few yields more than counted.
        start
            .elapsed()
            .mul_f64(count as f64 / (each * YIELDERS) as f64)
    });
    Ok(())
}

/// Counts tasks that get somewhere and notes when the last of them did.
#[derive(Debug, Default)]
struct Milestone {
    // Written by each task, read by the main task until it equals the number of tasks. The
    // release in `pass` and the acquire in `wait_for` carry `last` along.
    passed: AtomicUsize,
    // Nanoseconds after the start at which the last task passed.
    last: AtomicU64,
}

impl Milestone {
    fn pass(&self, total: usize, start: Instant) {
        if self.passed.load(Ordering::Relaxed) + 1 >= total {
            self.last
                .fetch_max(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
        self.passed.fetch_add(1, Ordering::Release);
    }

    async fn wait_for(&self, total: usize) -> Duration {
        while self.passed.load(Ordering::Acquire) < total {
            rt::sleep(Duration::from_millis(1)).await;
        }
        Duration::from_nanos(self.last.load(Ordering::Relaxed))
    }
}

/// Many tasks wait for one thing: bytes each, time to create, time to wake.
pub(crate) fn parked(setup: &Setup) -> Outcome {
    let total = setup.count;
    rt::run(setup.workers, async move {
        let gate = rt::Gate::new();
        let (arrived, left) = (
            Arc::new(Milestone::default()),
            Arc::new(Milestone::default()),
        );
        let resident = process::usage().resident_bytes;
        let start = Instant::now();
        for _ in 0..total {
            let (gate, arrived, left) = (gate.clone(), arrived.clone(), left.clone());
            rt::detach(rt::spawn(async move {
                arrived.pass(total, start);
                gate.wait().await;
                left.pass(total, start);
            }));
        }
        let created = arrived.wait_for(total).await;
        let bytes = process::usage().resident_bytes.saturating_sub(resident);
        let opened = start.elapsed();
        gate.open();
        let woken = left.wait_for(total).await.saturating_sub(opened);
        wire::metric("mem", bytes as f64 / total as f64);
        wire::metric("create", created.as_nanos() as f64 / total as f64);
        wire::metric("wake", woken.as_nanos() as f64 / total as f64);
    });
    Ok(())
}

/// Computes for `time` without a system call.
pub(crate) fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// One task makes work for all workers: how much of the ideal speed they reach together.
pub(crate) fn skew(setup: &Setup) -> Outcome {
    let total = setup.count;
    let elapsed = rt::run(setup.workers, async move {
        let start = Instant::now();
        let tasks: Vec<_> = (0..total)
            .map(|_| rt::spawn(async { burn(SKEW_WORK) }))
            .collect();
        for task in tasks {
            rt::join(task).await;
        }
        start.elapsed()
    });
    let ideal = SKEW_WORK * total as u32 / setup.workers as u32;
    wire::metric("ideal", 100.0 * ideal.as_secs_f64() / elapsed.as_secs_f64());
    Ok(())
}

/// Starts a runtime and ends it. The runner measures the life of the process.
pub(crate) fn cold_start(setup: &Setup) -> Outcome {
    rt::run(setup.workers, async {});
    Ok(())
}

/// CPU time of a runtime in which everybody waits, for `wanted`.
pub(crate) fn idle_cpu(setup: &Setup) -> Outcome {
    let wanted = setup.wanted;
    let count = setup.count;
    let used = rt::run(setup.workers, async move {
        let gate = rt::Gate::new();
        for _ in 0..count {
            let gate = gate.clone();
            rt::detach(rt::spawn(async move { gate.wait().await }));
        }
        // Starting up, and going to sleep for the first time, is not idleness.
        rt::sleep(Duration::from_millis(300)).await;
        let before = process::usage().cpu;
        rt::sleep(wanted).await;
        let used = process::usage().cpu - before;
        gate.open();
        used
    });
    wire::metric("cpu", used.as_secs_f64() * 1e6 / wanted.as_secs_f64());
    Ok(())
}
