//! What goes wrong on networks: descriptors that run out, peers that reset, readers that are slow.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, Process, cpu_time, everywhere, example, within_patience};
use gorin::net::{TcpListener, TcpStream};
use gorin::prelude::*;

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
/// writing half, or closing, is told to the peer at once.
#[test]
fn the_peer_learns_at_once_of_the_end_while_a_read_waits() {
    for close in [false, true] {
        let quickest = within_patience(move || {
            let rounds = (0..10).map(|_| time_to_end(close).unwrap());
            rounds.min().expect("ten rounds")
        });
        assert!(quickest < Duration::from_millis(10), "{quickest:?}");
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

/// Fifty kilobytes through a send buffer of a few KiB to a reader that takes its time.
#[test]
fn a_slow_reader_gets_every_byte_through_a_small_buffer() {
    everywhere(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        client.set_send_buffer_size(2048)?;
        let (server, _) = listener.accept().await?;
        let message: Vec<u8> = (0..50_000_u32).map(|i| (i / 251) as u8).collect();
        let sent = message.clone();
        let writer = go(async move {
            client.write_all(&sent).await?;
            client.shutdown(Shutdown::Write)
        });
        let (mut received, mut buf) = (Vec::new(), vec![0; 100_000]);
        loop {
            match server.read(&mut buf).await? {
                0 => break,
                len => received.extend_from_slice(&buf[..len]),
            }
            yield_now().await;
        }
        writer.await.unwrap()?;
        assert!(received == message);
        Ok(())
    });
}
