//! [`Later`]: a future that runs in a goroutine of its own when something has come, unless it is taken back.
//!
//! The future lies in a channel of one place until then. Its goroutine takes it out to run it, who takes it
//! back takes it out to prevent that: whoever has it has decided. So there is no protocol here beside the
//! channel's.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::channel::{Receiver, chan};
use crate::goroutine::{JoinError, JoinHandle, go};

/// What is to run.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// See the module text. As a future it waits for the end of what runs, and gives its value, or `None` if it
/// was taken back. Dropping it changes nothing.
pub(crate) struct Later<T> {
    /// Where the future waits.
    taker: Receiver<Work<T>>,
    task: JoinHandle<Option<T>>,
}

impl<T: Send + 'static> Later<T> {
    /// Starts the goroutine that runs `work` when `signal` is ready. If it cannot be started `work` stays where
    /// it is.
    #[track_caller]
    pub(crate) fn start<S>(signal: S, work: &mut Option<Work<T>>) -> Later<T>
    where
        S: Future<Output: Send> + Send + 'static,
    {
        let (place, taker) = chan(1);
        let task = go({
            let taker = taker.clone();
            async move {
                signal.await;
                // Waits for what is put there below; after that the channel has an end.
                Some(taker.recv().await?.await)
            }
        });
        let work = work.take().expect("there is something to run");
        let put = place.try_send(work);
        assert!(put.is_ok(), "a new channel has its place free");
        Later { taker, task }
    }

    /// Takes the work back, if it has not begun: no part of it will run.
    pub(crate) fn take_back(&self) -> Option<Work<T>> {
        let work = self.taker.try_recv().ok()?;
        self.task.abort();
        Some(work)
    }
}

impl<T> Later<T> {
    /// True while the work has neither begun nor been taken back.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.taker.is_empty()
    }
}

impl<T> Future for Later<T> {
    type Output = Result<Option<T>, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(cx)
    }
}
