//! Whoever cannot write to stderr, because the reader of the pipe has gone (a log collector that was
//! restarted, say), misses what gorin says there, and nothing else. Each case runs in a process of its own,
//! whose stderr is such a pipe.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::{PATIENCE, within_patience};
use gorin::Runtime;
use gorin::runtime::Handle;

/// The variable that tells the child what to do.
const CASE: &str = "GORIN_TEST_SILENCED";

/// Has [`child`] do `case` with a stderr that nobody reads, and `variables`.
fn run(case: &str, variables: &[(&str, &str)]) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(CASE, case)
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(writer)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{case}: {}: {text}", output.status);
    assert!(text.contains("survived"), "{case}: {text}");
}

#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn child() {
    let case: fn() = match std::env::var(CASE).as_deref() {
        Ok("report") => a_goroutine_is_left_behind,
        Ok("start") => || assert_eq!(gorin::run(async { 7 }), 7),
        Ok("stall") => a_goroutine_computes,
        _ => return,
    };
    within_patience(case);
    println!("survived");
}

/// A goroutine that does not stop before the flag says so; it runs when this returns.
fn hog(handle: &Handle) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let (begins, begun) = mpsc::channel();
    let over = stop.clone();
    handle.go(async move {
        begins.send(()).unwrap();
        while !over.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    begun.recv_timeout(PATIENCE).unwrap();
    stop
}

fn a_goroutine_is_left_behind() {
    for panics in [false, true] {
        let runtime = Runtime::builder().workers(1).exit_timeout(Duration::ZERO);
        let runtime = runtime.build().unwrap();
        let stop = hog(&runtime.handle());
        // Reports the goroutine, also while a panic is on its way: a second one would end the process.
        let dropped = catch_unwind(AssertUnwindSafe(move || {
            let _runtime = runtime;
            assert!(!panics, "as expected by the test");
        }));
        assert_eq!(dropped.is_err(), panics);
        stop.store(true, Ordering::Relaxed);
    }
}

fn a_goroutine_computes() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let stop = hog(&runtime.handle());
    // Fires on the worker that has found the other one computing, or would have.
    runtime.block_on(gorin::time::sleep(Duration::from_millis(100)));
    stop.store(true, Ordering::Relaxed);
    assert!(runtime.shutdown_timeout(PATIENCE).is_complete());
}

#[test]
fn a_report_of_who_did_not_stop_is_dropped() {
    run("report", &[]);
}

#[test]
fn a_runtime_starts_without_saying_what_is_special_about_it() {
    run(
        "start",
        &[("GORIN_DRIVER", "simulated"), ("GORIN_SEED", "")],
    );
}

#[test]
fn a_report_of_who_computes_harms_nobody() {
    run("stall", &[("GORIN_STALL_MS", "5"), ("GORIN_DRIVER", "")]);
}
