//! [`Sleep`]: the future that is ready at a deadline.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use gorin_base::hook::VirtualTimer;
use gorin_base::primitive::PlainArc;
use gorin_base::{clock, coop};

use super::Timers;
use super::shard::{Caller, Closed, Shard, Timer};
use crate::{error, local};

/// A future that is ready once a deadline has passed: never earlier, and later only by what the
/// kernel and a busy worker take.
///
/// It is registered when it is polled first, in the runtime whose worker polls it; made on a thread
/// that has entered a runtime, it belongs to that one. It may then be polled, reset and dropped on
/// any thread.
///
/// Once ready it stays ready, until [`reset`](Self::reset).
///
/// ```
/// use std::time::{Duration, Instant};
/// use gorin_reactor::{Config, Reactor, Sleep};
///
/// # fn main() -> std::io::Result<()> {
/// let mut worker = Reactor::new(Config::default())?.attach(0)?;
/// worker.block_on(async {
///     let start = Instant::now();
///     let mut sleep = Sleep::until(start + Duration::from_millis(2));
///     (&mut sleep).await;
///     sleep.reset(start + Duration::from_millis(4));
///     sleep.await;
///     assert!(start.elapsed() >= Duration::from_millis(4));
/// });
/// # Ok(()) }
/// ```
///
/// # Cancel safety
/// Dropping it cancels it, in constant time, and leaves nothing behind.
///
/// # Panics
/// Polling panics if the deadline lies in the future and there is no runtime to wait in: on a
/// thread that is no worker and has entered none, or after the runtime has shut down.
#[must_use = "a Sleep does nothing unless it is awaited"]
pub struct Sleep {
    /// `None`: never.
    deadline: Option<Instant>,
    /// The runtime that the thread had entered which made this; `None` on a worker, for which the
    /// worker that polls is better, and where there was none.
    home: Option<PlainArc<Shard>>,
    /// Present once registered, also after it has fired.
    timer: Option<Timer>,
    /// Takes the place of `timer` inside a model checker.
    virtual_timer: VirtualTimer,
}

impl Sleep {
    /// Sleeps until `deadline`. One that has passed makes the future ready at once.
    pub fn until(deadline: Instant) -> Self {
        Self::new(Some(deadline))
    }

    /// Never ready, unless [`reset`](Self::reset) gives it a deadline. Needs no runtime.
    pub fn never() -> Self {
        Self::new(None)
    }

    fn new(deadline: Option<Instant>) -> Self {
        let home = local::with_timers(|timers, worker| match worker {
            Some(_) => None,
            None => Some(timers.any_shard().clone()),
        });
        Self {
            deadline,
            home: home.flatten(),
            timer: None,
            virtual_timer: VirtualTimer::new(),
        }
    }

    /// Takes its deadline away: never ready, unless [`reset`](Self::reset) gives it another one; it belongs to
    /// the runtime to which it was made to belong. Who waits for it has to poll it again then.
    pub fn stop(&mut self) {
        self.deadline = None;
        self.timer = None;
        self.virtual_timer = VirtualTimer::new();
    }

    /// Gives it another deadline, earlier or later, also if it was ready already.
    ///
    /// A task that is waiting for it is woken at the new deadline and not at the old one. If it was
    /// not waiting, or was woken already, it has to poll it again, as for any future.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
        self.virtual_timer.reset(deadline);
        if let Some(timer) = &self.timer {
            let shard = timer.shard();
            if !timer.reset(shard.number(deadline), caller(shard)) {
                // It has fired. The next poll registers it anew.
                self.timer = None;
            }
        }
    }

    /// When it is ready; `None` for never.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// True if the deadline has passed: the next poll is ready, or will be at the next look of a
    /// worker.
    pub fn is_elapsed(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| deadline <= clock::now())
    }

    /// The first poll of a deadline.
    fn register(&mut self, deadline: Instant, waker: &Waker) -> Poll<Result<(), Closed>> {
        if deadline <= clock::now() {
            return Poll::Ready(Ok(()));
        }
        let (shard, caller) = match &self.home {
            Some(shard) => (shard.clone(), caller(shard)),
            None => local::with_timers(|timers, worker| match worker {
                Some(index) => (timers.shard(index).clone(), Caller::Worker),
                None => (timers.any_shard().clone(), Caller::Foreign),
            })
            .unwrap_or_else(|| panic!("{}", error::no_runtime("a timer"))),
        };
        let number = shard.number(deadline);
        let registered = Shard::insert(shard, number, waker.clone(), caller);
        match registered {
            Ok(timer) => {
                self.timer = Some(timer);
                Poll::Pending
            }
            Err(closed) => Poll::Ready(Err(closed)),
        }
    }
}

/// A timer of `timers` that wakes `waker` at `deadline`, unless it is dropped before; `None` if they
/// have ended. The calling thread may be any.
pub(crate) fn start(timers: &Timers, deadline: Instant, waker: Waker) -> Option<Timer> {
    let own = local::with_timers(|here, worker| worker.filter(|_| std::ptr::eq(here, timers)));
    let (shard, caller) = match own.flatten() {
        Some(index) => (timers.shard(index), Caller::Worker),
        None => (timers.any_shard(), Caller::Foreign),
    };
    Shard::insert(shard.clone(), shard.number(deadline), waker, caller).ok()
}

/// What the calling thread is to the reactor of `shard`.
fn caller(shard: &Shard) -> Caller {
    let worker = local::with_timers(|timers, worker| worker.is_some() && timers.owns(shard));
    match worker {
        Some(true) => Caller::Worker,
        _ => Caller::Foreign,
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        if let Some(polled) = self.virtual_timer.poll(deadline, cx.waker()) {
            return polled;
        }
        ready!(coop::poll_ready(cx));
        let ended = match &self.timer {
            Some(timer) => ready!(timer.poll(cx.waker())),
            None => ready!(self.register(deadline, cx.waker())),
        };
        // A timer that fired just before the reactor shut down is found closed like all others.
        if ended == Err(Closed) && clock::now() < deadline {
            panic!("{}", error::shut_down("timer"));
        }
        coop::spend();
        Poll::Ready(())
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline)
            .field("registered", &self.timer.is_some())
            .finish()
    }
}
