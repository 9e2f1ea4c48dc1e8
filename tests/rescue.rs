//! Goroutines that compute strand nobody: what waits behind one is served by another worker before
//! it is done.
//!
//! The hogs compute until they see that it happened, so nothing is measured, and a rescue that does
//! not happen shows as a limit that passes.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use gorin::net::{TcpListener, TcpStream};
use gorin::prelude::*;
use gorin::runtime::Stall;
use gorin::{Runtime, Spec, time};

/// No event of these tests takes that long.
const LIMIT: Duration = Duration::from_secs(60);

/// Computes until `done`.
fn compute(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LIMIT, "the hog computed in vain: {what}");
        std::hint::spin_loop();
    }
}

#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn on_two_workers<F: Future>(main: F) -> F::Output {
    Runtime::builder().workers(2).run(main).unwrap()
}

/// The goroutine that was woken or started last would be the next one of the hog's worker alone.
#[test]
fn the_next_goroutine_of_a_hog_runs_while_it_computes() {
    on_two_workers(async {
        let hog = go(async {
            let ran = Count::default();
            for round in 1..=20 {
                let count = ran.clone();
                go(async move { count.up() });
                compute("a goroutine it has started", || ran.get() == round);
            }
            let (tx, rx) = chan::<()>(1);
            let count = ran.clone();
            go(async move {
                while rx.recv().await.is_some() {
                    count.up();
                }
            });
            for round in 21..=40 {
                tx.try_send(()).unwrap();
                compute("a goroutine it has woken", || ran.get() == round);
            }
        });
        hog.await.unwrap();
    });
}

#[test]
fn the_queue_of_a_hog_runs_while_it_computes() {
    on_two_workers(async {
        let hog = go(async {
            let ran = Count::default();
            for _ in 0..1000 {
                let count = ran.clone();
                go(async move { count.up() });
            }
            compute("a thousand goroutines", || ran.get() == 1000);
        });
        hog.await.unwrap();
    });
}

/// Nobody is called for the second of two short polls, as far as can be known.
#[test]
fn who_has_woken_together_with_a_hog_runs_while_it_computes() {
    on_two_workers(async {
        for _ in 0..100 {
            gorin::yield_now().await;
        }
        let at = Instant::now() + Duration::from_millis(2);
        let ran = Count::default();
        let pair = [ran.clone(), ran].map(|ran| {
            go(async move {
                time::sleep_until(at).await;
                ran.up();
                compute("one that has woken with it", || ran.get() == 2);
            })
        });
        for one in pair {
            one.await.unwrap();
        }
    });
}

#[test]
fn timers_of_a_hog_fire_while_it_computes() {
    on_two_workers(async {
        let fired = Count::default();
        for millis in [1, 3, 10] {
            let count = fired.clone();
            go(async move {
                time::sleep(Duration::from_millis(millis)).await;
                count.up();
            });
        }
        yield_now().await;
        compute("timers", || fired.get() == 3);
    });
}

/// Echoes what comes, and counts.
async fn echo(stream: TcpStream, served: Count) {
    let mut buffer = [0; 64];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        stream.write_all(&buffer[..n]).await.unwrap();
        served.up();
    }
}

/// A server of `connections` connections, whose clients are std's, on other threads: each sends as
/// soon as it was answered, until the server closes.
async fn serve(connections: usize) -> Count {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = Count::default();
    for _ in 0..connections {
        std::thread::spawn(move || {
            let mut stream = StdStream::connect(address).unwrap();
            let mut byte = [7];
            while stream.write_all(&byte).is_ok() && stream.read_exact(&mut byte).is_ok() {}
        });
        let (stream, _) = listener.accept().await.unwrap();
        go(echo(stream, served.clone()));
    }
    served
}

#[test]
fn connections_are_served_while_main_computes() {
    on_two_workers(async {
        let served = serve(8).await;
        for _ in 0..5 {
            let before = served.get();
            compute("connections", || served.get() >= before + 1000);
            yield_now().await;
        }
    });
}

/// Who computes is named once for each time, with the place where it was started.
#[test]
fn a_goroutine_that_computes_is_named() {
    const ROUNDS: usize = 20;
    let (tell, told) = mpsc::channel();
    let builder =
        Runtime::builder()
            .workers(2)
            .on_stall(Duration::from_millis(2), move |stall: &Stall| {
                // Nobody listens any more at the end.
                let _ = tell.send(stall.clone());
            });
    let outcome = builder.run(async move {
        let line = line!() + 1;
        let hog = go_with(Spec::new().name("hog"), async move {
            // On a busy machine the main future and short polls may last that long, too.
            let of_hog = |stall: &Stall| {
                let goroutine = stall.goroutine.as_ref();
                goroutine.is_some_and(|goroutine| goroutine.name.as_deref() == Some("hog"))
            };
            let mut stalls: Vec<Stall> = Vec::new();
            for _ in 0..ROUNDS {
                // Short polls before a long one: the worker does not look at the clock for a while.
                yield_now().await;
                yield_now().await;
                stalls.extend(told.try_iter().filter(of_hog));
                let mut reports = std::iter::repeat_with(|| told.recv_timeout(LIMIT));
                let stall =
                    reports.find_map(|report| Some(report.expect("a report")).filter(of_hog));
                stalls.extend(stall);
            }
            // Once for each time: all reports that a poll a hundred times as long would lead to.
            let start = Instant::now();
            compute("its time", || start.elapsed() > Duration::from_millis(200));
            yield_now().await;
            stalls.extend(told.try_iter().filter(of_hog));
            stalls
        });
        let id = hog.id();
        let stalls = hog.await.unwrap();
        assert!(
            (ROUNDS..=3 * ROUNDS + 2).contains(&stalls.len()),
            "{}",
            stalls.len()
        );
        for stall in stalls {
            let goroutine = stall.goroutine.as_ref().expect("it runs");
            assert_eq!((goroutine.id, goroutine.site.line()), (id, line));
            assert!(stall.lasted >= Duration::from_millis(2), "{stall}");
            let text = stall.to_string();
            let expected = format!("goroutine {id} \"hog\" started at {}", goroutine.site);
            assert!(text.starts_with(&expected), "{text}");
        }
    });
    outcome.unwrap();
}

#[test]
fn connections_are_served_while_a_goroutine_blocks_in_place() {
    on_two_workers(async {
        let served = serve(8).await;
        for _ in 0..5 {
            let before = served.get();
            gorin::block_in_place(|| compute("connections", || served.get() >= before + 1000));
            yield_now().await;
        }
    });
}

/// The hog starts its successor, which may run on the other worker: it wanders.
#[test]
fn connections_are_served_while_a_hog_wanders() {
    on_two_workers(async {
        let served = serve(8).await;
        let (tx, rx) = chan(0);
        fn hog(served: Count, left: usize, tx: Sender<()>) {
            go(async move {
                let before = served.get();
                compute("connections", || served.get() >= before + 200);
                match left {
                    0 => tx.send(()).await.unwrap(),
                    _ => hog(served, left - 1, tx),
                }
            });
        }
        hog(served, 20, tx);
        rx.recv().await.unwrap();
    });
}

/// Both workers compute. When one is done it serves the sockets of both.
#[test]
fn the_first_of_two_hogs_that_is_done_serves_for_both() {
    on_two_workers(async {
        let served = serve(8).await;
        let computing = Count::default();
        let (first, second) = (computing.clone(), computing.clone());
        let short = go(async move {
            first.up();
            compute("the other one begins", || first.get() == 2);
        });
        let long = go(async move {
            second.up();
            compute("the other one begins", || second.get() == 2);
            let before = served.get();
            compute("connections", || served.get() >= before + 1000);
        });
        short.await.unwrap();
        long.await.unwrap();
    });
}

/// Computes on both workers until `done`, which becomes true only by what nobody but the spare one can do.
async fn compute_everywhere(what: &'static str, done: impl Fn() -> bool + Clone + Send + 'static) {
    let computing = Count::default();
    let begin = |computing: Count, done| {
        move || {
            computing.up();
            compute("the other one begins", || computing.get() == 2);
            compute(what, done);
        }
    };
    let other = begin(computing.clone(), done.clone());
    let other = go(async move { other() });
    begin(computing, done)();
    other.await.unwrap();
}

#[test]
fn sockets_are_served_while_all_workers_compute() {
    on_two_workers(async {
        let served = serve(8).await;
        for _ in 0..5 {
            let end = served.get() + 1000;
            let served = served.clone();
            compute_everywhere("connections", move || served.get() >= end).await;
        }
    });
}

#[test]
fn connections_are_accepted_while_all_workers_compute() {
    on_two_workers(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Count::default();
        let count = accepted.clone();
        go(async move {
            while let Ok((stream, _)) = listener.accept().await {
                go(echo(stream, count.clone()));
            }
        });
        let client = std::thread::spawn(move || {
            for _ in 0..20 {
                let mut stream = StdStream::connect(address).unwrap();
                let mut byte = [7];
                stream.write_all(&byte).unwrap();
                stream.read_exact(&mut byte).unwrap();
            }
        });
        compute_everywhere("new connections", move || accepted.get() >= 20).await;
        client.join().unwrap();
    });
}

#[test]
fn timers_fire_while_all_workers_compute() {
    on_two_workers(async {
        let fired = Count::default();
        for millis in [1, 30, 60] {
            let count = fired.clone();
            go(async move {
                time::sleep(Duration::from_millis(millis)).await;
                time::sleep(Duration::from_millis(millis)).await;
                count.up();
            });
        }
        compute_everywhere("timers", move || fired.get() == 3).await;
    });
}

/// What was ready before, what is woken from outside, and what these wake.
#[test]
fn goroutines_run_while_all_workers_compute() {
    on_two_workers(async {
        let ran = Count::default();
        let (tx, rx) = chan(0);
        let count = ran.clone();
        go(async move {
            while rx.recv().await.is_some() {
                count.up();
            }
        });
        let handle = gorin::runtime::Handle::current();
        let outside = std::thread::spawn(move || {
            for _ in 0..100 {
                let tx = tx.clone();
                drop(handle.go(async move { tx.send(()).await }));
            }
        });
        let count = ran.clone();
        compute_everywhere("goroutines", move || count.get() == 100).await;
        outside.join().unwrap();
    });
}

#[test]
fn connections_are_served_while_all_workers_block_in_place() {
    on_two_workers(async {
        let served = serve(8).await;
        for _ in 0..5 {
            let end = served.get() + 1000;
            let block = move |served: Count| {
                gorin::block_in_place(|| compute("connections", || served.get() >= end));
            };
            let count = served.clone();
            let other = go(async move { block(count) });
            block(served.clone());
            other.await.unwrap();
        }
    });
}

/// A goroutine that the spare worker runs, and that computes, is a hog like others.
#[test]
fn who_computes_on_the_spare_worker_strands_nobody() {
    on_two_workers(async {
        let served = serve(8).await;
        let (count, hogged) = (served.clone(), Count::default());
        let hog = hogged.clone();
        let third = go(async move {
            // Behind both: it runs on the spare worker first, and holds it until the others are free.
            hog.up();
            let end = count.get() + 1000;
            compute("connections", || count.get() >= end);
        });
        compute_everywhere("the third one", move || hogged.get() == 1).await;
        third.await.unwrap();
    });
}

/// Panics, as no waker should.
struct Panics(Count);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.up();
        panic!("as expected by the test");
    }
}

#[test]
fn a_waker_that_panics_on_the_spare_worker_harms_nobody_else() {
    on_two_workers(async {
        let (computing, woken, served) = (Count::default(), Count::default(), Count::default());
        let (both, done) = (computing.clone(), served.clone());
        let other = go(async move {
            both.up();
            compute("the other one begins", || both.get() == 2);
            compute("the spare one", || done.get() == 1);
        });
        let (before, done) = (woken.clone(), served.clone());
        go(async move {
            while before.get() == 0 {
                time::sleep(Duration::from_millis(1)).await;
            }
            time::sleep(Duration::from_millis(1)).await;
            done.up();
        });
        computing.up();
        compute("the other one begins", || computing.get() == 2);
        // From here on only the spare worker fires timers.
        let waker = Waker::from(Arc::new(Panics(woken)));
        let mut context = Context::from_waker(&waker);
        let mut sleep = pin!(time::sleep(LIMIT));
        while {
            sleep.set(time::sleep(Duration::from_millis(5)));
            sleep.as_mut().poll(&mut context).is_ready()
        } {}
        compute("the spare one", || served.get() == 1);
        other.await.unwrap();
    });
}

/// The threads of this process whose names begin with `prefix`: the rest of their names, and how often
/// they have slept.
fn threads(prefix: &str) -> Vec<(String, u64)> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let mut threads: Vec<_> = tasks
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok())
        .filter_map(|status| {
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().trim().to_owned()
            };
            let name = field("Name:").strip_prefix(prefix)?.to_owned();
            Some((name, field("voluntary_ctxt_switches:").parse().unwrap()))
        })
        .collect();
    threads.sort();
    threads
}

/// The names alone.
fn names(prefix: &str) -> Vec<String> {
    threads(prefix).into_iter().map(|(name, _)| name).collect()
}

/// When the others are free again the spare worker sleeps on, whatever comes. While it is on duty it sleeps
/// once in a millisecond. (That it then hears of no socket is tested in `reactor/tests/kernel_spare.rs`.)
#[test]
fn a_spare_worker_that_was_needed_is_left_alone_afterwards() {
    let builder = Runtime::builder().workers(2).thread_name("after");
    let outcome = builder.run(async {
        let (server, client) = gorin::net::UnixStream::pair().unwrap();
        let echo = go(async move { gorin::io::copy(&server, &mut &server).await });
        let fired = Count::default();
        let count = fired.clone();
        go(async move {
            time::sleep(Duration::from_millis(50)).await;
            count.up();
        });
        compute_everywhere("a timer", move || fired.get() == 1).await;

        let sleeps = || threads("after-spare")[0].1;
        let (start, mut before) = (Instant::now(), sleeps());
        loop {
            let round = Instant::now();
            for _ in 0..100 {
                client.write_all(&[7]).await.unwrap();
                client.read_exact(&mut [0]).await.unwrap();
                time::sleep(Duration::from_millis(1)).await;
            }
            let after = sleeps();
            // It may look after the others every 10 ms.
            if u128::from(after - before) < 20 + round.elapsed().as_millis() / 5 {
                break;
            }
            before = after;
            assert!(start.elapsed() < LIMIT, "it is woken again and again");
        }
        client.close();
        echo.await.unwrap()
    });
    outcome.unwrap().unwrap();
}

#[test]
fn there_is_a_spare_worker_where_several_watch_each_other() {
    let start = |workers, name| Runtime::builder().workers(workers).thread_name(name);
    let two = start(2, "two").build().unwrap();
    assert_eq!(two.handle().num_workers(), 2);
    assert_eq!(names("two"), ["-0", "-1", "-spare"]);
    let alone = start(1, "alone").build().unwrap();
    assert_eq!(names("alone"), ["-0"]);
    let blind = start(2, "blind").rescue(false).build().unwrap();
    assert_eq!(names("blind"), ["-0", "-1"]);
    drop((two, alone, blind));
    // A joined thread leaves /proc a moment later.
    let start = Instant::now();
    while !names("two").is_empty() {
        assert!(start.elapsed() < LIMIT, "left behind: {:?}", names("two"));
        std::thread::yield_now();
    }
}
