//! One body, three checkers: loom, stress on std threads, miri.
//!
//! A model file calls [`model`] with a body that starts at most three threads by
//! [`primitive::thread::spawn`](crate::primitive::thread::spawn) and waits for futures with
//! [`block_on`]. Under `--cfg loom` every interleaving is explored (bounded by
//! `LOOM_MAX_PREEMPTIONS` if that is set), the executions are counted and printed, and a model that
//! ran a single execution fails: it has checked nothing. Without loom the body runs
//! `GORIN_STRESS` times (default 200, under miri 3) on real threads.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};

use crate::primitive::PlainArc;

/// Checks `body` under loom; prints how many executions there were.
///
/// # Panics
/// If an execution fails, or if only one execution exists.
#[cfg(loom)]
pub fn model<F: Fn() + Send + Sync + 'static>(name: &str, body: F) {
    explore(name, loom::model::Builder::new(), body);
}

/// Checks `body` under loom with at most `preemptions` forced switches per execution, unless
/// `LOOM_MAX_PREEMPTIONS` asks for fewer or more. For models whose unbounded form does not end.
#[cfg(loom)]
pub fn model_bounded<F: Fn() + Send + Sync + 'static>(name: &str, preemptions: usize, body: F) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    explore(name, builder, body);
}

#[cfg(loom)]
fn explore<F: Fn() + Send + Sync + 'static>(
    name: &str,
    mut builder: loom::model::Builder,
    body: F,
) {
    // std's atomic on purpose: it counts across executions and loom must not see it.
    let executions = PlainArc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = executions.clone();
    if builder.max_branches < 10_000 {
        builder.max_branches = 10_000;
    }
    let bound = builder.preemption_bound;
    let start = std::time::Instant::now();
    builder.check(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        body();
    });
    let executions = executions.load(std::sync::atomic::Ordering::Relaxed);
    let bound = bound.map_or("unbounded".to_owned(), |n| {
        format!("at most {n} preemptions")
    });
    println!(
        "model {name}: {executions} executions, {} ms, {bound}",
        start.elapsed().as_millis()
    );
    assert!(
        executions > 1,
        "model {name} ran one execution: nothing was interleaved"
    );
}

/// Where the exploration of a whole program ends. loom's environment variables come first.
#[cfg(loom)]
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Forced switches per execution.
    pub preemptions: usize,
    /// Executions.
    pub executions: usize,
    /// Time for all executions.
    pub duration: std::time::Duration,
    /// Operations per execution.
    pub branches: usize,
}

/// What an exploration has covered.
#[cfg(loom)]
#[derive(Clone, Copy, Debug)]
pub struct Explored {
    /// Executions.
    pub executions: usize,
    /// Forced switches per execution; `None` if there was no bound.
    pub preemptions: Option<usize>,
    /// A bound on executions or time ended it.
    pub capped: bool,
    /// How long it took.
    pub elapsed: std::time::Duration,
}

/// Explores `body` within `bounds`, for a checker that counts and reports by itself.
#[cfg(loom)]
pub fn explore_within<F: Fn() + Send + Sync + 'static>(bounds: Bounds, body: F) -> Explored {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(bounds.preemptions);
    builder.max_permutations.get_or_insert(bounds.executions);
    builder.max_duration.get_or_insert(bounds.duration);
    builder.max_branches = builder.max_branches.max(bounds.branches);
    if builder.checkpoint_file.is_none() {
        // Only then does loom look at its limits.
        builder.checkpoint_interval = bounds.executions.clamp(1, 1000);
    }
    // std's atomic on purpose, as above.
    let executions = PlainArc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = executions.clone();
    let start = std::time::Instant::now();
    builder.check(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        body();
    });
    let executions = executions.load(std::sync::atomic::Ordering::Relaxed);
    let elapsed = start.elapsed();
    Explored {
        executions,
        preemptions: builder.preemption_bound,
        capped: builder
            .max_permutations
            .is_some_and(|most| executions >= most)
            || builder.max_duration.is_some_and(|most| elapsed >= most),
        elapsed,
    }
}

/// Runs `body` many times on std threads; the loom form of this function explores it instead.
#[cfg(not(loom))]
pub fn model<F: Fn() + Send + Sync + 'static>(name: &str, body: F) {
    let default = if cfg!(miri) { 3 } else { 200 };
    let rounds = std::env::var("GORIN_STRESS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(default);
    for _ in 0..rounds {
        body();
    }
    println!("model {name}: {rounds} rounds on std threads");
}

/// As [`model`]; the bound matters only under loom.
#[cfg(not(loom))]
pub fn model_bounded<F: Fn() + Send + Sync + 'static>(name: &str, _preemptions: usize, body: F) {
    model(name, body);
}

/// A token that a waiting thread sleeps on; no spurious wake-ups, which keeps models small.
#[derive(Debug)]
struct Token {
    set: crate::primitive::Mutex<bool>,
    changed: crate::primitive::Condvar,
}

impl Token {
    fn wait(&self) {
        let mut set = self.set.lock();
        while !*set {
            set = crate::primitive::wait(&self.changed, set);
        }
        *set = false;
    }
}

impl Wake for Token {
    fn wake(self: PlainArc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &PlainArc<Self>) {
        *self.set.lock() = true;
        self.changed.notify_one();
    }
}

/// Runs `future` on this thread, sleeping while it is pending. Under loom a future that nobody
/// wakes is reported as a deadlock.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let token = PlainArc::new(Token {
        set: crate::primitive::Mutex::new(false),
        changed: crate::primitive::Condvar::new(),
    });
    let waker = Waker::from(token.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        token.wait();
    }
}

/// Polls `future` once with a waker that does nothing.
pub fn poll_once<F: Future + ?Sized>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
