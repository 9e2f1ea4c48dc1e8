//! The loop of a worker, on its own thread: [`Local`].
//!
//! The future that it runs is not ours. Around each poll of it the worker says that it has no control
//! (`pulse.rs`), and sees to it that somebody watches.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use gorin_base::clock;

use super::{Drained, Worker};
use crate::local::{self, EnterGuard};
use crate::park::Notice;

/// How long a worker whose [`Local`] is dropped without [`Local::shutdown`] waits for the kernel.
const DROP_PATIENCE: Duration = Duration::from_secs(1);

/// A worker in its loop. When it leaves, also by a panic, the timers go to the others, and nobody
/// waits for it any more.
struct Looping<'a>(&'a Worker);

impl Looping<'_> {
    fn new(worker: &Worker) -> Looping<'_> {
        if let Some(guard) = &worker.shared.guard {
            guard.watch.enter();
        }
        worker.now.set(clock::now());
        Looping(worker)
    }

    /// Runs `code`, which is not ours.
    fn run<R>(&self, code: impl FnOnce() -> R) -> R {
        let now = self.0.shared.number(self.0.now.get());
        self.0.ask_to_be_watched();
        self.0.post().pulse.begin(now);
        self.0.call_spare();
        let result = code();
        self.0.post().pulse.end();
        result
    }
}

impl Drop for Looping<'_> {
    fn drop(&mut self) {
        let Looping(worker) = self;
        // Code that has panicked.
        worker.post().pulse.end();
        worker.shared.timers.leave(worker.index);
        if let Some(guard) = &worker.shared.guard {
            guard.watch.leave();
        }
    }
}

/// A worker's side of a [`Reactor`](crate::Reactor), on its own thread.
///
/// Dropping it without [`shutdown`](Local::shutdown) shuts it down with a deadline of one second.
pub struct Local {
    worker: Rc<Worker>,
    /// Makes the worker the thread's reactor. `None` once it has ended.
    entered: Option<EnterGuard>,
}

impl Local {
    pub(crate) fn new(worker: Rc<Worker>) -> Local {
        Local {
            entered: Some(local::enter_worker(worker.clone())),
            worker,
        }
    }

    /// Runs `future` to its end. While it is pending and nobody has woken it, the thread sleeps in
    /// its ring.
    ///
    /// # Panics
    /// If the future panics, and if the kernel refuses the ring, which it does only if somebody has
    /// closed the ring's descriptor.
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let worker = &*self.worker;
        let looping = Looping::new(worker);
        let waker = Waker::from(worker.signal().clone());
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        // The first round polls, and looks at what came before.
        let mut notice = Notice {
            task: true,
            mail: true,
        };
        loop {
            if notice.task
                && let Poll::Ready(output) = looping.run(|| future.as_mut().poll(&mut context))
            {
                worker.reap();
                return output;
            }
            worker.tick(notice.mail);
            notice = worker.signal().take();
            if !notice.task && !notice.mail {
                worker.park();
                worker.tell_of_shared();
                notice = worker.signal().take();
            }
        }
    }

    /// Ends the worker: what is in flight on its ring is cancelled and reaped, then the ring is
    /// closed. Goroutines should be gone before. Whoever still waits for a socket here is woken,
    /// and finds another worker or an error.
    ///
    /// What the kernel has not ended by `deadline` (a read from a disk cannot be cancelled) is
    /// leaked with the ring, deliberately: closing a ring does not keep the kernel from writing.
    pub fn shutdown(mut self, deadline: Instant) -> Drained {
        self.end(deadline)
    }

    fn end(&mut self, deadline: Instant) -> Drained {
        let drained = self.worker.end(deadline);
        self.entered = None;
        if !drained.is_clean() || !self.worker.is_drained() {
            // One reference too many: the ring is never dropped.
            std::mem::forget(self.worker.clone());
        }
        drained
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if self.entered.is_some() {
            let _ = self.end(clock::now() + DROP_PATIENCE);
        }
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("index", &self.worker.index)
            .finish_non_exhaustive()
    }
}
