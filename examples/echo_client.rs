//! Load for an echo server: so many connections, so many bytes a message, so many seconds; checks
//! every byte that comes back.
//!
//! ```sh
//! cargo run --release --example echo &
//! cargo run --release --example echo_client -- --connections 50 --size 64 --duration 5
//! cargo run --release --example echo_client -- 192.168.0.7:9000      # another server
//! ```
//!
//! What there is to learn here:
//!
//! - the load is a closed loop: each connection sends one message, waits for all of it to come
//!   back, and sends the next; so the number of requests in flight is the number of connections;
//! - the goroutines share nothing: each keeps its own histogram and returns it, and `main` adds
//!   them up as it awaits the handles;
//! - a message is checked against what was sent, and each connection and message has other bytes,
//!   so a mixed-up server is found.

use std::env;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use gorin::Runtime;
use gorin::net::TcpStream;
use gorin::prelude::*;

const USAGE: &str = "usage: echo_client [ADDRESS] [--connections N] [--size BYTES] [--duration S]";

fn main() -> ExitCode {
    let load = match Load::from_args(env::args().skip(1)) {
        Ok(load) => load,
        Err(problem) => {
            eprintln!("echo_client: {problem}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let address = load.address.clone();
    match Runtime::builder().run(generate(load)).flatten() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_client: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What to do, from the command line.
#[derive(Clone)]
struct Load {
    address: String,
    connections: usize,
    size: usize,
    duration: Duration,
}

impl Load {
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Load, String> {
        let mut load = Load {
            address: "127.0.0.1:7777".to_owned(),
            connections: 50,
            size: 64,
            duration: Duration::from_secs(5),
        };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--connections" => load.connections = number(&arg, args.next())?,
                "--size" => load.size = number(&arg, args.next())?,
                "--duration" => {
                    let seconds: f64 = number(&arg, args.next())?;
                    load.duration = Duration::try_from_secs_f64(seconds)
                        .map_err(|error| format!("{arg}: {error}"))?;
                }
                _ if arg.starts_with('-') => return Err(format!("unknown option `{arg}`")),
                _ => load.address = arg,
            }
        }
        if load.connections == 0 || load.size == 0 {
            return Err("--connections and --size must be at least 1".to_owned());
        }
        Ok(load)
    }
}

fn number<N: std::str::FromStr>(option: &str, value: Option<String>) -> Result<N, String> {
    let value = value.ok_or_else(|| format!("{option} needs a value"))?;
    value
        .parse()
        .map_err(|_| format!("{option}: `{value}` is not a number"))
}

async fn generate(load: Load) -> io::Result<()> {
    // All connections stand before the first message is sent: a server that is not there is told
    // at once, and connecting is not part of what is measured.
    let mut streams = Vec::new();
    for _ in 0..load.connections {
        streams.push(TcpStream::connect(load.address.as_str()).await?);
    }
    let start = Instant::now();
    let end = start + load.duration;
    let connections = streams.into_iter().zip(0..);
    let drivers: Vec<_> = connections
        .map(|(stream, id)| go(drive(stream, id, load.size, end)))
        .collect();
    let mut latencies = Histogram::new();
    for driver in drivers {
        let driven = driver.await;
        latencies.add(&driven.map_err(|error| io::Error::other(error.to_string()))??);
    }
    let elapsed = start.elapsed().as_secs_f64();
    println!(
        "{} connections x {} B for {elapsed:.2} s: {} requests, {:.0} req/s, every byte checked",
        load.connections,
        load.size,
        latencies.count,
        latencies.count as f64 / elapsed
    );
    let percentiles = [
        ("p50", 0.5),
        ("p90", 0.9),
        ("p99", 0.99),
        ("p99.9", 0.999),
        ("max", 1.0),
    ];
    let cells = percentiles.map(|(name, share)| {
        format!(
            "{name} {:.1}",
            latencies.percentile(share).as_nanos() as f64 / 1000.0
        )
    });
    println!("latency in µs: {}", cells.join("  "));
    Ok(())
}

/// Sends messages on one connection until `end`, one at a time, and checks each reply.
async fn drive(stream: TcpStream, id: u64, size: usize, end: Instant) -> io::Result<Histogram> {
    stream.set_nodelay(true)?;
    let mut latencies = Histogram::new();
    let mut message = vec![0; size];
    let mut reply = vec![0; size];
    for round in 0_u64.. {
        fill(&mut message, id, round);
        let start = Instant::now();
        if start >= end {
            break;
        }
        exchange(&stream, &message, &mut reply).await?;
        latencies.record(start.elapsed());
        let wrong = reply
            .iter()
            .zip(&message)
            .position(|(got, sent)| got != sent);
        if let Some(at) = wrong {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("connection {id}, message {round}: byte {at} came back wrong"),
            ));
        }
    }
    Ok(latencies)
}

/// Bytes that no other message has in the same places.
fn fill(message: &mut [u8], id: u64, round: u64) {
    let mut state = (id << 32 | round).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for chunk in message.chunks_mut(8) {
        // The xorshift generator; all it has to do is differ.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
}

/// Sends `message` and reads as many bytes back, both at once: an echo server stops reading when
/// nobody takes its replies, so a large message sent in one piece would wait for ever.
async fn exchange(stream: &TcpStream, message: &[u8], reply: &mut [u8]) -> io::Result<()> {
    let reader = stream;
    let send = stream.write_all(message);
    let receive = reader.read_exact(reply);
    futures::future::try_join(send, receive).await?;
    Ok(())
}

/// Counts of durations, in 64 steps per power of two: at most 1.6 % off, and 30 KiB whatever the
/// number of requests.
struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max: Duration,
}

/// Steps per power of two.
const STEPS: u64 = 64;

impl Histogram {
    fn new() -> Histogram {
        Histogram {
            counts: vec![0; bucket(u64::MAX) + 1],
            count: 0,
            max: Duration::ZERO,
        }
    }

    fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(latency);
    }

    fn add(&mut self, other: &Histogram) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// The latency that the given share of the requests did not exceed, rounded up to its step.
    fn percentile(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return Duration::from_nanos(upper_bound(bucket)).min(self.max);
            }
        }
        self.max
    }
}

/// The bucket that counts `nanos`: below [`STEPS`] each value has its own, above it the highest
/// seven bits decide.
fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let shift = u64::from(nanos.ilog2() - STEPS.ilog2());
    ((shift + 1) * STEPS + (nanos >> shift) - STEPS) as usize
}

/// The largest number of nanoseconds that [`bucket`] puts into `bucket`.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    let lowest = (bucket % STEPS + STEPS) << shift;
    lowest + ((1 << shift) - 1)
}
