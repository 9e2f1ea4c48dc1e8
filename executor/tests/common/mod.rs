//! What the executor's tests share: a plain parking `block_on`, and an executor on std threads.
//!
//! Must not: use anything but the public interface.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of this"
)]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};

use gorin_executor::{Config, Executor, PanicPolicy};

/// Wakes a parked thread.
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

/// Runs `future` on this thread, parked while it is pending.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let unpark = Arc::new(Unpark {
        thread: thread::current(),
        woken: AtomicBool::new(true),
    });
    let waker = Waker::from(unpark.clone());
    let mut future = pin!(future);
    loop {
        while !unpark.woken.swap(false, Ordering::AcqRel) {
            thread::park();
        }
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
    }
}

/// An executor whose workers run on threads of their own; stopped and joined when dropped.
pub struct Threads {
    pub executor: Executor,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    pub fn new(workers: usize) -> Threads {
        Threads::with_policy(workers, PanicPolicy::Isolate)
    }

    pub fn with_policy(workers: usize, panic_policy: PanicPolicy) -> Threads {
        let executor = Executor::new(Config {
            workers,
            panic_policy,
            ..Config::default()
        });
        let start = |index| {
            let executor = executor.clone();
            thread::spawn(move || block_on(executor.worker(index).run()))
        };
        let threads = (0..workers).map(start).collect();
        Threads { executor, threads }
    }

    /// Stops the executor and waits until every goroutine is gone.
    pub fn shut_down(&mut self) {
        self.executor.stop();
        for thread in self.threads.drain(..) {
            thread.join().expect("no panic leaves a worker");
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Runs `main` on worker 0 of an executor, on this thread, with the other workers on theirs.
pub fn run<F: Future>(workers: usize, main: F) -> F::Output {
    let executor = Executor::new(Config {
        workers,
        ..Config::default()
    });
    thread::scope(|scope| {
        for index in 1..workers {
            let executor = executor.clone();
            scope.spawn(move || block_on(executor.worker(index).run()));
        }
        let mut worker = executor.worker(0);
        let output = block_on(worker.run_until(main));
        executor.stop();
        block_on(worker.run());
        assert_eq!(executor.num_tasks(), 0);
        output
    })
}

/// An event that tasks and threads wait for, with all their wakers in a list.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    pub fn open(&self) {
        let wakers = {
            let mut gate = self.0.lock().unwrap();
            gate.0 = true;
            std::mem::take(&mut gate.1)
        };
        for waker in wakers {
            waker.wake();
        }
    }

    /// Wakers that wait.
    pub fn waiting(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }

    pub fn take_wakers(&self) -> Vec<Waker> {
        std::mem::take(&mut self.0.lock().unwrap().1)
    }
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut gate = self.0.lock().unwrap();
        if gate.0 {
            return Poll::Ready(());
        }
        gate.1.push(cx.waker().clone());
        Poll::Pending
    }
}
