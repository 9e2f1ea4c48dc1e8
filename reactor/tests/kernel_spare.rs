//! The spare worker on real drivers: what it hears of while it stands by, and who calls it.
#![cfg(not(loom))]

mod support;

#[path = "support/hogs.rs"]
mod hogs;

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use gorin_reactor::{Config, DriverKind, Local, Reactor, Sleep, expect_block};
use hogs::*;
use support::*;

/// Longer than a spare worker stays on duty.
const AFTER_DUTY: Duration = Duration::from_millis(250);
/// For nothing to happen in.
const A_WHILE: Duration = Duration::from_millis(100);

/// The spare worker of a reactor, on a thread of its own.
struct Spare {
    jobs: mpsc::Sender<Box<dyn FnOnce() + Send>>,
    waker: Waker,
    thread: thread::JoinHandle<()>,
}

impl Spare {
    fn start(reactor: &Reactor, index: usize) -> Spare {
        let (jobs, receiver) = mpsc::channel();
        let (waker, thread) = on_demand(reactor, index, receiver);
        Spare {
            jobs,
            waker,
            thread,
        }
    }

    /// Wakes it, and waits until it sleeps again.
    fn visit(&self) {
        let (sender, visited) = mpsc::channel();
        // SAFETY: a number.
        let job = move || sender.send(unsafe { libc::gettid() }).expect("awaited");
        self.jobs.send(Box::new(job)).expect("it lives");
        self.waker.wake_by_ref();
        wait_until_asleep(visited.recv_timeout(LIMIT).expect("it wakes"));
    }

    fn stop(self) {
        drop(self.jobs);
        self.waker.wake();
        self.thread.join().expect("it ends in peace");
    }
}

/// Worker 0, on this thread, of `workers`, and a spare one.
fn with_spare(workers: usize, driver: Option<DriverKind>) -> (Reactor, Local, Spare) {
    let reactor = with_config(Config {
        workers,
        spare: true,
        driver,
        ..Config::default()
    });
    let spare = Spare::start(&reactor, workers);
    let local = reactor.attach(0).expect("a ring");
    (reactor, local, spare)
}

/// Computes on worker 0 until the spare one has served a socket for it.
fn call_to_duty(local: &mut Local) {
    local.block_on(async {
        let mut waiting = Waiting::new();
        turn().await;
        waiting.send();
        compute("the spare", || waiting.mark.was_woken_elsewhere());
    });
}

/// Waits until nobody has gone to sleep for longer than a duty takes. Who is on duty does so every millisecond,
/// and who was kept from running for so long finds it over.
fn wait_until_quiet(reactor: &Reactor) {
    wait_for("a while without a sleep", || {
        let before = reactor.stats().sleeps;
        thread::sleep(AFTER_DUTY);
        reactor.stats().sleeps == before
    });
}

/// For: a spare that still is told of the sockets that all share when its duty is over, or looks for them
/// whenever it is woken for something else, and so is one worker more under load.
#[test]
fn what_stands_by_hears_of_no_shared_socket() {
    for driver in [DriverKind::Epoll, DriverKind::Hybrid] {
        let (reactor, mut local, spare) = with_spare(1, Some(driver));
        call_to_duty(&mut local);
        wait_until_quiet(&reactor);
        spare.visit();
        wait_until_quiet(&reactor);

        let mut waiting = Waiting::new();
        waiting.send();
        let sleeps = reactor.stats().sleeps;
        thread::sleep(A_WHILE);
        assert_eq!(reactor.stats().sleeps, sleeps, "it is told");
        (0..10).for_each(|_| spare.visit());
        assert!(!waiting.mark.is_woken(), "it has looked");
        local.block_on(turn());
        assert!(waiting.mark.was_woken_here());

        // On duty it hears of them again.
        call_to_duty(&mut local);
        spare.stop();
        shut_down(local);
    }
}

/// For: a call, and a wake, whenever anybody blocks for a moment, while all others are awake.
#[test]
fn who_will_block_calls_it_if_all_others_are_stuck() {
    const ROUNDS: u64 = 10;
    // Now and then it is awake to look after worker 0, and need not be called.
    for (workers, expected) in [(1, 1..=ROUNDS), (2, 0..=0)] {
        // The second one, if there is one, neither sleeps nor computes: it has not begun.
        let (reactor, mut local, spare) = with_spare(workers, None);
        let mut calls = 0;
        for _ in 0..ROUNDS {
            spare.visit();
            calls += local.block_on(async {
                let before = reactor.stats().wakes;
                expect_block();
                reactor.stats().wakes - before
            });
        }
        assert!(expected.contains(&calls), "{calls} with {workers} workers");
        spare.stop();
        shut_down(local);
        if workers > 1 {
            drop(reactor.attach(1));
        }
    }
}

/// For: workers that wait for one that never comes.
#[test]
fn a_reactor_that_forgoes_it_ends_with_the_last_worker() {
    let reactor = with_config(Config {
        workers: 1,
        spare: true,
        ..Config::default()
    });
    reactor.forgo_spare();
    assert!(reactor.attach(1).is_err());
    let mut local = reactor.attach(0).expect("a ring");
    local.block_on(async {
        expect_block();
        turn().await;
    });
    shut_down(local);
    let late = thread::spawn({
        let reactor = reactor.clone();
        move || {
            let _entered = reactor.enter();
            let sleep = pin!(Sleep::until(Instant::now() + LIMIT));
            let _ = sleep.poll(&mut Context::from_waker(Waker::noop()));
        }
    });
    assert!(late.join().is_err(), "its timers have ended");
}
