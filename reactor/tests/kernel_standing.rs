//! Sockets that are waited for again and again, so that their polls ride on a standing one, on real
//! rings: what no arrival tells of, and the end of it all.
#![cfg(not(loom))]

mod support;

use std::cell::Cell;
use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::{LocalBoxFuture, join};
use futures::stream::FuturesUnordered;
use gorin_reactor::{Config, Direction, Sleep, Socket};
use socket2::SockRef;
use support::*;

/// More waits in a row than are needed for a standing poll.
const WAITS: usize = 5;

/// Reads with more room than there is, and believes that this has emptied the file.
async fn read_short(
    socket: &Socket,
    call: impl Fn(BorrowedFd<'_>, &mut [u8]) -> io::Result<usize>,
) -> Vec<u8> {
    let mut buffer = [0; 64];
    let read = socket.io(Direction::Read, |fd| call(fd, &mut buffer)).await;
    let read = read.expect("something to read");
    socket.set_drained();
    buffer[..read].to_vec()
}

/// Waits for a byte of `peer` often enough.
async fn warm_up(
    socket: &Socket,
    mut peer: impl Write,
    call: impl Fn(BorrowedFd<'_>, &mut [u8]) -> io::Result<usize>,
) {
    for _ in 0..WAITS {
        let send = async {
            ticks(1).await;
            peer.write_all(b"w").expect("room");
        };
        assert_eq!(join(read_short(socket, &call), send).await.0, b"w");
    }
}

/// Sends `b"abc"` with urgent data in it, and reads it in pieces, while `beside` runs.
async fn read_urgent(socket: &Socket, peer: &TcpStream, beside: impl Future<Output = ()>) {
    warm_up(socket, peer, receive).await;
    let peer = SockRef::from(peer);
    peer.send(b"a").expect("a connection");
    peer.send_out_of_band(b"!").expect("a connection");
    peer.send(b"bc").expect("a connection");
    let read = async {
        let mut got = Vec::new();
        while got.len() < 3 {
            got.extend(read_short(socket, receive).await);
            // All that has come was reported before the next read begins to wait.
            ticks(1).await;
            socket.set_drained();
        }
        assert_eq!(got, b"abc");
    };
    while_runs(read, beside).await;
}

/// Polls `future` when it is woken, and only then, while `beside` runs, which has no end.
async fn while_runs<T>(future: impl Future<Output = T>, beside: impl Future<Output = ()>) -> T {
    let future: LocalBoxFuture<'_, Option<T>> = Box::pin(async { Some(future.await) });
    let beside: LocalBoxFuture<'_, Option<T>> = Box::pin(async {
        beside.await;
        None
    });
    let mut both: FuturesUnordered<_> = [future, beside].into_iter().collect();
    both.next().await.flatten().expect("the other has no end")
}

/// Keeps the worker from resting.
async fn busy() {
    loop {
        ticks(1).await;
    }
}

/// A short read ends before urgent data, and nothing tells of what is behind. For: riders that nobody
/// looks at before the worker sleeps.
#[test]
fn what_a_short_read_has_left_is_found_before_the_worker_sleeps() {
    on_worker(|local| {
        let (socket, peer) = connection();
        local.block_on(read_urgent(&socket, &peer, std::future::pending()));
    });
}

/// For: riders that nobody looks at while the worker does not sleep.
#[test]
fn what_a_short_read_has_left_is_found_by_a_worker_that_is_always_busy() {
    on_worker(|local| {
        let (socket, peer) = connection();
        local.block_on(read_urgent(&socket, &peer, busy()));
    });
}

/// A connection whose messages fill the buffer.
struct Full {
    socket: Socket,
    peer: TcpStream,
    /// Calls of `recv(2)`.
    calls: Cell<usize>,
}

impl Full {
    const LEN: usize = 4;

    fn new() -> Full {
        let (socket, peer) = connection();
        let calls = Cell::new(0);
        Full {
            socket,
            peer,
            calls,
        }
    }

    async fn read(&self) -> [u8; Full::LEN] {
        let mut buffer = [0; Full::LEN];
        let call = |fd: BorrowedFd<'_>| {
            self.calls.set(self.calls.get() + 1);
            receive(fd, &mut buffer)
        };
        let read = self.socket.io(Direction::Read, call).await;
        assert_eq!(read.expect("something to read"), Full::LEN);
        // All that has come was reported before the next read begins to wait.
        ticks(1).await;
        self.socket.note_read(Full::LEN, Full::LEN);
        buffer
    }

    /// Reads the first message of `bytes`, which are sent when it is waited for.
    async fn exchange(&self, bytes: &[u8]) -> [u8; Full::LEN] {
        let mut reading = std::pin::pin!(self.read());
        assert!(poll_once(reading.as_mut()).await.is_pending());
        (&self.peer).write_all(bytes).expect("room");
        ticks(1).await;
        reading.await
    }

    /// Reads messages; gives how often it has tried, per ten messages.
    async fn calls_of(&self, messages: usize) -> usize {
        let before = self.calls.get();
        for _ in 0..messages {
            assert_eq!(&self.exchange(b"full").await, b"full");
        }
        (self.calls.get() - before) * 10 / messages
    }

    /// Has messages of the buffer's length, until one that is twice as long, beside which `beside` runs.
    async fn is_misled(&self, beside: impl Future<Output = ()>) {
        assert_eq!(self.calls_of(10).await, 20, "it believes at once");
        self.calls_of(10).await;
        assert_eq!(self.calls_of(20).await, 10, "it learns nothing");
        assert_eq!(&self.exchange(b"moreleft").await, b"more");
        assert_eq!(&while_runs(self.read(), beside).await, b"left");
        assert!(self.calls_of(10).await > 15, "it believes again at once");
    }
}

/// For: guesses that nobody looks at before the worker sleeps.
#[test]
fn what_a_full_read_has_left_is_found_before_the_worker_sleeps() {
    if has_shared_sockets(&reactor(1)) || has_no_standing_polls() {
        return;
    }
    on_worker(|local| local.block_on(Full::new().is_misled(std::future::pending())));
}

/// For: guesses that nobody looks at while the worker does not sleep.
#[test]
fn what_a_full_read_has_left_is_found_by_a_worker_that_is_always_busy() {
    if has_shared_sockets(&reactor(1)) || has_no_standing_polls() {
        return;
    }
    on_worker(|local| {
        local.block_on(Full::new().is_misled(busy()));
    });
}

/// For: guesses that a worker does not look at while it looks for something to do, which may take a second.
#[test]
fn what_a_full_read_has_left_is_found_by_a_worker_that_polls_before_it_sleeps() {
    let poll_before_sleep = Duration::from_secs(1);
    let reactor = with_config(Config {
        poll_before_sleep: Some(poll_before_sleep),
        ..Config::default()
    });
    if has_shared_sockets(&reactor) || has_no_standing_polls() {
        return;
    }
    let mut local = reactor.attach(0).expect("a ring");
    local.block_on(async {
        for _ in 0..10 {
            Sleep::until(Instant::now() + Duration::from_millis(1)).await;
        }
        // What polls in vain does so each time; a machine that is busy for a second is not.
        let began = Instant::now();
        while {
            let began = Instant::now();
            Full::new().is_misled(std::future::pending()).await;
            began.elapsed() >= poll_before_sleep
        } {
            assert!(began.elapsed() < LIMIT, "it polls in vain");
        }
    });
    shut_down(local);
}

/// A read of such a pipe ends with a packet, also if there are more.
#[test]
fn a_pipe_of_packets_is_read_to_its_end() {
    on_worker(|local| {
        let (reader, mut writer) = pipe_of_packets();
        local.block_on(async {
            warm_up(&reader, &writer, read_file).await;
            for packet in [b"a", b"b", b"c"] {
                writer.write_all(packet).expect("room");
            }
            ticks(1).await;
            for packet in [b"a", b"b", b"c"] {
                assert_eq!(read_short(&reader, read_file).await, packet);
            }
        });
    });
}

/// Data and the end come together, and the read that gets the data comes short.
#[test]
fn the_end_of_the_stream_is_seen_behind_a_short_read() {
    on_worker(|local| {
        let (socket, mut peer) = connection();
        local.block_on(async {
            warm_up(&socket, &peer, receive).await;
            peer.write_all(b"last").expect("a connection");
            drop(peer);
            ticks(1).await;
            assert_eq!(read_short(&socket, receive).await, b"last");
            assert_eq!(read_short(&socket, receive).await, b"");
        });
    });
}

/// Nobody waits while much arrives: the poll that reports it ends, and the next waits are served.
#[test]
fn a_reader_that_does_not_wait_for_long_is_served_afterwards() {
    on_worker(|local| {
        let (socket, mut peer) = connection();
        local.block_on(async {
            for _ in 0..3 {
                warm_up(&socket, &peer, receive).await;
                for _ in 0..20 {
                    peer.write_all(b"x").expect("a connection");
                    ticks(1).await;
                }
                let mut got = Vec::new();
                while got.len() < 20 {
                    got.extend(read_short(&socket, receive).await);
                }
                assert_eq!(got, [b'x'; 20]);
            }
        });
    });
}

/// Dropped on a thread that has no ring, while nobody waits and while somebody has: the peer sees the
/// end at once, and the descriptor is closed.
#[test]
fn a_socket_that_is_dropped_elsewhere_ends_its_standing_poll() {
    on_worker(|local| {
        for waits in [false, true] {
            let (socket, mut peer) = connection();
            let fd = std::os::fd::AsFd::as_fd(&socket).as_raw_fd();
            local.block_on(async {
                warm_up(&socket, &peer, receive).await;
                if waits {
                    let mut buffer = [0; 1];
                    let mut reading = Box::pin(read(&socket, &mut buffer));
                    assert!(poll_once(reading.as_mut()).await.is_pending());
                }
                let dropping = thread::spawn(move || drop(socket));
                peer.set_read_timeout(Some(LIMIT)).expect("a limit");
                assert_eq!(read_peer(&mut peer, &mut [0; 1]).expect("the end"), 0);
                dropping.join().expect("it drops");
                // SAFETY: asks for the flags of a number.
                let is_open = || unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0;
                while is_open() {
                    ticks(1).await;
                }
            });
        }
    });
}
