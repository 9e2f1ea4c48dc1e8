//! Deadlines of sockets: absolute, lasting, and felt by the calls that wait already.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::io::{self, ErrorKind};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use common::{everywhere, within_patience};
use gorin::Runtime;
use gorin::io::AsyncReadExt;
use gorin::net::{TcpListener, UdpSocket, UnixStream};
use gorin::prelude::*;
use gorin::time::timeout;
use gorin_base::check::poll_once;

const SOON: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(1000);

fn assert_timed_out<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn a_read_ends_at_its_deadline_and_the_bytes_are_kept() {
    everywhere(|| async {
        let (left, right) = UnixStream::pair()?;
        let mut buf = [0; 8];
        let start = Instant::now();
        left.set_read_deadline(Some(start + SOON));
        assert_timed_out(left.read(&mut buf).await);
        assert!(start.elapsed() >= SOON, "not before its time");
        // It lasts, also for what would not block and for what polls.
        right.write_all(b"kept").await?;
        assert_timed_out(left.read(&mut buf).await);
        assert_timed_out(left.try_read(&mut buf));
        assert_timed_out(left.peek(&mut buf).await);
        assert_timed_out((&left).read_to_end(&mut Vec::new()).await);
        // Of this end and this direction only.
        left.write_all(b"x").await?;
        assert_eq!(right.read(&mut buf).await?, 1);
        left.set_read_deadline(None);
        assert_eq!(left.read(&mut buf).await?, 4);
        assert_eq!(&buf[..4], b"kept");
        Ok(())
    });
}

#[test]
fn one_deadline_ends_both_directions() {
    everywhere(|| async {
        let (left, right) = UnixStream::pair()?;
        left.set_deadline(Some(Instant::now()));
        let mut buf = [0];
        assert_timed_out(left.read(&mut buf).await);
        assert_timed_out(left.write(b"x").await);
        left.set_deadline(None);
        assert_eq!(left.write(b"x").await?, 1);
        right.write_all(b"y").await?;
        assert_eq!(left.read(&mut buf).await?, 1);
        Ok(())
    });
}

#[test]
fn a_deadline_in_the_past_ends_pending_calls_at_once() {
    everywhere(|| async {
        let (left, right) = UnixStream::pair()?;
        let (mut one, mut other) = ([0], [0]);
        let reader = left.clone();
        let waiting = go(async move { reader.read(&mut one).await });
        let mut pending = pin!(left.read(&mut other));
        assert!(poll_once(pending.as_mut()).is_pending());
        left.set_read_deadline(Some(Instant::now()));
        assert_timed_out(pending.await);
        assert_timed_out(waiting.await.unwrap());
        drop(right);
        Ok(())
    });
}

#[test]
fn a_deadline_that_is_moved_holds_for_calls_that_wait() {
    everywhere(|| async {
        let (left, right) = UnixStream::pair()?;
        left.set_read_deadline(Some(Instant::now() + LONG));
        let mut buf = [0];
        let mut pending = pin!(left.read(&mut buf));
        assert!(poll_once(pending.as_mut()).is_pending());
        // Nearer.
        left.set_read_deadline(Some(Instant::now() + SOON));
        assert_timed_out(pending.as_mut().await);
        // Farther, and lifted: the first one does not end it.
        for later in [Some(Instant::now() + LONG), None] {
            let mut buf = [0];
            let mut pending = Box::pin(left.read(&mut buf));
            // The machine may keep the thread from running until the time is over; then once more.
            loop {
                left.set_read_deadline(Some(Instant::now() + SOON));
                match poll_once(pending.as_mut()) {
                    Poll::Pending => break,
                    Poll::Ready(late) => assert_timed_out(late),
                }
                drop(pending);
                pending = Box::pin(left.read(&mut buf));
            }
            left.set_read_deadline(later);
            assert!(timeout(2 * SOON, pending.as_mut()).await.is_err());
            right.write_all(b"!").await?;
            assert_eq!(pending.await?, 1);
        }
        Ok(())
    });
}

#[test]
fn a_write_ends_at_its_deadline() {
    everywhere(|| async {
        let (left, right) = UnixStream::pair()?;
        let bytes = vec![7; 10_000_000];
        let written = left.write(&bytes).await?;
        left.set_write_deadline(Some(Instant::now() + SOON));
        assert_timed_out(left.write_all(&bytes).await);
        // What went before has gone.
        left.set_write_deadline(None);
        left.close();
        let mut received = Vec::new();
        (&right).read_to_end(&mut received).await?;
        assert!((written..10_000_000).contains(&received.len()));
        Ok(())
    });
}

#[test]
fn accepting_and_receiving_have_deadlines_too() {
    everywhere(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        listener.set_accept_deadline(Some(Instant::now() + SOON));
        assert_timed_out(listener.accept().await);
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.set_read_deadline(Some(Instant::now() + SOON));
        assert_timed_out(socket.recv_from(&mut [0]).await);
        assert_timed_out(socket.readable().await);
        Ok(())
    });
}

#[test]
fn a_deadline_is_set_from_any_thread_and_works_on_any() {
    within_patience(|| {
        let home = Runtime::builder().workers(1).build().unwrap();
        let (left, right) = home.block_on(async { UnixStream::pair() }).unwrap();
        // On a thread without a runtime.
        left.set_read_deadline(Some(Instant::now() + SOON));
        let mut buf = [0];
        assert_timed_out(gorin_base::check::block_on(left.read(&mut buf)));
        let abroad = Runtime::builder().workers(1).build().unwrap();
        abroad.block_on(async {
            left.set_read_deadline(Some(Instant::now() + SOON));
            let reader = left.clone();
            let waiting = gorin::go(async move { reader.read(&mut [0]).await });
            assert_timed_out(waiting.await.unwrap());
        });
        drop(right);
    });
}

#[test]
fn extreme_deadlines_are_harmless() {
    everywhere(|| async {
        let (left, right) = UnixStream::pair()?;
        let far = Instant::now() + Duration::from_secs(u64::from(u32::MAX) * 2);
        left.set_read_deadline(Some(far));
        right.write_all(b"!").await?;
        assert_eq!(left.read(&mut [0]).await?, 1);
        for _ in 0..1000 {
            left.set_read_deadline(Some(Instant::now() + LONG));
        }
        left.set_read_deadline(None);
        left.set_read_deadline(None);
        right.write_all(b"!").await?;
        assert_eq!(left.read(&mut [0]).await?, 1);
        Ok(())
    });
}
