//! Models of goroutines that stay on their worker: wakes and aborts from other threads, and the end
//! of the worker while others still wake.
//!
//! The future of each model checks on every poll, and when it is dropped, that it is on the thread
//! that it was made on. Must not: use more than two workers and one other thread.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use gorin_base::check::{block_on, model_bounded};
use gorin_base::primitive::{AtomicUsize, Mutex, Ordering, PlainArc, thread, unwinding};
use gorin_executor::{Config, Executor, Spec, spawn_local, yield_now};

fn executor(workers: usize) -> Executor {
    Executor::new(Config {
        workers,
        ..Config::default()
    })
}

/// Raised once, by [`Signal::raise`], which wakes who waits.
#[derive(Clone, Default)]
struct Signal(PlainArc<Mutex<(bool, Option<Waker>)>>);

impl Signal {
    fn raise(&self) {
        let waker = {
            let mut signal = self.0.lock();
            signal.0 = true;
            signal.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Waits for a signal; belongs to one thread.
struct Homebound {
    signal: Signal,
    home: thread::ThreadId,
    drops: PlainArc<AtomicUsize>,
    not_send: PhantomData<Rc<()>>,
}

impl Homebound {
    fn new(signal: &Signal, drops: &PlainArc<AtomicUsize>) -> Homebound {
        Homebound {
            signal: signal.clone(),
            home: thread::current().id(),
            drops: drops.clone(),
            not_send: PhantomData,
        }
    }

    fn check(&self) {
        assert_eq!(thread::current().id(), self.home, "not at home");
    }
}

impl Future for Homebound {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        self.check();
        let mut signal = self.signal.0.lock();
        if signal.0 {
            return Poll::Ready(7);
        }
        signal.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Homebound {
    fn drop(&mut self) {
        if !unwinding() {
            self.check();
            self.drops.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Property: a local task that another thread wakes is polled, also while its worker sits down.
/// Bugs: the worker is not called; it does not look at its mailbox once it sits.
#[test]
fn foreign_wake_vs_sit() {
    model_bounded("local::foreign_wake_vs_sit", 2, || {
        let executor = executor(1);
        let (signal, drops) = (Signal::default(), PlainArc::default());
        let raising = signal.clone();
        let raiser = thread::spawn(move || raising.raise());
        let mut worker = executor.worker(0);
        let handle = spawn_local(Spec::new(), Homebound::new(&signal, &drops));
        assert_eq!(block_on(worker.run_until(handle)).unwrap(), 7);
        raiser.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

/// Property: a local task that a goroutine of another worker wakes, or aborts, comes home.
/// Bug: it goes where any worker may take it.
#[test]
fn wake_on_another_worker() {
    model_bounded("local::wake_on_another_worker", 1, || {
        let executor = executor(2);
        let (signal, drops) = (Signal::default(), PlainArc::default());
        let mut worker = executor.worker(0);
        let handle = spawn_local(Spec::new(), Homebound::new(&signal, &drops));
        let other = {
            let executor = executor.clone();
            thread::spawn(move || {
                let mut worker = executor.worker(1);
                block_on(worker.run_until(async move { signal.raise() }));
                block_on(worker.run());
            })
        };
        assert_eq!(block_on(worker.run_until(handle)).unwrap(), 7);
        executor.stop();
        other.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

/// Property: a worker that ends while another thread wakes its local task drops that task at home.
/// Bug: it does not wait for who is about to hand the task over.
#[test]
fn end_vs_foreign_wake() {
    model_bounded("local::end_vs_foreign_wake", 3, || {
        let executor = executor(1);
        let (signal, drops) = (Signal::default(), PlainArc::default());
        let mut worker = executor.worker(0);
        drop(spawn_local(Spec::new(), Homebound::new(&signal, &drops)));
        block_on(worker.run_until(yield_now()));
        let raiser = thread::spawn(move || signal.raise());
        drop(worker);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        raiser.join().unwrap();
    });
}

/// Property: a handle that is the last to know a local task, on another thread, does not drop its
/// future there; an abort through it comes home.
#[test]
fn handle_elsewhere() {
    model_bounded("local::handle_elsewhere", 2, || {
        let executor = executor(1);
        let (signal, drops) = (Signal::default(), PlainArc::default());
        let mut worker = executor.worker(0);
        let handle = spawn_local(Spec::new(), Homebound::new(&signal, &drops));
        drop(signal);
        let aborting = thread::spawn(move || drop(handle.abort_on_drop()));
        block_on(worker.run_until(yield_now()));
        aborting.join().unwrap();
        executor.stop();
        block_on(worker.run());
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        assert_eq!(executor.num_tasks(), 0);
    });
}
