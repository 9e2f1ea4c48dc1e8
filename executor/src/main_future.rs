//! What a worker polls beside the goroutines: the future given to `run_until`, or nothing until all
//! is over.
//!
//! The main future has no task: it may borrow and need not be `Send`, because it stays on its
//! worker's stack. Its waker sets a flag and gets that one worker up.
//!
//! Invariants:
//! - The worker looks at the flag after it sat down, under the lock that a call of it takes too; so
//!   a wake either is seen or gets it up.
//! - The flag is cleared before the poll, so that a wake during the poll makes another.
//!
//! Must not: be sent to another worker, or run goroutines.
//!
//! [`Worker::run`]: crate::Worker::run
//! [`Worker::run_until`]: crate::Worker::run_until

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

use gorin_base::primitive::{Arc, AtomicBool, Ordering, PlainArc};
use gorin_base::seeded;

use crate::context::{Doing, worker_of};
use crate::executor::Shared;
use crate::task::Payload;

/// What runs beside the tasks.
pub(crate) trait Main {
    /// There is something to do: poll.
    fn is_due(&self, shared: &Shared) -> bool;
    /// True if it is done.
    fn poll(&mut self) -> bool;
}

/// That of [`Worker::run`](crate::Worker::run): due when all is over.
pub(crate) struct UntilOver;

impl Main for UntilOver {
    #[inline]
    fn is_due(&self, shared: &Shared) -> bool {
        shared.is_over()
    }

    fn poll(&mut self) -> bool {
        true
    }
}

/// That of [`Worker::run_until`](crate::Worker::run_until).
pub(crate) struct UntilMain<'a, F: Future> {
    future: Pin<&'a mut F>,
    flag: PlainArc<MainWaker>,
    /// Made of the flag.
    waker: Waker,
    end: Option<Result<F::Output, Payload>>,
}

impl<'a, F: Future> UntilMain<'a, F> {
    /// `future` is to be polled by worker `index`, and is due.
    pub(crate) fn new(future: Pin<&'a mut F>, shared: &Arc<Shared>, index: usize) -> Self {
        let flag = PlainArc::new(MainWaker {
            shared: shared.clone(),
            index,
            woken: AtomicBool::new(true),
        });
        UntilMain {
            future,
            waker: Waker::from(flag.clone()),
            flag,
            end: None,
        }
    }

    /// The output, once [`Main::poll`] has said that it is done. Raises the panic that was to
    /// crash the executor.
    pub(crate) fn into_output(self) -> F::Output {
        match self.end.expect("main is done") {
            Ok(output) => output,
            Err(payload) => resume_unwind(payload),
        }
    }
}

impl<F: Future> Main for UntilMain<'_, F> {
    #[inline]
    fn is_due(&self, shared: &Shared) -> bool {
        // Relaxed: a set flag is followed by a call of this worker, whose lock orders it.
        self.flag.woken.load(Ordering::Relaxed) || shared.has_crashed()
    }

    fn poll(&mut self) -> bool {
        if let Some(payload) = self.flag.shared.take_crash() {
            self.end = Some(Err(payload));
            return true;
        }
        // Acquires what the wakes before wrote; later ones set it anew.
        if !self.flag.woken.swap(false, Ordering::AcqRel) {
            return false;
        }
        let mut context = Context::from_waker(&self.waker);
        match self.future.as_mut().poll(&mut context) {
            Poll::Ready(output) => {
                self.end = Some(Ok(output));
                true
            }
            Poll::Pending => false,
        }
    }
}

/// Wakes the main future: sets a flag, and gets its worker up.
struct MainWaker {
    shared: Arc<Shared>,
    index: usize,
    /// Set by wakers (release), cleared by the worker before it polls (acquire).
    woken: AtomicBool,
}

impl Wake for MainWaker {
    fn wake(self: PlainArc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &PlainArc<Self>) {
        if self.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        match worker_of(&self.shared) {
            // Its own thread: it looks at the flag before it sits.
            Some(context) if context.index() == self.index => {
                let desk = context.desk();
                if desk.doing.get() == Doing::Ending {
                    desk.before_main.set(desk.queued());
                }
                context.get_up();
            }
            _ if seeded::bug("worker.main_not_called") => {}
            _ => self.shared.idle.call(self.index),
        }
    }
}
