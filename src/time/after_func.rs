//! [`after_func`]: something done later in a goroutine of its own, unless it is stopped.
//!
//! The future lies in a channel of one place until its time has come. Its goroutine takes it out to
//! run it, [`AfterFunc::stop`] and [`AfterFunc::reset`] take it out to prevent that: whoever has it
//! has decided. So there is no protocol here beside the channel's.
//!
//! Each time that it is set has a channel and a goroutine of its own. With one channel for all, a
//! goroutine that woke for the old time could find the future there again after a reset, and run
//! it too early.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::sleep;
use crate::channel::{Receiver, chan};
use crate::goroutine::{JoinError, JoinHandle, go};

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs `future` in a goroutine of its own after `duration`: Go's `time.AfterFunc`.
///
/// Dropping what is returned changes nothing; [`stop`](AfterFunc::stop) prevents the future from
/// running, if it has not begun.
///
/// ```
/// use gorin::time::after_func;
/// use std::time::Duration;
///
/// gorin::run(async {
///     let greeting = after_func(Duration::from_millis(1), async { "hello" });
///     assert_eq!(greeting.await.unwrap(), Some("hello"));
///
///     let mut alarm = after_func(Duration::from_secs(3600), async { unreachable!() });
///     assert!(alarm.stop());
///     assert_eq!(alarm.await.unwrap(), None::<()>);
/// });
/// ```
///
/// # Panics
/// On a thread that belongs to no runtime; the text says what to do.
#[track_caller]
pub fn after_func<F>(duration: Duration, future: F) -> AfterFunc<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (taker, task) = start(duration, &mut Some(Box::pin(future)));
    AfterFunc {
        taker,
        stopped: None,
        task,
        waits: None,
    }
}

/// Starts the goroutine that runs `later`, if that is still in its channel when the time has come. If it cannot
/// be started `later` stays where it is.
#[track_caller]
fn start<T: Send + 'static>(
    duration: Duration,
    later: &mut Option<Later<T>>,
) -> (Receiver<Later<T>>, JoinHandle<Option<T>>) {
    let (place, taker) = chan(1);
    let sleep = sleep(duration);
    let task = go({
        let taker = taker.clone();
        async move {
            sleep.await;
            // Waits for what is put there below; after that the channel has an end.
            Some(taker.recv().await?.await)
        }
    });
    let later = later.take().expect("there is something to run");
    let put = place.try_send(later);
    assert!(put.is_ok(), "a new channel has its place free");
    (taker, task)
}

/// Something that runs later; made by [`after_func`].
///
/// As a future it waits for the end of what runs, and gives its value, or `None` if it is stopped.
pub struct AfterFunc<T> {
    /// Where the future waits for its time.
    taker: Receiver<Later<T>>,
    /// The future, while it is stopped.
    stopped: Option<Later<T>>,
    task: JoinHandle<Option<T>>,
    /// Who waits for `task`. A reset puts another one in its place, which he does not know.
    waits: Option<Waker>,
}

impl<T: Send + 'static> AfterFunc<T> {
    /// Prevents the future from running. True if this call did: no part of it has run, nor will
    /// unless it is [`reset`](AfterFunc::reset). False if it has begun, perhaps ended, or was
    /// stopped already.
    ///
    /// Does not wait for a future that has begun; awaiting the handle does.
    pub fn stop(&mut self) -> bool {
        let Ok(later) = self.taker.try_recv() else {
            return false;
        };
        self.task.abort();
        self.stopped = Some(later);
        true
    }

    /// Lets the future run `duration` from now instead of at the time set before, also if it was
    /// stopped. True if it will; false if it has begun already, and then this changes nothing. (Go
    /// would run its function a second time; a future runs once.) Who waits for its end goes on waiting.
    ///
    /// ```
    /// # use gorin::time::after_func;
    /// # use std::time::Duration;
    /// # gorin::run(async {
    /// let mut alarm = after_func(Duration::from_secs(3600), async { 7 });
    /// assert!(alarm.stop());
    /// assert!(alarm.reset(Duration::from_millis(1)));
    /// assert_eq!(alarm.await.unwrap(), Some(7));
    /// # });
    /// ```
    ///
    /// # Panics
    /// On a thread that belongs to no runtime; the text says what to do. It is stopped then.
    #[track_caller]
    pub fn reset(&mut self, duration: Duration) -> bool {
        if !self.stop() && self.stopped.is_none() {
            return false;
        }
        (self.taker, self.task) = start(duration, &mut self.stopped);
        if let Some(waits) = self.waits.take() {
            waits.wake();
        }
        true
    }
}

impl<T> Future for AfterFunc<T> {
    type Output = Result<Option<T>, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.stopped.is_some() {
            return Poll::Ready(Ok(None));
        }
        let polled = Pin::new(&mut self.task).poll(cx);
        self.waits = polled.is_pending().then(|| cx.waker().clone());
        polled
    }
}

impl<T> fmt::Debug for AfterFunc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterFunc")
            .field("waiting", &!self.taker.is_empty())
            .field("stopped", &self.stopped.is_some())
            .finish_non_exhaustive()
    }
}
