//! A TCP echo server: every connection gets back what it sends.
//!
//! ```sh
//! cargo run --release --example echo                      # listens on 127.0.0.1:7777
//! cargo run --release --example echo -- 0.0.0.0:9000      # or where you say
//! ```
//!
//! What there is to learn here:
//!
//! - one goroutine per connection, written as if it blocked: `recv_pooled`, `write_all`, repeat; a
//!   connection that waits holds no buffer;
//! - counting over a channel instead of under a lock: each connection sends its total when it ends,
//!   one goroutine adds them up and ends when the last sender is gone;
//! - `select!`: accept a connection *or* hear Ctrl-C (or `SIGTERM`), whichever comes first;
//! - closing a channel tells any number of goroutines at once: nobody ever sends on `stop`;
//! - an orderly end: stop accepting, give the open connections some seconds, then cut them off; a
//!   second Ctrl-C does not wait for that.

use std::env;
use std::fmt;
use std::io::{self, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use gorin::Runtime;
use gorin::net::{TcpListener, TcpStream};
use gorin::prelude::*;
use gorin::signal::shutdown_requested;
use gorin::time::after;

/// How long open connections may go on after Ctrl-C or `SIGTERM`.
const DRAIN: Duration = Duration::from_secs(3);

const USAGE: &str = "usage: echo [ADDRESS]    (127.0.0.1:7777 unless you say another)";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let address = match &arguments[..] {
        [] => "127.0.0.1:7777",
        [address] if !address.starts_with('-') => address,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let served = Runtime::builder().run(serve(address)).flatten();
    match served {
        Ok(served) => {
            say(format_args!(
                "served {} connections, {} bytes",
                served.connections, served.bytes
            ));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("echo: cannot serve on {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line. `println!` would end the server if whoever reads its output goes away.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// What the server has done.
#[derive(Default)]
struct Served {
    connections: u64,
    bytes: u64,
}

async fn serve(address: &str) -> io::Result<Served> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    // Before the first line: who reads that may press Ctrl-C at once.
    let mut requested = pin!(shutdown_requested());
    say(format_args!("echo: listening on {address}"));
    say(format_args!(
        "try:  nc {} {}    (Ctrl-C here ends the server)",
        address.ip(),
        address.port()
    ));

    // Each connection sends the number of its bytes here when it ends.
    let (ended, endings) = chan::<u64>(64);
    let mut sum = go(add_up(endings));

    // Nobody sends here: closing it is the message.
    let (stop, stopped) = chan::<()>(0);

    loop {
        select! {
            accepted = listener.accept() => {
                let (stream, _peer) = accepted?;
                go(serve_one(stream, ended.clone(), stopped.clone()));
            }
            by = &mut requested => {
                by?;
                break;
            }
        }
    }

    // Newcomers are refused from here on. When all connections have ended, `ended` has no clone
    // left and the sum is ready.
    drop(listener);
    drop(ended);
    let again = shutdown_requested();
    say(format_args!(
        "echo: open connections have {} s to finish (Ctrl-C again: none)",
        DRAIN.as_secs()
    ));
    let served = select! {
        served = &mut sum => Some(served),
        _ = after(DRAIN) => None,
        _ = again => None,
    };
    let served = match served {
        Some(served) => served,
        None => {
            stop.close();
            sum.await
        }
    };
    served.map_err(|error| io::Error::other(error.to_string()))
}

/// Serves one connection until the peer has sent its last byte, or until `stopped` is closed, and
/// sends on `ended` how many bytes it echoed.
async fn serve_one(stream: TcpStream, ended: Sender<u64>, stopped: Receiver<()>) {
    let mut bytes = 0;
    select! {
        // An error here is a peer that went away: its business, not the server's.
        _ = echo(&stream, &mut bytes) => {}
        _ = stopped.recv() => {}
    }
    // Closed before it is counted: who sees the sum knows that the connections are gone.
    drop(stream);
    // Fails only when nobody counts any more.
    let _ = ended.send(bytes).await;
}

async fn echo(stream: &TcpStream, bytes: &mut u64) -> io::Result<()> {
    loop {
        // A buffer as long as there is something in it.
        let received = stream.recv_pooled(64 * 1024).await?;
        if received.is_empty() {
            return Ok(());
        }
        stream.write_all(&received).await?;
        *bytes += received.len() as u64;
    }
}

async fn add_up(endings: Receiver<u64>) -> Served {
    let mut served = Served::default();
    while let Some(bytes) = endings.recv().await {
        served.connections += 1;
        served.bytes += bytes;
    }
    served
}
