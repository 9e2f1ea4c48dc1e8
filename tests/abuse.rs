//! Channels under abuse: random cancellation by the million, and closes that race with everything.
//!
//! Both tests count. Cut to a size that a machine with two busy cores does in seconds; the long
//! forms are ignored, and run by `cargo test --release --test abuse -- --ignored`.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use common::on_each_count as everywhere;
use gorin::Runtime;
use gorin::channel::{Outcome, Select, TryRecvError, TrySendError, unbounded};
use gorin::prelude::*;

/// Polls `future` so many times, each time with a turn for the others after it, and then drops it;
/// `None` if it was not ready by then. So a partner may come between any two polls, and between the
/// last poll and the drop: the cut that races with a hand-over.
async fn cut<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

/// What one goroutine did with the values: numbers, each sent by one goroutine once.
#[derive(Default)]
struct Tally {
    /// Put into the program: offered to a channel for the first time.
    offered: u64,
    /// Came back from a send that was given up or refused, and was kept.
    returned: Vec<u64>,
    received: Vec<u64>,
    /// Operations that were dropped before they had ended.
    cancelled: u64,
}

/// The ends of both channels that a goroutine uses.
#[derive(Clone)]
struct Ends {
    senders: [Sender<u64>; 2],
    receivers: [Receiver<u64>; 2],
}

/// One goroutine: sends, receives and selects at random, most of them cut off at random, until it has
/// cancelled `quota` operations.
async fn abuse(ends: Ends, seed: u64, quota: u64) -> Tally {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut tally = Tally::default();
    let mut next = seed << 32;
    while tally.cancelled < quota {
        let polls = rng.usize(0..3);
        let one = rng.usize(0..2);
        let (tx, rx) = (&ends.senders[one], &ends.receivers[rng.usize(0..2)]);
        // A value that came back is offered again, so that nothing grows.
        let value = match rng.u8(0..3) {
            0 | 1 => tally.returned.pop().unwrap_or_else(|| {
                tally.offered += 1;
                next += 1;
                next
            }),
            _ => {
                match cut(polls, rx.recv()).await {
                    Some(value) => tally.received.extend(value),
                    None => tally.cancelled += 1,
                }
                continue;
            }
        };
        if rng.bool() {
            let mut send = pin!(tx.send(value));
            match cut(polls, send.as_mut()).await {
                Some(sent) => sent.expect("nobody closes the channel"),
                None => {
                    tally.cancelled += 1;
                    tally.returned.extend(send.as_mut().take());
                }
            }
            continue;
        }
        // The select tells whether the send has happened; the values of the others are its own.
        let mut select = Select::new().recv(rx).send(tx, value);
        match cut(polls, select.wait()).await {
            Some((0, Outcome::Received(value))) => {
                tally.received.extend(value);
                tally.returned.extend(select.set_value(1, 0));
            }
            Some((_, outcome)) => {
                assert_eq!(outcome, Outcome::Sent(Ok(())));
            }
            None => {
                tally.cancelled += 1;
                tally.returned.extend(select.set_value(1, 0));
            }
        }
    }
    tally
}

/// Runs `players` goroutines on two channels, and counts at the end.
async fn cancel_at_random(capacity: usize, players: u64, cancels: u64) {
    let ((a, from_a), (b, from_b)) = (chan(capacity), chan(capacity));
    let ends = Ends {
        senders: [a, b],
        receivers: [from_a, from_b],
    };
    let left = ends.receivers.clone();
    let handles: Vec<_> = (1..=players)
        .map(|seed| go(abuse(ends.clone(), seed, cancels / players)))
        .collect();
    drop(ends);
    let (mut offered, mut cancelled, mut received) = (0, 0, 0);
    let mut seen = Vec::new();
    for handle in handles {
        let tally = handle.await.unwrap();
        offered += tally.offered;
        cancelled += tally.cancelled;
        received += tally.received.len();
        seen.extend(tally.returned);
        seen.extend(tally.received);
    }
    for rx in left {
        while let Ok(value) = rx.try_recv() {
            seen.push(value);
        }
        assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    }
    assert_eq!(seen.len() as u64, offered, "capacity {capacity}");
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len() as u64, offered, "capacity {capacity}: doubled");
    assert!(cancelled >= cancels / players * players);
    assert!(received > 0, "nothing came through");
}

#[test]
fn random_cancels_lose_and_double_no_value() {
    everywhere(|| async {
        for capacity in [0, 1, 4] {
            cancel_at_random(capacity, 6, 12_000).await;
        }
    });
}

#[test]
#[ignore = "the long form: a million cancelled operations per capacity, on two workers"]
fn a_million_random_cancels_lose_and_double_no_value() {
    let runtime = Runtime::builder().workers(2);
    let ran = runtime.run(async {
        for capacity in [0, 1, 4] {
            cancel_at_random(capacity, 8, 1_000_000).await;
        }
    });
    ran.expect("a runtime can be started");
}

/// One round: senders, receivers, a select and one who only looks, while the channel is closed, by
/// whichever end and in whichever way. What was sent is received or refused, and all of them end.
async fn close_races(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (tx, rx) = chan::<u64>(rng.usize(0..3));
    let (accepted, accepts) = unbounded();
    let senders = [0, 1, 2].map(|kind: u64| {
        let (tx, accepted) = (tx.clone(), accepted.clone());
        go(async move {
            for n in 0.. {
                let value = kind << 32 | n;
                let sent = match kind {
                    0 => tx.send(value).await.map_err(|error| error.into_inner()),
                    1 => select! {
                        sent = tx.send(value) => sent.map_err(|error| error.into_inner()),
                        _ = std::future::pending::<()>() => unreachable!("it never ends"),
                    },
                    _ => match tx.try_send(value) {
                        Ok(()) => Ok(()),
                        Err(TrySendError::Full(_)) => {
                            yield_now().await;
                            continue;
                        }
                        Err(TrySendError::Closed(value)) => Err(value),
                    },
                };
                match sent {
                    Ok(()) => accepted.try_send(value).unwrap(),
                    Err(back) => return assert_eq!(back, value, "another one's value"),
                }
            }
        })
    });
    let receivers = [0, 1].map(|kind| {
        let rx = rx.clone();
        go(async move {
            let mut received = Vec::new();
            match kind {
                0 => {
                    while let Some(value) = rx.recv().await {
                        received.push(value);
                    }
                }
                _ => loop {
                    let value = select! {
                        value = rx.recv() => value,
                        _ = std::future::pending::<()>() => unreachable!("it never ends"),
                    };
                    match value {
                        Some(value) => received.push(value),
                        None => break,
                    }
                },
            }
            received
        })
    });
    let looks = go({
        let (tx, rx) = (tx.clone(), rx.clone());
        async move {
            while !tx.is_closed() {
                assert!(rx.len() <= rx.capacity() + 2, "more than was put back");
                yield_now().await;
            }
            assert!(rx.is_closed(), "both ends see it");
        }
    });
    for _ in 0..rng.usize(0..30) {
        yield_now().await;
    }
    let first = go({
        let rx = rx.clone();
        async move { rx.close() }
    });
    let second = tx.close();
    assert!(first.await.unwrap() != second, "one of them was the first");
    looks.await.unwrap();
    for sender in senders {
        sender.await.unwrap();
    }
    let mut received = Vec::new();
    for receiver in receivers {
        received.extend(receiver.await.unwrap());
    }
    drop((tx, rx, accepted));
    let mut sent = Vec::new();
    while let Some(value) = accepts.recv().await {
        sent.push(value);
    }
    sent.sort_unstable();
    received.sort_unstable();
    assert_eq!(received, sent, "seed {seed}");
}

#[test]
fn a_close_that_races_with_everything_loses_nothing_and_lets_all_end() {
    everywhere(|| async {
        for seed in 0..300 {
            close_races(seed).await;
        }
    });
}

#[test]
#[ignore = "the long form"]
fn many_closes_that_race_with_everything() {
    let runtime = Runtime::builder().workers(2);
    let ran = runtime.run(async {
        for seed in 0..100_000 {
            close_races(seed).await;
        }
    });
    ran.expect("a runtime can be started");
}
