//! Dropping a pending operation loses nothing and doubles nothing.
//!
//! Each test counts what went in and what came out. An operation is cut off in two ways: after a
//! given number of polls ([`cut`]: before the first, when it has just parked, when it was woken),
//! and by a timer at a random moment, so that the cut races with the partner's commit.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use common::{PATIENCE, on_each_count as everywhere};
use gorin::channel::SendTimeoutError;
use gorin::net::{TcpListener, TcpStream};
use gorin::prelude::*;
use gorin::time::timeout;
use socket2::SockRef;

/// Polls `future` at most `polls` times and then drops it; `None` if it was not ready by then.
async fn cut<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Gives `future` a random chance: some polls, or some time.
async fn cut_at_random<F: Future>(rng: &mut fastrand::Rng, future: F) -> Option<F::Output> {
    match rng.usize(..6) {
        polls @ 0..=2 => cut(polls, future).await,
        _ => timeout(Duration::from_micros(rng.u64(..300)), future)
            .await
            .ok(),
    }
}

fn pattern(len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(7);
    (0..len).map(|_| rng.u8(..)).collect()
}

#[test]
fn reads_that_are_dropped_leave_the_bytes_in_the_socket() {
    everywhere(|| async {
        let sent = pattern(300_000);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let message = sent.clone();
        let dropped = Arc::new(AtomicUsize::new(0));
        let enough = dropped.clone();
        let client = thread::spawn(move || {
            let mut rng = fastrand::Rng::with_seed(1);
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            let mut rest = &message[..];
            while !rest.is_empty() {
                // The last byte waits for reads that are dropped: who is always ahead lets none wait.
                while rest.len() == 1 && enough.load(Ordering::Relaxed) <= 10 {
                    thread::yield_now();
                }
                let len = rng.usize(1..=(rest.len() - 1).clamp(1, 3000));
                stream.write_all(&rest[..len]).unwrap();
                rest = &rest[len..];
                if rng.u8(..) < 100 {
                    thread::sleep(Duration::from_micros(rng.u64(..200)));
                }
            }
            stream.shutdown(Shutdown::Write).unwrap();
            stream
        });
        let (stream, _) = listener.accept().await.unwrap();
        let reader = go(async move {
            let mut rng = fastrand::Rng::with_seed(2);
            let mut received = Vec::new();
            let mut buf = [0; 4096];
            loop {
                match cut_at_random(&mut rng, stream.read(&mut buf)).await {
                    Some(Ok(0)) => return received,
                    Some(Ok(len)) => received.extend_from_slice(&buf[..len]),
                    Some(Err(error)) => panic!("{error}"),
                    None => {
                        dropped.fetch_add(1, Ordering::Relaxed);
                        yield_now().await;
                    }
                }
            }
        });
        let received = reader.await.unwrap();
        assert!(
            received == sent,
            "{} bytes of {}",
            received.len(),
            sent.len()
        );
        client.join().unwrap();
    });
}

#[test]
fn a_write_that_is_dropped_before_it_is_ready_has_written_nothing() {
    everywhere(|| async {
        let sent = pattern(1_000_000);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let dropped = Arc::new(AtomicUsize::new(0));
        let enough = dropped.clone();
        let client = thread::spawn(move || {
            let mut rng = fastrand::Rng::with_seed(3);
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // Not for all, so that writes have to wait until some have been dropped.
            SockRef::from(&stream)
                .set_recv_buffer_size(100_000)
                .unwrap();
            while enough.load(Ordering::Relaxed) <= 10 {
                thread::yield_now();
            }
            let (mut received, mut buf) = (Vec::new(), [0; 30_000]);
            loop {
                match stream.read(&mut buf).unwrap() {
                    0 => return received,
                    len => received.extend_from_slice(&buf[..len]),
                }
                thread::sleep(Duration::from_micros(rng.u64(..100)));
            }
        });
        let (stream, _) = listener.accept().await.unwrap();
        // Little room, so that most writes have to wait.
        SockRef::from(&stream).set_send_buffer_size(10_000).unwrap();
        let mut rng = fastrand::Rng::with_seed(4);
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let piece = &rest[..rest.len().min(50_000)];
            match cut_at_random(&mut rng, stream.write(piece)).await {
                Some(written) => rest = &rest[written.unwrap()..],
                None => {
                    dropped.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
            }
        }
        drop(stream);
        let received = client.join().unwrap();
        assert!(
            received == sent,
            "{} bytes of {}",
            received.len(),
            sent.len()
        );
    });
}

#[test]
fn accepts_that_are_dropped_lose_no_connection() {
    everywhere(|| async {
        const CLIENTS: usize = 200;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clients = thread::spawn(move || {
            let mut rng = fastrand::Rng::with_seed(5);
            for id in 0..CLIENTS {
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.write_all(&id.to_le_bytes()).unwrap();
                let mut reply = [0; size_of::<usize>()];
                stream.read_exact(&mut reply).unwrap();
                assert_eq!(usize::from_le_bytes(reply), id);
                thread::sleep(Duration::from_micros(rng.u64(..200)));
            }
        });
        let mut rng = fastrand::Rng::with_seed(6);
        let mut served = Vec::new();
        while served.len() < CLIENTS {
            let Some(accepted) = cut_at_random(&mut rng, listener.accept()).await else {
                yield_now().await;
                continue;
            };
            let (stream, _) = accepted.unwrap();
            served.push(go(async move {
                let mut id = [0; size_of::<usize>()];
                gorin::io::AsyncReadExt::read_exact(&mut &stream, &mut id)
                    .await
                    .unwrap();
                stream.write_all(&id).await.unwrap();
            }));
        }
        for reply in served {
            reply.await.unwrap();
        }
        clients.join().unwrap();
    });
}

#[test]
fn connects_that_are_dropped_leave_no_descriptor_and_disturb_nobody() {
    everywhere(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut rng = fastrand::Rng::with_seed(8);
        for _ in 0..200 {
            let connected = cut_at_random(&mut rng, TcpStream::connect(address)).await;
            drop(connected.map(Result::unwrap));
        }
        // One that is not dropped still gets through, behind all that were.
        let client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"!").await.unwrap();
        let local = client.local_addr().unwrap();
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            if peer == local {
                assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 1);
                break;
            }
        }
    });
}

/// What one sender did with its numbers, by what the channel told it.
async fn send_numbers(tx: Sender<usize>, numbers: std::ops::Range<usize>) -> Vec<usize> {
    let mut rng = fastrand::Rng::with_seed(numbers.start as u64);
    let mut sent = Vec::new();
    for number in numbers {
        let mut send = pin!(tx.send(number));
        match cut_at_random(&mut rng, send.as_mut()).await {
            Some(result) => {
                result.unwrap();
                sent.push(number);
            }
            // Given back: it was not sent. Not given back: it was, while nobody looked.
            None => {
                if send.as_mut().take().is_none() {
                    sent.push(number);
                }
            }
        }
        if rng.u8(..) < 30 {
            yield_now().await;
        }
    }
    sent
}

async fn receive_numbers(rx: Receiver<usize>, seed: u64, dropped: Arc<AtomicUsize>) -> Vec<usize> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut received = Vec::new();
    loop {
        match cut_at_random(&mut rng, rx.recv()).await {
            Some(Some(number)) => received.push(number),
            Some(None) => return received,
            None => {
                dropped.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        }
    }
}

#[test]
fn sends_and_receives_that_are_dropped_lose_and_double_no_value() {
    everywhere(|| async {
        const EACH: usize = 2000;
        for capacity in [0, 1, 3] {
            let (tx, rx) = chan(capacity);
            let dropped = Arc::new(AtomicUsize::new(0));
            let senders: Vec<_> = (0..3)
                .map(|id| go(send_numbers(tx.clone(), id * EACH..(id + 1) * EACH)))
                .collect();
            drop(tx);
            let receivers: Vec<_> = (0..3)
                .map(|id| go(receive_numbers(rx.clone(), 100 + id, dropped.clone())))
                .collect();
            drop(rx);
            let mut sent = Vec::new();
            for sender in senders {
                sent.extend(sender.await.unwrap());
            }
            let mut received = Vec::new();
            for receiver in receivers {
                received.extend(receiver.await.unwrap());
            }
            received.sort_unstable();
            assert_eq!(received, sent, "capacity {capacity}");
            assert!(received.len() > 100, "only {} came through", received.len());
            assert!(
                dropped.load(Ordering::Relaxed) > 100,
                "too few were dropped"
            );
        }
    });
}

#[test]
fn recv_timeout_loses_no_value() {
    everywhere(|| async {
        let (tx, rx) = chan(0);
        let sender = go(async move {
            let mut rng = fastrand::Rng::with_seed(9);
            for number in 0..1000 {
                tx.send(number).await.unwrap();
                if rng.bool() {
                    gorin::time::sleep(Duration::from_micros(rng.u64(..60))).await;
                }
            }
        });
        let mut received = Vec::new();
        loop {
            match rx.recv_timeout(Duration::from_micros(20)).await {
                Ok(number) => received.push(number),
                Err(gorin::channel::RecvTimeoutError::Timeout) => {}
                Err(gorin::channel::RecvTimeoutError::Closed) => break,
            }
        }
        sender.await.unwrap();
        assert_eq!(received, (0..1000).collect::<Vec<_>>());
    });
}

/// Bug it is for: a value that is taken when the time is up is given back all the same, and sent again.
#[test]
fn send_timeout_sends_a_value_or_gives_it_back() {
    everywhere(|| async {
        for capacity in [0, 1] {
            let (tx, rx) = chan(capacity);
            let receiver = go(async move {
                let mut rng = fastrand::Rng::with_seed(11);
                let mut received = Vec::new();
                while let Some(number) = rx.recv().await {
                    received.push(number);
                    if rng.bool() {
                        gorin::time::sleep(Duration::from_micros(rng.u64(..60))).await;
                    }
                }
                received
            });
            for mut number in 0..1000 {
                while let Err(given_back) = tx.send_timeout(number, Duration::from_micros(20)).await
                {
                    assert!(matches!(given_back, SendTimeoutError::Timeout(_)));
                    number = given_back.into_inner();
                }
            }
            drop(tx);
            let received = receiver.await.unwrap();
            assert_eq!(received, (0..1000).collect::<Vec<_>>());
        }
    });
}

#[test]
fn aborting_goroutines_that_receive_loses_no_value() {
    everywhere(|| async {
        let (tx, rx) = chan(1);
        let (results, collected) = gorin::channel::unbounded();
        let sender = go(async move {
            for number in 0..1000 {
                tx.send(number).await.unwrap();
            }
        });
        let mut rng = fastrand::Rng::with_seed(10);
        let mut received = Vec::new();
        while received.len() < 1000 {
            let (rx, results) = (rx.clone(), results.clone());
            let receiver = go(async move {
                while let Some(number) = rx.recv().await {
                    // Does not wait, so no abort comes between the two.
                    results.try_send(number).unwrap();
                }
            });
            gorin::time::sleep(Duration::from_micros(rng.u64(..50))).await;
            receiver.abort();
            let _cancelled_or_done = receiver.await;
            while let Ok(number) = collected.try_recv() {
                received.push(number);
            }
        }
        sender.await.unwrap();
        assert_eq!(received, (0..1000).collect::<Vec<_>>());
    });
}
