//! [`after_func`]: something done later in a goroutine of its own, unless it is stopped.
//!
//! Each time that it is set has a [`Later`] of its own, with a channel and a goroutine. With one channel for
//! all, a goroutine that woke for the old time could find the future there again after a reset, and run it
//! too early.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::sleep;
use crate::goroutine::JoinError;
use crate::later::{Later, Work};

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
    AfterFunc {
        later: Later::start(sleep(duration), &mut Some(Box::pin(future))),
        stopped: None,
        waits: None,
    }
}

/// Something that runs later; made by [`after_func`].
///
/// As a future it waits for the end of what runs, and gives its value, or `None` if it is stopped.
pub struct AfterFunc<T> {
    later: Later<T>,
    /// The future, while it is stopped.
    stopped: Option<Work<T>>,
    /// Who waits for `later`. A reset puts another one in its place, which he does not know.
    waits: Option<Waker>,
}

impl<T: Send + 'static> AfterFunc<T> {
    /// Prevents the future from running. True if this call did: no part of it has run, nor will
    /// unless it is [`reset`](AfterFunc::reset). False if it has begun, perhaps ended, or was
    /// stopped already.
    ///
    /// Does not wait for a future that has begun; awaiting the handle does.
    pub fn stop(&mut self) -> bool {
        let Some(work) = self.later.take_back() else {
            return false;
        };
        self.stopped = Some(work);
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
        self.later = Later::start(sleep(duration), &mut self.stopped);
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
        let polled = Pin::new(&mut self.later).poll(cx);
        self.waits = polled.is_pending().then(|| cx.waker().clone());
        polled
    }
}

impl<T> fmt::Debug for AfterFunc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterFunc")
            .field("waiting", &self.later.is_waiting())
            .field("stopped", &self.stopped.is_some())
            .finish_non_exhaustive()
    }
}
