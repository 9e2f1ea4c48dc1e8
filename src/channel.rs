//! Go's channels and `select!`, and what needs a clock beside them.
//!
//! Everything of `gorin_channel` is here under its own name; [`ReceiverExt`] and [`SenderExt`] add what
//! joins a channel with a timer, which the channel crate must not know.

pub use gorin_channel::*;

#[cfg(not(loom))]
mod timed {
    use std::error::Error;
    use std::fmt;
    use std::future::Future;
    use std::pin::pin;
    use std::time::Duration;

    use gorin_channel::{Receiver, SendError, Sender};

    use crate::time::timeout;

    /// What [`Receiver`] offers with the help of a timer. Bring it into scope by
    /// `use gorin::prelude::*`.
    pub trait ReceiverExt<T> {
        /// Receives a value, or gives up after `limit`.
        ///
        /// ```
        /// use gorin::prelude::*;
        /// use gorin::channel::RecvTimeoutError;
        /// use std::time::Duration;
        ///
        /// gorin::run(async {
        ///     let (tx, rx) = chan::<u8>(1);
        ///     let limit = Duration::from_millis(5);
        ///     assert_eq!(rx.recv_timeout(limit).await, Err(RecvTimeoutError::Timeout));
        ///     tx.send(1).await.unwrap();
        ///     assert_eq!(rx.recv_timeout(limit).await, Ok(1));
        ///     drop(tx);
        ///     assert_eq!(rx.recv_timeout(limit).await, Err(RecvTimeoutError::Closed));
        /// });
        /// ```
        ///
        /// # Errors
        /// [`RecvTimeoutError::Timeout`] if no value came in time, [`RecvTimeoutError::Closed`] if
        /// the channel is closed and empty.
        ///
        /// # Cancel safety
        /// A value that was handed over to a dropped or timed-out call goes back to the channel.
        ///
        /// # Panics
        /// When it has to wait on a thread that belongs to no runtime, which has no timers.
        fn recv_timeout(
            &self,
            limit: Duration,
        ) -> impl Future<Output = Result<T, RecvTimeoutError>>;
    }

    impl<T> ReceiverExt<T> for Receiver<T> {
        async fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
            match timeout(limit, self.recv()).await {
                Ok(Some(value)) => Ok(value),
                Ok(None) => Err(RecvTimeoutError::Closed),
                Err(_elapsed) => Err(RecvTimeoutError::Timeout),
            }
        }
    }

    /// Why [`ReceiverExt::recv_timeout`] returned no value.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum RecvTimeoutError {
        /// No value came in time.
        Timeout,
        /// The channel is closed and empty: no value will come.
        Closed,
    }

    impl fmt::Display for RecvTimeoutError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                RecvTimeoutError::Timeout => "no value arrived in time",
                RecvTimeoutError::Closed => "the channel is closed and empty",
            })
        }
    }

    impl Error for RecvTimeoutError {}

    /// What [`Sender`] offers with the help of a timer. Bring it into scope by `use gorin::prelude::*`.
    pub trait SenderExt<T> {
        /// Sends `value`, or gives up after `limit` and gives it back.
        ///
        /// (With [`timeout`] around a `send` the value is gone with the future.)
        ///
        /// ```
        /// use gorin::prelude::*;
        /// use gorin::channel::SendTimeoutError;
        /// use std::time::Duration;
        ///
        /// gorin::run(async {
        ///     let (tx, rx) = chan(1);
        ///     let limit = Duration::from_millis(5);
        ///     tx.send_timeout(1, limit).await.unwrap();
        ///     let full = tx.send_timeout(2, limit).await;
        ///     assert_eq!(full, Err(SendTimeoutError::Timeout(2)));
        ///     drop(rx);
        ///     let closed = tx.send_timeout(3, limit).await;
        ///     assert_eq!(closed, Err(SendTimeoutError::Closed(3)));
        /// });
        /// ```
        ///
        /// # Errors
        /// [`SendTimeoutError`] with the value, if nobody took it in time or the channel is closed.
        ///
        /// # Cancel safety
        /// As [`Sender::send`]: a value whose call is dropped is sent, or dropped with it.
        ///
        /// # Panics
        /// When it has to wait on a thread that belongs to no runtime, which has no timers.
        fn send_timeout(
            &self,
            value: T,
            limit: Duration,
        ) -> impl Future<Output = Result<(), SendTimeoutError<T>>>;
    }

    impl<T> SenderExt<T> for Sender<T> {
        async fn send_timeout(&self, value: T, limit: Duration) -> Result<(), SendTimeoutError<T>> {
            let mut send = pin!(self.send(value));
            match timeout(limit, send.as_mut()).await {
                Ok(sent) => sent.map_err(|SendError(value)| SendTimeoutError::Closed(value)),
                // Somebody may have taken it since.
                Err(_elapsed) => send
                    .take()
                    .map_or(Ok(()), |value| Err(SendTimeoutError::Timeout(value))),
            }
        }
    }

    /// Why [`SenderExt::send_timeout`] did not send; the value is inside.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum SendTimeoutError<T> {
        /// Nobody took it in time, and no place became free.
        Timeout(T),
        /// The channel is closed, or its last receiver is gone.
        Closed(T),
    }

    impl<T> SendTimeoutError<T> {
        /// The value that was not sent.
        pub fn into_inner(self) -> T {
            match self {
                SendTimeoutError::Timeout(value) | SendTimeoutError::Closed(value) => value,
            }
        }
    }

    impl<T> fmt::Debug for SendTimeoutError<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                SendTimeoutError::Timeout(_) => "Timeout(..)",
                SendTimeoutError::Closed(_) => "Closed(..)",
            })
        }
    }

    impl<T> fmt::Display for SendTimeoutError<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                SendTimeoutError::Timeout(_) => "the value was not taken in time",
                SendTimeoutError::Closed(_) => "send on a closed channel",
            })
        }
    }

    impl<T> Error for SendTimeoutError<T> {}
}

#[cfg(not(loom))]
pub use timed::{ReceiverExt, RecvTimeoutError, SendTimeoutError, SenderExt};
