//! [`AfterFunc`]: something done after the end of a context, unless it is stopped.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::done::Done;
use crate::goroutine::JoinError;
use crate::later::Later;

/// Something that runs when a context has ended; made by
/// [`Context::after_func`](super::Context::after_func).
///
/// As a future it waits for the end of what runs, and gives its value, or `None` if it was stopped. Dropping
/// it changes nothing.
pub struct AfterFunc<T> {
    later: Later<T>,
    is_stopped: bool,
}

impl<T: Send + 'static> AfterFunc<T> {
    #[track_caller]
    pub(super) fn start<F>(done: Done, future: F) -> AfterFunc<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        AfterFunc {
            later: Later::start(done, &mut Some(Box::pin(future))),
            is_stopped: false,
        }
    }

    /// Prevents the future from running, and drops it. True if this call did: no part of it has run or will.
    /// False if it has begun, perhaps ended, or was stopped already. (In Go it has begun as soon as the cancel
    /// returns; here its goroutine needs a worker first.)
    ///
    /// Does not wait for a future that has begun; awaiting the handle does.
    pub fn stop(&mut self) -> bool {
        let stops = self.later.take_back().is_some();
        self.is_stopped |= stops;
        stops
    }
}

impl<T> Future for AfterFunc<T> {
    type Output = Result<Option<T>, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_stopped {
            return Poll::Ready(Ok(None));
        }
        Pin::new(&mut self.later).poll(cx)
    }
}

impl<T> fmt::Debug for AfterFunc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterFunc")
            .field("waiting", &self.later.is_waiting())
            .field("stopped", &self.is_stopped)
            .finish_non_exhaustive()
    }
}
