//! Peers that are slow, and what they may cost: time limits hold, and memory is bounded.
//!
//! These tests look at the memory of the process, and therefore run one at a time.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::{PATIENCE, everywhere, resident_bytes, within_patience};
use gorin::net::{TcpListener, TcpStream};
use gorin::prelude::*;
use gorin::time::timeout;

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A message through a send buffer of a few KiB to a reader that takes its time: every byte comes, and
/// no copies of it pile up on the way.
fn slow_reader(len: u32) {
    let _alone = alone();
    everywhere(move || async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        client.set_send_buffer_size(2048)?;
        let (server, _) = listener.accept().await?;
        let byte = |i: u32| (i / 251) as u8;
        let message: Vec<u8> = (0..len).map(byte).collect();
        let before = resident_bytes();
        let writer = go(async move {
            client.write_all(&message).await?;
            client.shutdown(Shutdown::Write)
        });
        let (mut received, mut buf, mut most) = (0, vec![0; 100_000], 0);
        loop {
            let read = server.read(&mut buf).await?;
            if read == 0 {
                break;
            }
            let right = (received..)
                .zip(&buf[..read])
                .all(|(i, &got)| got == byte(i));
            assert!(right, "a wrong byte after {received}");
            received += read as u32;
            most = most.max(resident_bytes());
            yield_now().await;
        }
        writer.await.unwrap()?;
        assert_eq!(received, len);
        let grown = most.saturating_sub(before);
        assert!(grown < 4 << 20, "{grown} bytes more in memory");
        Ok(())
    });
}

#[test]
fn a_slow_reader_gets_every_byte_through_a_small_buffer() {
    slow_reader(50_000);
}

/// F08.
#[test]
#[ignore = "the long form: ten megabytes"]
fn a_slow_reader_gets_ten_megabytes_through_a_small_buffer() {
    slow_reader(10 << 20);
}

/// A server gives each client some time for its request, and cuts it off then.
async fn serve_in_time(stream: TcpStream, limit: Duration) -> io::Result<()> {
    stream.set_read_deadline(Some(Instant::now() + limit));
    let mut header = [0; 64];
    stream.read_exact(&mut header).await?;
    stream.write_all(b"answer").await
}

/// Sends a byte now and then until the server has had enough; gives how long that took.
async fn dribble(server: SocketAddr) -> io::Result<Duration> {
    let stream = TcpStream::connect(server).await?;
    let start = Instant::now();
    loop {
        // A write to a server that is gone fails, sooner or later; so does waiting for its answer.
        let dribbled = stream.write(b"x").await;
        match timeout(Duration::from_millis(100), stream.read(&mut [0; 8])).await {
            Ok(Ok(0) | Err(_)) => return Ok(start.elapsed()),
            Ok(Ok(len)) => panic!("{len} bytes for an answer"),
            Err(_elapsed) => drop(dribbled?),
        }
    }
}

/// Clients that send a byte now and then and never finish their request: all are cut off in time, at
/// the cost of a few KiB each, while others are served.
fn slow_loris(clients: usize, limit: Duration) {
    const EACH: usize = 8 << 10;
    let _alone = alone();
    within_patience(move || {
        let builder = gorin::Runtime::builder().workers(2);
        let program = async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let server = listener.local_addr()?;
            let accepted = Arc::new(AtomicUsize::new(0));
            let count = accepted.clone();
            let accepting = go(async move {
                // The first one has time, however busy the machine is.
                for limit in std::iter::once(PATIENCE).chain(std::iter::repeat(limit)) {
                    let (stream, _) = listener.accept().await.expect("descriptors are left");
                    drop(go(serve_in_time(stream, limit)));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
            let honest = TcpStream::connect(server).await?;
            let before = resident_bytes();
            let attackers: Vec<_> = (0..clients).map(|_| go(dribble(server))).collect();
            while accepted.load(Ordering::Relaxed) <= clients {
                yield_now().await;
            }
            honest.write_all(&[1; 64]).await?;
            honest.read_exact(&mut [0; 6]).await?;
            let each = resident_bytes().saturating_sub(before) / clients;
            assert!(each < EACH, "{each} bytes for each client");
            for attacker in attackers {
                let time = attacker.await.unwrap()?;
                assert!(time < limit + Duration::from_secs(30), "after {time:?}");
            }
            accepting.abort();
            io::Result::Ok(())
        };
        builder.run(program).unwrap().unwrap();
    });
}

#[test]
fn clients_that_never_finish_are_cut_off_in_time() {
    slow_loris(200, Duration::from_millis(300));
}

/// F25.
#[test]
#[ignore = "the long form: five thousand clients, ten thousand descriptors"]
fn five_thousand_clients_that_never_finish_are_cut_off_in_time() {
    slow_loris(5000, Duration::from_secs(3));
}
