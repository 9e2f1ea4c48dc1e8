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

pub use futures::sink::{Sink, SinkExt};
pub use futures::stream::{FusedStream, Stream, StreamExt, TryStreamExt};
