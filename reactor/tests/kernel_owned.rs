//! Receives and sends that own their buffers, on the real ring: dropping, closing, deadlines.
//!
//! Some know how much the kernel transfers at a time, so they are not for the simulated driver, which
//! transfers less; `kernel_dropped.rs` is.
#![cfg(not(loom))]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::{Either, join, select};
use gorin_base::rng;
use gorin_reactor::{Direction, Sleep, Socket, ops};
use support::*;

#[test]
fn a_receive_waits_for_data_and_gives_the_buffer_back() {
    on_worker(|local| {
        let (socket, mut peer) = connection();
        local.block_on(async {
            let receive = ops::recv_owned(&socket, vec![7; 8]);
            let send = async {
                ticks(1).await;
                peer.write_all(b"data").unwrap();
            };
            let ((result, buffer), ()) = join(receive, send).await;
            assert_eq!(
                (result.unwrap(), &buffer[..]),
                (4, &b"data\x07\x07\x07\x07"[..])
            );
            peer.shutdown(Shutdown::Write).unwrap();
            let (result, buffer) = ops::recv_owned(&socket, buffer).await;
            assert_eq!(
                (result.unwrap(), buffer.len()),
                (0, 8),
                "the end of the stream"
            );
        });
    });
}

#[test]
fn large_messages_are_sent_whole_with_and_without_copying() {
    on_worker(|local| {
        for zero_copy in [false, true] {
            let (socket, peer) = connection();
            let message: Vec<u8> = (0..3_000_000_u32).map(|i| (i / 7) as u8).collect();
            let reader = thread::spawn(move || read_all(peer));
            let (result, sent) = local.block_on(async {
                match zero_copy {
                    false => ops::send_owned(&socket, message, 1).await,
                    true => ops::send_zero_copy(&socket, message, 1).await,
                }
            });
            let len = result.unwrap();
            drop(socket);
            let received = reader.join().unwrap();
            assert!(received[..] == sent[1..=len], "zero copy: {zero_copy}");
            assert_eq!(len, 2_999_999, "the kernel waits for room for all");
        }
    });
}

fn read_all(mut peer: TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    received
}

/// What a dropped receive has taken belongs to the stream: nothing is lost, doubled or reordered,
/// with readers of every kind.
#[test]
fn dropped_receives_lose_no_bytes() {
    on_worker(|local| {
        let (socket, mut peer) = connection();
        let dropped = Arc::new(AtomicUsize::new(0));
        let enough = dropped.clone();
        let sender = thread::spawn(move || {
            let mut sent = Vec::new();
            // A sender that is always ahead lets no receive wait; it goes on until some have.
            while sent.len() < 200_000 || enough.load(Ordering::Relaxed) < 20 {
                let chunk: Vec<u8> = (0..=rng::below(700))
                    .map(|_| rng::below(256) as u8)
                    .collect();
                peer.write_all(&chunk).unwrap();
                sent.extend(chunk);
                if rng::below(3) == 0 {
                    thread::sleep(Duration::from_micros(rng::below(60) as u64));
                }
            }
            peer.shutdown(Shutdown::Write).unwrap();
            (peer, sent)
        });
        let received = local.block_on(read_and_drop(&socket, &dropped));
        let (_peer, sent) = sender.join().unwrap();
        assert!(received == sent, "{} of {}", received.len(), sent.len());
    });
}

/// All that comes until the end, with receives dropped at random moments.
async fn read_and_drop(socket: &Socket, dropped: &AtomicUsize) -> Vec<u8> {
    let mut received = Vec::new();
    loop {
        match receive_or_drop(socket).await {
            Some((result, buffer)) => match result.unwrap() {
                0 => return received,
                len => received.extend_from_slice(&buffer[..len]),
            },
            None => drop(dropped.fetch_add(1, Ordering::Relaxed)),
        }
        // Sometimes a borrowed read comes next.
        if rng::below(4) == 0 {
            let mut buffer = [0; 300];
            let read = socket.io(Direction::Read, |fd| {
                match socket.read_early(&mut buffer, false) {
                    Some(early) => early,
                    None => receive_now(fd, &mut buffer),
                }
            });
            match read.await.unwrap() {
                0 => return received,
                len => received.extend_from_slice(&buffer[..len]),
            }
        }
    }
}

/// A receive that is dropped when it has lasted too long.
async fn receive_or_drop(socket: &Socket) -> Option<(std::io::Result<usize>, Vec<u8>)> {
    let receive = pin!(ops::recv_owned(socket, vec![0; 1 + rng::below(900)]));
    let patience = Duration::from_micros(rng::below(80) as u64);
    let moment = match rng::below(3) {
        0 => Either::Left(ticks(1)),
        _ => Either::Right(Sleep::until(Instant::now() + patience)),
    };
    match select(receive, pin!(moment)).await {
        Either::Left((received, _)) => Some(received),
        Either::Right(_) => None,
    }
}

fn receive_now(fd: std::os::fd::BorrowedFd<'_>, buffer: &mut [u8]) -> std::io::Result<usize> {
    gorin_reactor::calls::recv(fd, buffer, 0)
}

#[test]
fn closing_ends_operations_also_where_there_is_no_shutdown() {
    on_worker(|local| {
        for duplicated in [false, true] {
            let (socket, _peer) = connection();
            if duplicated {
                socket.set_duplicated();
            }
            local.block_on(async {
                let receive = ops::recv_owned(&socket, vec![0; 8]);
                let close = async {
                    ticks(1).await;
                    socket.close();
                };
                let ((result, buffer), ()) = join(receive, close).await;
                assert_eq!(result.unwrap_err().kind(), ErrorKind::NotConnected);
                assert_eq!(buffer.len(), 8, "the buffer comes back");
                let (result, _) = ops::send_owned(&socket, "late", 0).await;
                assert_eq!(result.unwrap_err().kind(), ErrorKind::NotConnected);
            });
        }
    });
}

#[test]
fn a_deadline_ends_an_operation_and_keeps_the_bytes() {
    on_worker(|local| {
        let (socket, mut peer) = connection();
        local.block_on(async {
            let soon = Instant::now() + Duration::from_millis(5);
            socket.set_deadline(Direction::Read, Some(soon));
            for _ in 0..2 {
                let (result, buffer) = ops::recv_owned(&socket, vec![0; 8]).await;
                assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
                assert_eq!(buffer.len(), 8);
                peer.write_all(b"kept").unwrap();
            }
            socket.set_deadline(Direction::Read, None);
            let (result, _) = ops::recv_owned(&socket, vec![0; 8]).await;
            assert_eq!(result.unwrap(), 8);
        });
    });
}

#[test]
fn dropping_the_socket_after_its_operation_ends_the_stream_at_once() {
    on_worker(|local| {
        let before = open_descriptors();
        for _ in 0..50 {
            let (socket, peer) = connection();
            local.block_on(async {
                let mut receive = pin!(ops::recv_owned(&socket, vec![0; 8]));
                assert!(poll_once(receive.as_mut()).await.is_pending());
                ticks(1).await;
            });
            // The operation holds the file until it has been cancelled.
            expect_fin(peer, || drop(socket));
        }
        local.block_on(async {
            while open_descriptors() > before {
                ticks(1).await;
            }
        });
    });
}

#[test]
fn an_error_that_a_dropped_receive_met_is_the_next_reads() {
    on_worker(|local| {
        let (socket, peer) = connection();
        local.block_on(async {
            {
                let mut receive = pin!(ops::recv_owned(&socket, vec![0; 8]));
                assert!(poll_once(receive.as_mut()).await.is_pending());
                ticks(1).await;
                let linger = socket2::SockRef::from(&peer);
                linger.set_linger(Some(Duration::ZERO)).unwrap();
                drop(peer);
                // It has completed by now, and nobody has looked.
                ticks(1).await;
            }
            let (result, _) = ops::recv_owned(&socket, vec![0; 8]).await;
            assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
        });
    });
}

#[test]
fn on_a_thread_that_is_no_worker_readiness_is_waited_for() {
    let reactor = reactor(1);
    let worker = Idle::start(&reactor, 0);
    let (socket, mut peer) = {
        let _entered = reactor.enter();
        connection()
    };
    gorin_base::check::block_on(async {
        let (result, _) = ops::send_owned(&socket, "hi", 0).await;
        assert_eq!(result.unwrap(), 2);
        peer.read_exact(&mut [0; 2]).unwrap();
        let receive = ops::recv_owned(&socket, vec![0; 8]);
        let send = async { peer.write_all(b"there").unwrap() };
        let ((result, buffer), ()) = join(receive, send).await;
        assert_eq!(&buffer[..result.unwrap()], b"there");
    });
    drop(socket);
    worker.stop();
}

/// A call on what is left by dropped receives, and then on the socket.
fn take(socket: &Socket, fd: std::os::fd::BorrowedFd<'_>) -> std::io::Result<Vec<u8>> {
    let mut buffer = [0; 8];
    let read = match socket.read_early(&mut buffer, false) {
        Some(early) => early,
        None => receive_now(fd, &mut buffer),
    };
    read.map(|len| buffer[..len].to_vec())
}

/// A socket of which a receive was dropped that had taken nothing, so that bytes can be put back.
async fn after_a_dropped_receive() -> (Socket, TcpStream) {
    let (socket, peer) = connection();
    {
        let mut receive = pin!(ops::recv_owned(&socket, vec![0; 8]));
        assert!(poll_once(receive.as_mut()).await.is_pending());
    }
    // Waits until it has ended.
    let nothing = socket.io(Direction::Read, |fd| match take(&socket, fd) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        other => panic!("{other:?}"),
    });
    nothing.await.unwrap();
    (socket, peer)
}

/// For: a read that has found nothing, and is not told of what came back before it was in the list.
#[test]
fn what_comes_back_while_a_read_looks_is_found() {
    on_worker(|local| {
        local.block_on(async {
            let (socket, _peer) = after_a_dropped_receive().await;
            if !uses_the_ring(&socket) {
                return;
            }
            let mut calls = 0;
            let read = socket.io(Direction::Read, |fd| {
                calls += 1;
                let read = take(&socket, fd);
                if calls == 1 {
                    socket.put_back_early(b"late");
                }
                read
            });
            assert_eq!(in_time(read).await.unwrap(), b"late");
            assert_eq!(calls, 2);
        });
    });
}

/// For: a hint that the socket is empty, which is not all that there is.
#[test]
fn what_came_back_is_read_although_the_socket_is_drained() {
    on_worker(|local| {
        local.block_on(async {
            let (socket, _peer) = after_a_dropped_receive().await;
            if !uses_the_ring(&socket) {
                return;
            }
            socket.put_back_early(b"back");
            socket.set_drained();
            let read = socket.io(Direction::Read, |fd| take(&socket, fd));
            assert_eq!(in_time(read).await.unwrap(), b"back");
        });
    });
}

/// False, after saying so, where receives that own their buffers are no operations.
fn uses_the_ring(socket: &Socket) -> bool {
    socket.put_back_early(b"x");
    let uses = socket.read_early(&mut [0; 1], false).is_some();
    if !uses {
        println!("skipped: this driver waits for readiness instead");
    }
    uses
}
