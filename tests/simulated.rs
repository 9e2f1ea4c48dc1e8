//! Whole programs on the simulated driver, which delays, reorders, shortens and refuses by seed what
//! a kernel may: a server and its clients, timers and files, on two workers.
//!
//! `reactor/tests/simulated.rs` has the same for the reactor alone, on more seeds.
//! `GORIN_SIMULATED_SEEDS=<n>` runs more; a failure names its seed.

#![cfg(not(loom))]

mod common;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use common::within_patience;
use gorin::io::{AsyncReadExt, pipe, splice};
use gorin::net::{TcpListener, TcpStream};
use gorin::runtime::DriverKind;
use gorin::{Runtime, fs, go, select, time};

/// Seeds per program, unless the environment says otherwise.
const SEEDS: u64 = 60;

/// Runs `program` as the main future of a runtime of its own for every seed.
fn for_all_seeds<F: Future<Output = ()>>(program: impl Fn(u64) -> F + Send + 'static) {
    let seeds =
        std::env::var("GORIN_SIMULATED_SEEDS").map_or(SEEDS, |n| n.parse().expect("a number"));
    for seed in 0..seeds {
        eprintln!("seed {seed}");
        Runtime::builder()
            .workers(2)
            .driver(DriverKind::Simulated { seed })
            .run(program(seed))
            .expect("a simulated driver needs nothing");
    }
}

fn bytes(seed: u64, most: usize) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let len = dice.usize(0..=most);
    std::iter::repeat_with(|| dice.u8(..)).take(len).collect()
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        go(async move {
            let mut buffer = [0; 1_000];
            loop {
                match stream.read(&mut buffer).await.expect("the client goes on") {
                    0 => return,
                    n => stream.write_all(&buffer[..n]).await.expect("it listens"),
                }
            }
        });
    }
}

/// Sends `sent` and gives what comes back until the server ends.
async fn exchange(server: SocketAddr, sent: &[u8]) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(server).await?;
    let (reader, writer) = stream.into_split();
    let copy = sent.to_vec();
    // Its drop ends the stream to the server.
    let writing = go(async move { writer.write_all(&copy).await });
    let mut received = Vec::new();
    let mut buffer = [0; 700];
    loop {
        match reader.read(&mut buffer).await? {
            0 => break,
            n => received.extend_from_slice(&buffer[..n]),
        }
    }
    writing.await.expect("it does not panic")?;
    Ok(received)
}

/// Property: several clients at once get back what they have sent, whatever the kernel does.
#[test]
fn a_server_serves_every_byte() {
    within_patience(|| {
        for_all_seeds(|seed| async move {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let server = listener.local_addr().unwrap();
            let serving = go(serve(listener));
            let clients: Vec<_> = (0..4)
                .map(|client| {
                    go(async move {
                        let sent = bytes(seed * 4 + client, 30_000);
                        let received = exchange(server, &sent).await.expect("the server serves");
                        assert!(received == sent, "{} of {}", received.len(), sent.len());
                    })
                })
                .collect();
            for client in clients {
                client.await.expect("it got its bytes");
            }
            serving.abort();
        });
    });
}

/// Property: the same with calls that own their buffers.
#[test]
fn bytes_come_and_go_in_owned_buffers() {
    within_patience(|| {
        for_all_seeds(|seed| async move {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap());
            let client = client.await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            let sent = bytes(seed, 30_000);
            let copy = sent.clone();
            let writing = go(async move {
                let (copied, zero_copy) = copy.split_at(copy.len() / 2);
                client.write_all_owned(copied.to_vec()).await.0?;
                client.write_all_zero_copy(zero_copy.to_vec()).await.0
            });
            let (mut received, mut buffer) = (Vec::new(), vec![0; 700]);
            loop {
                let len;
                (len, buffer) = server.recv_owned(buffer).await;
                match len.expect("the client goes on") {
                    0 => break,
                    len => received.extend_from_slice(&buffer[..len]),
                }
            }
            writing.await.unwrap().expect("the server listens");
            assert!(received == sent, "{} of {}", received.len(), sent.len());
        });
    });
}

/// Property: of an event and a time limit exactly one wins, and no timer is early.
#[test]
fn timers_and_channels_agree() {
    within_patience(|| {
        for_all_seeds(|seed| async move {
            let (tx, rx) = gorin::chan(0);
            let mut dice = fastrand::Rng::with_seed(seed);
            let pauses: Vec<u64> = (0..20).map(|_| dice.u64(0..200)).collect();
            let sender = go(async move {
                for (number, pause) in pauses.into_iter().enumerate() {
                    time::sleep(Duration::from_micros(pause)).await;
                    tx.send(number).await.expect("there is a receiver");
                }
            });
            let mut expected = 0;
            loop {
                let limit = Duration::from_micros(100);
                let start = Instant::now();
                select! {
                    number = rx.recv() => match number {
                        Some(number) => {
                            assert_eq!(number, expected, "lost, doubled or overtaken");
                            expected += 1;
                        }
                        None => break,
                    },
                    _ = time::sleep(limit) => assert!(start.elapsed() >= limit, "early"),
                }
            }
            assert_eq!(expected, 20);
            sender.await.expect("it sent all");
        });
    });
}

/// Repeats what failed in a way that the simulation makes up.
async fn insist<T, F: Future<Output = io::Result<T>>>(attempt: impl Fn() -> F) -> T {
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => {
                const MADE_UP: &[i32] = &[libc::EINTR, libc::EIO, libc::EMFILE, libc::ENFILE];
                let errno = error.raw_os_error().unwrap_or(0);
                assert!(MADE_UP.contains(&errno), "{error}");
            }
        }
    }
}

/// Property: a file that was written and synced holds that, under its new name too.
#[test]
fn files_hold_what_was_written() {
    within_patience(|| {
        let name = format!("gorin-simulated-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        for_all_seeds(move |seed| {
            let path = path.clone();
            async move {
                let renamed = path.with_extension("renamed");
                let written = bytes(seed, 20_000);
                insist(|| fs::write(&path, written.clone())).await;
                insist(|| fs::rename(&path, &renamed)).await;
                let read = insist(|| fs::read(&renamed)).await;
                assert!(read == written, "{} of {}", read.len(), written.len());
                insist(|| fs::remove_file(&renamed)).await;
            }
        });
    });
}

/// Property: a part of a file goes into a pipe, and a signal that interrupts reading it is nothing that the
/// caller hears of. (Of `/proc` nothing is cached.)
#[test]
fn parts_of_files_are_spliced() {
    within_patience(|| {
        let expected = std::fs::read("/proc/version").expect("it is there");
        for_all_seeds(move |_seed| {
            let expected = expected.clone();
            async move {
                let file = insist(|| fs::File::open("/proc/version")).await;
                let (mut reader, writer) = pipe().expect("there are descriptors");
                let part = file.range(3..u64::MAX);
                while let Err(error) = splice(&part, &writer).await {
                    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
                }
                drop(writer);
                let mut moved = Vec::new();
                reader.read_to_end(&mut moved).await.expect("a pipe");
                assert_eq!(moved, expected[3..]);
            }
        });
    });
}
