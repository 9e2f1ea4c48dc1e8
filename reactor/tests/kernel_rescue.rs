//! A worker that computes: what waits in its ring is served by another one, before it is done.
//!
//! The hogs here compute until they see that they were relieved, so nothing is measured, and a
//! rescue that does not happen shows as a limit that passes.
#![cfg(not(loom))]

mod support;

#[path = "support/hogs.rs"]
mod hogs;

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use gorin_reactor::{Config, Direction, DriverKind, Hog, OnHog, Sleep, expect_block};
use hogs::*;
use support::*;

#[test]
fn sockets_of_a_hog_are_served_while_it_computes() {
    for config in kinds() {
        let text = format!("{config:?}");
        beside_a_sleeper(config, |reactor, local| {
            compute_beside_sockets(local, &text);
            let least = if has_shared_sockets(reactor) { 0 } else { 10 };
            assert!(reactor.stats().moves >= least, "{:?}", reactor.stats());
        });
    }
}

/// Sockets that have been waited for again and again: their polls were never submitted, but ride on a
/// standing one.
#[test]
fn standing_polls_of_a_hog_are_served_while_it_computes() {
    beside_a_sleeper(Config::default(), |_, local| {
        local.block_on(async {
            let mut sockets: Vec<Waiting> = (0..10).map(|_| Waiting::new()).collect();
            for round in 0..3 {
                for waiting in &mut sockets {
                    for _ in 0..5 {
                        waiting.send();
                        while !waiting.mark.is_woken() {
                            turn().await;
                        }
                        waiting.wait();
                    }
                }
                // A poll may complete once too often.
                turn().await;
                while let Some(woken) = sockets.iter_mut().find(|it| it.mark.is_woken()) {
                    woken.wait();
                    turn().await;
                }
                for (index, waiting) in sockets.iter_mut().enumerate() {
                    waiting.send();
                    let text = format!("socket {index} in round {round}");
                    compute(&text, || waiting.mark.was_woken_elsewhere());
                    waiting.wait();
                }
            }
        });
    });
}

/// A socket that waits because its full reads have always been the last, beside what this one has left. No
/// arrival tells of that. For: guesses that nobody but the worker itself looks at.
#[test]
fn what_a_full_read_has_left_is_found_while_a_hog_computes() {
    if has_shared_sockets(&reactor(1)) || has_no_standing_polls() {
        return;
    }
    beside_a_sleeper(Config::default(), |_, local| {
        let (socket, mut peer) = connection();
        // Reads until it has to wait; gives how often, and what tells of more.
        let read = || {
            let mark = Arc::new(Mark::default());
            let waker = Waker::from(mark.clone());
            let mut reads = 0;
            let mut call = |fd: std::os::fd::BorrowedFd<'_>| {
                let mut buffer = [0; 4];
                let len = receive(fd, &mut buffer)?;
                socket.note_read(len, buffer.len());
                Ok(len)
            };
            let mut context = Context::from_waker(&waker);
            while let Poll::Ready(len) = socket.poll_io(Direction::Read, &mut context, &mut call) {
                assert_eq!(len.expect("a connection"), 4);
                reads += 1;
            }
            (reads, mark)
        };
        local.block_on(async {
            let (_, mut mark) = read();
            for messages in [1; 40].into_iter().chain([2]) {
                // A poll may complete once too often.
                turn().await;
                if mark.is_woken() {
                    (_, mark) = read();
                }
                peer.write_all(&b"moreleft"[..4 * messages]).expect("room");
                while !mark.is_woken() {
                    turn().await;
                }
                let reads;
                (reads, mark) = read();
                assert_eq!(reads, 1, "it does not wait after the first");
            }
            turn().await;
            compute("a wrong guess", || mark.was_woken_elsewhere());
            assert_eq!(read().0, 1);
        });
    });
}

#[test]
fn polls_that_were_not_submitted_are_served_while_the_hog_computes() {
    beside_a_sleeper(Config::default(), |_, local| {
        local.block_on(async {
            turn().await;
            let mut waiting = Waiting::new();
            waiting.send();
            compute("armed in the same poll", || {
                waiting.mark.was_woken_elsewhere()
            });
            // The hog arms again, and computes on.
            waiting.wait();
            waiting.send();
            compute("armed later in the same poll", || {
                waiting.mark.was_woken_elsewhere()
            });
        });
    });
}

#[test]
fn more_sockets_than_the_log_holds_are_served_while_the_hog_computes() {
    let stuck = Arc::new(AtomicUsize::new(0));
    let count = stuck.clone();
    let config = Config {
        on_hog: Some(OnHog::new(move |hog: Hog| {
            count.fetch_add(usize::from(hog.worker == 1), Ordering::Relaxed);
            false
        })),
        ..Config::default()
    };
    beside_a_sleeper(config, |reactor, local| {
        if has_shared_sockets(reactor) {
            return;
        }
        local.block_on(async {
            let mut sockets = Vec::new();
            for _ in 0..600 {
                sockets.push(Waiting::new());
                // Or those that were not submitted would change their ring at once.
                turn().await;
            }
            // The one that was armed first is the last one in the log, and fell out of it.
            for waiting in sockets.iter_mut().take(10) {
                waiting.send();
            }
            compute("sockets armed long ago", || {
                sockets[..10].iter().all(|waiting| waiting.mark.is_woken())
            });
            let all = || reactor.stats().moves >= 600;
            compute("all change their ring", all);
        });
        // Back to the first one they go only if the machine kept the second from running.
        let moves = reactor.stats().moves;
        let back = stuck.load(Ordering::Relaxed) as u64;
        assert!(moves <= 600 * (1 + 2 * back), "{moves} moves: once each");
    });
}

#[test]
fn timers_of_a_hog_fire_while_it_computes() {
    beside_a_sleeper(Config::default(), |_, local| {
        local.block_on(async {
            // Worker 1 sleeps without end, and does not know of this timer.
            let mark = Arc::<Mark>::default();
            let waker = Waker::from(mark.clone());
            let mut context = Context::from_waker(&waker);
            let mut sleep = pin!(Sleep::never());
            // On a busy machine the first one may be over before it is polled.
            while {
                sleep.reset(Instant::now() + Duration::from_millis(3));
                sleep.as_mut().poll(&mut context).is_ready()
            } {}
            compute("a timer", || mark.was_woken_elsewhere());
            assert!(sleep.as_mut().poll(&mut context).is_ready());
        });
    });
}

#[test]
fn what_foreign_threads_ask_of_a_hog_is_served_while_it_computes() {
    beside_a_sleeper(Config::default(), |reactor, local| {
        local.block_on(async {
            turn().await;
            // Slots of both parities: each worker is the home of some.
            let foreign: Vec<Waiting> = thread::scope(|scope| {
                let waits = || {
                    let _entered = reactor.enter();
                    let mut waiting = Waiting::new();
                    waiting.send();
                    waiting
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(waits)).collect();
                let ended = threads.into_iter().map(|thread| thread.join().unwrap());
                ended.collect()
            });
            compute("messages", || {
                foreign.iter().all(|waiting| waiting.mark.is_woken())
            });
        });
    });
}

#[test]
fn a_hog_that_says_so_is_relieved_like_any_other() {
    let polls = Arc::new(Mutex::new(HashSet::new()));
    let seen = polls.clone();
    let config = Config {
        on_hog: Some(OnHog::new(move |hog: Hog| {
            // On a busy machine the other one may not get on either.
            if hog.worker == 0 {
                seen.lock().unwrap().insert(hog.poll);
            }
            false
        })),
        ..Config::default()
    };
    beside_a_sleeper(config, |_, local| {
        expect_block();
        local.block_on(async {
            let mut waiting = Waiting::new();
            turn().await;
            for round in 1..=3 {
                expect_block();
                waiting.send();
                compute("expected", || waiting.mark.is_woken());
                // On a busy machine other polls may have lasted as long.
                compute("is told", || polls.lock().unwrap().len() >= round);
                waiting.wait();
                turn().await;
            }
        });
    });
}

/// The hog wanders: each time it computes on the worker that has taken the sockets over.
#[test]
fn a_hog_that_moves_leaves_nothing_behind() {
    let reactor = reactor(2);
    let workers: Vec<_> = (0..2)
        .map(|index| {
            let (jobs, receiver) = mpsc::channel();
            (jobs, on_demand(&reactor, index, receiver))
        })
        .collect();
    let entered = reactor.enter();
    let sockets: Arc<Mutex<Vec<Waiting>>> =
        Arc::new(Mutex::new((0..20).map(|_| Waiting::new()).collect()));
    drop(entered);
    for round in 0..20 {
        let (jobs, (waker, _)) = &workers[round % 2];
        let (sender, done) = mpsc::channel();
        let sockets = sockets.clone();
        let job = move || {
            for waiting in sockets.lock().unwrap().iter_mut() {
                waiting.wait();
                waiting.send();
            }
            compute("a wandering hog", || {
                let sockets = sockets.lock().unwrap();
                sockets.iter().all(|waiting| waiting.mark.is_woken())
            });
            sender.send(()).unwrap();
        };
        jobs.send(Box::new(job)).unwrap();
        waker.wake_by_ref();
        done.recv_timeout(LIMIT).expect("the hog is relieved");
    }
    drop(sockets);
    for (jobs, (waker, thread)) in workers {
        drop(jobs);
        waker.wake();
        // Of all polls that were moved from ring to ring none is left.
        thread.join().expect("the worker drains in peace");
    }
}

/// Both workers compute; whoever is done first serves the other's sockets.
#[test]
fn the_first_of_two_hogs_that_is_done_relieves_the_other() {
    let reactor = reactor(2);
    let (jobs, receiver) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    let (waker, thread) = on_demand(&reactor, 1, receiver);
    let mut local = reactor.attach(0).expect("a ring");
    local.block_on(async {
        let mut waiting = Waiting::new();
        turn().await;
        let both = Arc::new(Barrier::new(2));
        let met = both.clone();
        let job = move || {
            met.wait();
        };
        jobs.send(Box::new(job)).unwrap();
        waker.wake_by_ref();
        both.wait();
        waiting.send();
        compute("two hogs", || waiting.mark.was_woken_elsewhere());
    });
    drop(jobs);
    waker.wake();
    thread.join().unwrap();
    shut_down(local);
}

#[test]
fn without_rescue_a_hogs_sockets_wait_for_it() {
    let config = Config {
        rescue: false,
        ..Config::default()
    };
    beside_a_sleeper(config, |reactor, local| {
        if has_shared_sockets(reactor) {
            return;
        }
        local.block_on(async {
            let mut waiting = Waiting::new();
            turn().await;
            waiting.send();
            let start = Instant::now();
            compute("time", || start.elapsed() > Duration::from_millis(50));
            assert!(!waiting.mark.is_woken());
            turn().await;
            turn().await;
            compute("its own", || waiting.mark.is_woken());
        });
        assert_eq!(reactor.stats().moves, 0);
    });
}

/// The end of a pipe that [`oversleep`] reads.
static ALARM_CLOCK: AtomicI32 = AtomicI32::new(-1);

/// A signal's handler: keeps the thread, whatever it was at, until a byte comes.
extern "C" fn oversleep(_signal: libc::c_int) {
    let fd = ALARM_CLOCK.load(Ordering::Relaxed);
    let mut byte = [0_u8; 1];
    // SAFETY: reads one byte into live memory; read(2) may be called by handlers.
    unsafe { libc::read(fd, byte.as_mut_ptr().cast(), 1) };
}

/// A worker that sleeps, and that the kernel has woken for its sockets, and that does not get to run:
/// one that is awake serves them.
#[test]
fn sockets_of_a_worker_that_does_not_get_up_are_served() {
    let reactor = with_config(Config {
        workers: 2,
        ..Config::default()
    });
    if has_shared_sockets(&reactor) {
        return;
    }
    let (jobs, receiver) = mpsc::channel();
    let (waker, sleeper) = on_demand(&reactor, 1, receiver);
    let (sender, made) = mpsc::channel();
    let job = Box::new(move || {
        // SAFETY: a number.
        let tid = unsafe { libc::gettid() };
        sender.send((tid, Waiting::new())).expect("it is awaited");
    });
    jobs.send(job as Box<dyn FnOnce() + Send>)
        .expect("it lives");
    waker.wake_by_ref();
    let (tid, mut waiting) = made.recv_timeout(LIMIT).expect("it does its job");
    wait_until_asleep(tid);
    let (clock, mut bell) = std::io::pipe().expect("a pipe");
    ALARM_CLOCK.store(clock.as_raw_fd(), Ordering::Relaxed);
    let handler = oversleep as extern "C" fn(libc::c_int);
    // SAFETY: the handler calls read(2) alone.
    unsafe { libc::signal(libc::SIGUSR2, handler as libc::sighandler_t) };
    let pid = std::process::id() as libc::pid_t;
    // SAFETY: a signal for a thread of this process, which has a handler.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, libc::SIGUSR2) };
    assert_eq!(sent, 0);
    wait_for("the signal", || system_call(tid) == Some(libc::SYS_read));
    let mut local = reactor.attach(0).expect("a ring");
    waiting.send();
    local.block_on(async {
        let start = Instant::now();
        while !waiting.mark.is_woken() {
            assert!(start.elapsed() < LIMIT, "nobody came");
            turn().await;
        }
    });
    assert_eq!(reactor.stats().moves, 1);
    bell.write_all(b"!").expect("it waits");
    drop(jobs);
    waker.wake_by_ref();
    sleeper.join().expect("it ends");
    shut_down(local);
}

/// A worker that has control often is no hog, whatever waits in its ring.
#[test]
fn a_busy_worker_keeps_its_sockets() {
    let told = Arc::new(Mutex::new(HashSet::new()));
    let tell = told.clone();
    let config = Config {
        on_hog: Some(OnHog::new(move |hog: Hog| {
            tell.lock().unwrap().insert((hog.worker, hog.poll));
            false
        })),
        ..Config::default()
    };
    let (moves, turns) = beside_a_sleeper(config, |reactor, local| {
        let turns = local.block_on(async {
            let _sockets: Vec<Waiting> = (0..10).map(|_| Waiting::new()).collect();
            let start = Instant::now();
            let mut turns = 0_u64;
            while start.elapsed() < Duration::from_millis(200) {
                turn().await;
                turns += 1;
            }
            turns
        });
        (reactor.stats().moves, turns)
    });
    // The machine may keep the thread from running for long at times, not at most turns.
    let told = told.lock().unwrap().len() as u64;
    assert!(told <= turns / 10, "{told} times a hog in {turns} turns");
    assert!(moves <= 10 * told, "{moves} sockets moved");
}

/// After the last event a worker may come to look once or twice, and then all sleep for good.
#[test]
fn nobody_watches_sleepers() {
    let reactor = reactor(4);
    let workers: Vec<Idle> = (0..3).map(|index| Idle::start(&reactor, index)).collect();
    // Who has left its loop is nobody to watch.
    let mut local = reactor.attach(3).expect("a ring");
    local.block_on(turn());
    for worker in &workers {
        worker.waker().wake_by_ref();
    }
    wait_for("half a second without a sleep", || {
        let before = reactor.stats().sleeps;
        thread::sleep(Duration::from_millis(500));
        reactor.stats().sleeps == before
    });
    shut_down(local);
    workers.into_iter().for_each(Idle::stop);
}

/// Polled on one worker, dropped on another: a future whose socket has moved ends as ever.
#[test]
fn a_socket_that_has_moved_closes() {
    beside_a_sleeper(Config::default(), |_, local| {
        local.block_on(async {
            let waiting = Waiting::new();
            let mut other = Waiting::new();
            turn().await;
            other.send();
            compute("both move", || other.mark.was_woken_elsewhere());
            let Waiting { socket, peer, .. } = waiting;
            expect_fin(peer, || drop(socket));
            turn().await;
        });
    });
}

/// As above, of a file that no end of a connection tells of. For: a poll that is left behind in the ring
/// from which it has moved.
#[test]
fn a_pipe_that_has_moved_closes() {
    beside_a_sleeper(Config::default(), |_, local| {
        local.block_on(async {
            let (reader, writer) = pipe_of_packets();
            let mut byte = [0; 1];
            {
                let read = reader.io(Direction::Read, |fd| read_file(fd, &mut byte));
                assert!(poll_once(pin!(read)).await.is_pending());
            }
            let mut other = Waiting::new();
            turn().await;
            other.send();
            compute("both move", || other.mark.was_woken_elsewhere());
            drop(reader);
            let start = Instant::now();
            while !has_no_reader(&writer) {
                assert!(start.elapsed() < LIMIT, "it is still polled");
                turn().await;
            }
        });
    });
}

/// Where workers share their sockets, the one that wakes takes out of the set what has come. For:
/// keeping that to itself while it runs what it was woken for.
#[test]
fn what_a_worker_hears_when_it_wakes_is_told_before_it_computes() {
    for driver in [DriverKind::Epoll, DriverKind::Hybrid] {
        let config = Config {
            driver: Some(driver),
            ..Config::default()
        };
        beside_a_sleeper(config, |_, local| {
            // SAFETY: takes nothing, gives a number.
            let tid = unsafe { libc::gettid() };
            for _ in 0..50 {
                let waiting = Waiting::new();
                let mut caller = None;
                local.block_on(poll_fn(|cx| {
                    if caller.is_some() {
                        compute("the socket to be told of", || waiting.mark.is_woken());
                        return Poll::Ready(());
                    }
                    let (waker, peer) = (cx.waker().clone(), waiting.peer.try_clone());
                    caller = Some(thread::spawn(move || {
                        wait_until_asleep(tid);
                        waker.wake();
                        peer.unwrap().write_all(b"x").unwrap();
                    }));
                    Poll::Pending
                }));
                caller.unwrap().join().unwrap();
            }
        });
    }
}
