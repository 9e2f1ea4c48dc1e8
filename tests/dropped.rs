//! Accepting, connecting and opening with time limits that are far too short: whoever is accepted is
//! served, and nothing is left of what was given up.
//!
//! These tests count the descriptors of the process, and therefore run one at a time.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::{Held, TempDir, within};
use gorin::fs::File;
use gorin::net::{TcpListener, TcpStream};
use gorin::prelude::*;
use gorin::time::timeout;

/// Longer than any of the long forms takes.
const LONG: Duration = Duration::from_secs(300);
/// Clients that are connected at a time: so many that one nearly always waits to be accepted, or so few
/// that an accept nearly always has to wait.
const CLIENTS: [u32; 2] = [50, 5];

fn alone() -> (MutexGuard<'static, ()>, Held) {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    (alone, Held::now())
}

/// A time limit that comes about when what it limits does, which takes up to some `us` microseconds.
fn limit(rng: &mut fastrand::Rng, us: u32) -> Duration {
    Duration::from_micros(rng.u64(..u64::from(us)))
}

async fn serve(stream: TcpStream) -> io::Result<()> {
    let mut number = [0; 4];
    stream.read_exact(&mut number).await?;
    stream.write_all(&number).await
}

/// Asks as one client after the other; gives the longest wait for an answer.
async fn ask(server: SocketAddr, clients: u32) -> io::Result<Duration> {
    let mut longest = Duration::ZERO;
    for number in 0..clients {
        let start = Instant::now();
        let stream = TcpStream::connect(server).await?;
        stream.write_all(&number.to_le_bytes()).await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        assert_eq!(u32::from_le_bytes(answer), number);
        // Leaves no port behind that waits for a minute.
        stream.set_linger(Some(Duration::ZERO))?;
        longest = longest.max(start.elapsed());
    }
    Ok(longest)
}

async fn accept_in_a_hurry(clients: u32) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    let (mut rng, mut given_up) = (fastrand::Rng::with_seed(2), 0_u32);
    for at_a_time in CLIENTS {
        let each = clients / at_a_time;
        let asking: Vec<_> = (0..at_a_time).map(|_| go(ask(server, each))).collect();
        let mut accepted = 0;
        while accepted < each * at_a_time {
            let limit = limit(&mut rng, 4 * at_a_time);
            match timeout(limit, listener.accept()).await {
                Ok(connection) => {
                    accepted += 1;
                    drop(go(serve(connection?.0)));
                }
                Err(_elapsed) => given_up += 1,
            }
        }
        for client in asking {
            let longest = client.await.unwrap()?;
            assert!(longest < Duration::from_secs(5), "served after {longest:?}");
        }
    }
    println!("{given_up} accepts were given up");
    assert!(given_up > clients / 100, "only {given_up} were given up");
    Ok(())
}

async fn open_and_connect_in_a_hurry(rounds: u32) -> io::Result<()> {
    let directory = TempDir::new();
    let path = directory.path("file");
    std::fs::write(&path, "content")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    drop(go(async move {
        loop {
            // One that was given up after all is an error, or a connection that has ended.
            drop(listener.accept().await);
        }
    }));
    let (mut rng, mut given_up, mut done) = (fastrand::Rng::with_seed(3), 0, 0);
    for _ in 0..rounds {
        match timeout(limit(&mut rng, 50), File::open(&path)).await {
            Ok(file) => {
                let (len, content) = file?.read_at(vec![0; 7], 0).await;
                assert_eq!(&content[..len?], b"content");
                done += 1;
            }
            Err(_elapsed) => given_up += 1,
        }
        match timeout(limit(&mut rng, 200), TcpStream::connect(server)).await {
            Ok(stream) => {
                stream?.set_linger(Some(Duration::ZERO))?;
                done += 1;
            }
            Err(_elapsed) => given_up += 1,
        }
    }
    let least = rounds / 100;
    assert!(
        given_up >= least && done >= least,
        "{given_up} given up, {done} done"
    );
    Ok(())
}

/// Runs `program` on one worker and on two; afterwards nothing is left of it.
fn hurry<F: Future<Output = io::Result<()>> + 'static>(program: fn(u32) -> F, rounds: u32) {
    let (_alone, before) = alone();
    within(LONG, move || {
        for workers in [1, 2] {
            let builder = gorin::Runtime::builder().workers(workers);
            builder.run(program(rounds)).unwrap().unwrap();
        }
    });
    before.wait_until_back();
}

#[test]
fn accepting_with_short_limits_serves_every_client() {
    hurry(accept_in_a_hurry, 500);
}

/// F02.
#[test]
#[ignore = "the long form: ten thousand clients"]
fn accepting_with_short_limits_serves_ten_thousand_clients() {
    hurry(accept_in_a_hurry, 10_000);
}

#[test]
fn opening_and_connecting_with_short_limits_leaves_nothing() {
    hurry(open_and_connect_in_a_hurry, 500);
}

/// F03.
#[test]
#[ignore = "the long form: ten thousand rounds"]
fn opening_and_connecting_ten_thousand_times_leaves_nothing() {
    hurry(open_and_connect_in_a_hurry, 10_000);
}
