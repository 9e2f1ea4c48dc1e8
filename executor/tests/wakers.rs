//! Wakers that outlive what they woke, come from foreign threads, or are used too often; and the
//! task cell against async-task, which is its oracle.

#![cfg(not(loom))]

mod common;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use common::{Gate, Threads, block_on, run};
use gorin_base::rng;
use gorin_executor::task::{self, Readied, Runnable, Schedule, TaskOf};
use gorin_executor::{Spec, spawn, yield_now};

#[test]
fn wakers_used_after_completion_do_nothing() {
    let kept = Arc::new(Mutex::new(None::<Waker>));
    let keep = kept.clone();
    let value = run(2, async move {
        let handle = spawn(
            Spec::new(),
            poll_fn(move |cx| {
                *keep.lock().unwrap() = Some(cx.waker().clone());
                Poll::Ready(7)
            }),
        );
        let value = handle.await.unwrap();
        yield_now().await;
        value
    });
    assert_eq!(value, 7);
    let waker = kept.lock().unwrap().take().unwrap();
    let copy = waker.clone();
    assert!(copy.will_wake(&waker));
    waker.wake_by_ref();
    thread::spawn(move || waker.wake()).join().unwrap();
    drop(copy);
}

#[test]
fn foreign_threads_wake_parked_goroutines() {
    let threads = Threads::new(2);
    let rounds = if cfg!(miri) { 20 } else { 2_000 };
    for _ in 0..rounds {
        let gate = Gate::default();
        let handle = threads.executor.spawn(Spec::new(), gate.clone());
        let opening = thread::spawn(move || gate.open());
        block_on(handle).unwrap();
        opening.join().unwrap();
    }
}

#[test]
fn a_waker_that_is_used_often_is_one_poll() {
    run(1, async {
        let gate = Gate::default();
        let polls = Arc::new(AtomicUsize::new(0));
        let handle = {
            let (mut gate, polls) = (gate.clone(), polls.clone());
            spawn(
                Spec::new(),
                poll_fn(move |cx| {
                    polls.fetch_add(1, Ordering::Relaxed);
                    Pin::new(&mut gate).poll(cx)
                }),
            )
        };
        while gate.waiting() == 0 {
            yield_now().await;
        }
        let waker = gate.take_wakers().pop().unwrap();
        for _ in 0..100 {
            waker.wake_by_ref();
        }
        while gate.waiting() == 0 {
            yield_now().await;
        }
        assert_eq!(polls.load(Ordering::Relaxed), 2);
        gate.open();
        handle.await.unwrap();
    });
}

#[test]
fn a_pair_that_wakes_each_other_does_not_starve_a_third() {
    run(1, async {
        let (left, right) = (Ball::default(), Ball::default());
        left.throw();
        let stop = Gate::default();
        let play = |from: &Ball, to: &Ball| {
            let (mut from, to, mut stop) = (from.clone(), to.clone(), stop.clone());
            spawn(
                Spec::new(),
                poll_fn(move |cx| {
                    if Pin::new(&mut stop).poll(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    if Pin::new(&mut from).poll(cx).is_ready() {
                        to.throw();
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending
                }),
            )
        };
        let (one, two) = (play(&left, &right), play(&right, &left));
        let third = spawn(Spec::new(), async {
            for _ in 0..100 {
                yield_now().await;
            }
        });
        third.await.unwrap();
        stop.open();
        one.await.unwrap();
        two.await.unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "measures time")]
fn long_polls_do_not_starve_the_goroutine_woken_last() {
    run(1, async {
        let ran = Arc::new(AtomicUsize::new(0));
        let (first, light) = (Arc::new(Mutex::new(None)), ran.clone());
        let hog = |mut start: Option<Arc<Mutex<Option<_>>>>| {
            let (ran, light) = (ran.clone(), light.clone());
            spawn(Spec::new(), async move {
                for round in 0..100 {
                    if let Some(start) = start.take() {
                        let light = light.clone();
                        let light = async move { light.fetch_add(1, Ordering::Relaxed) };
                        *start.lock().unwrap() = Some(spawn(Spec::new(), light));
                    }
                    // Longer than a turn, so that each turn is one poll.
                    let end = Instant::now() + Duration::from_micros(300);
                    while Instant::now() < end {
                        std::hint::spin_loop();
                    }
                    yield_now().await;
                    if ran.load(Ordering::Relaxed) > 0 {
                        return round;
                    }
                }
                100
            })
        };
        let (one, two) = (hog(None), hog(Some(first.clone())));
        let rounds = one.await.unwrap().max(two.await.unwrap());
        assert!(
            rounds < 10,
            "the light goroutine had to wait for {rounds} rounds"
        );
    });
}

/// What two goroutines throw to each other.
#[derive(Clone, Default)]
struct Ball(Arc<Mutex<(bool, Option<Waker>)>>);

impl Ball {
    fn throw(&self) {
        let waker = {
            let mut ball = self.0.lock().unwrap();
            ball.0 = true;
            ball.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Ball {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut ball = self.0.lock().unwrap();
        if std::mem::take(&mut ball.0) {
            return Poll::Ready(());
        }
        ball.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A queue that is run by hand.
#[derive(Clone, Default)]
struct ByHand(Arc<Mutex<VecDeque<Runnable>>>);

impl Schedule for ByHand {
    fn schedule(task: TaskOf<ByHand>, _: Readied) {
        let queue = task.scheduler().clone();
        queue.0.lock().unwrap().push_back(task.into_runnable());
    }
}

/// What a goroutine does in its n-th poll, and what was seen of it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<(Vec<String>, Vec<Waker>)>>);

impl Log {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().0.push(what.into());
    }
}

/// Follows a script drawn before: pend, wake itself, or end.
fn scripted(log: Log, script: Vec<usize>) -> impl Future<Output = usize> + Send + 'static {
    struct NotesDrop(Log);
    impl Drop for NotesDrop {
        fn drop(&mut self) {
            self.0.note("future dropped");
        }
    }
    let notes = NotesDrop(log.clone());
    let mut step = 0;
    poll_fn(move |cx| {
        notes.0.note(format!("poll {step}"));
        let now = script.get(step).copied().unwrap_or(3);
        step += 1;
        match now {
            0 => {}
            1 => notes.0.0.lock().unwrap().1.push(cx.waker().clone()),
            2 => cx.waker().wake_by_ref(),
            _ => return Poll::Ready(step),
        }
        Poll::Pending
    })
}

/// One side of the comparison.
struct Side {
    log: Log,
    run_one: Box<dyn FnMut() -> bool>,
    abort: Box<dyn FnMut()>,
    finish: Box<dyn FnOnce() -> Option<usize>>,
}

fn ours(script: Vec<usize>) -> Side {
    let (log, queue) = (Log::default(), ByHand::default());
    let (first, handle) = task::build(Spec::new(), scripted(log.clone(), script), queue.clone());
    queue.0.lock().unwrap().push_back(first);
    let run_queue = queue.clone();
    let handle = Arc::new(Mutex::new(Some(handle)));
    let aborting = handle.clone();
    Side {
        log,
        run_one: Box::new(move || {
            let task = run_queue.0.lock().unwrap().pop_front();
            task.map(Runnable::run).is_some()
        }),
        abort: Box::new(move || aborting.lock().unwrap().as_ref().unwrap().abort()),
        finish: Box::new(move || {
            let handle = handle.lock().unwrap().take().unwrap();
            handle
                .is_finished()
                .then(|| block_on(handle).ok())
                .flatten()
        }),
    }
}

fn theirs(script: Vec<usize>) -> Side {
    type Queue = Arc<Mutex<VecDeque<async_task::Runnable>>>;
    let (log, queue) = (Log::default(), Queue::default());
    let scheduling = queue.clone();
    let schedule = move |task| scheduling.lock().unwrap().push_back(task);
    let (first, task) = async_task::spawn(scripted(log.clone(), script), schedule);
    first.schedule();
    let task = Arc::new(Mutex::new(Some(task.fallible())));
    let (aborting, cancelled) = (task.clone(), Arc::new(Mutex::new(None)));
    let result = cancelled.clone();
    Side {
        log,
        run_one: Box::new(move || {
            let task = queue.lock().unwrap().pop_front();
            task.map(async_task::Runnable::run).is_some()
        }),
        // async-task has no abort that keeps the handle: cancelling is dropping the handle's
        // interest, and its future gives the outcome.
        abort: Box::new(move || {
            if let Some(task) = aborting.lock().unwrap().take() {
                let mut cancel = Box::pin(task.cancel());
                let now = cancel
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()));
                *cancelled.lock().unwrap() = Some((cancel, now));
            }
        }),
        finish: Box::new(move || {
            if let Some((mut cancel, now)) = result.lock().unwrap().take() {
                let now = match now {
                    Poll::Pending => cancel
                        .as_mut()
                        .poll(&mut Context::from_waker(Waker::noop())),
                    ready => ready,
                };
                return match now {
                    Poll::Ready(output) => output,
                    Poll::Pending => None,
                };
            }
            let mut task = task.lock().unwrap().take().unwrap();
            match Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(output) => output,
                Poll::Pending => {
                    task.detach();
                    None
                }
            }
        }),
    }
}

/// Random scripts, wakes, runs and aborts: both cells poll and drop at the same steps.
#[test]
fn the_cell_behaves_as_async_tasks_does() {
    rng::reseed(3);
    let rounds = if cfg!(miri) { 60 } else { 5_000 };
    let mut aborted_rounds = 0;
    for round in 0..rounds {
        let script: Vec<_> = (0..6).map(|_| rng::below(5).min(3)).collect();
        let mut sides = [ours(script.clone()), theirs(script.clone())];
        let mut aborted = false;
        for _ in 0..12 {
            let action = rng::below(10);
            for side in &mut sides {
                match action {
                    0..=4 => {
                        let ran = (side.run_one)();
                        side.log.note(format!("ran {ran}"));
                    }
                    5 | 6 => {
                        let wakers = side.log.0.lock().unwrap().1.clone();
                        wakers.iter().for_each(Waker::wake_by_ref);
                    }
                    7 | 8 => {
                        let waker = side.log.0.lock().unwrap().1.pop();
                        if let Some(waker) = waker {
                            waker.wake();
                        }
                    }
                    _ if aborted => {}
                    _ => (side.abort)(),
                }
            }
            aborted |= action == 9;
        }
        aborted_rounds += usize::from(aborted);
        let [ours, theirs] = sides.map(|mut side| {
            while (side.run_one)() {}
            let output = (side.finish)();
            // Without handle and wakers nobody can wake it any more: both cells drop the future.
            let wakers = std::mem::take(&mut side.log.0.lock().unwrap().1);
            drop(wakers);
            while (side.run_one)() {}
            let log = std::mem::take(&mut side.log.0.lock().unwrap().0);
            (log, output)
        });
        assert_eq!(ours, theirs, "round {round}, script {script:?}");
    }
    assert!(aborted_rounds > rounds / 10 && aborted_rounds < rounds);
}
