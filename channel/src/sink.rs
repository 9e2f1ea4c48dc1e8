//! A sender as a `Sink`.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;

use crate::error::SendError;
use crate::operation::Wait;
use crate::send::SendOp;
use crate::sender::Sender;

/// A [`Sender`] as a [`Sink`], from [`Sender::into_sink`]. It holds at most one value that is not
/// sent yet; dropping the sink drops that value.
///
/// Closing the sink sends that value and drops the sender; the sink must not be used afterwards.
pub struct SenderSink<T> {
    /// `None` once the sink is closed.
    sender: Option<Sender<T>>,
    /// The value that is on its way.
    wait: Option<Wait<SendOp<T>>>,
}

/// The value is never pinned: it moves into the channel.
impl<T> Unpin for SenderSink<T> {}

impl<T> Sender<T> {
    /// This sender as a `Sink`.
    ///
    /// ```
    /// use futures::{SinkExt, StreamExt, stream};
    /// # futures::executor::block_on(async {
    /// let (tx, rx) = gorin_channel::chan(3);
    /// let mut sink = tx.into_sink();
    /// sink.send_all(&mut stream::iter([1, 2, 3].map(Ok))).await.unwrap();
    /// sink.close().await.unwrap();
    /// assert_eq!(rx.collect::<Vec<_>>().await, [1, 2, 3]);
    /// # });
    /// ```
    pub fn into_sink(self) -> SenderSink<T> {
        SenderSink {
            sender: Some(self),
            wait: None,
        }
    }
}

impl<T> SenderSink<T> {
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        if let (Some(sender), Some(wait)) = (&self.sender, &mut self.wait) {
            let result = ready!(wait.poll(&sender.shared, cx));
            self.wait = None;
            result?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T> Sink<T> for SenderSink<T> {
    type Error = SendError<T>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.get_mut().flush(cx)
    }

    #[track_caller]
    fn start_send(self: Pin<&mut Self>, value: T) -> Result<(), Self::Error> {
        let this = self.get_mut();
        assert!(
            this.sender.is_some(),
            "start_send on a sink that was closed"
        );
        assert!(this.wait.is_none(), "start_send without poll_ready");
        this.wait = Some(Wait::new(SendOp::new(value), Location::caller()));
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.get_mut().flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let this = self.get_mut();
        let result = ready!(this.flush(cx));
        this.sender = None;
        Poll::Ready(result)
    }
}

impl<T> Drop for SenderSink<T> {
    fn drop(&mut self) {
        if let (Some(sender), Some(wait)) = (&self.sender, &mut self.wait) {
            wait.cancel(&sender.shared);
        }
    }
}

impl<T> fmt::Debug for SenderSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SenderSink")
            .field("sender", &self.sender)
            .finish_non_exhaustive()
    }
}
