//! Panics everywhere a user's code runs: others go on, who joins gets the payload, and what nobody
//! joins is reported.

#![cfg(not(loom))]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Gate, Threads, block_on, run};
use gorin_executor::{Config, Executor, JoinError, PanicPolicy, Spec, spawn, yield_now};

/// Panics when it is dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any(self.0);
    }
}

fn text(error: JoinError) -> &'static str {
    error
        .into_panic()
        .downcast_ref::<&'static str>()
        .copied()
        .expect("a text")
}

/// Runs a goroutine to its end on one worker and returns the outcome; the worker must be usable
/// afterwards.
fn join<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    run(1, async {
        let result = spawn(Spec::new(), future).await;
        assert_eq!(
            spawn(Spec::new(), async { 1 }).await.unwrap(),
            1,
            "the worker goes on"
        );
        result
    })
}

#[test]
fn a_panic_in_poll_goes_to_the_joiner() {
    let error = join(async { panic_any("in poll") })
        .map(|(): ()| ())
        .unwrap_err();
    assert!(error.is_panic() && !error.is_cancelled());
    assert_eq!(text(error), "in poll");
}

#[test]
fn a_panic_in_the_drop_of_the_future_goes_to_the_joiner() {
    let error = join(async {
        let _bomb = Bomb("in drop");
        yield_now().await;
    });
    assert_eq!(text(error.unwrap_err()), "in drop");
}

/// A future whose own destructor panics, after it has given its output.
struct BombFuture(#[allow(dead_code, reason = "dropped")] Bomb);

impl Future for BombFuture {
    type Output = u32;

    fn poll(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<u32> {
        std::task::Poll::Ready(7)
    }
}

#[test]
fn a_panic_in_the_destructor_of_a_finished_future_replaces_the_output() {
    let error = join(BombFuture(Bomb("after ready"))).unwrap_err();
    assert_eq!(text(error), "after ready");
}

#[test]
fn a_panic_in_the_drop_of_an_aborted_future_goes_to_the_joiner() {
    let gate = Gate::default();
    run(2, async {
        let parking = gate.clone();
        let handle = spawn(Spec::new(), async move {
            let _bomb = Bomb("aborted");
            parking.await;
        });
        while gate.waiting() == 0 {
            yield_now().await;
        }
        handle.abort();
        assert_eq!(text(handle.await.unwrap_err()), "aborted");
    });
}

#[test]
fn a_panic_in_the_drop_of_an_output_nobody_takes_is_isolated() {
    for drop_first in [true, false] {
        run(1, async {
            let handle = spawn(Spec::new(), async { Bomb("output") });
            if !drop_first {
                while !handle.is_finished() {
                    yield_now().await;
                }
            }
            drop(handle);
            assert_eq!(spawn(Spec::new(), async { 1 }).await.unwrap(), 1);
        });
    }
}

#[test]
fn a_payload_whose_drop_panics_is_isolated() {
    run(1, async {
        drop(spawn(Spec::new(), async { panic_any(Bomb("payload")) }));
        assert_eq!(spawn(Spec::new(), async { 1 }).await.unwrap(), 1);
        let error = spawn(Spec::new(), async { panic_any(Bomb("joined payload")) });
        let error = error.await.map(|(): ()| ()).unwrap_err();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(error))).is_err());
    });
}

#[test]
fn one_in_a_hundred_of_many_goroutines_panics_and_the_others_finish() {
    let total = if cfg!(miri) { 200 } else { 20_000 };
    std::panic::set_hook(Box::new(|_| ()));
    let mut threads = Threads::new(2);
    let finished = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..total)
        .map(|n| {
            let finished = finished.clone();
            threads.executor.spawn(Spec::new(), async move {
                yield_now().await;
                if n % 100 == 0 {
                    panic_any(n);
                }
                finished.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    let mut panics = 0;
    for (n, handle) in handles.into_iter().enumerate() {
        if let Err(error) = block_on(handle) {
            assert_eq!(
                error.into_panic().downcast_ref(),
                Some(&n),
                "each gets its own payload"
            );
            panics += 1;
        }
    }
    threads.shut_down();
    let _ = std::panic::take_hook();
    assert_eq!(panics, total / 100);
    assert_eq!(finished.load(Ordering::Relaxed), total - panics);
}

#[test]
fn a_panic_of_main_leaves_the_worker_usable() {
    let executor = Executor::new(Config {
        workers: 1,
        ..Config::default()
    });
    let mut worker = executor.worker(0);
    let main = AssertUnwindSafe(|| {
        block_on(worker.run_until(async {
            yield_now().await;
            panic!("in main");
        }))
    });
    catch_unwind(main).map(|(): ()| ()).unwrap_err();
    let handle = executor.spawn(Spec::new(), async { 7 });
    assert_eq!(block_on(worker.run_until(handle)).unwrap(), 7);
}

#[test]
fn under_the_crash_policy_main_raises_the_panic_that_nobody_joined() {
    let executor = Executor::new(Config {
        workers: 2,
        panic_policy: PanicPolicy::Crash,
        ..Config::default()
    });
    let mut worker = executor.worker(0);
    let parked = executor.spawn(Spec::new(), std::future::pending::<()>());
    let raised = catch_unwind(AssertUnwindSafe(|| {
        block_on(worker.run_until(async {
            let joined = spawn(Spec::new(), async { panic_any("joined") }).await;
            assert!(
                joined.map(|(): ()| ()).is_err(),
                "a joined panic crashes nothing"
            );
            drop(spawn(Spec::new(), async { panic_any("unjoined") }));
            std::future::pending::<()>().await;
        }))
    }));
    assert_eq!(raised.unwrap_err().downcast_ref(), Some(&"unjoined"));
    block_on(worker.run());
    assert!(
        block_on(parked).unwrap_err().is_cancelled(),
        "the crash stopped the executor"
    );
}

#[test]
#[cfg_attr(miri, ignore = "starts a process")]
fn a_panic_that_nobody_joins_is_reported_on_stderr() {
    const CHILD: &str = "GORIN_TEST_REPORT_CHILD";
    let line = line!() + 4;
    if std::env::var_os(CHILD).is_some() {
        run(1, async {
            let spec = Spec::new().name("worker bee");
            drop(spawn(spec, async { panic!("out of {}", "honey") }));
            yield_now().await;
            yield_now().await;
        });
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_panic_that_nobody_joins_is_reported_on_stderr",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let place = format!("\"worker bee\" started at {}:{line}:", file!());
    let report = stderr.lines().find(|line| line.starts_with("goroutine "));
    let report = report.unwrap_or_else(|| panic!("no report in {stderr}"));
    assert!(report.contains(&place), "{report}");
    assert!(
        report.ends_with("panicked and nobody joins it: out of honey"),
        "{report}"
    );
}
