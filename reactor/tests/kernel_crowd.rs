//! Workers that stand down because CPUs are contended: their sockets go to those that go on, and nothing
//! is stranded. Whether CPUs are contended is not measured here: the runtime is made narrow.
#![cfg(not(loom))]

mod support;

#[path = "support/hogs.rs"]
mod hogs;

use std::future::Future;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use gorin_base::clock;
use gorin_base::width::Width;
use gorin_reactor::{Config, Reactor, Sleep};
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

    /// Has it wait for a socket, and then do nothing else until the sender is dropped.
    fn wait(&self) -> (mpsc::Receiver<(i32, Waiting)>, mpsc::Sender<()>) {
        let (sender, made) = mpsc::channel();
        let (stay, stays) = mpsc::channel();
        let job = move || {
            // SAFETY: a number.
            let tid = unsafe { libc::gettid() };
            sender.send((tid, Waiting::new())).expect("it is awaited");
            let _dropped = stays.recv();
        };
        self.jobs.send(Box::new(job)).expect("it lives");
        self.waker.wake_by_ref();
        (made, stay)
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

/// Waits for the socket until it was once woken here, where it is watched. A worker that is kept from
/// running for long is relieved by the other one, like any that computes.
async fn expect_here(waiting: &mut Waiting) {
    let start = Instant::now();
    loop {
        waiting.wait();
        waiting.send();
        turn_until("it is woken", || waiting.mark.is_woken().then_some(())).await;
        if waiting.mark.was_woken_here() {
            return;
        }
        assert!(start.elapsed() < LIMIT, "it is watched elsewhere");
    }
}

#[test]
fn sockets_of_a_worker_that_stands_down_go_to_who_goes_on() {
    let (reactor, width) = two_workers();
    if has_shared_sockets(&reactor) {
        return;
    }
    let second = Second::start(&reactor);
    let (made, stay) = second.wait();
    let (tid, mut waiting) = made.recv_timeout(LIMIT).expect("it does its job");
    drop(stay);
    wait_until_asleep(tid);
    let mut local = reactor.attach(0).expect("a ring");
    local.block_on(async {
        width.narrow(1, clock::now(), LONG);
        let moved = || (reactor.stats().moves >= 1).then_some(());
        turn_until("the socket is taken over", moved).await;
        expect_here(&mut waiting).await;
    });
    second.stop();
    shut_down(local);
}

/// Woken by worker 0 between two polls, when that one is awake and has control: has the second one wait
/// for a socket meanwhile, and stay.
struct Meanwhile {
    second: Second,
    /// Of worker 0.
    thread: ThreadId,
    made: Mutex<Option<(Waiting, mpsc::Sender<()>)>>,
}

impl Wake for Meanwhile {
    fn wake(self: Arc<Self>) {
        // The other one fires timers, too, if it is awake.
        if thread::current().id() == self.thread {
            let (made, stay) = self.second.wait();
            let (_, waiting) = made.recv_timeout(LIMIT).expect("it waits");
            *self.made.lock().unwrap() = Some((waiting, stay));
        }
    }
}

#[test]
fn what_a_worker_waits_for_while_it_stands_down_is_armed_at_who_goes_on() {
    let (reactor, width) = two_workers();
    if has_shared_sockets(&reactor) {
        return;
    }
    let meanwhile = Arc::new(Meanwhile {
        second: Second::start(&reactor),
        thread: thread::current().id(),
        made: Mutex::new(None),
    });
    let mut local = reactor.attach(0).expect("a ring");
    width.narrow(1, clock::now(), LONG);
    local.block_on(async {
        let waker = Waker::from(meanwhile.clone());
        let mut timer = None;
        let (mut waiting, stay) = turn_until("it waits", || {
            let soon = || Box::pin(Sleep::until(Instant::now() + Duration::from_micros(100)));
            let running = timer.get_or_insert_with(soon);
            let mut cx = Context::from_waker(&waker);
            if running.as_mut().poll(&mut cx).is_ready() {
                timer = None;
            }
            meanwhile.made.lock().unwrap().take()
        })
        .await;
        // The other one stays where it is, so it can relieve nobody.
        waiting.send();
        turn_until("it is woken", || waiting.mark.is_woken().then_some(())).await;
        assert!(waiting.mark.was_woken_here());
        assert_eq!(
            reactor.stats().moves,
            0,
            "it was watched by the other's ring"
        );
        drop(stay);
    });
    let meanwhile = Arc::into_inner(meanwhile).expect("the timers are gone");
    meanwhile.second.stop();
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
            compute_beside_sockets(local, &text);
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
    let local = reactor.attach(0).expect("a ring");
    let (made, stay) = second.wait();
    let (_, mut waiting) = made.recv_timeout(LIMIT).expect("it waits");
    drop(stay);
    // Worker 0 is not in its loop: if the socket were watched there nobody would come.
    waiting.send();
    wait_for("the second worker", || waiting.mark.was_woken_elsewhere());
    second.stop();
    shut_down(local);
}
