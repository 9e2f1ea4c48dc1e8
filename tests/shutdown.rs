//! The end of a runtime: everything is dropped, drained, closed and joined, and what cannot be is
//! named.
//!
//! The tests count the descriptors and threads of this process, so they run one at a time.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{Held, PATIENCE, resident_bytes, within_patience};
use gorin::net::{TcpListener, TcpStream};
use gorin::prelude::*;
use gorin::runtime::DriverKind;
use gorin::time::sleep;
use gorin::{Runtime, Spec};

/// Keeps the other tests of this file waiting, and gives what the process holds now.
fn alone() -> (MutexGuard<'static, ()>, Held) {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed while it was alone is no reason for the next to fail.
    let guard = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    (guard, Held::now())
}

/// Counts how often it is dropped.
struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A runtime that starts, works and ends.
fn come_and_go(round: usize) {
    let workers = 1 + round % 3;
    if round.is_multiple_of(2) {
        let sum = Runtime::builder().workers(workers).run(async {
            let handles: Vec<_> = (0..10).map(|i| go(async move { i })).collect();
            let mut sum = gorin::go_local(async { 5 }).await.unwrap();
            for handle in handles {
                sum += handle.await.unwrap();
            }
            sum
        });
        assert_eq!(sum.unwrap(), 50);
    } else {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let slept = runtime.go(sleep(Duration::from_micros(100)));
        runtime.block_on(slept).unwrap();
        let value = runtime.block_on(async { gorin::unblock(move || round).await });
        assert_eq!(value.unwrap(), round);
    }
}

#[test]
fn a_thousand_runtimes_leave_no_descriptor_no_thread_and_no_memory() {
    let (_alone, before) = alone();
    // What the allocator and the kernel keep for later is there after these.
    (0..200).for_each(come_and_go);
    let resident = resident_bytes();
    (0..800).for_each(come_and_go);
    before.wait_until_back();
    let grown = resident_bytes().saturating_sub(resident);
    assert!(grown < 8 << 20, "{grown} bytes more after 800 runtimes");
}

/// What `docs/kernel.md` says that a runtime needs of them. For: a page that forgot the alarms.
#[test]
fn a_runtime_holds_as_many_descriptors_as_is_said() {
    let (_alone, _) = alone();
    const WORKERS: usize = 3;
    let with_spare = WORKERS + 1;
    for (driver, watched, unwatched) in [
        (DriverKind::Uring, 2 * with_spare, WORKERS),
        (DriverKind::Hybrid, 3 * with_spare + 1, 2 * WORKERS + 1),
        (DriverKind::Epoll, 3 * with_spare + 1, 2 * WORKERS + 1),
    ] {
        for (rescue, most) in [(true, watched), (false, unwatched)] {
            let before = Held::now();
            let builder = Runtime::builder().workers(WORKERS).rescue(rescue);
            let runtime = builder.driver(driver).build().unwrap();
            let held = Held::now().descriptors - before.descriptors;
            // Where rings take no messages each needs an eventfd.
            let eventfds = match driver {
                DriverKind::Epoll => 0,
                _ if rescue => with_spare,
                _ => WORKERS,
            };
            let few = held == most || held == most + eventfds;
            assert!(few, "{driver}, rescue {rescue}: {held} descriptors");
            drop(runtime);
            before.wait_until_back();
        }
    }
}

/// Starts `count` goroutines that wait, and ends their runtime; returns the bytes of each, and how long
/// the end took.
fn idle_goroutines(count: usize) -> (usize, Duration) {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let before = resident_bytes();
    let (started, all_started) = gorin::chan::<()>(0);
    for _ in 0..count {
        let started = started.clone();
        runtime.go(async move {
            drop(started);
            pending::<()>().await;
        });
    }
    drop(started);
    // Closed when each has been polled.
    assert_eq!(runtime.block_on(all_started.recv()), None);
    assert_eq!(runtime.handle().num_goroutines(), count);
    let each = resident_bytes().saturating_sub(before) / count;
    let begin = Instant::now();
    let shutdown = runtime.shutdown_timeout(PATIENCE);
    assert!(shutdown.is_complete(), "{shutdown}");
    (each, begin.elapsed())
}

#[test]
fn a_hundred_thousand_idle_goroutines_are_small_and_all_dropped() {
    let (_alone, _) = alone();
    let (each, _) = idle_goroutines(100_000);
    assert!(each < 1024, "{each} bytes each");
}

/// The figures of the long form; meant for `cargo test --release -- --ignored --nocapture`.
#[test]
#[ignore = "takes some 300 MB of memory"]
fn a_million_idle_goroutines_are_dropped_in_two_seconds() {
    let (_alone, _) = alone();
    let (each, teardown) = idle_goroutines(1_000_000);
    println!("{each} bytes each, teardown {teardown:?}");
    assert!(each < 512, "{each} bytes each");
    assert!(teardown < Duration::from_secs(2), "{teardown:?}");
}

#[test]
fn wakers_that_outlive_their_runtime_do_nothing() {
    let (_alone, before) = alone();
    let drops = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = mpsc::channel();
    let runtime = Runtime::builder().workers(2).build().unwrap();
    for _ in 0..100 {
        let (tx, count) = (tx.clone(), CountDrop(drops.clone()));
        runtime.go(async move {
            let _count = count;
            std::future::poll_fn(|cx| {
                tx.send(cx.waker().clone()).unwrap();
                std::task::Poll::<()>::Pending
            })
            .await;
        });
    }
    let wakers: Vec<_> = rx.iter().take(100).collect();
    // Half of them are used while the runtime ends, on other threads.
    let racing: Vec<_> = wakers[..50].to_vec();
    let racer = thread::spawn(move || racing.into_iter().for_each(std::task::Waker::wake));
    let shutdown = runtime.shutdown_timeout(PATIENCE);
    assert!(shutdown.is_complete(), "{shutdown}");
    racer.join().unwrap();
    assert_eq!(drops.load(Ordering::Relaxed), 100);
    for waker in &wakers {
        waker.wake_by_ref();
    }
    let elsewhere = thread::spawn(move || wakers.into_iter().for_each(std::task::Waker::wake));
    elsewhere.join().unwrap();
    assert_eq!(drops.load(Ordering::Relaxed), 100);
    before.wait_until_back();
}

/// Goroutines in all kinds of waits; each holds a [`CountDrop`]. Returns how many there are.
async fn start_waiting(
    address: SocketAddr,
    listener: TcpListener,
    drops: &Arc<AtomicUsize>,
) -> usize {
    let count = || CountDrop(drops.clone());
    let started = AtomicUsize::new(0);
    let start = |future: futures::future::BoxFuture<'static, ()>| {
        started.fetch_add(1, Ordering::Relaxed);
        let on_drop = count();
        go(async move {
            let _on_drop = on_drop;
            future.await;
        });
    };
    let (tx, rx) = chan::<u8>(0);
    for _ in 0..20 {
        let stream = TcpStream::connect(address).await.unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        start(Box::pin(async move {
            // Waits for bytes that never come.
            let _ = stream.read(&mut [0; 100]).await;
        }));
        start(Box::pin(async move {
            // Waits for room that never comes: nobody reads at the other end.
            let _ = peer.write_all(&vec![0; 50_000_000]).await;
        }));
        let tx = tx.clone();
        start(Box::pin(async move {
            let _ = tx.send(1).await;
        }));
        start(Box::pin(async {
            sleep(Duration::from_secs(3600)).await;
        }));
        start(Box::pin(async {
            loop {
                yield_now().await;
            }
        }));
    }
    start(Box::pin(async move {
        let _ = listener.accept().await;
    }));
    start(Box::pin(async move {
        let _rx = rx;
        pending::<()>().await;
    }));
    started.into_inner()
}

#[test]
fn shutdown_with_work_in_flight_drops_all_of_it_and_leaves_nothing() {
    let (_alone, before) = alone();
    for workers in [1, 2, 4] {
        within_patience(move || {
            let drops = Arc::new(AtomicUsize::new(0));
            let runtime = Runtime::builder().workers(workers).build().unwrap();
            let drops_inside = drops.clone();
            let started = runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                start_waiting(address, listener, &drops_inside).await
            });
            let shutdown = runtime.shutdown_timeout(PATIENCE);
            assert!(shutdown.is_complete(), "{shutdown}");
            assert_eq!(drops.load(Ordering::Relaxed), started);
        });
        before.wait_until_back();
    }
}

#[test]
fn the_end_of_main_with_work_in_flight_leaves_nothing() {
    let (_alone, before) = alone();
    for workers in [1, 2, 4] {
        within_patience(move || {
            let drops = Arc::new(AtomicUsize::new(0));
            let drops_inside = drops.clone();
            let started = Runtime::builder().workers(workers).run(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                start_waiting(address, listener, &drops_inside).await
            });
            assert_eq!(drops.load(Ordering::Relaxed), started.unwrap());
        });
        before.wait_until_back();
    }
}

/// Starts a goroutine that computes until `stop` is set; returns when it does.
fn hog(runtime: &gorin::runtime::Handle, stop: &Arc<AtomicBool>) {
    let (sender, running) = mpsc::channel();
    let stop = stop.clone();
    runtime.go_with(Spec::new().name("hog"), async move {
        sender.send(()).unwrap();
        while !stop.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    running.recv().unwrap();
}

#[test]
fn shutdown_names_who_does_not_stop_and_everything_ends_when_it_does() {
    let (_alone, before) = alone();
    within_patience(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        hog(&runtime.handle(), &stop);
        let start = Instant::now();
        let shutdown = runtime.shutdown_timeout(Duration::from_millis(100));
        let took = start.elapsed();
        stop.store(true, Ordering::Relaxed);
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert_eq!(shutdown.goroutines().len(), 1);
        assert!(!shutdown.is_complete() && shutdown.lost_workers() >= 1);
        let text = shutdown.to_string();
        assert!(
            text.contains("hog") && text.contains("tests/shutdown.rs:"),
            "{text}"
        );
    });
    before.wait_until_back();
}

#[test]
fn a_goroutine_that_computes_does_not_hold_the_threads_in_block_on() {
    let (_alone, before) = alone();
    let stop = Arc::new(AtomicBool::new(false));
    within_patience({
        let stop = stop.clone();
        move || {
            let runtime = Runtime::builder().workers(2).build().unwrap();
            hog(&runtime.handle(), &stop);
            let handle = runtime.handle();
            let (sender, waiting) = mpsc::channel();
            let blocked = thread::spawn(move || {
                handle.block_on(async {
                    sender.send(()).unwrap();
                    std::future::pending::<()>().await;
                });
            });
            waiting.recv().unwrap();
            let shutdown = runtime.shutdown_timeout(Duration::from_millis(100));
            assert!(!shutdown.is_complete());
            assert!(blocked.join().is_err(), "block_on says that it is over");
        }
    });
    stop.store(true, Ordering::Relaxed);
    before.wait_until_back();
}

#[test]
fn a_goroutine_that_computes_does_not_hold_the_end_of_main_for_ever() {
    let (_alone, before) = alone();
    let stop = Arc::new(AtomicBool::new(false));
    within_patience({
        let stop = stop.clone();
        move || {
            let start = Instant::now();
            let builder = Runtime::builder().workers(2);
            let ended = builder
                .exit_timeout(Duration::from_millis(100))
                .run(async move {
                    let (tx, rx) = chan(1);
                    let main_thread = thread::current().id();
                    // Several, so that there is something to steal: on the worker that polls main
                    // a loop would not let main end in the first place.
                    for _ in 0..50 {
                        let (tx, stop) = (tx.clone(), stop.clone());
                        go(async move {
                            while thread::current().id() == main_thread {
                                yield_now().await;
                            }
                            // The first one there computes.
                            if tx.try_send(()).is_ok() {
                                while !stop.load(Ordering::Relaxed) {
                                    std::hint::spin_loop();
                                }
                            }
                        });
                    }
                    rx.recv().await.unwrap();
                    "main's value"
                });
            assert_eq!(ended.unwrap(), "main's value");
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{:?}",
                start.elapsed()
            );
        }
    });
    stop.store(true, Ordering::Relaxed);
    before.wait_until_back();
}

#[test]
fn a_panic_of_main_is_passed_on_after_the_same_teardown() {
    let (_alone, before) = alone();
    let drops = Arc::new(AtomicUsize::new(0));
    let on_drop = CountDrop(drops.clone());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        gorin::run(async move {
            go(async move {
                let _on_drop = on_drop;
                pending::<()>().await;
            });
            yield_now().await;
            panic!("as expected by the test");
        })
    }));
    let panic = panicked.expect_err("main panicked");
    assert_eq!(panic.downcast_ref(), Some(&"as expected by the test"));
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    before.wait_until_back();
}

/// Starts another goroutine when it is dropped.
struct GoOnDrop(mpsc::Sender<JoinHandle<()>>);

impl Drop for GoOnDrop {
    fn drop(&mut self) {
        self.0.send(go(pending())).unwrap();
    }
}

#[test]
fn goroutines_started_by_destructors_during_the_teardown_are_refused() {
    let (_alone, before) = alone();
    within_patience(|| {
        let (sender, started) = mpsc::channel();
        gorin::run(async move {
            let on_drop = GoOnDrop(sender);
            go(async move {
                let _on_drop = on_drop;
                pending::<()>().await;
            });
            yield_now().await;
        });
        let late = started.recv().unwrap();
        assert!(
            gorin_base::check::block_on(late)
                .unwrap_err()
                .is_cancelled()
        );
    });
    before.wait_until_back();
}

#[test]
fn a_stream_that_outlives_its_runtime_gives_errors_and_does_not_hang() {
    let (_alone, before) = alone();
    within_patience(|| {
        let (client, server) = gorin::run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            (client, listener.accept().await.unwrap().0)
        });
        let error = gorin_base::check::block_on(client.read(&mut [0; 8])).unwrap_err();
        assert!(error.to_string().contains("runtime"), "{error}");
        drop(server);
    });
    before.wait_until_back();
}

#[test]
fn a_runtime_whose_last_ring_cannot_be_had_leaves_nothing() {
    let (_alone, before) = alone();
    let full = descriptor_limit();
    // Room for some of the rings, not for all.
    set_descriptor_limit(before.descriptors as u64 + 12);
    let failed = Runtime::builder().workers(40).build();
    set_descriptor_limit(full);
    let error = failed.expect_err("forty rings need more than twelve descriptors");
    assert!(
        error.to_string().contains("NOFILE") || error.to_string().contains("ulimit"),
        "{error}"
    );
    before.wait_until_back();
    assert_eq!(gorin::run(async { 1 }), 1, "and the next one starts");
}

fn descriptor_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a local of the right type.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    limit.rlim_cur
}

/// Sets the soft limit; the hard one stays, so that it can be raised again.
fn set_descriptor_limit(descriptors: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a local of the right type.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    limit.rlim_cur = descriptors;
    // SAFETY: as above; the kernel checks the values.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}
