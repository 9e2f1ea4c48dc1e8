//! Workers that stand down because CPUs are contended: their sockets go to those that go on, and nothing
//! is stranded. Whether CPUs are contended is not measured here: the runtime is made narrow.
#![cfg(not(loom))]

mod support;

#[path = "support/hogs.rs"]
mod hogs;

use std::sync::{Arc, mpsc};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gorin_base::clock;
use gorin_base::width::Width;
use gorin_reactor::{Config, Reactor};
use hogs::*;
use support::*;

const LONG: Duration = Duration::from_secs(3600);

fn two_workers() -> (Reactor, Arc<Width>) {
    let width = Arc::new(Width::default());
    let reactor = with_config(Config {
        workers: 2,
        width: width.clone(),
        ..Config::default()
    });
    (reactor, width)
}

/// Worker 1, which does what it is told, and sleeps.
struct Second {
    jobs: mpsc::Sender<Box<dyn FnOnce() + Send>>,
    waker: Waker,
    thread: JoinHandle<()>,
}

impl Second {
    fn start(reactor: &Reactor) -> Second {
        let (jobs, receiver) = mpsc::channel();
        let (waker, thread) = on_demand(reactor, 1, receiver);
        Second {
            jobs,
            waker,
            thread,
        }
    }

    /// Has it wait for a socket.
    fn wait(&self) -> mpsc::Receiver<(i32, Waiting)> {
        let (sender, made) = mpsc::channel();
        let job = move || {
            // SAFETY: a number.
            let tid = unsafe { libc::gettid() };
            sender.send((tid, Waiting::new())).expect("it is awaited");
        };
        self.jobs.send(Box::new(job)).expect("it lives");
        self.waker.wake_by_ref();
        made
    }

    fn stop(self) {
        drop(self.jobs);
        self.waker.wake_by_ref();
        self.thread.join().expect("it ends");
    }
}

/// Turns until `done`.
async fn turn_until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(start.elapsed() < LIMIT, "in vain: {what}");
        turn().await;
    }
}

/// Until nothing of the switch from the one ring to the other is on its way any more, a poll may
/// complete that finds nothing.
async fn expect_here(waiting: &mut Waiting) {
    waiting.wait();
    waiting.send();
    turn_until("it is woken", || waiting.mark.is_woken().then_some(())).await;
    assert!(waiting.mark.was_woken_here());
}

#[test]
fn sockets_of_a_worker_that_stands_down_go_to_who_goes_on() {
    let (reactor, width) = two_workers();
    if has_shared_sockets(&reactor) {
        return;
    }
    let second = Second::start(&reactor);
    let made = second.wait();
    let (tid, mut waiting) = made.recv_timeout(LIMIT).expect("it does its job");
    wait_until_asleep(tid);
    let mut local = reactor.attach(0).expect("a ring");
    local.block_on(async {
        width.narrow(1, clock::now(), LONG);
        let moved = || (reactor.stats().moves == 1).then_some(());
        turn_until("the socket is taken over", moved).await;
        expect_here(&mut waiting).await;
    });
    second.stop();
    shut_down(local);
}

#[test]
fn what_a_worker_waits_for_while_it_stands_down_is_armed_at_who_goes_on() {
    let (reactor, width) = two_workers();
    if has_shared_sockets(&reactor) {
        return;
    }
    let second = Second::start(&reactor);
    let mut local = reactor.attach(0).expect("a ring");
    width.narrow(1, clock::now(), LONG);
    local.block_on(async {
        let made = second.wait();
        let (_, mut waiting) = turn_until("it waits", || made.try_recv().ok()).await;
        waiting.send();
        turn_until("it is woken", || waiting.mark.is_woken().then_some(())).await;
        assert!(waiting.mark.was_woken_here());
        expect_here(&mut waiting).await;
    });
    assert_eq!(reactor.stats().moves, 0);
    second.stop();
    shut_down(local);
}

/// For: a runtime in which the only one that goes on computes.
#[test]
fn who_stands_down_relieves_a_hog_all_the_same() {
    for config in kinds() {
        let width = Arc::new(Width::default());
        width.narrow(1, clock::now(), LONG);
        let text = format!("{config:?}");
        beside_a_sleeper(Config { width, ..config }, |_, local| {
            local.block_on(async {
                let mut sockets: Vec<Waiting> = (0..10).map(|_| Waiting::new()).collect();
                turn().await;
                for waiting in &mut sockets {
                    waiting.send();
                    compute(&text, || waiting.mark.was_woken_elsewhere());
                }
            });
        });
    }
}

#[test]
fn when_the_time_is_over_each_worker_uses_its_own_ring() {
    let (reactor, width) = two_workers();
    if has_shared_sockets(&reactor) {
        return;
    }
    width.narrow(1, clock::now(), Duration::ZERO);
    let second = Second::start(&reactor);
    let mut local = reactor.attach(0).expect("a ring");
    let (_, mut waiting) = local.block_on(async {
        let made = second.wait();
        turn_until("it waits", || made.try_recv().ok()).await
    });
    // This worker has left its loop: if the socket were watched here nobody would come.
    waiting.send();
    wait_for("the second worker", || waiting.mark.was_woken_elsewhere());
    second.stop();
    shut_down(local);
}
