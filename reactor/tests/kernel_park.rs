//! Sleeping, waking and ending on the real ring.
#![cfg(not(loom))]

mod support;

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use futures::future::join_all;
use gorin_reactor::{Config, DriverKind, Reactor, Sleep, Socket, Stats, ops};
use support::*;

#[test]
fn an_idle_worker_sleeps_in_its_ring_and_a_wake_costs_one_call() {
    for config in kinds() {
        let text = format!("{config:?}");
        let reactor = with_config(config);
        let worker = Idle::start(&reactor, 0);
        wait_until_asleep(worker.tid);
        let before = reactor.stats();
        worker.waker().wake_by_ref();
        wait_for("the worker to sleep again", || {
            reactor.stats().sleeps > before.sleeps
        });
        wait_until_asleep(worker.tid);
        assert_eq!(reactor.stats().wakes, before.wakes + 1, "{text}");
        worker.stop();
    }
}

#[test]
fn many_wakes_of_one_sleep_cost_one_call() {
    let reactor = reactor(1);
    let worker = Idle::start(&reactor, 0);
    wait_until_asleep(worker.tid);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    worker.waker().wake_by_ref();
                }
            });
        }
    });
    let stats = reactor.stats();
    assert!(stats.wakes <= stats.sleeps, "{stats:?}");
    worker.stop();
}

#[test]
fn a_worker_that_wakes_itself_makes_no_call_for_it() {
    let reactor = reactor(1);
    let mut local = reactor.attach(0).unwrap();
    let mut rounds = 0;
    local.block_on(poll_fn(|cx| {
        rounds += 1;
        cx.waker().wake_by_ref();
        if rounds < 1000 {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }));
    let stats = reactor.stats();
    let probed = u64::from(reactor.driver() != DriverKind::Epoll);
    assert_eq!(
        (stats.wakes, stats.sleeps),
        (0, probed),
        "the probe sleeps: {stats:?}"
    );
    shut_down(local);
}

#[test]
fn a_sleeping_worker_uses_no_cpu() {
    let reactor = reactor(1);
    let mut local = reactor.attach(0).unwrap();
    // Of a busy machine's interrupts some time may be charged to this thread: not each time.
    let mut least = Duration::MAX;
    for _ in 0..5 {
        let (cpu, enters) = (cpu_time(), reactor.stats().enters);
        let start = Instant::now();
        local.block_on(Sleep::until(start + Duration::from_secs(1)));
        assert!(start.elapsed() >= Duration::from_secs(1));
        least = least.min(cpu_time() - cpu);
        assert!(reactor.stats().enters - enters < 5, "{:?}", reactor.stats());
        if least < Duration::from_millis(5) {
            break;
        }
    }
    assert!(least < Duration::from_millis(5), "{least:?} in a second");
    shut_down(local);
}

/// Round trips with a worker that echoes, until `enough`; then tells how many times it has looked
/// for completions, and waits until it sleeps all the same.
fn looks_of_a_busy_worker(config: Config, enough: impl Fn(u32, Stats) -> bool) -> u64 {
    let reactor = with_config(config);
    let (ours, mut peer) = tcp_pair();
    ours.set_nonblocking(true).unwrap();
    let (sender, tid) = mpsc::channel();
    let server = {
        let reactor = reactor.clone();
        thread::spawn(move || {
            // SAFETY: takes nothing, gives a number.
            sender.send(unsafe { libc::gettid() }).unwrap();
            let mut local = reactor.attach(0).unwrap();
            local
                .block_on(echo(Socket::new(ours.into()).unwrap()))
                .unwrap();
            shut_down(local);
        })
    };
    let tid = tid.recv_timeout(LIMIT).unwrap();
    peer.set_read_timeout(Some(LIMIT)).unwrap();
    for round in 0.. {
        if enough(round, reactor.stats()) {
            break;
        }
        peer.write_all(b"x").unwrap();
        peer.read_exact(&mut [0]).unwrap();
    }
    wait_until_asleep(tid);
    drop(peer);
    server.join().unwrap();
    reactor.stats().looks
}

#[test]
fn a_worker_whose_events_are_near_looks_before_it_sleeps() {
    for config in kinds() {
        let config = Config {
            // Long, so that neighbours on a busy machine do not spoil it.
            poll_before_sleep: Some(Duration::from_millis(20)),
            ..config
        };
        let deadline = Instant::now() + LIMIT;
        let looks = looks_of_a_busy_worker(config, |_, stats| {
            stats.looks >= 10 || Instant::now() > deadline
        });
        assert!(looks >= 10, "{looks}");
    }
}

#[test]
fn a_worker_that_must_not_look_sleeps_at_once() {
    let config = Config {
        poll_before_sleep: Some(Duration::ZERO),
        ..Config::default()
    };
    let looks = looks_of_a_busy_worker(config, |round, _| round == 200);
    assert_eq!(looks, 0);
}

#[test]
fn wakers_may_outlive_their_worker() {
    for config in kinds() {
        let reactor = with_config(config);
        let worker = Idle::start(&reactor, 0);
        let waker = worker.waker().clone();
        worker.stop();
        let before = reactor.stats().wakes;
        drop(reactor.clone());
        waker.wake_by_ref();
        assert_eq!(reactor.stats().wakes, before, "nobody is there to be woken");
        drop(reactor);
        waker.wake();
    }
}

/// A ring is closed only after the bells that were rung for it have arrived; the descriptor of a
/// closed one would be another file's.
#[test]
fn workers_end_while_others_wake_them() {
    for config in kinds() {
        for _ in 0..20 {
            let reactor = with_config(config.clone());
            let worker = Idle::start(&reactor, 0);
            let waker = worker.waker().clone();
            let enough = Arc::new(AtomicBool::new(false));
            let storm = {
                let enough = enough.clone();
                thread::spawn(move || {
                    while !enough.load(Ordering::Relaxed) {
                        waker.wake_by_ref();
                    }
                })
            };
            worker.stop();
            enough.store(true, Ordering::Relaxed);
            storm.join().unwrap();
        }
    }
}

#[test]
fn more_completions_than_the_queue_holds_all_arrive() {
    let reactor = with_config(Config {
        entries: 1,
        ..Config::default()
    });
    let mut local = reactor.attach(0).unwrap();
    for _ in 0..5 {
        let results = local.block_on(join_all((0..10_000).map(|_| ops::nop())));
        assert_eq!(results.len(), 10_000);
        assert!(results.into_iter().all(|result| result.is_ok()));
    }
    let has_queue = reactor.driver() != DriverKind::Epoll;
    assert_eq!(
        reactor.stats().overflows > 0,
        has_queue,
        "{:?}",
        reactor.stats()
    );
    shut_down(local);
}

#[test]
fn a_worker_attaches_once_and_a_thread_is_one_worker() {
    let reactor = reactor(2);
    let local = reactor.attach(0).unwrap();
    let error = reactor.attach(1).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a worker of a gorin runtime already")
    );
    let again = thread::scope(|scope| {
        scope
            .spawn(|| reactor.attach(0).unwrap_err().to_string())
            .join()
            .unwrap()
    });
    assert_eq!(again, "worker 0 of this reactor has attached before");
    assert!(Reactor::current().is_some());
    shut_down(local);
    assert!(Reactor::current().is_none());
}

#[test]
fn a_panic_in_the_future_ends_the_worker_cleanly() {
    let reactor = reactor(1);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut local = reactor.attach(0).unwrap();
        let (socket, _peer) = connection();
        let mut buffer = [0; 1];
        local.block_on(async {
            let mut waiting = std::pin::pin!(read(&socket, &mut buffer));
            poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_ready())).await;
            panic!("the future");
        })
    }));
    assert!(panic.is_err());
    assert!(Reactor::current().is_none());
}

/// A long poll is followed by a look at the ring, and a future that always has work does not keep
/// the ring from being served.
#[test]
fn completions_come_while_the_future_keeps_waking_itself() {
    on_worker(|local| {
        let mut nop = std::pin::pin!(ops::nop());
        let start = Instant::now();
        local.block_on(poll_fn(|cx| {
            assert!(start.elapsed() < LIMIT, "the ring is not served");
            cx.waker().wake_by_ref();
            nop.as_mut().poll(cx)
        }))
    })
    .unwrap();
}

/// The signals interrupt `io_uring_enter`; nothing is lost by it.
#[test]
fn interrupted_sleeps_are_no_errors() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: a handler that does nothing, for a signal that nobody else uses here.
    let before = unsafe { libc::signal(libc::SIGUSR2, nothing as *const () as libc::sighandler_t) };
    assert_ne!(before, libc::SIG_ERR);
    let reactor = reactor(1);
    let worker = Idle::start(&reactor, 0);
    let process = std::process::id() as libc::pid_t;
    for _ in 0..100 {
        wait_until_asleep(worker.tid);
        let sleeps = reactor.stats().sleeps;
        // SAFETY: sends a signal, which has a handler, to a live thread of this process.
        let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, worker.tid, libc::SIGUSR2) };
        assert_eq!(sent, 0);
        wait_for("the interrupted worker to sleep again", || {
            reactor.stats().sleeps > sleeps
        });
    }
    worker.stop();
}

/// What a thread that is no worker leaves in a mailbox before the worker has attached is served.
#[test]
fn messages_wait_for_the_worker() {
    let reactor = reactor(1);
    let guard = reactor.enter();
    let (socket, mut peer) = connection();
    drop(guard);
    let mut buffer = [0; 8];
    let mut waiting = Box::pin(read(&socket, &mut buffer));
    assert!(gorin_base::check::poll_once(waiting.as_mut()).is_pending());
    std::io::Write::write_all(&mut peer, b"early").unwrap();
    let worker = Idle::start(&reactor, 0);
    assert_eq!(gorin_base::check::block_on(waiting).unwrap(), 5);
    worker.stop();
    drop(socket);
}
