//! Timers on real time: never early, on any thread, and fired by a worker that sleeps.
#![cfg(not(loom))]

mod support;

#[path = "support/hogs.rs"]
mod hogs;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use gorin_base::{check, coop, rng};
use gorin_reactor::{Config, Reactor, Sleep};
use hogs::{compute, on_demand};
use support::{
    Idle, LIMIT, cpu_time, on_worker, reactor, shut_down, wait_until_asleep, with_config,
};

const MS: Duration = Duration::from_millis(1);
fn after(duration: Duration) -> Sleep {
    Sleep::until(Instant::now() + duration)
}

/// A sleep that `cx` waits for. The machine may keep the thread from running so long that one is over
/// when it is polled first; then another is taken.
fn waiting(duration: Duration, cx: &mut Context<'_>) -> Sleep {
    loop {
        let mut sleep = after(duration);
        if Pin::new(&mut sleep).poll(cx).is_pending() {
            return sleep;
        }
    }
}

/// As [`waiting`], for the future that runs.
async fn started(duration: Duration) -> Sleep {
    poll_fn(|cx| Poll::Ready(waiting(duration, cx))).await
}

async fn is_ready(sleep: &mut Sleep) -> bool {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *sleep).poll(cx).is_ready())).await
}

#[test]
fn a_sleep_ends_at_its_deadline_and_never_before() {
    on_worker(|local| {
        local.block_on(async {
            for us in [1, 50, 300, 1_000, 1_100, 4_000, 17_000, 70_000] {
                let deadline = Instant::now() + Duration::from_micros(us);
                let mut sleep = Sleep::until(deadline);
                (&mut sleep).await;
                let late = Instant::now().checked_duration_since(deadline);
                let late = late.expect("not before its deadline");
                assert!(late < LIMIT / 2, "{us} µs: {late:?} late");
                assert!(sleep.is_elapsed());
                assert!(is_ready(&mut sleep).await, "it stays ready");
            }
        });
    });
}

#[test]
fn the_extremes_are_harmless() {
    on_worker(|local| {
        local.block_on(async {
            let now = Instant::now();
            Sleep::until(now).await;
            Sleep::until(now - LIMIT).await;
            let mut never = Sleep::never();
            assert!(!is_ready(&mut never).await && !never.is_elapsed());
            assert_eq!(never.deadline(), None);
            // As far as the clock goes.
            let mut far = Duration::from_secs(1);
            while let Some(deadline) = now.checked_add(far * 2) {
                let mut sleep = Sleep::until(deadline);
                assert!(!is_ready(&mut sleep).await);
                assert_eq!(sleep.deadline(), Some(deadline));
                let Some(next) = far.checked_mul(2).filter(|far| *far < Duration::MAX / 4) else {
                    break;
                };
                far = next;
            }
            after(MS).await;
        });
    });
}

#[test]
fn reset_moves_the_deadline_either_way() {
    on_worker(|local| {
        local.block_on(async {
            let start = Instant::now();
            let mut sleep = after(LIMIT);
            assert!(!is_ready(&mut sleep).await);
            sleep.reset(start + 5 * MS);
            (&mut sleep).await;
            assert!(start.elapsed() >= 5 * MS && start.elapsed() < LIMIT);

            sleep.reset(Instant::now() + LIMIT);
            assert!(!is_ready(&mut sleep).await, "ready no more");
            let start = Instant::now();
            let mut moved = after(5 * MS);
            assert!(!is_ready(&mut moved).await);
            moved.reset(start + 20 * MS);
            moved.await;
            assert!(start.elapsed() >= 20 * MS);

            let mut never = Sleep::never();
            never.reset(Instant::now() + MS);
            never.await;
        });
    });
}

/// Counts its wake-ups.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_dropped_or_moved_sleep_wakes_nobody_at_the_old_time() {
    on_worker(|local| {
        local.block_on(async {
            let count = Arc::new(Count::default());
            let waker = Waker::from(count.clone());
            let mut cx = Context::from_waker(&waker);
            let dropped = waiting(2 * MS, &mut cx);
            let mut moved = waiting(2 * MS, &mut cx);
            drop(dropped);
            moved.reset(Instant::now() + LIMIT);
            after(10 * MS).await;
            assert_eq!(count.0.load(Ordering::SeqCst), 0);
            drop(moved);
            drop(waker);
            assert_eq!(Arc::strong_count(&count), 1, "no waker is kept");
        });
    });
}

#[test]
fn many_sleeps_all_end_and_none_early() {
    on_worker(|local| {
        local.block_on(async {
            let start = Instant::now();
            let mut sleeps: Vec<Sleep> = (0..20_000)
                .map(|_| Sleep::until(start + Duration::from_micros(rng::below(200_000) as u64)))
                .collect();
            poll_fn(|cx| {
                sleeps.retain_mut(|sleep| {
                    let ended = Pin::new(&mut *sleep).poll(cx).is_ready();
                    assert!(!ended || sleep.is_elapsed(), "early");
                    !ended
                });
                if sleeps.is_empty() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            assert!(start.elapsed() < LIMIT);
        });
    });
}

/// The worker sleeps without end, or for long, when a thread that is none asks for an earlier time.
#[test]
fn a_foreign_deadline_ends_the_sleep_of_the_timekeeper() {
    let reactor = reactor(1);
    let worker = Idle::start(&reactor, 0);
    let entered = reactor.enter();
    // The timekeeper sleeps without end at first, then for long.
    let mut other = Sleep::never();
    for _ in 0..2 {
        wait_until_asleep(worker.tid);
        for _ in 0..20 {
            let deadline = Instant::now() + 3 * MS;
            check::block_on(Sleep::until(deadline));
            let late = Instant::now().checked_duration_since(deadline);
            assert!(late.expect("not early") < LIMIT / 2, "found by chance");
        }
        let mut moved = after(LIMIT);
        assert!(check::poll_once(Pin::new(&mut moved)).is_pending());
        let start = Instant::now();
        moved.reset(start + 3 * MS);
        check::block_on(moved);
        assert!(start.elapsed() >= 3 * MS && start.elapsed() < LIMIT / 2);
        other.reset(Instant::now() + LIMIT);
        assert!(check::poll_once(Pin::new(&mut other)).is_pending());
    }
    drop(entered);
    worker.stop();
}

/// Two workers that do not look after each other.
fn unguarded() -> Reactor {
    with_config(Config {
        workers: 2,
        rescue: false,
        ..Config::default()
    })
}

/// One worker leaves its loop with timers registered: the other one, asleep, keeps the time for
/// them. (Also where it does not come to look after the first one, and finds them by chance.)
#[test]
fn a_worker_that_leaves_its_loop_hands_its_timers_over() {
    for reactor in [reactor(2), unguarded()] {
        let other = Idle::start(&reactor, 1);
        wait_until_asleep(other.tid);
        let mut local = reactor.attach(0).expect("a ring");
        let mut sleep = local.block_on(started(10 * MS));
        let start = Instant::now();
        check::block_on(&mut sleep);
        assert!(sleep.is_elapsed() && start.elapsed() < LIMIT / 2);
        other.stop();
        shut_down(local);
    }
}

/// A sleep of the reactor that this thread has entered, which waits, and what its wakes are counted by.
fn counted(duration: Duration) -> (Sleep, Arc<Count>) {
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    (waiting(duration, &mut Context::from_waker(&waker)), count)
}

/// The timekeeper was woken before its time, and computes: the other worker, which comes to sleep
/// meanwhile, keeps the time. For: a role that is kept by who is awake, so that all timers wait for it.
#[test]
fn a_timekeeper_that_computes_keeps_nobodys_time() {
    let reactor = unguarded();
    let (jobs, receiver) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    let (waker, thread) = on_demand(&reactor, 1, receiver);
    let mut local = reactor.attach(0).expect("a ring");
    // SAFETY: takes nothing, gives a number.
    let tid = unsafe { libc::gettid() };
    let called = Arc::new(AtomicUsize::new(0));
    let (mut caller, mut first) = (None, None);
    local.block_on(poll_fn(|cx| {
        if first.is_none() {
            // It sleeps until then, if nobody calls it.
            first = Some(waiting(600 * MS, cx));
            let (this, called) = (cx.waker().clone(), called.clone());
            caller = Some(thread::spawn(move || {
                wait_until_asleep(tid);
                called.store(1, Ordering::SeqCst);
                this.wake();
            }));
        }
        if called.load(Ordering::SeqCst) == 0 {
            return Poll::Pending;
        }
        let (sender, sleeps) = mpsc::channel();
        // Later than the time that this worker has promised to wake at.
        let job = move || sender.send(counted(800 * MS)).unwrap();
        jobs.send(Box::new(job)).unwrap();
        waker.wake_by_ref();
        let (_sleep, woken) = sleeps.recv_timeout(LIMIT).unwrap();
        compute("a timer of the other worker", || {
            woken.0.load(Ordering::SeqCst) > 0
        });
        Poll::Ready(())
    }));
    drop(jobs);
    waker.wake();
    thread.join().expect("the worker ends");
    caller.unwrap().join().expect("it has called");
    shut_down(local);
}

/// On a worker of another reactor, a deadline of a sleep is as foreign as on a thread that is none. For: a
/// timekeeper that is not told, because it is some worker that asks.
#[test]
fn a_worker_of_another_reactor_ends_the_sleep_of_the_timekeeper() {
    let home = reactor(1);
    let worker = Idle::start(&home, 0);
    let (mut sleep, woken) = {
        let _guard = home.enter();
        counted(LIMIT)
    };
    wait_until_asleep(worker.tid);
    on_worker(|local| {
        local.block_on(async {
            sleep.reset(Instant::now() + MS);
            let start = Instant::now();
            while woken.0.load(Ordering::SeqCst) == 0 {
                assert!(start.elapsed() < LIMIT / 2, "its timekeeper sleeps");
                thread::yield_now();
            }
        });
    });
    worker.stop();
}

#[test]
fn a_sleep_moves_between_workers() {
    let reactor = reactor(2);
    let (send, receive) = mpsc::channel::<Sleep>();
    let second = {
        let reactor = reactor.clone();
        thread::spawn(move || {
            let mut local = reactor.attach(1).expect("a ring");
            let late = local.block_on(async {
                let mut late = Duration::ZERO;
                while let Ok(mut sleep) = receive.recv() {
                    (&mut sleep).await;
                    let deadline = sleep.deadline().expect("it has one");
                    late = late.max(deadline.elapsed());
                }
                late
            });
            shut_down(local);
            late
        })
    };
    let mut local = reactor.attach(0).expect("a ring");
    local.block_on(async {
        for _ in 0..50 {
            let sleep = started(2 * MS).await;
            send.send(sleep).expect("the other worker waits");
            after(MS).await;
        }
    });
    drop(send);
    shut_down(local);
    let late = second.join().expect("the other worker ends");
    assert!(late < LIMIT / 2, "{late:?} late");
}

#[test]
fn sleeps_that_are_over_let_other_goroutines_run() {
    coop::with_budget(|| {
        let over = || check::poll_once(pin!(Sleep::until(Instant::now()))).is_ready();
        assert!((0..coop::OPERATIONS).all(|_| over()));
        assert!(!over(), "the budget is used up");
    });
}

fn panic_text(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    *payload.downcast::<String>().expect("a formatted text")
}

#[test]
fn without_a_runtime_the_panic_says_what_to_do() {
    let mut sleep = pin!(after(LIMIT));
    let text = panic_text(|| assert!(check::poll_once(sleep.as_mut()).is_pending()));
    assert!(text.contains("gorin::run"), "{text}");
    check::block_on(after(Duration::ZERO));
    assert!(check::poll_once(pin!(Sleep::never())).is_pending());
}

#[test]
fn a_timer_that_outlives_its_runtime_says_so_instead_of_waiting_for_ever() {
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    let (mut long, mut short) =
        on_worker(|local| local.block_on(async { (waiting(LIMIT, &mut cx), started(MS).await) }));
    assert_eq!(count.0.load(Ordering::SeqCst), 1, "woken by the shutdown");
    let text = panic_text(|| assert!(check::poll_once(Pin::new(&mut long)).is_pending()));
    assert!(text.contains("has shut down"), "{text}");
    while !short.is_elapsed() {
        thread::yield_now();
    }
    assert!(
        check::poll_once(Pin::new(&mut short)).is_ready(),
        "its time has come"
    );
}

/// What a timer costs. `cargo test --release -p gorin-reactor --test kernel_timers -- --ignored
/// --nocapture`
#[test]
#[ignore = "a measurement"]
fn cost_of_a_timer() {
    const MANY: u32 = 1_000_000;
    const FIRED: u32 = 100_000;
    on_worker(|local| {
        local.block_on(async {
            let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            let mut cx = Context::from_waker(&waker);
            let deadline = Instant::now() + LIMIT;
            let start = cpu_time();
            for _ in 0..MANY {
                let mut sleep = Sleep::until(deadline);
                assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
            }
            let both = (cpu_time() - start) / MANY;
            let start = cpu_time();
            let mut sleeps = Vec::with_capacity(MANY as usize);
            for n in 0..MANY {
                let mut sleep = Sleep::until(deadline + Duration::from_micros(u64::from(n)));
                assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
                sleeps.push(sleep);
            }
            let create = (cpu_time() - start) / MANY;
            let start = cpu_time();
            sleeps.clear();
            let cancel = (cpu_time() - start) / MANY;
            println!("{MANY} timers, one at a time: create and cancel {both:?}");
            println!("{MANY} timers at once: create {create:?}, cancel {cancel:?}");
            assert!(both < Duration::from_micros(5));
        });
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let fire = local.block_on(async {
            let end = Instant::now() + 200 * MS;
            let _sleeps: Vec<Sleep> = (0..FIRED)
                .map(|n| {
                    let mut sleep = Sleep::until(end - Duration::from_nanos(u64::from(n)));
                    assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
                    sleep
                })
                .collect();
            while Instant::now() < end {}
            let start = cpu_time();
            Sleep::until(end + MS).await;
            (cpu_time() - start) / FIRED
        });
        assert_eq!(count.0.load(Ordering::SeqCst), FIRED as usize);
        println!("{FIRED} timers fired at once: {fire:?} each, wake-up included");
        local.block_on(async {
            let mut late = Vec::new();
            for _ in 0..301 {
                let deadline = Instant::now() + MS;
                Sleep::until(deadline).await;
                late.push(deadline.elapsed());
            }
            late.sort_unstable();
            let (median, worst) = (late[150], late[300]);
            println!("alone and asleep: {median:?} late, at worst {worst:?}");
        });
    });
}
