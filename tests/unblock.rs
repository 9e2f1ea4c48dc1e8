//! `unblock`: threads for blocking code, their number, their end, and what becomes of a closure; and
//! `block_in_place`: what a worker gives away before it blocks.
//!
//! Nothing here sleeps to wait for another thread: closures are held by channels.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, within_patience};
use gorin::io::{PipeReader, PipeWriter};
use gorin::runtime::{Builder, Handle};
use gorin::time::timeout;
use gorin::{JoinHandle, Runtime, Spec, block_in_place, go, run, unblock, unblock_with};

/// A closure that says when it begins and ends when it is told to.
struct Held {
    began: mpsc::Receiver<()>,
    go_on: mpsc::Sender<()>,
}

fn held() -> (Held, impl FnOnce() + Send + 'static) {
    let (begin, began) = mpsc::channel();
    let (go_on, wait) = mpsc::channel();
    let closure = move || {
        begin.send(()).expect("the test waits for it");
        // An error: the test has ended.
        let _ = wait.recv();
    };
    (Held { began, go_on }, closure)
}

impl Held {
    fn wait_until_begun(&self) {
        self.began.recv_timeout(PATIENCE).expect("it begins");
    }

    fn end(self) {
        self.go_on.send(()).expect("it still runs");
    }
}

fn one_worker() -> Builder {
    Runtime::builder().workers(1)
}

#[test]
fn the_value_of_the_closure_comes_back_and_the_worker_goes_on_meanwhile() {
    within_patience(|| {
        one_worker()
            .run(async {
                let (tx, rx) = mpsc::channel();
                // Ends only if the one worker runs a goroutine meanwhile.
                let waiting = unblock(move || rx.recv().unwrap());
                go(async move { tx.send(42).unwrap() });
                assert_eq!(waiting.await.unwrap(), 42);
            })
            .unwrap();
    });
}

#[test]
fn it_runs_on_a_named_thread_of_its_own_that_belongs_to_the_runtime() {
    run(async {
        let caller = thread::current().id();
        let (id, name, value) = unblock(|| {
            let thread = thread::current();
            let goroutine = go(async { 7 });
            let value = Handle::current().block_on(goroutine).unwrap();
            (thread.id(), thread.name().unwrap_or("").to_owned(), value)
        })
        .await
        .unwrap();
        assert_ne!(id, caller);
        assert_eq!(name, "gorin-block-0");
        assert_eq!(value, 7);
    });
}

#[test]
fn it_works_in_block_on() {
    let runtime = one_worker().build().unwrap();
    let value = runtime.block_on(async { unblock(|| 5).await.unwrap() });
    assert_eq!(value, 5);
    let handle: JoinHandle<i32> = runtime.handle().unblock(|| 6);
    assert_eq!(runtime.block_on(handle).unwrap(), 6);
    let entered = runtime.enter();
    assert_eq!(runtime.block_on(unblock(|| 7)).unwrap(), 7);
    drop(entered);
    assert_eq!(runtime.block_on(runtime.unblock(|| 8)).unwrap(), 8);
    assert!(Handle::try_current().is_none());
}

#[test]
fn a_panic_of_the_closure_goes_to_who_awaits_it_and_its_thread_goes_on() {
    one_worker()
        .max_blocking_threads(1)
        .run(async {
            let error = unblock(|| panic!("no such device")).await.unwrap_err();
            assert!(error.is_panic());
            assert_eq!(error.to_string(), "the goroutine panicked: no such device");
            let text = *error.into_panic().downcast::<&str>().unwrap();
            assert_eq!(text, "no such device");
            assert_eq!(unblock(|| 1).await.unwrap(), 1);
        })
        .unwrap();
}

/// Panics when it is dropped.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn destructors_that_panic_end_neither_the_threads_nor_the_workers() {
    one_worker()
        .max_blocking_threads(1)
        .run(async {
            let captured = Fragile;
            let error = unblock(move || drop(captured)).await.unwrap_err();
            assert_eq!(error.to_string(), "the goroutine panicked: dropped");
            // An output that nobody takes, and a payload, each with such a destructor.
            drop(unblock(|| Fragile));
            drop(unblock(|| std::panic::panic_any(Fragile)));
            assert_eq!(unblock(|| 1).await.unwrap(), 1);
        })
        .unwrap();
}

#[test]
fn a_dropped_handle_lets_the_closure_run_on() {
    within_patience(|| {
        run(async {
            let (tx, rx) = mpsc::channel();
            drop(unblock(move || tx.send("ran").unwrap()));
            assert_eq!(unblock(move || rx.recv()).await.unwrap(), Ok("ran"));
        });
    });
}

#[test]
fn an_abort_drops_a_closure_that_waits_in_line_and_no_other() {
    within_patience(|| {
        one_worker()
            .max_blocking_threads(1)
            .run(async {
                let (first, closure) = held();
                let running = unblock(closure);
                first.wait_until_begun();
                let waiting = unblock(|| unreachable!("it was aborted before it began"));
                waiting.abort();
                running.abort();
                first.end();
                assert!(waiting.await.unwrap_err().is_cancelled());
                running.await.unwrap();
            })
            .unwrap();
    });
}

#[test]
fn no_more_threads_run_than_allowed_and_the_others_wait_in_line() {
    within_patience(|| {
        let runtime = one_worker().max_blocking_threads(3).build().unwrap();
        let running = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let closures: Vec<_> = (0..100)
            .map(|i| {
                let (running, most) = (running.clone(), most.clone());
                runtime.handle().unblock(move || {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    i
                })
            })
            .collect();
        for (i, closure) in closures.into_iter().enumerate() {
            assert_eq!(runtime.block_on(closure).unwrap(), i);
        }
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
        assert!(runtime.handle().num_blocking_threads() <= 3);
    });
}

#[test]
fn a_thread_without_work_ends_after_its_time_and_another_comes_when_needed() {
    within_patience(|| {
        let limit = Duration::from_millis(5);
        let runtime = one_worker().blocking_idle_timeout(limit).build().unwrap();
        for round in 0..3 {
            let value = runtime.block_on(runtime.handle().unblock(move || round));
            assert_eq!(value.unwrap(), round);
            let latest = Instant::now() + PATIENCE;
            while runtime.handle().num_blocking_threads() > 0 {
                assert!(Instant::now() < latest, "the thread stays");
                thread::yield_now();
            }
        }
    });
}

#[test]
fn shutdown_cancels_what_waits_in_line_and_names_what_does_not_end() {
    within_patience(|| {
        let runtime = one_worker().max_blocking_threads(1).build().unwrap();
        let handle = runtime.handle();
        let (first, closure) = held();
        let running = handle.unblock_with(Spec::new().name("stubborn"), closure);
        first.wait_until_begun();
        let waiting = handle.unblock(|| unreachable!("the runtime stopped before it began"));

        let shutdown = runtime.shutdown_timeout(Duration::from_millis(20));
        assert!(!shutdown.is_complete());
        assert_eq!(shutdown.goroutines(), []);
        let [job] = shutdown.blocking_jobs() else {
            panic!("{shutdown}");
        };
        assert_eq!(job.name.as_deref(), Some("stubborn"));
        let text = shutdown.to_string();
        assert!(text.contains("blocking job"), "{text}");
        assert!(
            text.contains("\"stubborn\" started at tests/unblock.rs"),
            "{text}"
        );

        let block_on = gorin_base::check::block_on;
        assert!(block_on(waiting).unwrap_err().is_cancelled());
        let late = handle.unblock(|| unreachable!("the runtime has stopped"));
        assert!(block_on(late).unwrap_err().is_cancelled());
        // Its value comes back all the same, and its thread ends.
        first.end();
        block_on(running).unwrap();
    });
}

#[test]
fn shutdown_waits_for_a_closure_that_ends_in_time() {
    within_patience(|| {
        let runtime = one_worker().build().unwrap();
        let (first, closure) = held();
        let running = runtime.handle().unblock(closure);
        first.wait_until_begun();
        let ending = thread::spawn(move || first.end());
        let shutdown = runtime.shutdown_timeout(PATIENCE);
        assert!(shutdown.is_complete(), "{shutdown}");
        assert!(running.is_finished());
        ending.join().unwrap();
    });
}

#[test]
fn a_panic_that_nobody_joins_crashes_where_goroutines_would() {
    let outcome = std::panic::catch_unwind(|| {
        within_patience(|| {
            one_worker()
                .panic_policy(gorin::PanicPolicy::Crash)
                .run(async {
                    drop(unblock_with(Spec::new().name("breaker"), || panic!("boom")));
                    std::future::pending::<()>().await;
                })
        })
    });
    let text = *outcome.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(text, "boom");
}

#[test]
fn block_in_place_gives_the_queue_of_its_worker_to_the_others() {
    within_patience(|| {
        Runtime::builder()
            .workers(2)
            .run(async {
                for _ in 0..100 {
                    let blocking = go(async {
                        let (tx, rx) = mpsc::channel();
                        let start = |value| {
                            let tx = tx.clone();
                            go(async move { tx.send(value).unwrap() });
                        };
                        // In the LIFO slot and the ring before, in neither while it blocks.
                        (0..5).for_each(start);
                        let sum: i32 = block_in_place(|| {
                            (5..10).for_each(start);
                            rx.iter().take(10).sum()
                        });
                        assert_eq!(sum, 45);
                    });
                    blocking.await.unwrap();
                }
            })
            .unwrap();
    });
}

#[test]
fn block_in_place_runs_everywhere_and_passes_panics_on() {
    assert_eq!(block_in_place(|| 1), 1);
    let runtime = one_worker().build().unwrap();
    assert_eq!(runtime.block_on(async { block_in_place(|| 2) }), 2);
    let nested = async {
        let inner = || block_in_place(|| block_in_place(|| 3));
        assert_eq!(inner(), 3);
        block_in_place(|| panic!("inside"))
    };
    let error = runtime.block_on(runtime.go(nested)).unwrap_err();
    assert_eq!(error.to_string(), "the goroutine panicked: inside");
    // The worker queues for itself again.
    let pair = async { go(async { 4 }).await.unwrap() };
    assert_eq!(runtime.block_on(runtime.go(pair)).unwrap(), 4);
    let unblocked = runtime.handle().unblock(|| block_in_place(|| 5));
    assert_eq!(runtime.block_on(unblocked).unwrap(), 5);
}

/// For: an end that stayed open as long as the closure took, which waited for who reads or writes at the other
/// one.
#[test]
fn who_blocks_in_place_has_closed_the_ends_of_pipes_that_were_dropped() {
    if std::env::var_os("GORIN_DRIVER").is_some_and(|driver| driver == "simulated") {
        // It cancels when it likes.
        return;
    }
    common::on_each_count(|| async {
        let (mut reader, writer) = io::pipe().unwrap();
        let writer = PipeWriter::from_fd(writer.into()).unwrap();
        while writer.try_write(&[0; 4096]).is_ok() {}
        // It was waited for, in vain.
        let given_up = timeout(Duration::from_millis(1), writer.write(b"x")).await;
        assert!(given_up.is_err());
        drop(writer);
        let read = block_in_place(|| reader.read_to_end(&mut Vec::new()));
        assert!(read.unwrap() > 0);

        let (reader, mut writer) = io::pipe().unwrap();
        let reader = PipeReader::from_fd(reader.into()).unwrap();
        let given_up = timeout(Duration::from_millis(1), reader.read(&mut [0])).await;
        assert!(given_up.is_err());
        drop(reader);
        let written = block_in_place(|| writer.write_all(&[0; 1 << 20]));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    });
}

/// The worker that a wait has left behind is another one than the one that blocks, and blocks as well. For: one
/// that blocks before it has done what others have asked of it, so that two wait for each other.
#[test]
fn workers_that_block_in_place_on_pipes_do_not_wait_for_each_other() {
    if std::env::var_os("GORIN_DRIVER").is_some_and(|driver| driver == "simulated") {
        // It cancels when it likes.
        return;
    }
    common::on_each_count(|| async {
        let blocking = (0..16).map(|seed| {
            go(async move {
                let mut dice = fastrand::Rng::with_seed(seed);
                for _ in 0..100 {
                    let (mut reader, writer) = io::pipe().unwrap();
                    let writer = PipeWriter::from_fd(writer.into()).unwrap();
                    while writer.try_write(&[0; 1 << 16]).is_ok() {}
                    let limit = Duration::from_micros(dice.u64(0..400));
                    let given_up = timeout(limit, writer.write(b"x")).await;
                    assert!(given_up.is_err());
                    drop(writer);
                    let read = block_in_place(|| reader.read_to_end(&mut Vec::new()));
                    assert!(read.unwrap() > 0);
                }
            })
        });
        for goroutine in Vec::from_iter(blocking) {
            goroutine.await.unwrap();
        }
    });
}

/// For: the closure waited for its own end, until the exit timeout had passed.
#[test]
fn a_runtime_that_is_dropped_in_its_own_closure_does_not_wait_for_it() {
    within_patience(|| {
        let builder = gorin::Runtime::builder().workers(1);
        let runtime = builder
            .exit_timeout(Duration::from_secs(3600))
            .build()
            .unwrap();
        let (dropped, told) = mpsc::channel();
        let handle = runtime.handle();
        drop(handle.unblock(move || {
            drop(runtime);
            dropped.send(()).unwrap();
        }));
        told.recv().unwrap();
    });
}

/// On every driver, whoever does what is waited for: a ring, or a thread.
#[test]
fn closures_that_hold_all_threads_may_wait_for_gorins_own_calls() {
    const CLOSURES: usize = 2;
    within_patience(|| {
        let runtime = one_worker().max_blocking_threads(CLOSURES).build().unwrap();
        let all_here = Arc::new(Barrier::new(CLOSURES));
        let closures: Vec<_> = (0..CLOSURES)
            .map(|_| {
                let (all_here, handle) = (all_here.clone(), runtime.handle());
                runtime.handle().unblock(move || {
                    all_here.wait();
                    handle.block_on(async {
                        let version = gorin::fs::read_to_string("/proc/version").await?;
                        assert!(!version.is_empty());
                        gorin::fs::canonicalize("/proc/self").await?;
                        let mut entries = gorin::fs::read_dir("/proc/self").await?;
                        assert!(entries.next_entry().await?.is_some());
                        gorin::net::lookup(("localhost", 80)).await
                    })
                })
            })
            .collect();
        for closure in closures {
            let found = runtime.block_on(closure).unwrap().unwrap();
            assert!(found.iter().all(|address| address.ip().is_loopback()));
        }
        assert!(runtime.shutdown_timeout(PATIENCE).is_complete());
    });
}

/// Needs `n` times 4 KiB of stack.
fn depth(n: usize) -> usize {
    let frame = std::hint::black_box([1_u8; 4096]);
    if n == 0 {
        return 0;
    }
    usize::from(frame[n % 4096]) + depth(n - 1)
}

#[test]
fn stacks_are_as_large_as_asked_for() {
    within_patience(|| {
        // Four times what threads have otherwise.
        const DEEP: usize = 2048;
        let builder = one_worker().thread_stack_size(64 << 20);
        let runtime = builder.clone().build().unwrap();
        let goroutine = runtime.go(async { depth(DEEP) });
        let closure = runtime.handle().unblock(|| depth(DEEP));
        assert_eq!(runtime.block_on(goroutine).unwrap(), DEEP);
        assert_eq!(runtime.block_on(closure).unwrap(), DEEP);
        let impossible = builder.thread_stack_size(usize::MAX).build().unwrap_err();
        assert!(
            impossible.to_string().contains("thread of worker 0"),
            "{impossible}"
        );
    });
}
