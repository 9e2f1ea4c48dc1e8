//! Nobody is starved: by a pair that plays ping-pong, by a goroutine that wakes itself for ever, by a
//! socket that always has bytes.
//!
//! All on one worker, where whoever is not polite has no rival. Nothing here measures time: what is
//! asserted is how often others got their turn, or that the awaited thing happens at all.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use common::within_patience;
use gorin::Runtime;
use gorin::net::TcpListener;
use gorin::prelude::*;
use gorin::time::sleep;

fn on_one_worker<F: Future<Output = ()> + 'static>(program: fn() -> F) {
    within_patience(move || Runtime::builder().workers(1).run(program()).unwrap());
}

/// A timer, a connection that must be accepted, and an echo over it.
async fn use_everything() {
    sleep(Duration::from_millis(1)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // A thread, so that accept has to wait for it.
    let client = thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        answer
    });
    let (stream, _) = listener.accept().await.unwrap();
    let mut bytes = [0; 5];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += stream.read(&mut bytes[filled..]).await.unwrap();
    }
    stream.write_all(&bytes).await.unwrap();
    let answer = gorin::unblock(move || client.join().unwrap()).await;
    assert_eq!(&answer.unwrap(), b"hello");
}

#[test]
fn a_pair_that_plays_ping_pong_gives_a_third_its_turn_within_some_rounds() {
    on_one_worker(|| async {
        let rounds = Arc::new(AtomicUsize::new(0));
        let (ping, pings) = chan(0);
        let (pong, pongs) = chan(0);
        let counting = rounds.clone();
        go(async move {
            while ping.send(()).await.is_ok() && pongs.recv().await.is_some() {
                counting.fetch_add(1, Ordering::Relaxed);
            }
        });
        go(async move { while pings.recv().await.is_some() && pong.send(()).await.is_ok() {} });
        let third = go(async move {
            let mut between = Vec::new();
            for _ in 0..1001 {
                let before = rounds.load(Ordering::Relaxed);
                yield_now().await;
                between.push(rounds.load(Ordering::Relaxed) - before);
            }
            between.sort_unstable();
            (between[500], between[1000])
        });
        let (median, most) = third.await.unwrap();
        assert!(median <= 10, "{median} rounds in the median");
        // A budget is 128 operations.
        assert!(most <= 300, "{most} rounds at most");
    });
}

#[test]
fn goroutines_that_wake_themselves_for_ever_starve_neither_timers_nor_sockets() {
    on_one_worker(|| async {
        let stop = Arc::new(AtomicBool::new(false));
        let (stops, polls) = (stop.clone(), Arc::new(AtomicUsize::new(0)));
        let counting = polls.clone();
        let by_waker = go(poll_fn(move |cx| {
            if stops.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            counting.fetch_add(1, Ordering::Relaxed);
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        let stops = stop.clone();
        let by_yield = go(async move {
            while !stops.load(Ordering::Relaxed) {
                yield_now().await;
            }
        });
        go(use_everything()).await.unwrap();
        use_everything().await;
        // It has its turn all along.
        while polls.load(Ordering::Relaxed) <= 100 {
            yield_now().await;
        }
        stop.store(true, Ordering::Relaxed);
        by_waker.await.unwrap();
        by_yield.await.unwrap();
    });
}

#[test]
fn a_socket_that_always_has_bytes_starves_nobody() {
    on_one_worker(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let flood = thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            // Ends with an error when the reader goes.
            while stream.write_all(&[0; 16 * 1024]).is_ok() {}
        });
        let (stream, _) = listener.accept().await.unwrap();
        let reads = Arc::new(AtomicUsize::new(0));
        let counting = reads.clone();
        let greedy = go(async move {
            // One at a time, so that there is always another one.
            while stream.read(&mut [0]).await.unwrap() == 1 {
                counting.fetch_add(1, Ordering::Relaxed);
            }
        });
        go(use_everything()).await.unwrap();
        use_everything().await;
        // It has its turn all along, as soon as the flood has begun.
        while reads.load(Ordering::Relaxed) <= 100 {
            yield_now().await;
        }
        greedy.abort();
        assert!(greedy.await.unwrap_err().is_cancelled());
        gorin::unblock(move || flood.join().unwrap()).await.unwrap();
    });
}

#[test]
fn a_channel_that_is_always_ready_starves_neither_timers_nor_sockets() {
    on_one_worker(|| async {
        let greedy = go(async {
            let (tx, rx) = chan::<()>(1);
            loop {
                tx.send(()).await.unwrap();
                rx.recv().await.unwrap();
            }
        });
        go(use_everything()).await.unwrap();
        use_everything().await;
        greedy.abort();
    });
}

/// One receiver keeps up with eight senders that never wait: a turn over a long line is longer. With
/// turns of one length seven eighths of all values would wait in the channel.
#[test]
fn a_receiver_keeps_up_with_eight_senders_on_its_worker() {
    on_one_worker(|| async {
        const SENDERS: usize = 8;
        const EACH: usize = 5000;
        let (tx, rx) = gorin::channel::unbounded();
        for _ in 0..SENDERS {
            let tx = tx.clone();
            drop(go(async move {
                for n in 0..EACH {
                    tx.send(n).await.unwrap();
                }
            }));
        }
        drop(tx);
        let (mut received, mut longest) = (0, 0);
        while rx.recv().await.is_some() {
            received += 1;
            longest = longest.max(rx.len());
        }
        assert_eq!(received, SENDERS * EACH);
        assert!(
            longest < received / 4,
            "{longest} of {received} values waited"
        );
    });
}
