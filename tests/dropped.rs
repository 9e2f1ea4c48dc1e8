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

use common::{Held, PATIENCE, TempDir, within};
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

/// Time limits that come about when what they limit does, however quick the machine is: up to a longest one,
/// which what was given up makes longer, and what was done shorter.
struct Limits {
    rng: fastrand::Rng,
    longest: Duration,
    given_up: u32,
    done: u32,
}

impl Limits {
    /// For what takes some `us` microseconds.
    fn new(seed: u64, us: u64) -> Limits {
        Limits {
            rng: fastrand::Rng::with_seed(seed),
            longest: Duration::from_micros(us),
            given_up: 0,
            done: 0,
        }
    }

    /// What `future` gives in time.
    async fn apply<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let output = timeout(self.longest.mul_f64(self.rng.f64()), future).await;
        match output {
            Ok(_) => self.done += 1,
            Err(_elapsed) => self.given_up += 1,
        }
        let factor = if output.is_ok() { 0.8 } else { 1.25 };
        let least = Duration::from_micros(1);
        self.longest = self.longest.mul_f64(factor).clamp(least, PATIENCE);
        output.ok()
    }
}

/// Fails unless of all at least one in a hundred of `calls` was given up, and as many were done.
fn check(all: &[Limits], calls: u32) {
    let given_up: u32 = all.iter().map(|limits| limits.given_up).sum();
    let done: u32 = all.iter().map(|limits| limits.done).sum();
    println!("{given_up} given up, {done} done");
    let least = calls / 100;
    assert!(
        given_up >= least && done >= least,
        "{given_up} given up, {done} done"
    );
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
    let mut limits = Limits::new(2, 200);
    for at_a_time in CLIENTS {
        let each = clients / at_a_time;
        let asking: Vec<_> = (0..at_a_time).map(|_| go(ask(server, each))).collect();
        let mut accepted = 0;
        while accepted < each * at_a_time {
            if let Some(connection) = limits.apply(listener.accept()).await {
                accepted += 1;
                drop(go(serve(connection?.0)));
            }
        }
        for client in asking {
            let longest = client.await.unwrap()?;
            assert!(longest < PATIENCE, "served after {longest:?}");
        }
    }
    check(&[limits], clients);
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
    let (mut opening, mut connecting) = (Limits::new(3, 50), Limits::new(4, 200));
    for _ in 0..rounds {
        if let Some(file) = opening.apply(File::open(&path)).await {
            let (len, content) = file?.read_at(vec![0; 7], 0).await;
            assert_eq!(&content[..len?], b"content");
        }
        if let Some(stream) = connecting.apply(TcpStream::connect(server)).await {
            stream?.set_linger(Some(Duration::ZERO))?;
        }
    }
    // What is cached is opened at once: of that there may be nothing to give up.
    check(&[opening, connecting], rounds);
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
