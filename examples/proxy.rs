//! A TCP proxy: what a client sends goes to the target, what the target answers goes back.
//!
//! ```sh
//! cargo run --release --example proxy -- 127.0.0.1:8080 example.org:80
//! cargo run --release --example proxy -- 127.0.0.1:8080 10.0.0.7:80 --copy   # through memory
//! ```
//!
//! What there is to learn here:
//!
//! - `splice_bidirectional` moves the bytes inside the kernel; `--copy` shows what it replaces, for
//!   streams that are not sockets;
//! - a half-closed connection stays half-closed: the end of one direction is passed on, the other
//!   goes on;
//! - a `WaitGroup` knows when the last connection is through, and `timeout` gives it a limit.

use std::env;
use std::io::{self, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use gorin::Runtime;
use gorin::io::{copy_bidirectional, splice_bidirectional};
use gorin::net::{TcpListener, TcpStream};
use gorin::prelude::*;
use gorin::signal::shutdown_requested;
use gorin::sync::WaitGroup;
use gorin::time::timeout;

const USAGE: &str = "usage: proxy LISTEN TARGET [--copy]";

/// How long open connections may go on when the proxy is asked to end.
const DRAIN: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let copy = arguments.iter().any(|argument| argument == "--copy");
    arguments.retain(|argument| argument != "--copy");
    let [listen, target] = &arguments[..] else {
        eprintln!("proxy: there must be two addresses\n{USAGE}");
        return ExitCode::FAILURE;
    };
    match Runtime::builder()
        .run(serve(listen, target, copy))
        .flatten()
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proxy: cannot serve on {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(listen: &str, target: &str, copy: bool) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let mut requested = pin!(shutdown_requested());
    // `println!` would end the proxy if whoever reads its output goes away.
    let _ = writeln!(
        io::stdout(),
        "proxy: {target} is behind {}",
        listener.local_addr()?
    );
    let connections = WaitGroup::new();
    loop {
        select! {
            accepted = listener.accept() => {
                let (client, peer) = accepted?;
                let (target, token) = (target.to_owned(), connections.add());
                go(async move {
                    if let Err(error) = pass(client, &target, copy).await {
                        eprintln!("proxy: {peer}: {error}");
                    }
                    drop(token);
                });
            }
            by = &mut requested => {
                by?;
                break;
            }
        }
    }
    drop(listener);
    // Who is not through by then is cut off: the end of `main` ends all goroutines.
    let _ = timeout(DRAIN, connections.wait()).await;
    Ok(())
}

/// One connection, from its beginning to its end.
async fn pass(mut client: TcpStream, target: &str, copy: bool) -> io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    match copy {
        true => copy_bidirectional(&mut client, &mut server).await?,
        false => splice_bidirectional(&client, &server).await?,
    };
    Ok(())
}
