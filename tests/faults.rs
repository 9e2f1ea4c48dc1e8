//! What goes wrong on networks: descriptors that run out, peers that reset, readers that are slow.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::fs;
use std::io::{self, Read, Write};
use std::pin::pin;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, Process, cpu_time, everywhere, example, within_patience};
use gorin::io::AsyncReadExt;
use gorin::net::{TcpListener, TcpStream};
use gorin::prelude::*;
use gorin::time::timeout;
use gorin_base::check::poll_once;

/// At the limit of descriptors a server neither dies nor burns a CPU, and it goes on when there are
/// descriptors again.
#[test]
fn a_server_at_its_limit_of_descriptors_waits_and_recovers() {
    const LIMIT: usize = 64;
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -n {LIMIT}; exec \"$0\" 127.0.0.1:0")])
        .arg(example("echo"))
        .env("GORIN_WORKERS", "1");
    let server = Process::start_command(&mut command);
    let line = server.line_with("listening on ");
    let address = line.rsplit(' ').next().expect("the address is last");
    let clients: Vec<_> = (0..2 * LIMIT)
        .map(|_| std::net::TcpStream::connect(address).expect("the kernel queues it"))
        .collect();
    let descriptors = format!("/proc/{}/fd", server.id());
    let deadline = Instant::now() + PATIENCE;
    while fs::read_dir(&descriptors).expect("it runs").count() < LIMIT {
        assert!(Instant::now() < deadline, "the limit was never reached");
        thread::yield_now();
    }
    let (start, before) = (Instant::now(), cpu_time(server.id()));
    thread::sleep(Duration::from_secs(1));
    let used = cpu_time(server.id()) - before;
    // Trying again at once would use all of a CPU.
    assert!(used < start.elapsed() / 5, "{used:?} of CPU time");
    drop(clients);
    let mut client = std::net::TcpStream::connect(address).expect("it still listens");
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"again").unwrap();
    client.read_exact(&mut [0; 5]).expect("it has recovered");
}

/// The halves of a connection are in two goroutines, and the one that reads waits: dropping the
/// writing half, or closing, is told to the peer at once, if the machine lets both ends run.
#[test]
fn the_peer_learns_at_once_of_the_end_while_a_read_waits() {
    for close in [false, true] {
        let start = Instant::now();
        let time = || within_patience(move || time_to_end(close).unwrap());
        while time() >= Duration::from_millis(10) {
            assert!(start.elapsed() < PATIENCE, "it learns late each time");
        }
    }
}

fn time_to_end(close: bool) -> io::Result<Duration> {
    let runtime = gorin::Runtime::builder().workers(2).build()?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (reader, writer) = runtime.block_on(TcpStream::connect(address))?.into_split();
    let (mut peer, _) = listener.accept()?;
    peer.set_read_timeout(Some(PATIENCE))?;
    let handle = writer.as_ref().clone();
    let waiting = runtime.go(async move { reader.as_ref().read(&mut [0]).await });
    // The read waits by now, or will in a moment; both must do.
    thread::sleep(Duration::from_millis(1));
    let start = Instant::now();
    match close {
        true => handle.close(),
        false => drop(writer),
    }
    assert_eq!(peer.read(&mut [0])?, 0);
    let time = start.elapsed();
    drop(peer);
    let read = runtime.block_on(waiting).unwrap();
    assert_eq!(read.is_err(), close, "{read:?}");
    Ok(time)
}

/// A reset in the middle of a large write is an error of that write, not a hang.
#[test]
fn a_reset_ends_a_write_that_waits() {
    everywhere(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let (server, _) = listener.accept().await?;
        let writer = go(async move { client.write_all(&vec![7; 50_000_000]).await });
        server.read_exact(&mut [0; 1000]).await?;
        server.set_linger(Some(Duration::ZERO))?;
        drop(server);
        let kind = writer.await.unwrap().unwrap_err().kind();
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        assert!(matches!(kind, BrokenPipe | ConnectionReset), "{kind}");
        Ok(())
    });
}

/// Whether somebody has waited for it or not, and a read or a receive is still under way: a peer must not
/// take half an answer for a whole one.
#[test]
fn a_connection_that_does_not_linger_ends_with_a_reset() {
    everywhere(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        for close in [false, true] {
            for waits in 0..4 {
                let client = TcpStream::connect(listener.local_addr()?).await?;
                let (server, _) = listener.accept().await?;
                server.set_linger(Some(Duration::ZERO))?;
                server.write_all(b"half an ans").await?;
                {
                    let mut read = pin!(server.readable());
                    let mut receive = pin!(server.recv_owned(vec![0; 8]));
                    for (wait, kind) in [1, 2].into_iter().enumerate() {
                        let polled = match wait {
                            _ if waits & kind == 0 => continue,
                            0 => poll_once(read.as_mut()).is_pending(),
                            _ => poll_once(receive.as_mut()).is_pending(),
                        };
                        assert!(polled);
                        yield_now().await;
                    }
                }
                match close {
                    true => server.close(),
                    false => drop(server),
                }
                let mut got = Vec::new();
                let error = (&client).read_to_end(&mut got).await.unwrap_err();
                assert_eq!(
                    error.kind(),
                    io::ErrorKind::ConnectionReset,
                    "{close} {waits}"
                );
            }
        }
        Ok(())
    });
}

/// A server gives each client some time for its request, and cuts it off then.
async fn serve_in_time(stream: TcpStream, limit: Duration) -> io::Result<()> {
    stream.set_read_deadline(Some(Instant::now() + limit));
    let mut header = [0; 64];
    stream.read_exact(&mut header).await?;
    stream.write_all(b"answer").await
}

/// A server that refuses with a word who comes when it is full, serves who comes when there is room
/// again, and at its end finishes the requests that it has begun, refuses new clients, and gives up
/// on who does not finish.
#[test]
fn a_server_refuses_politely_and_drains_by_its_deadline() {
    everywhere(|| async {
        const PLACES: usize = 2;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = listener.local_addr()?;
        let (stop, stopped) = chan::<()>(0);
        let serving = go(async move {
            let (done, results) = chan::<()>(PLACES);
            let mut busy = 0;
            loop {
                let accepted = select! {
                    accepted = listener.accept() => accepted,
                    _ = results.recv() => { busy -= 1; continue }
                    _ = stopped.recv() => break,
                };
                let (stream, _) = accepted.expect("descriptors are left");
                if busy == PLACES {
                    let _gone = stream.write_all(b"full").await;
                    continue;
                }
                busy += 1;
                let done = done.clone();
                drop(go(async move {
                    let _cut = serve_in_time(stream, PATIENCE).await;
                    let _ = done.send(()).await;
                }));
            }
            drop(listener);
            let drained = async {
                for _ in 0..busy {
                    results.recv().await;
                }
            };
            (busy, timeout(Duration::from_millis(200), drained).await)
        });
        let (quick, stuck) = (
            TcpStream::connect(server).await?,
            TcpStream::connect(server).await?,
        );
        let one_more = TcpStream::connect(server).await?;
        let mut word = [0; 4];
        one_more.read_exact(&mut word).await?;
        assert_eq!(&word, b"full");
        // Half of a request, before the server is told to end.
        quick.write_all(&[1; 32]).await?;
        stop.close();
        while TcpStream::connect(server).await.is_ok() {
            yield_now().await;
        }
        quick.write_all(&[1; 32]).await?;
        quick.read_exact(&mut [0; 6]).await?;
        let (busy, drained) = serving.await.unwrap();
        assert_eq!(busy, PLACES);
        assert!(drained.is_err(), "it has waited for the one that is stuck");
        drop(stuck);
        Ok(())
    });
}
