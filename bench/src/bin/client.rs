//! The load client, the same for all servers: one thread, epoll, a closed loop per connection.
//!
//! | `bench-client` | does |
//! |---|---|
//! | `echo` | sends a message, waits for all of it to come back, verifies every byte, again |
//! | `accept` | connects, exchanges one byte, resets, again |
//! | `idle` | connects all, exchanges one message each, then holds them until its stdin ends |
//!
//! With `--udp` the messages of `echo` are datagrams.
//! With `--every-ms` a connection sends at fixed times instead of at once. If an answer is late for
//! the next time, the wait that follows from it counts as latency: a server that stalls cannot hide
//! that by not being asked.
//!
//! It must stay cheaper than any server: no allocation, no system call per message beyond one
//! write, one read and a share of an epoll_wait.
#![forbid(unsafe_code)]

#[path = "client/connection.rs"]
mod connection;
#[path = "client/load.rs"]
mod load;

use gorin_bench::args::Args;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    gorin_bench::process::die_with_parent();
    gorin_bench::process::raise_file_limit();
    match Args::parse(std::env::args().skip(1)).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("client: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: Args) -> Result<(), String> {
    let mode = args.word().unwrap_or_default().to_owned();
    let options = load::Options {
        addr: args.take("addr", SocketAddr::from(([127, 0, 0, 1], 7777)))?,
        connections: args.take("connections", 50)?,
        message_bytes: args.take("size", 64)?,
        udp: args.take_flag("udp")?,
        warmup: Duration::from_millis(args.take("warmup-ms", 200)?),
        duration: Duration::from_millis(args.take("duration-ms", 1000)?),
        every: Duration::from_millis(args.take("every-ms", 0)?),
    };
    args.finish()?;
    match mode.as_str() {
        "echo" => load::echo(&options),
        "accept" => load::accept(&options),
        "idle" => load::idle(&options),
        _ => return Err(format!("`{mode}` is not one of echo, accept, idle")),
    }
    .map_err(|error| error.to_string())
}
