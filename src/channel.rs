//! Go's channels and `select!`, and what needs a clock beside them.
//!
//! Everything of `gorin_channel` is here under its own name; [`ReceiverExt`] adds what joins a
//! channel with a timer, which the channel crate must not know.

pub use gorin_channel::*;

#[cfg(not(loom))]
mod timed {
    use std::error::Error;
    use std::fmt;
    use std::future::Future;
    use std::time::Duration;

    use gorin_channel::Receiver;

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
            match crate::time::timeout(limit, self.recv()).await {
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
}

#[cfg(not(loom))]
pub use timed::{ReceiverExt, RecvTimeoutError};
