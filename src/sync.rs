//! What goroutines need beside channels. Everything of `gorin_channel`'s is here under its own name;
//! [`WaitGroupExt`] adds what starts goroutines, which the channel crate must not know.

use std::future::Future;

use futures::FutureExt;
pub use gorin_channel::sync::*;

use crate::goroutine::{JoinHandle, go};

/// What a [`WaitGroup`] offers where goroutines can be started. Bring it into scope by
/// `use gorin::prelude::*`.
pub trait WaitGroupExt {
    /// Starts a goroutine that is a member of the group until it ends, by itself, by a panic or by an abort.
    /// Go's `wg.Go`.
    ///
    /// ```
    /// use gorin::prelude::*;
    /// use gorin::sync::WaitGroup;
    ///
    /// gorin::run(async {
    ///     let group = WaitGroup::new();
    ///     let (tx, rx) = chan(3);
    ///     for n in 1..=3 {
    ///         let tx = tx.clone();
    ///         group.go(async move { tx.send(n).await });
    ///     }
    ///     group.wait().await;
    ///     assert_eq!(rx.len(), 3);
    /// });
    /// ```
    ///
    /// For goroutines whose errors end the others, or that are to end with who waits, see
    /// [`scope`](crate::scope()).
    ///
    /// # Panics
    /// Where [`go`](crate::go()) does: on a thread that belongs to no runtime.
    #[track_caller]
    fn go<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;
}

impl WaitGroupExt for WaitGroup {
    #[track_caller]
    fn go<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let token = self.add();
        // Dropped after the future, whether that ends or is dropped.
        go(future.map(move |output| {
            drop(token);
            output
        }))
    }
}
