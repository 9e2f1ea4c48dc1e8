//! How many workers are woken for what: none where the worker that readied a task runs it next.
//!
//! Waking a sleeping worker costs more than hundreds of the operations below, so these counts are
//! the executor's speed.

#![cfg(not(loom))]

mod common;

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use common::{Gate, Threads, block_on};
use gorin_base::width::Width;
use gorin_base::{clock, coop};
use gorin_executor::{Config, Counters, Executor, Spec, spawn, yield_now};

const ROUNDS: usize = if cfg!(miri) { 50 } else { 2_000 };

fn of_workers(workers: usize) -> Executor {
    Executor::new(Config {
        workers,
        ..Config::default()
    })
}

/// Runs `main` as a goroutine on two workers, and returns what that took.
fn measured(main: impl Future<Output = ()> + Send + 'static) -> Counters {
    let threads = Threads::new(2);
    block_on(threads.executor.spawn(Spec::new(), main)).unwrap();
    threads.executor.counters()
}

#[test]
fn goroutines_that_yield_or_join_what_they_spawn_wake_no_second_worker() {
    let yielding = measured(async {
        for _ in 0..ROUNDS {
            yield_now().await;
        }
    });
    let joining = measured(async {
        for _ in 0..ROUNDS {
            spawn(Spec::new(), async {}).await.unwrap();
        }
    });
    for counters in [yielding, joining] {
        assert!(counters.polls >= ROUNDS as u64, "{counters:?}");
        // A few: the start, and a worker that was still searching when this began.
        assert!(counters.calls < 20, "{counters:?}");
    }
}

#[test]
fn a_pair_that_wakes_each_other_stays_on_one_worker() {
    let counters = measured(async {
        let gates: Vec<_> = (0..ROUNDS)
            .map(|_| (Gate::default(), Gate::default()))
            .collect();
        let other = gates.clone();
        let pong = spawn(Spec::new(), async move {
            for (ping, pong) in other {
                ping.await;
                pong.open();
            }
        });
        for (ping, pong) in gates {
            ping.open();
            pong.await;
        }
        pong.await.unwrap();
    });
    assert!(counters.polls >= 2 * ROUNDS as u64, "{counters:?}");
    assert!(counters.calls < 20, "{counters:?}");
}

#[test]
fn work_that_is_left_behind_by_a_busy_worker_is_taken_by_another() {
    let threads = Threads::new(2);
    let (sender, receiver) = mpsc::channel();
    let handle = threads.executor.spawn(Spec::new(), async move {
        for answer in [sender.clone(), sender] {
            spawn(
                Spec::new(),
                async move { answer.send(()).unwrap_or_default() },
            );
        }
        // Keeps this worker in one poll until the displaced one has run.
        receiver.iter().take(1).count()
    });
    assert_eq!(
        block_on(handle).unwrap(),
        1,
        "the first of the two was stolen"
    );
    assert!(threads.executor.counters().steals > 0);
}

/// Counts its wakes.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Two workers that are polled by hand: `second` on a thread of its own until it sits, then `turns` of
/// the first one, on this thread, with goroutines that compute for `work` and yield. Says whether the second
/// one was called.
fn is_called(config: Config, work: Duration, mut turns: impl Iterator) -> bool {
    let executor = Executor::new(Config {
        workers: 2,
        ..config
    });
    let bell = Arc::new(Bell::default());
    let (waker, other) = (Waker::from(bell.clone()), executor.clone());
    let (sits, sat) = mpsc::channel();
    let (done, is_done) = mpsc::channel::<()>();
    let second = thread::spawn(move || {
        let mut worker = other.worker(1);
        let mut run = pin!(worker.run());
        let mut cx = Context::from_waker(&waker);
        // A turn that ends by itself wakes the worker; one that ends in a seat does not.
        while run.as_mut().poll(&mut cx).is_pending() && bell.0.swap(0, Ordering::AcqRel) > 0 {}
        sits.send(bell).unwrap();
        is_done.recv().unwrap();
    });
    let bell = sat.recv().unwrap();
    let mut first = executor.worker(0);
    for _ in 0..10 {
        let yielding = async move {
            loop {
                let start = Instant::now();
                while start.elapsed() < work {
                    std::hint::spin_loop();
                }
                yield_now().await;
            }
        };
        drop(executor.spawn(Spec::new(), yielding));
    }
    let mut run = pin!(first.run());
    let mut cx = Context::from_waker(Waker::noop());
    let is_called = turns.any(|_| {
        assert!(run.as_mut().poll(&mut cx).is_pending());
        bell.0.load(Ordering::Acquire) > 0
    });
    done.send(()).unwrap();
    second.join().unwrap();
    executor.stop();
    while run.as_mut().poll(&mut cx).is_pending() {}
    is_called
}

fn narrow() -> Config {
    let width = Arc::new(Width::default());
    width.narrow(1, clock::now(), Duration::from_secs(3600));
    Config {
        width,
        ..Config::default()
    }
}

#[test]
fn another_worker_is_called_for_what_a_worker_cannot_run_at_once() {
    assert!(is_called(Config::default(), Duration::ZERO, 0..1));
}

/// (That it is not called for little is tested in `src/worth.rs`: here the time is real.)
#[test]
fn where_workers_are_relieved_another_one_is_called_for_what_takes_long() {
    let relieved = Config {
        relieved: true,
        ..Config::default()
    };
    assert!(is_called(relieved, Duration::from_millis(1), 0..1));
}

#[test]
fn where_cpus_are_contended_nobody_is_called_for_what_has_just_come() {
    assert!(!is_called(narrow(), Duration::ZERO, 0..1));
}

#[test]
fn where_cpus_are_contended_another_worker_is_called_for_what_waits_long() {
    let end = Instant::now() + Duration::from_secs(20);
    let in_time = std::iter::repeat(()).take_while(|()| Instant::now() < end);
    assert!(is_called(narrow(), Duration::ZERO, in_time));
}

#[test]
fn a_waker_of_a_sleeping_worker_calls_it_once() {
    let threads = Threads::new(1);
    let gates: Vec<_> = (0..10).map(|_| Gate::default()).collect();
    let handles: Vec<_> = gates
        .iter()
        .map(|gate| threads.executor.spawn(Spec::new(), gate.clone()))
        .collect();
    while gates.iter().any(|gate| gate.waiting() == 0) {
        thread::yield_now();
    }
    let before = threads.executor.counters();
    for (gate, handle) in gates.iter().zip(handles) {
        gate.open();
        block_on(handle).unwrap();
    }
    let after = threads.executor.counters();
    assert!(after.calls - before.calls <= 10, "{before:?} {after:?}");
    assert!(after.polls > before.polls);
}

/// Whether it was woken.
#[derive(Default)]
struct Woken(std::sync::atomic::AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls `run` until the worker sits, and says with what it waits.
fn sit(run: std::pin::Pin<&mut impl Future>) -> Arc<Woken> {
    let mut run = run;
    loop {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        assert!(
            run.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        if !woken.0.load(Ordering::SeqCst) {
            return woken;
        }
    }
}

/// As a reactor does that completes what a goroutine waits for, on the thread of the worker. For: a worker that
/// sleeps beside what it alone may run.
#[test]
fn a_worker_that_sits_is_called_by_its_own_threads_wakes() {
    for local in [false, true] {
        let executor = of_workers(1);
        let mut worker = executor.worker(0);
        let gate = Gate::default();
        let waits = gate.clone();
        let spec = Spec::new();
        let handle = match local {
            true => gorin_executor::spawn_local(spec, waits),
            false => spawn(spec, waits),
        };
        {
            let mut run = pin!(worker.run());
            let woken = sit(run.as_mut());
            gate.open();
            assert!(woken.0.load(Ordering::SeqCst), "local: {local}");
            sit(run);
        }
        assert!(handle.is_finished());
        executor.stop();
        block_on(worker.run());
    }
}

/// The future of a worker's loop may be dropped at any time, and another one made. For: a worker that is
/// taken to sit when its loop is gone, and called instead of one that does.
#[test]
fn a_loop_that_was_dropped_while_its_worker_sat_can_begin_anew() {
    let executor = of_workers(1);
    let mut worker = executor.worker(0);
    for _ in 0..3 {
        let woken = sit(pin!(worker.run()));
        let handle = executor.spawn(Spec::new(), async { 7 });
        assert!(!woken.0.load(Ordering::SeqCst), "nobody waits by it");
        assert_eq!(block_on(worker.run_until(handle)).unwrap(), 7);
    }
    executor.stop();
    block_on(worker.run());
}

/// For: a goroutine that is told to run long after it has begun to wait.
#[test]
fn nothing_runs_on_a_worker_that_sits() {
    let executor = of_workers(1);
    let mut worker = executor.worker(0);
    let gate = Gate::default();
    let waits = gate.clone();
    let inside = executor.clone();
    let handle = executor.spawn(Spec::new(), async move {
        assert!(inside.running_on(0).is_some());
        waits.await;
    });
    sit(pin!(worker.run()));
    assert_eq!(executor.num_tasks(), 1);
    assert!(executor.running_on(0).is_none());
    gate.open();
    block_on(worker.run_until(handle)).unwrap();
    executor.stop();
    block_on(worker.run());
}

/// What is woken inside goes to the others, who have to be called. For: the end of the inner block taken for
/// that of the outer one.
#[test]
fn who_blocks_twice_keeps_nothing_until_the_outer_end() {
    common::run(2, async {
        let (gate, (sender, ran)) = (Gate::default(), mpsc::channel());
        let waits = gate.clone();
        let waiter = spawn(Spec::new(), async move {
            waits.await;
            sender.send(()).unwrap();
        });
        while gate.waiting() == 0 {
            yield_now().await;
        }
        gorin_executor::block_in_place(|| {
            gorin_executor::block_in_place(|| {});
            gate.open();
            let ran = ran.recv_timeout(Duration::from_secs(20));
            ran.expect("the other worker runs it");
        });
        waiter.await.unwrap();
    });
}

/// For: a future that the closure blocks on, which asks for a budget that comes with the next poll only.
#[test]
fn who_blocks_needs_no_budget() {
    common::run(1, async {
        (0..coop::OPERATIONS).for_each(|_| coop::spend());
        let ready = || coop::poll_ready(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(!ready());
        assert!(gorin_executor::block_in_place(ready));
        assert!(!ready(), "the goroutine has none as before");
    });
}

/// For: a runtime that is said to be over while its threads go on.
#[test]
fn joining_waits_for_the_threads_and_not_only_for_their_jobs() {
    struct AtEnd(Arc<AtomicUsize>);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            (0..1000).for_each(|_| thread::yield_now());
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    std::thread_local! {
        static AT_END: std::cell::RefCell<Option<AtEnd>> = const { std::cell::RefCell::new(None) };
    }
    let executor = of_workers(1);
    let ended = Arc::new(AtomicUsize::new(0));
    let at_end = AtEnd(ended.clone());
    let job = executor.unblock(Spec::new(), move || AT_END.set(Some(at_end)));
    block_on(job).unwrap();
    executor.stop();
    assert!(executor.join_blocking(None).is_empty());
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

/// A worker on a thread of its own that runs when it is told to.
struct Driven {
    commands: mpsc::Sender<()>,
    seats: mpsc::Receiver<Arc<Woken>>,
    thread: thread::JoinHandle<()>,
}

impl Driven {
    fn start(executor: &Executor, index: usize) -> Driven {
        let (commands, inbox) = mpsc::channel();
        let (outbox, seats) = mpsc::channel();
        let executor = executor.clone();
        let thread = thread::spawn(move || {
            let mut worker = executor.worker(index);
            let mut run = pin!(worker.run());
            while let Ok(()) = inbox.recv() {
                outbox.send(sit(run.as_mut())).unwrap();
            }
            block_on(run);
        });
        Driven {
            commands,
            seats,
            thread,
        }
    }

    /// Lets it run until it sits, and gives with what it waits.
    fn sit(&self) -> Arc<Woken> {
        self.commands.send(()).unwrap();
        self.seats.recv_timeout(Duration::from_secs(20)).unwrap()
    }
}

/// Two tasks come, and only one worker is called, since it will search. For: a searcher that finds one, and
/// leaves the other to nobody while it runs the first.
#[test]
fn who_has_found_one_of_two_tasks_calls_another_worker() {
    let executor = of_workers(2);
    let workers = [0, 1].map(|index| Driven::start(&executor, index));
    let seats = [workers[0].sit(), workers[1].sit()];
    let woken = |seats: &[Arc<Woken>; 2]| {
        let woken = seats.each_ref().map(|seat| seat.0.load(Ordering::SeqCst));
        woken.iter().filter(|&&woken| woken).count()
    };
    let seen = Arc::new(AtomicUsize::new(0));
    for _ in 0..2 {
        let (seen, seats) = (seen.clone(), seats.clone());
        drop(executor.spawn(Spec::new(), async move {
            seen.fetch_max(woken(&seats), Ordering::SeqCst);
        }));
    }
    assert_eq!(woken(&seats), 1, "one call is enough");
    let called = usize::from(seats[1].0.load(Ordering::SeqCst));
    workers[called].sit();
    assert_eq!(executor.num_tasks(), 0);
    assert_eq!(seen.load(Ordering::SeqCst), 2, "nobody else was called");
    executor.stop();
    for worker in workers {
        drop(worker.commands);
        worker.thread.join().unwrap();
    }
}
