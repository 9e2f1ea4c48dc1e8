//! What is left of a call that does not go on: no waker in a list, no poll in a ring, no open descriptor.
#![cfg(not(loom))]

mod support;

use std::future::Future;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Instant;

use futures::future::join;
use gorin_base::check;
use gorin_reactor::{Config, Direction, DriverKind, Local, Reactor, Socket, calls, ops};
use support::*;

/// A task whose wakers are counted.
struct Task;

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

/// A reactor of one worker for each driver.
fn each_driver() -> impl Iterator<Item = Reactor> {
    let drivers = [DriverKind::Uring, DriverKind::Hybrid, DriverKind::Epoll];
    drivers.into_iter().map(|driver| {
        with_config(Config {
            driver: Some(driver),
            ..Config::default()
        })
    })
}

fn on_each_driver(f: impl Fn(&mut Local)) {
    for reactor in each_driver() {
        let mut local = reactor.attach(0).expect("a worker");
        f(&mut local);
        shut_down(local);
    }
}

/// Polls a read of `socket`, which waits, and drops it.
fn wait_and_drop(socket: &Socket) {
    let task = Arc::new(Task);
    {
        let waker = Waker::from(task.clone());
        let mut byte = [0; 1];
        let mut waiting = pin!(read(socket, &mut byte));
        let polled = waiting.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    assert_eq!(Arc::strong_count(&task), 1, "its waker is listed");
}

/// For: a list that grows with each call that is given up, and keeps the memory of goroutines that are gone.
#[test]
fn a_dropped_call_leaves_no_waker_behind() {
    on_each_driver(|local| {
        local.block_on(async {
            let (socket, _peer) = connection();
            // The first arms a poll, or is the first in the set; the next ones find that.
            (0..3).for_each(|_| wait_and_drop(&socket));
        });
    });
}

/// As above, of a call that waits for a dropped receive, and so has no poll of its own.
#[test]
fn a_dropped_call_that_waits_for_a_receive_leaves_no_waker_behind() {
    on_each_driver(|local| {
        local.block_on(async {
            let (socket, _peer) = connection();
            {
                let mut receive = pin!(ops::recv_owned(&socket, vec![0; 8]));
                assert!(poll_once(receive.as_mut()).await.is_pending());
            }
            wait_and_drop(&socket);
        });
    });
}

/// The descriptor of a socket that ends on another thread is closed by the worker whose ring polls it, also
/// if there is no connection whose end would end the poll. For: a poll that nobody cancels.
#[test]
fn a_pipe_that_is_dropped_elsewhere_is_closed() {
    let reactor = reactor(1);
    let worker = Idle::start(&reactor, 0);
    let (reader, writer) = {
        let _guard = reactor.enter();
        pipe_of_packets()
    };
    let mut byte = [0; 1];
    {
        let mut waiting = pin!(reader.io(Direction::Read, |fd| read_file(fd, &mut byte)));
        assert!(check::poll_once(waiting.as_mut()).is_pending());
        wait_until_asleep(worker.tid);
    }
    drop(reader);
    wait_for("the pipe to be closed", || has_no_reader(&writer));
    worker.stop();
}

/// The kernel tells nobody who waits for room in a Unix socket that there will be none. For: a writer that
/// waits for ever.
#[test]
fn a_write_to_a_full_unix_socket_ends_with_writing() {
    on_each_driver(|local| {
        let (ours, _peer) = UnixStream::pair().expect("two sockets");
        ours.set_nonblocking(true).expect("a flag");
        let socket = Socket::new(OwnedFd::from(ours)).expect("a reactor");
        let send = |fd: std::os::fd::BorrowedFd<'_>| calls::send(fd, &[0; 4096]);
        while socket.try_io(Direction::Write, send).is_ok() {}
        local.block_on(async {
            let mut writing = pin!(socket.io(Direction::Write, send));
            assert!(matches!(poll_once(writing.as_mut()).await, Poll::Pending));
            let end = async { socket.shutdown(Shutdown::Write).expect("a connection") };
            let (written, ()) = in_time(join(writing, end)).await;
            assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
        });
    });
}

/// What forbids that a call waits: to be done to its socket.
type Ban = fn(&Socket);

const BANS: [(Ban, Direction, ErrorKind); 4] = [
    (Socket::close, Direction::Read, ErrorKind::NotConnected),
    (Socket::close, Direction::Write, ErrorKind::NotConnected),
    (
        |socket| socket.set_deadline(Direction::Read, Some(Instant::now())),
        Direction::Read,
        ErrorKind::TimedOut,
    ),
    (
        |socket| socket.shutdown(Shutdown::Write).expect("a connection"),
        Direction::Write,
        ErrorKind::BrokenPipe,
    ),
];

/// For: a call that is told nothing of what came while it looked at the socket.
#[test]
fn a_call_that_comes_to_wait_when_that_is_forbidden_does_not() {
    on_each_driver(|local| {
        for (ban, direction, expected) in BANS {
            let (socket, _peer) = connection();
            let waiting = socket.io(direction, |_| {
                ban(&socket);
                std::io::Result::<()>::Err(ErrorKind::WouldBlock.into())
            });
            let error = local.block_on(in_time(waiting)).unwrap_err();
            assert_eq!(error.kind(), expected);
        }
    });
}

/// As above, of what comes just before it is in the list. For: a look at what is allowed that comes first.
#[test]
fn a_call_that_is_just_being_listed_sees_that_it_is_forbidden() {
    on_each_driver(|local| {
        for (ban, direction, expected) in BANS {
            let (socket, _peer) = connection();
            let socket = Arc::new(socket);
            let other = socket.clone();
            let task = Meanwhile::new(move || ban(&other));
            let waker = task.waker();
            local.block_on(async {
                let never = |_: std::os::fd::BorrowedFd<'_>| {
                    std::io::Result::<()>::Err(ErrorKind::WouldBlock.into())
                };
                let mut waiting = pin!(socket.io(direction, never));
                let polled = waiting.as_mut().poll(&mut Context::from_waker(&waker));
                assert!(task.has_run(), "it has listed itself");
                match polled {
                    Poll::Ready(result) => assert_eq!(result.unwrap_err().kind(), expected),
                    Poll::Pending => panic!("it waits, but must not"),
                }
            });
        }
    });
}

/// As above, of who waits for nothing but that.
#[test]
fn who_waits_for_the_end_sees_one_that_comes_meanwhile() {
    on_each_driver(|local| {
        for (ban, direction, expected) in &BANS[..3] {
            let (socket, _peer) = connection();
            let socket = Arc::new(socket);
            let (other, ban) = (socket.clone(), *ban);
            let task = Meanwhile::new(move || ban(&other));
            let waker = task.waker();
            local.block_on(async {
                let mut ended = pin!(socket.ended(*direction));
                match ended.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(error) => assert_eq!(error.kind(), *expected),
                    Poll::Pending => panic!("it waits, but must not"),
                }
            });
        }
    });
}

/// Polls `future` with `task`, which is woken until it is ready.
fn poll<F: Future>(future: Pin<&mut F>, task: &Arc<Meanwhile>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&task.waker()))
}

fn nothing() -> Arc<Meanwhile> {
    Meanwhile::new(|| {})
}

const SHUT_DOWN: &str = "the gorin runtime of this socket has shut down";

/// A worker that has no time to cancel its polls gives them up: who waits is told. For: silence.
#[test]
fn who_waits_is_told_by_a_worker_that_gives_up_its_polls() {
    for reactor in each_driver() {
        let mut local = reactor.attach(0).expect("a worker");
        let (socket, _peer) = connection();
        let task = nothing();
        let mut byte = [0; 1];
        let mut waiting = pin!(read(&socket, &mut byte));
        local.block_on(async { assert!(poll(waiting.as_mut(), &task).is_pending()) });
        local.shutdown(Instant::now());
        assert!(task.is_woken(), "{}", reactor.driver());
        match poll(waiting.as_mut(), &task) {
            Poll::Ready(result) => assert_eq!(result.unwrap_err().to_string(), SHUT_DOWN),
            Poll::Pending => panic!("it waits for nobody"),
        }
    }
}

/// What other threads have asked of a worker that ends before it has read that. For: messages that are
/// dropped with the mailbox, and those who wait for their answers.
#[test]
fn who_has_asked_a_worker_is_told_that_it_has_ended() {
    for reactor in each_driver() {
        let local = reactor.attach(0).expect("a worker");
        let (socket, _peer) = connection();
        let (reads, nops) = (nothing(), nothing());
        let mut byte = [0; 1];
        let mut waiting = Box::pin(read(&socket, &mut byte));
        let mut nop = Box::pin(ops::nop());
        thread::scope(|scope| {
            scope.spawn(|| {
                let _guard = reactor.enter();
                assert!(poll(waiting.as_mut(), &reads).is_pending());
                assert!(poll(nop.as_mut(), &nops).is_pending());
            });
        });
        shut_down(local);
        assert!(reads.is_woken() && nops.is_woken(), "{}", reactor.driver());
        match poll(waiting.as_mut(), &reads) {
            Poll::Ready(result) => assert_eq!(result.unwrap_err().to_string(), SHUT_DOWN),
            Poll::Pending => panic!("it waits for nobody"),
        }
        assert!(matches!(poll(nop.as_mut(), &nops), Poll::Ready(Err(_))));
    }
}

/// A worker is asked to poll a file that is closed before it reads that. For: a file that stays open.
#[test]
fn what_is_closed_before_it_is_polled_does_not_stay_open() {
    for reactor in each_driver() {
        let mut local = reactor.attach(0).expect("a worker");
        let (reader, writer) = pipe_of_packets();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _guard = reactor.enter();
                let mut byte = [0; 1];
                let waiting = reader.io(Direction::Read, |fd| read_file(fd, &mut byte));
                assert!(check::poll_once(pin!(waiting)).is_pending());
                drop(reader);
            });
        });
        local.block_on(async {
            let begun = Instant::now();
            while !has_no_reader(&writer) {
                assert!(begun.elapsed() < LIMIT, "{}", reactor.driver());
                ticks(1).await;
            }
        });
        shut_down(local);
    }
}

/// The kernel tells such a writer that all readers are gone, but not that there is room. For: a writer that
/// waits for ever.
#[test]
fn a_write_to_a_full_pipe_ends_with_its_reader() {
    on_each_driver(|local| {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let writer = OwnedFd::from(writer);
        rustix::io::ioctl_fionbio(&writer, true).expect("a flag");
        let socket = Socket::new(writer).expect("a reactor");
        let write = |fd: std::os::fd::BorrowedFd<'_>| Ok(rustix::io::write(fd, &[0; 4096])?);
        while socket.try_io(Direction::Write, write).is_ok() {}
        let written = local.block_on(async {
            in_time(join(socket.io(Direction::Write, write), async {
                drop(reader)
            }))
            .await
        });
        assert_eq!(written.0.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

/// For: a deadline that only later calls hear of.
#[test]
fn a_deadline_that_has_passed_already_ends_who_waits() {
    on_each_driver(|local| {
        let (socket, _peer) = connection();
        let mut byte = [0; 1];
        let end = async { socket.set_deadline(Direction::Read, Some(Instant::now())) };
        let (result, ()) = local.block_on(in_time(join(read(&socket, &mut byte), end)));
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
    });
}
