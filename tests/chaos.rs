//! Everything at once, and most of it given up on the way: streams that are read and written by calls of every
//! kind, proxies, datagrams, files, timers and goroutines that compute, on the same few workers.
//!
//! Whatever is given up is dropped at a random moment, and what must hold holds all the same: each byte
//! arrives once and in its place, no timer is early, closing ends who waits. Then all of it again, ended by
//! the runtime's shutdown in the middle. The other tests do one thing at a time; this one is for what two of
//! them do to each other. The long form is ignored, and run by
//! `cargo test --release --test chaos -- --ignored`, on each driver (`GORIN_DRIVER`).

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use common::{Held, PATIENCE, TempDir, within};
use futures::TryFutureExt;
use gorin::Runtime;
use gorin::fs::OpenOptions;
use gorin::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use gorin::prelude::*;
use gorin::time::{sleep, timeout};
use gorin::{block_in_place, io::copy_bidirectional, unblock};

/// Bytes of one direction of a stream, at most.
const STREAM: u64 = 60_000;
/// Bytes of one call, at most.
const CALL: usize = 9_000;
const BLOCK: u64 = 4_096;

/// The byte at `at` of stream `seed`.
fn byte(seed: u64, at: u64) -> u8 {
    ((at.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed) >> 29) as u8
}

fn bytes(seed: u64, at: u64, len: usize) -> Vec<u8> {
    (at..at + len as u64).map(|at| byte(seed, at)).collect()
}

/// Fails unless `got` is what stands at `at` of stream `seed`.
fn check(seed: u64, at: u64, got: &[u8], by: &str) {
    let wrong = (at..).zip(got).find(|(at, got)| byte(seed, *at) != **got);
    assert_eq!(wrong, None, "stream {seed}, read by {by} at {at}");
}

/// Awaits `future`, or gives it up: after a time, or after a poll or two. `None` if it was given up.
async fn hasty<F: Future>(future: F) -> Option<F::Output> {
    let polls = match fastrand::u8(..8) {
        0 => {
            let limit = Duration::from_micros(fastrand::u64(..300));
            return timeout(limit, future).await.ok();
        }
        1 => 1,
        2 => 2,
        _ => return Some(future.await),
    };
    let mut future = pin!(future);
    for poll in 0..polls {
        if poll > 0 {
            yield_now().await;
        }
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
    }
    None
}

/// Both directions of a stream of `$stream`, by calls of all kinds.
macro_rules! calls {
    ($stream:ident, $read:ident, $write:ident) => {
        /// Reads stream `seed`, which has `len` bytes, to its end.
        async fn $read(stream: &$stream, seed: u64, len: u64) -> io::Result<()> {
            let mut at = 0;
            while at < len {
                let mut buf = vec![0; fastrand::usize(1..CALL)];
                let (by, got) = match fastrand::u8(..4) {
                    0 => {
                        let read = async {
                            let (count, buf) = stream.recv_owned(std::mem::take(&mut buf)).await;
                            count.map(|count| buf[..count].to_vec())
                        };
                        ("recv_owned", hasty(read).await)
                    }
                    1 => {
                        let read = stream.recv_pooled(buf.len());
                        ("recv_pooled", hasty(read.map_ok(|buf| buf.to_vec())).await)
                    }
                    2 => (
                        "peek",
                        hasty(stream.peek(&mut buf))
                            .await
                            .map(|count| Ok(buf[..count?].to_vec())),
                    ),
                    _ => (
                        "read",
                        hasty(stream.read(&mut buf))
                            .await
                            .map(|count| Ok(buf[..count?].to_vec())),
                    ),
                };
                let Some(got) = got.transpose()? else {
                    continue;
                };
                assert!(
                    !got.is_empty(),
                    "{by} says that stream {seed} ends at {at} of {len}"
                );
                check(seed, at, &got, by);
                at += if by == "peek" { 0 } else { got.len() as u64 };
            }
            assert_eq!(stream.read(&mut [0]).await?, 0, "stream {seed} has an end");
            Ok(())
        }

        /// Writes `len` bytes of stream `seed`, and ends it.
        async fn $write(stream: &$stream, seed: u64, len: u64) -> io::Result<()> {
            let mut at = 0;
            while at < len {
                let next = bytes(seed, at, fastrand::usize(1..CALL).min((len - at) as usize));
                let count = next.len();
                at += match fastrand::u8(..4) {
                    0 => hasty(stream.write(&next)).await.transpose()?.unwrap_or(0),
                    1 => stream.send_owned(next).await.0?,
                    2 => stream.write_all_owned(next).await.0.map(|()| count)?,
                    _ => stream.write_all(&next).await.map(|()| count)?,
                } as u64;
            }
            stream.shutdown(Shutdown::Write)
        }
    };
}

calls!(TcpStream, read_tcp, write_tcp);
calls!(UnixStream, read_unix, write_unix);

fn any_len() -> u64 {
    fastrand::u64(1..STREAM)
}

/// A client, a proxy and a server.
async fn proxied(_: TempDir) -> io::Result<()> {
    let (front, back) = (
        TcpListener::bind("127.0.0.1:0").await?,
        TcpListener::bind("127.0.0.1:0").await?,
    );
    let (to_proxy, to_server) = (front.local_addr()?, back.local_addr()?);
    let (up, down, seed) = (any_len(), any_len(), fastrand::u64(..));
    let proxy = go(async move {
        let client = loop {
            if let Some(client) = hasty(front.accept()).await {
                break client?.0;
            }
        };
        let server = TcpStream::connect(to_server).await?;
        copy_bidirectional(&mut &client, &mut &server).await
    });
    let server = go(async move {
        let (client, _) = back.accept().await?;
        write_tcp(&client, !seed, down).await?;
        read_tcp(&client, seed, up).await
    });
    let client = TcpStream::connect(to_proxy).await?;
    let both =
        futures::future::try_join(write_tcp(&client, seed, up), read_tcp(&client, !seed, down));
    both.await?;
    server.await??;
    assert_eq!(proxy.await??, (up, down));
    Ok(())
}

async fn direct(_: TempDir) -> io::Result<()> {
    let (one, other) = UnixStream::pair()?;
    let (up, down, seed) = (any_len(), any_len(), fastrand::u64(..));
    let peer = go(async move {
        futures::future::try_join(write_unix(&other, !seed, down), read_unix(&other, seed, up))
            .await
    });
    futures::future::try_join(write_unix(&one, seed, up), read_unix(&one, !seed, down)).await?;
    peer.await??;
    Ok(())
}

/// Datagrams, one at a time: of those on the loopback interface none is lost if there is room.
async fn datagrams(_: TempDir) -> io::Result<()> {
    let (from, to) = (
        UdpSocket::bind("127.0.0.1:0").await?,
        UdpSocket::bind("127.0.0.1:0").await?,
    );
    let (sender, address) = (from.local_addr()?, to.local_addr()?);
    for number in 0..50_u64 {
        from.send_to(&number.to_le_bytes(), address).await?;
        let mut buf = [0; 8];
        let peer = loop {
            if fastrand::bool() {
                if let Some(got) = hasty(to.recv_from(&mut buf)).await {
                    break got?.1;
                }
            } else if let Some(got) = hasty(to.recv_from_pooled(8)).await {
                let (got, peer) = got?;
                buf.copy_from_slice(&got);
                break peer;
            }
        };
        assert_eq!((peer, u64::from_le_bytes(buf)), (sender, number));
    }
    Ok(())
}

/// A file that many write and read at once.
async fn file(directory: TempDir) -> io::Result<()> {
    let (blocks, seed) = (16, fastrand::u64(..));
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(directory.path("file"))
        .await?;
    let file = Arc::new(file);
    let write = |block: u64| {
        let (file, at) = (file.clone(), block * BLOCK);
        go(async move {
            file.write_all_at(bytes(seed, at, BLOCK as usize), at)
                .await
                .0
        })
    };
    for written in (0..blocks).map(write).collect::<Vec<_>>() {
        written.await??;
    }
    for _ in 0..40 {
        let at = fastrand::u64(..blocks * BLOCK);
        let read = file.read_at(vec![0; fastrand::usize(1..CALL)], at);
        if let Some((count, buf)) = hasty(read).await {
            assert!(matches!(count, Ok(1..)), "{count:?} at {at}");
            check(seed, at, &buf[..count?], "read_at");
        }
    }
    file.sync_data().await
}

async fn timers(_: TempDir) -> io::Result<()> {
    let wait = |_| {
        go(async {
            let (start, time) = (
                Instant::now(),
                Duration::from_micros(fastrand::u64(..5_000)),
            );
            if hasty(sleep(time)).await.is_some() {
                assert!(start.elapsed() >= time, "early");
            }
        })
    };
    for (number, wait) in (0..100)
        .map(wait)
        .collect::<Vec<_>>()
        .into_iter()
        .enumerate()
    {
        if number % 10 == 0 {
            wait.abort();
        } else {
            wait.await?;
        }
    }
    Ok(())
}

/// Several wait for the same socket, and are ended in one of the ways there are.
async fn ended(_: TempDir) -> io::Result<()> {
    for _ in 0..20 {
        let (one, other) = UnixStream::pair()?;
        let one = Arc::new(one);
        let wait = |_| {
            let one = one.clone();
            go(async move { one.read(&mut [0; 8]).await })
        };
        let waiting: Vec<_> = (0..fastrand::u8(1..4)).map(wait).collect();
        if fastrand::bool() {
            yield_now().await;
        }
        let way = fastrand::u8(..5);
        match way {
            0 => one.close(),
            1 => one.set_read_deadline(Some(Instant::now() + Duration::from_micros(300))),
            2 => drop(other),
            3 => one.shutdown(Shutdown::Read)?,
            _ => waiting.iter().for_each(JoinHandle::abort),
        }
        for waiting in waiting {
            match (way, waiting.await) {
                (0 | 1, Ok(Err(_))) | (2 | 3, Ok(Ok(0))) | (4, _) => {}
                (_, Err(error)) => return Err(error.into()),
                (_, got) => panic!("ended by way {way}, got {got:?}"),
            }
        }
    }
    Ok(())
}

/// Computes, or blocks, for up to some milliseconds at a time.
async fn hog(_: TempDir) -> io::Result<()> {
    let compute = || {
        let end = Instant::now() + Duration::from_micros(fastrand::u64(..5_000));
        while Instant::now() < end {
            std::hint::spin_loop();
        }
    };
    match fastrand::u8(..3) {
        0 => compute(),
        1 => block_in_place(compute),
        _ => unblock(compute).await?,
    }
    Ok(())
}

/// Starts `of_each` goroutines of every kind, each of which makes `rounds`.
fn start(of_each: usize, rounds: usize) -> Vec<JoinHandle<io::Result<()>>> {
    macro_rules! kinds {
        ($($kind:ident)*) => {
            [$((0..of_each).map(|_| go(async move {
                for _ in 0..rounds {
                    $kind(TempDir::new()).await?;
                }
                Ok(())
            })).collect::<Vec<_>>()),*]
        };
    }
    kinds!(proxied direct datagrams file timers ended hog)
        .into_iter()
        .flatten()
        .collect()
}

fn chaos(of_each: usize, rounds: usize, limit: Duration) {
    let before = Held::now();
    for workers in [1, 2, 4] {
        within(limit, move || {
            let runtime = Runtime::builder().workers(workers).build().unwrap();
            runtime.block_on(async {
                for ended in start(of_each, rounds) {
                    ended.await.unwrap().unwrap();
                }
            });
            let endless = runtime.block_on(async {
                let endless = start(of_each, usize::MAX);
                // So long that all have begun.
                go(timers(TempDir::new())).await.unwrap().unwrap();
                endless
            });
            let shutdown = runtime.shutdown_timeout(PATIENCE);
            assert!(shutdown.is_complete(), "{shutdown}");
            assert!(endless.iter().all(JoinHandle::is_finished));
        });
    }
    before.wait_until_back();
}

#[test]
fn nothing_is_lost_when_everything_happens_at_once() {
    chaos(2, 4, PATIENCE);
}

#[test]
#[ignore = "the long form: minutes"]
fn nothing_is_lost_when_everything_happens_at_once_for_minutes() {
    for _ in 0..5 {
        chaos(4, 100, 10 * PATIENCE);
    }
}
