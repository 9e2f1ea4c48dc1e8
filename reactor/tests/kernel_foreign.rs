//! Sockets used where no worker of theirs runs: on other threads, on another reactor's worker, and
//! after their reactor has ended.
#![cfg(not(loom))]

mod support;

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::join;
use gorin_base::check;
use gorin_reactor::{Direction, DriverKind, Reactor, Socket};
use support::*;

#[test]
fn a_thread_that_is_no_worker_waits_through_one() {
    let reactor = reactor(2);
    let workers = [Idle::start(&reactor, 0), Idle::start(&reactor, 1)];
    let guard = reactor.enter();
    for _ in 0..20 {
        let (socket, mut peer) = connection();
        let client = thread::spawn(move || {
            peer.write_all(b"hello").unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).unwrap();
            answer
        });
        assert_eq!(check::block_on(echo(socket)).unwrap(), 5);
        assert_eq!(client.join().unwrap(), b"hello");
    }
    // Dropped on a thread that is no worker, with a poll pending at one.
    let (socket, peer) = connection();
    let mut buffer = [0; 1];
    let mut waiting = Box::pin(read(&socket, &mut buffer));
    assert!(check::poll_once(waiting.as_mut()).is_pending());
    drop(waiting);
    expect_fin(peer, || drop(socket));
    drop(guard);
    workers.into_iter().for_each(Idle::stop);
}

/// A socket belongs to its own reactor, also on a worker of another one.
#[test]
fn a_worker_of_another_reactor_waits_through_the_sockets_own() {
    let home = reactor(1);
    let worker = Idle::start(&home, 0);
    let (socket, mut peer) = {
        let _guard = home.enter();
        connection()
    };
    on_worker(|local| {
        let before = home.stats().completions;
        let mut buffer = [0; 8];
        // Waits first, so that only its own reactor can wake it.
        let write = async { peer.write_all(b"foreign").unwrap() };
        let result = local.block_on(join(read(&socket, &mut buffer), write));
        assert_eq!(result.0.unwrap(), 7);
        assert!(home.stats().completions > before);
    });
    worker.stop();
}

#[test]
fn without_a_reactor_or_after_its_end_the_error_says_so() {
    let (stream, _peer) = tcp_pair();
    stream.set_nonblocking(true).unwrap();
    let error = Socket::new(stream.into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert!(error.to_string().contains("gorin::run"), "{error}");

    let (socket, mut peer) = on_worker(|_| connection());
    let mut buffer = [0; 8];
    peer.write_all(b"late").unwrap();
    // What needs no waiting still works.
    wait_for("the bytes to arrive", || {
        let mut looked = Box::pin(socket.io(Direction::Read, peek));
        matches!(check::poll_once(looked.as_mut()), Poll::Ready(Ok(())))
    });
    assert_eq!(check::block_on(read(&socket, &mut buffer)).unwrap(), 4);
    let error = check::block_on(read(&socket, &mut buffer)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the gorin runtime of this socket has shut down"
    );
}

/// Whoever waits for a socket when its last worker ends gets an error, not silence.
#[test]
fn waiting_readers_learn_that_the_reactor_ends() {
    let reactor = reactor(1);
    let worker = Idle::start(&reactor, 0);
    wait_until_asleep(worker.tid);
    let (socket, _peer) = {
        let _guard = reactor.enter();
        connection()
    };
    let (sender, tid) = mpsc::channel();
    let reader = thread::spawn(move || {
        // SAFETY: takes nothing, gives a number.
        sender.send(unsafe { libc::gettid() }).unwrap();
        check::block_on(read(&socket, &mut [0; 1]))
            .unwrap_err()
            .to_string()
    });
    let tid = tid.recv_timeout(LIMIT).unwrap();
    // Where workers share the sockets it needs none of them to wait.
    let told =
        |reactor: &Reactor| reactor.stats().wakes >= 1 || reactor.driver() != DriverKind::Uring;
    wait_for("the reader to wait", || {
        told(&reactor) && system_call(tid) == Some(libc::SYS_futex)
    });
    worker.stop();
    assert_eq!(
        reader.join().unwrap(),
        "the gorin runtime of this socket has shut down"
    );
}

/// The worker that is to watch ends between its choice and the message to it: who waits is told. For: a
/// message that nobody takes, and a reader that nobody wakes.
#[test]
fn a_reader_learns_that_the_worker_that_was_chosen_has_ended() {
    let reactor = reactor(1);
    let worker = Idle::start(&reactor, 0);
    let (socket, _peer) = {
        let _guard = reactor.enter();
        connection()
    };
    let task = Meanwhile::new(|| worker.stop());
    let waker = task.waker();
    let mut context = Context::from_waker(&waker);
    let mut byte = [0; 1];
    let mut waiting = Box::pin(read(&socket, &mut byte));
    if waiting.as_mut().poll(&mut context).is_pending() {
        assert!(task.is_woken(), "it waits for nobody");
        assert!(waiting.as_mut().poll(&mut context).is_ready());
    }
    assert!(task.has_run(), "it has listed itself");
}

/// So do its deadlines: the timekeeper of its reactor sleeps, and is told. For: a worker of another reactor that
/// is taken for one of this.
#[test]
fn a_deadline_that_a_worker_of_another_reactor_sets_passes_in_time() {
    let home = reactor(1);
    let worker = Idle::start(&home, 0);
    let (socket, _peer) = {
        let _guard = home.enter();
        connection()
    };
    on_worker(|local| {
        for _ in 0..3 {
            local.block_on(async {
                let mut byte = [0; 1];
                let mut waiting = pin!(read(&socket, &mut byte));
                assert!(poll_once(waiting.as_mut()).await.is_pending());
                wait_until_asleep(worker.tid);
                let soon = Instant::now() + Duration::from_millis(2);
                socket.set_deadline(Direction::Read, Some(soon));
                let error = in_time(waiting).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                socket.set_deadline(Direction::Read, None);
            });
        }
    });
    worker.stop();
}
