//! A chat server: every line that one client sends goes to all.
//!
//! ```sh
//! cargo run --release --example chat                      # listens on 127.0.0.1:7780
//! nc 127.0.0.1 7780                                       # any number of times; say your name first
//! ```
//!
//! What there is to learn here:
//!
//! - who is in the room is known to one goroutine, the hub, and to nobody else: no lock;
//! - one goroutine per client that waits for three things at once in a `select!`: the client has said
//!   something, somebody else has, the server ends;
//! - nobody waits for the slow: the hub does not wait for a client whose channel is full, it lets go of
//!   it;
//! - a semaphore limits the clients: without a permit none is accepted, and they wait in the kernel;
//! - a client who is silent for too long is sent away by the deadline of its socket;
//! - a scope knows when the last of them is gone.
//!
//! A line may be as long as it likes: a server for strangers would limit that, too.

use std::collections::HashMap;
use std::env;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gorin::io::{AsyncBufReadExt, PooledReader};
use gorin::net::{TcpListener, TcpStream};
use gorin::prelude::*;
use gorin::signal::{Signal, shutdown_requested};
use gorin::stream::StreamExt;
use gorin::sync::Semaphore;
use gorin::{Scope, Spec, scope};

/// Clients at the same time.
const MOST_CLIENTS: usize = 1000;
/// Lines that wait for a client before it counts as too slow.
const BACKLOG: usize = 64;
/// How long a client may be silent, or take to read what it is sent.
const PATIENCE: Duration = Duration::from_secs(600);

type Line = Arc<str>;

/// What clients tell the hub.
enum Event {
    Came {
        client: u64,
        name: String,
        lines: Sender<Line>,
    },
    Said {
        client: u64,
        line: String,
    },
    Left {
        client: u64,
    },
}

#[gorin::main]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:7780")).await?;
    // Before the first line: who reads that may press Ctrl-C at once.
    let asked = shutdown_requested();
    println!("chat: listening on {}", listener.local_addr()?);
    let (events, news) = chan(BACKLOG);
    let hub = go_with(Spec::new().name("hub"), hub(news));
    accept(listener, events, asked).await?;
    println!("chat: {} lines were said", hub.await?);
    Ok(())
}

/// Serves clients until it is asked to end, and returns when the last one is gone.
async fn accept(
    listener: TcpListener,
    events: Sender<Event>,
    asked: impl Future<Output = io::Result<Signal>>,
) -> io::Result<()> {
    scope(|s: Scope<io::Error>| async move {
        let mut asked = pin!(asked);
        let places = Semaphore::new(MOST_CLIENTS);
        // Nobody sends here: its end, with this block, is the message.
        let (_stop, stopped) = chan::<()>(0);
        for client in 0.. {
            let place = select! {
                place = places.acquire() => place,
                by = &mut asked => return by.map(drop),
            };
            let (stream, peer) = select! {
                accepted = listener.accept() => accepted?,
                by = &mut asked => return by.map(drop),
            };
            let (events, stopped) = (events.clone(), stopped.clone());
            s.go(async move {
                // An error is a client that went away, or was too slow: no reason to end the others.
                if let Err(error) = serve(client, stream, &events, stopped).await {
                    eprintln!("chat: {peer}: {error}");
                }
                let _ = events.send(Event::Left { client }).await;
                drop(place);
                Ok(())
            });
        }
        Ok(())
    })
    .await
}

async fn serve(
    client: u64,
    stream: TcpStream,
    events: &Sender<Event>,
    stopped: Receiver<()>,
) -> io::Result<()> {
    let mut said = PooledReader::new(stream.clone()).lines();
    let deadline = || Some(Instant::now() + PATIENCE);
    stream.set_deadline(deadline());
    stream.write_all(b"your name: ").await?;
    let name = select! {
        name = said.next() => name,
        _ = stopped.recv() => None,
    };
    let Some(name) = name.transpose()? else {
        return Ok(());
    };
    let (lines, news) = chan(BACKLOG);
    let came = Event::Came {
        client,
        name,
        lines,
    };
    let _ = events.send(came).await;
    loop {
        select! {
            line = said.next() => {
                let Some(line) = line.transpose()? else { return Ok(()) };
                stream.set_read_deadline(deadline());
                // The hub outlives all clients.
                let _ = events.send(Event::Said { client, line }).await;
            }
            line = news.recv() => {
                let Some(line) = line else {
                    return Err(io::Error::other("reads too slowly"));
                };
                stream.set_write_deadline(deadline());
                stream.write_all(line.as_bytes()).await?;
            }
            _ = stopped.recv() => return stream.write_all(b"* the server ends\n").await,
        }
    }
}

/// Knows who is there, and ends when nobody can come any more; gives the number of lines.
async fn hub(news: Receiver<Event>) -> u64 {
    let mut room: HashMap<u64, (String, Sender<Line>)> = HashMap::new();
    let mut said = 0;
    while let Some(event) = news.recv().await {
        let line = match event {
            Event::Came {
                client,
                name,
                lines,
            } => {
                let line = format!("* {name} is here\n");
                room.insert(client, (name, lines));
                line
            }
            Event::Said { client, line } => {
                // One who was let go may have had something to say still.
                let Some((name, _)) = room.get(&client) else {
                    continue;
                };
                said += 1;
                format!("{name}: {line}\n")
            }
            Event::Left { client } => match room.remove(&client) {
                Some((name, _)) => format!("* {name} is gone\n"),
                None => continue,
            },
        };
        let line = Line::from(line);
        room.retain(|_, (_, lines)| lines.try_send(line.clone()).is_ok());
    }
    said
}
