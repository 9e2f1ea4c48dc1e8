//! What the executor costs, in nanoseconds: spawn and join, yield, ping-pong by wakers.
//!
//! ```text
//! cargo run --release -p gorin-executor --example costs
//! ```
//! Each figure is the best of seven runs, on one and on two workers, with a `block_on` that parks by
//! `thread::park`; real programs park in the reactor.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures::executor::block_on;
use gorin_executor::{Config, Executor, Spec, spawn, yield_now};

const ROUNDS: usize = 200_000;

fn main() {
    for workers in [1, 2] {
        report("spawn, join one by one", workers, || async {
            for _ in 0..ROUNDS {
                spawn(Spec::new(), async {}).await.unwrap();
            }
        });
        report("spawn many, then join", workers, || async {
            for _ in 0..ROUNDS / 1_000 {
                let handles: Vec<_> = (0..1_000).map(|_| spawn(Spec::new(), async {})).collect();
                for handle in handles {
                    handle.await.unwrap();
                }
            }
        });
        report("spawn detached", workers, || {
            let finished = Arc::new(AtomicUsize::new(0));
            async move {
                for _ in 0..ROUNDS / 1_000 {
                    for _ in 0..1_000 {
                        let finished = finished.clone();
                        spawn(Spec::new(), async move {
                            finished.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                    yield_now().await;
                }
                while finished.load(Ordering::Relaxed) < ROUNDS {
                    yield_now().await;
                }
            }
        });
        report("yield of one", workers, || async {
            let yielding = spawn(Spec::new(), async {
                for _ in 0..ROUNDS {
                    yield_now().await;
                }
            });
            yielding.await.unwrap();
        });
        report("yield among ten", workers, || async {
            let yielding = |_| {
                spawn(Spec::new(), async {
                    for _ in 0..ROUNDS / 10 {
                        yield_now().await;
                    }
                })
            };
            for handle in (0..10).map(yielding).collect::<Vec<_>>() {
                handle.await.unwrap();
            }
        });
        report("ping-pong trip", workers, || async {
            let (left, right) = (Ball::default(), Ball::default());
            let (l, r) = (left.clone(), right.clone());
            let other = spawn(Spec::new(), async move {
                for _ in 0..ROUNDS {
                    l.caught().await;
                    r.throw();
                }
            });
            let one = spawn(Spec::new(), async move {
                for _ in 0..ROUNDS {
                    left.throw();
                    right.caught().await;
                }
            });
            one.await.unwrap();
            other.await.unwrap();
        });
    }
}

/// Prints the best of seven.
fn report<F: Future<Output = ()>>(what: &str, workers: usize, main: impl Fn() -> F) {
    let best = (0..7)
        .map(|_| measure(workers, main()))
        .min_by(f64::total_cmp);
    let best = best.expect("seven runs");
    println!("{what:24} {workers} worker(s) {best:8.1} ns");
}

fn measure(workers: usize, main: impl Future<Output = ()>) -> f64 {
    let executor = Executor::new(Config {
        workers,
        ..Config::default()
    });
    std::thread::scope(|scope| {
        for index in 1..workers {
            let executor = executor.clone();
            scope.spawn(move || block_on(executor.worker(index).run()));
        }
        let mut worker = executor.worker(0);
        let start = Instant::now();
        block_on(worker.run_until(main));
        let spent = start.elapsed();
        executor.stop();
        block_on(worker.run());
        spent.as_nanos() as f64 / ROUNDS as f64
    })
}

/// A flag and a waker: what two goroutines throw to each other.
#[derive(Clone, Default)]
struct Ball(Arc<(AtomicBool, Mutex<Option<Waker>>)>);

impl Ball {
    fn throw(&self) {
        self.0.0.store(true, Ordering::Release);
        let waker = self.0.1.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn caught(&self) -> Caught<'_> {
        Caught(self)
    }
}

struct Caught<'a>(&'a Ball);

impl Future for Caught<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (thrown, waker) = &*self.0.0;
        let mut waker = waker.lock().unwrap();
        if thrown.swap(false, Ordering::Acquire) {
            return Poll::Ready(());
        }
        *waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
