//! Sockets on the real ring: waiting, dropping and closing, from workers and from other threads.
#![cfg(not(loom))]

mod support;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::pin::{Pin, pin};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use gorin_base::rng;
use gorin_reactor::{Config, Direction, Local, Reactor, Socket};
use support::*;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[test]
fn fifty_connections_are_echoed_on_every_kind_of_ring() {
    for config in kinds() {
        let mut local = with_config(config).attach(0).unwrap();
        let (sockets, peers): (Vec<_>, Vec<_>) = (0..50).map(|_| connection()).unzip();
        let clients: Vec<_> = peers
            .into_iter()
            .map(|p| thread::spawn(|| talk(p, 20)))
            .collect();
        let served = local.block_on(join_all(sockets.into_iter().map(echo)));
        let sent: Vec<usize> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        let served: Vec<usize> = served.into_iter().map(|s| s.unwrap()).collect();
        assert_eq!(served, sent);
        shut_down(local);
    }
}

/// Sends messages of random sizes, reads the answers and compares.
fn talk(mut peer: std::net::TcpStream, rounds: usize) -> usize {
    let mut sent = 0;
    for round in 0..rounds {
        let message: Vec<u8> = (0..=rng::below(3000)).map(|i| (i + round) as u8).collect();
        peer.write_all(&message).unwrap();
        let mut answer = vec![0; message.len()];
        peer.read_exact(&mut answer).unwrap();
        assert_eq!(answer, message);
        sent += message.len();
    }
    sent
}

/// The hint saves the call that would fail, and whatever came meanwhile ends the wait.
#[test]
fn a_drained_socket_waits_before_it_reads_and_misses_nothing() {
    on_worker(|local| {
        let (socket, mut peer) = connection();
        let calls = Cell::new(0);
        let drained_read = || {
            calls.set(0);
            socket.set_drained();
            socket.io(Direction::Read, |fd| {
                calls.set(calls.get() + 1);
                receive(fd, &mut [0; 16])
            })
        };
        local.block_on(async {
            peer.write_all(b"short").unwrap();
            assert_eq!(read(&socket, &mut [0; 16]).await.unwrap(), 5);
            let read = drained_read();
            let send = async { peer.write_all(b"later").unwrap() };
            assert_eq!(join(read, send).await.0.unwrap(), 5);
            assert_eq!(calls.get(), 1, "tried when there was nothing");

            peer.write_all(b"before").unwrap();
            assert_eq!(drained_read().await.unwrap(), 6);
            assert_eq!(calls.get(), 1);

            peer.shutdown(Shutdown::Write).unwrap();
            assert_eq!(drained_read().await.unwrap(), 0, "the end of the stream");

            socket.close();
            let error = drained_read().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotConnected);
        });
    });
}

/// What came after a short read is there for the first poll of the next read, once the worker has
/// been at its ring: a `select!` with `default` would miss it otherwise.
#[test]
fn a_drained_socket_is_tried_at_once_after_the_next_tick() {
    on_worker(|local| {
        let (socket, mut peer) = connection();
        local.block_on(async {
            socket.set_drained();
            peer.write_all(b"meanwhile").unwrap();
            ticks(1).await;
            let mut read = pin!(socket.io(Direction::Read, |fd| receive(fd, &mut [0; 16])));
            let mut context = Context::from_waker(Waker::noop());
            match read.as_mut().poll(&mut context) {
                Poll::Ready(result) => assert_eq!(result.unwrap(), 9),
                Poll::Pending => panic!("the data was there and was not seen"),
            }
        });
    });
}

/// As an `async fn` does; else it would read what nobody takes.
#[test]
#[should_panic(expected = "a call is polled after it was ready")]
fn a_call_that_is_polled_after_its_end_panics() {
    on_worker(|local| {
        let (socket, mut peer) = connection();
        peer.write_all(b"ab").expect("room");
        local.block_on(async {
            let call = |fd: std::os::fd::BorrowedFd<'_>| receive(fd, &mut [0; 1]);
            let mut reading = std::pin::pin!(socket.io(Direction::Read, call));
            reading.as_mut().await.expect("a byte");
            let _ = poll_once(reading.as_mut()).await;
        });
    });
}

#[test]
fn more_waiting_sockets_than_the_ring_holds() {
    let mut local = with_config(Config {
        entries: 8,
        ..Config::default()
    })
    .attach(0)
    .unwrap();
    let (sockets, peers): (Vec<_>, Vec<_>) = (0..300).map(|_| connection()).unzip();
    let served = local.block_on(join(join_all(sockets.into_iter().map(echo)), async {
        // All wait by now.
        for mut peer in &peers {
            peer.write_all(b"x").unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
        }
    }));
    assert!(served.0.into_iter().all(|served| served.unwrap() == 1));
    shut_down(local);
}

/// A read that began on one worker ends on another: the completion lands on the first one's ring.
#[test]
fn a_waiting_read_moves_to_another_worker() {
    let reactor = reactor(2);
    let (to_second, from_first) = mpsc::channel::<(Boxed<'static, usize>, std::net::TcpStream)>();
    let second = {
        let reactor = reactor.clone();
        thread::spawn(move || {
            let mut local = reactor.attach(1).unwrap();
            for (future, mut peer) in from_first {
                // Waits first; then only the first worker's completion can wake it.
                let write = async { peer.write_all(b"moved").unwrap() };
                assert_eq!(local.block_on(join(future, write)).0, 5);
            }
            shut_down(local);
        })
    };
    let mut local = reactor.attach(0).unwrap();
    local.block_on(async {
        for _ in 0..100 {
            let (socket, peer) = connection();
            let mut future: Boxed<'static, usize> =
                Box::pin(async move { read(&socket, &mut [0; 16]).await.unwrap() });
            assert!(poll_once(future.as_mut()).await.is_pending());
            to_second.send((future, peer)).unwrap();
        }
    });
    drop(to_second);
    // This worker must run for its completions to come.
    let helper = Instant::now() + LIMIT;
    let mut second = Some(second);
    local.block_on(async {
        while !second.as_ref().unwrap().is_finished() {
            assert!(Instant::now() < helper);
            gorin_reactor::Sleep::until(Instant::now() + Duration::from_millis(1)).await;
        }
    });
    second.take().unwrap().join().unwrap();
    shut_down(local);
}

/// Reads that are dropped while they wait take nothing from the stream, whether they are dropped
/// before the bytes come or after.
#[test]
fn dropped_reads_lose_no_byte() {
    const CHUNKS: usize = 2000;
    on_worker(|local| {
        let (socket, mut peer) = connection();
        let (go_on, turns) = mpsc::channel();
        // Writes a chunk each time that a read had to wait.
        let writer = thread::spawn(move || {
            let mut next = 0_usize;
            for () in turns.iter().take(CHUNKS) {
                let end = next + 1 + rng::below(700);
                let chunk: Vec<u8> = (next..end).map(|i| (i % 251) as u8).collect();
                peer.write_all(&chunk).unwrap();
                next = end;
            }
            next
        });
        let mut received = 0;
        local.block_on(async {
            let mut buffer = [0; 512];
            loop {
                let mut waiting = Box::pin(read(&socket, &mut buffer));
                let first = poll_once(waiting.as_mut()).await;
                let Poll::Ready(result) = first else {
                    // The writer may be gone: then the end of the stream comes.
                    let _ = go_on.send(());
                    if rng::below(2) == 0 {
                        drop(waiting);
                        socket.io(Direction::Read, peek).await.unwrap();
                    } else {
                        // Dropped with the bytes there and the completion, too.
                        socket.io(Direction::Read, peek).await.unwrap();
                        drop(waiting);
                    }
                    continue;
                };
                drop(waiting);
                let n = result.unwrap();
                if n == 0 {
                    break;
                }
                for byte in &buffer[..n] {
                    assert_eq!(usize::from(*byte), received % 251);
                    received += 1;
                }
            }
        });
        assert_eq!(received, writer.join().unwrap());
    });
}

/// A connection that is polled for somebody who has gone.
async fn polled_connection() -> (Socket, TcpStream) {
    let (socket, peer) = connection();
    let mut buffer = [0; 1];
    let mut waiting = Box::pin(read(&socket, &mut buffer));
    assert!(poll_once(waiting.as_mut()).await.is_pending());
    drop(waiting);
    (socket, peer)
}

#[test]
fn the_peer_of_a_dropped_socket_sees_its_end_at_once_although_a_poll_is_pending() {
    on_worker(|local| {
        local.block_on(async {
            let (socket, peer) = polled_connection().await;
            expect_fin(peer, || drop(socket));
        });
    });
}

/// The owner of the poll is in user code and cannot cancel it.
#[test]
fn the_end_does_not_wait_for_a_hogged_owner() {
    on_worker(|local| {
        local.block_on(async {
            let (socket, peer) = polled_connection().await;
            // This worker does not come back to its loop until the other thread has seen the end.
            let other = thread::spawn(move || expect_fin(peer, || drop(socket)));
            other.join().unwrap();
        });
    });
}

/// A duplicate keeps the connection, and what was pending here is cancelled.
#[test]
fn a_duplicated_connection_survives_its_socket() {
    on_worker(|local| {
        let (stream, mut peer) = tcp_pair();
        stream.set_nonblocking(true).unwrap();
        let socket = Socket::new(stream.try_clone().unwrap().into()).unwrap();
        socket.set_duplicated();
        local.block_on(async {
            let mut buffer = [0; 1];
            let mut waiting = Box::pin(read(&socket, &mut buffer));
            assert!(poll_once(waiting.as_mut()).await.is_pending());
        });
        drop(socket);
        (&stream).write_all(b"still here").unwrap();
        let mut answer = [0; 10];
        peer.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"still here");
    });
}

#[test]
fn close_ends_the_calls_that_wait_and_refuses_later_ones() {
    on_worker(|local| {
        local.block_on(async {
            let (socket, peer) = connection();
            let (mut first, mut second) = ([0; 1], [0; 1]);
            let ended = join(
                join(read(&socket, &mut first), read(&socket, &mut second)),
                async {
                    expect_fin(peer, || socket.close());
                },
            )
            .await;
            let later = read(&socket, &mut [0; 1]).await;
            for result in [ended.0.0, ended.0.1, later] {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotConnected);
                assert!(error.to_string().contains("closed"), "{error}");
            }
        });
    });
}

#[test]
fn all_readers_of_one_socket_are_woken_in_their_order() {
    on_worker(|local| {
        local.block_on(async {
            let (socket, mut peer) = connection();
            let order = std::sync::Mutex::new(Vec::new());
            let readers = (0..8).map(|reader| {
                let (socket, order) = (&socket, &order);
                async move {
                    assert_eq!(read(socket, &mut [0; 1]).await.unwrap(), 1);
                    order.lock().unwrap().push(reader);
                }
            });
            join(join_all(readers), async {
                peer.write_all(&[7; 8]).unwrap();
            })
            .await;
            assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
        });
    });
}

/// Descriptor numbers and slots are used again at once; what is left of the last socket in them
/// disturbs nobody.
#[test]
fn reused_descriptors_are_not_mixed_up() {
    on_worker(|local| {
        local.block_on(async {
            for round in 0..1000_usize {
                let (old, old_peer) = connection();
                let mut byte = [0; 1];
                let mut waiting = Box::pin(read(&old, &mut byte));
                assert!(poll_once(waiting.as_mut()).await.is_pending());
                drop(waiting);
                drop(old);
                let (new, mut peer) = connection();
                let mut buffer = [0; 8];
                {
                    let mut waiting = Box::pin(read(&new, &mut buffer));
                    assert!(poll_once(waiting.as_mut()).await.is_pending());
                    peer.write_all(&round.to_ne_bytes()).unwrap();
                    assert_eq!(waiting.await.unwrap(), 8);
                }
                assert_eq!(usize::from_ne_bytes(buffer), round);
                drop(old_peer);
                expect_fin(peer, || drop(new));
            }
        });
    });
}

/// `poll_io` keeps one waker per task, and each distinct task is woken.
#[test]
fn tasks_that_poll_are_listed_once_each() {
    on_worker(|local| {
        local.block_on(async {
            let (socket, mut peer) = connection();
            let call = |cx: &mut Context<'_>| {
                socket.poll_io(Direction::Read, cx, |fd| receive(fd, &mut [0; 1]))
            };
            for _ in 0..100 {
                assert!(call(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            let mut rounds = 0;
            poll_fn(|cx| {
                rounds += 1;
                if rounds == 1 {
                    assert!(call(cx).is_pending());
                    peer.write_all(b"x").unwrap();
                    return Poll::Pending;
                }
                call(cx).map(|n| assert_eq!(n.unwrap(), 1))
            })
            .await;
        });
    });
}

/// A call that has listed itself and then may not wait takes itself out, and its waker with it.
#[test]
fn a_call_that_may_not_wait_leaves_no_waker_behind() {
    struct Task;
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    on_worker(|local| {
        local.block_on(async {
            let (socket, _peer) = connection();
            socket.set_deadline(Direction::Read, Some(Instant::now()));
            socket.set_drained();
            let task = Arc::new(Task);
            let waker = Waker::from(task.clone());
            {
                let mut byte = [0; 1];
                let mut late = pin!(read(&socket, &mut byte));
                let polled = late.as_mut().poll(&mut Context::from_waker(&waker));
                assert!(matches!(polled, Poll::Ready(Err(_))), "{polled:?}");
            }
            drop(waker);
            assert_eq!(Arc::strong_count(&task), 1);
        });
    });
}

/// For: an interruption that is told as if it were an answer.
#[test]
fn a_call_that_was_interrupted_is_repeated() {
    on_worker(|local| {
        let (socket, _peer) = connection();
        let mut calls = 0;
        let mut call = |_: std::os::fd::BorrowedFd<'_>| {
            calls += 1;
            match calls % 3 {
                0 => Ok(calls),
                _ => Err(ErrorKind::Interrupted.into()),
            }
        };
        assert_eq!(socket.try_io(Direction::Write, &mut call).unwrap(), 3);
        let answer = local.block_on(socket.io(Direction::Write, &mut call));
        assert_eq!(answer.unwrap(), 6);
    });
}

/// A listener waits like any socket; when it is dropped with a poll pending its port is free.
#[test]
fn a_listener_waits_and_frees_its_port() {
    on_worker(|local| {
        // Somebody else may get it in between, not each time.
        assert!((0..5).any(|_| frees_its_port(local)), "it is not free");
    });
}

fn frees_its_port(local: &mut Local) -> bool {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let socket = Socket::new(listener.into()).unwrap();
    assert!(socket.as_fd().as_raw_fd() >= 0);
    let accept = |fd: std::os::fd::BorrowedFd<'_>| {
        // SAFETY: asks for no address.
        let fd = unsafe {
            libc::accept4(
                fd.as_raw_fd(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                libc::SOCK_CLOEXEC,
            )
        };
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: the descriptor was made above.
        drop(unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) });
        Ok(())
    };
    let client = thread::spawn(move || std::net::TcpStream::connect(address).map(drop));
    local.block_on(socket.io(Direction::Read, accept)).unwrap();
    client.join().unwrap().unwrap();
    local.block_on(async {
        let mut waiting = Box::pin(socket.io(Direction::Read, accept));
        assert!(poll_once(waiting.as_mut()).await.is_pending());
    });
    drop(socket);
    // The poll ends at the worker's next look at its ring.
    local.block_on(gorin_reactor::ops::nop()).unwrap();
    std::net::TcpListener::bind(address).is_ok()
}

/// Handles are what users send to other threads.
#[test]
fn handles_are_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Reactor>();
    check::<Socket>();
}

/// Prints what a request costs when one thread talks on 50 connections, all at once.
#[test]
#[ignore = "a measurement"]
fn cost_of_an_echo() {
    const ROUNDS: usize = 4_000;
    let reactor = reactor(1);
    let mut local = reactor.attach(0).unwrap();
    let (sockets, mut peers): (Vec<_>, Vec<_>) = (0..50).map(|_| connection()).unzip();
    let client = thread::spawn(move || {
        for _ in 0..ROUNDS {
            for peer in &mut peers {
                peer.write_all(&[1; 64]).unwrap();
            }
            for peer in &mut peers {
                peer.read_exact(&mut [0; 64]).unwrap();
            }
        }
        peers.len()
    });
    let (start, before) = (cpu_time(), reactor.stats());
    local.block_on(async {
        let mut connections: futures::stream::FuturesUnordered<_> =
            sockets.into_iter().map(echo).collect();
        while let Some(served) = futures::StreamExt::next(&mut connections).await {
            assert_eq!(served.unwrap(), 64 * ROUNDS);
        }
    });
    let (used, after) = (cpu_time() - start, reactor.stats());
    let requests = ROUNDS * client.join().unwrap();
    println!(
        "{requests} requests, each {:?} of CPU, {:.3} enters, {:.3} sleeps, {:.3} completions, {:.6} \
         wakes",
        used / requests as u32,
        (after.enters - before.enters) as f64 / requests as f64,
        (after.sleeps - before.sleeps) as f64 / requests as f64,
        (after.completions - before.completions) as f64 / requests as f64,
        (after.wakes - before.wakes) as f64 / requests as f64,
    );
    shut_down(local);
}
