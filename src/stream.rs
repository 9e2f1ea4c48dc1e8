//! Values that come one after the other: the traits of the `futures` crate, which gorin's streams
//! implement, so that a program needs no dependency on that crate to use them.
//!
//! Streams are [`Receiver`](crate::channel::Receiver), [`Ticker`](crate::time::Ticker),
//! [`Signals`](crate::signal::Signals), [`ReadDir`](crate::fs::ReadDir),
//! [`Incoming`](crate::net::Incoming), and the lines of a
//! [`BufReader`](crate::io::BufReader); a sink is [`Sender`](crate::channel::Sender)'s `into_sink`.
//!
//! ```
//! use gorin::io::{AsyncBufReadExt, Cursor};
//! use gorin::stream::StreamExt;
//!
//! # fn main() -> std::io::Result<()> {
//! gorin::run(async {
//!     let mut lines = Cursor::new("one\ntwo\n").lines();
//!     assert_eq!(lines.next().await.transpose()?.as_deref(), Some("one"));
//!     let rest: Vec<_> = lines.collect().await;
//!     assert_eq!(rest.len(), 1);
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Goroutines, in the order in which they end
//! A set of join handles is a stream, too: tokio's `JoinSet`. With `abort_on_drop` the goroutines end
//! with the set. (Where their results are not looked at one by one, see [`scope`](crate::scope()).)
//!
//! ```
//! use gorin::go;
//! use gorin::stream::{FuturesUnordered, StreamExt};
//!
//! gorin::run(async {
//!     let squares = (1..=10).map(|n| go(async move { n * n }).abort_on_drop());
//!     let mut squares: FuturesUnordered<_> = squares.collect();
//!     squares.push(go(async { 0 }).abort_on_drop());
//!     let mut sum = 0;
//!     while let Some(square) = squares.next().await {
//!         sum += square.expect("none of them panics");
//!     }
//!     assert_eq!(sum, 385);
//! });
//! ```

pub use futures::sink::{Sink, SinkExt};
pub use futures::stream::{FusedStream, FuturesUnordered, Stream, StreamExt, TryStreamExt};
