//! A receiver as a `Stream`, and iteration for threads.
//!
//! A stream's wait outlives each call of `poll_next`: the key of its waiter is in the receiver. When
//! the same receiver is then used by `recv`, by `try_recv` or in a select, the waiter must not keep a
//! value that was handed to it meanwhile: it is *recalled* first, which puts the value back to the
//! front of the channel and leaves an empty waiter behind for the stream to clear away.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::{FusedStream, Stream};
use gorin_base::hook::{self, Access};
use gorin_base::seeded;

use crate::receiver::Receiver;
use crate::waiter::Wakeup;

impl<T> Receiver<T> {
    /// Takes the line place of the stream back, with the value if it was given one.
    #[inline]
    pub(crate) fn recall(&self) {
        if self.stream.key().is_some() && !seeded::bug("stream.not_recalled") {
            self.recall_stream();
        }
    }

    #[cold]
    fn recall_stream(&self) {
        let Some(key) = self.stream.key() else {
            return;
        };
        hook::step(
            "withdrawal",
            self.shared.id,
            Access::Write,
            self.stream.site,
        );
        let mut state = self.shared.state.lock();
        let mut recalled = state.recall(key);
        drop(state);
        Wakeup::wake_any(recalled.wakeup.take());
    }

    /// Receives the values one after the other, blocking this thread, until the channel is closed
    /// and drained; for threads that run no goroutines.
    ///
    /// ```
    /// let (tx, rx) = gorin_channel::chan(3);
    /// for n in 1..=3 {
    ///     tx.try_send(n).unwrap();
    /// }
    /// drop(tx);
    /// assert_eq!(rx.iter().sum::<u32>(), 6);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }
}

/// Iterator over the values of a channel; see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv_blocking()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// The values of the channel; ends when it is closed and drained.
///
/// ```
/// use futures::StreamExt;
/// # futures::executor::block_on(async {
/// let (tx, mut rx) = gorin_channel::chan(2);
/// tx.send(1).await.unwrap();
/// tx.send(2).await.unwrap();
/// drop(tx);
/// assert_eq!(rx.next().await, Some(1));
/// assert_eq!(rx.recv().await, Some(2));
/// assert_eq!(rx.next().await, None);
/// # });
/// ```
///
/// # Cancel safety
/// As [`Receiver::recv`]. Between two polls the stream stands in line; a value that it was given
/// stays with it until the next poll, the next other use of this receiver, or its drop.
impl<T> Stream for Receiver<T> {
    type Item = T;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        this.stream.poll(&this.shared, cx)
    }
}

impl<T> FusedStream for Receiver<T> {
    /// True if no receive can ever again return a value: closed, drained, and no value is in the
    /// hands of a receive that may yet be cancelled.
    fn is_terminated(&self) -> bool {
        self.shared.state.lock().is_exhausted()
    }
}
