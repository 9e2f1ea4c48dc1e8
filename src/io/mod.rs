//! Reading and writing streams: the traits of the `futures` crate, under one roof, pipes, and what
//! copies from one to another.
//!
//! gorin's streams implement [`AsyncRead`] and [`AsyncWrite`]; whatever is written against these
//! traits works on them. gorin's own are [`IoBuf`] and [`IoBufMut`], for calls that own their buffer. With
//! the feature `tokio-io` they implement tokio's traits of the same names too.
//!
//! # Cancel safety
//! What gorin's streams do is safe to drop, as their pages say. The extension traits put it together
//! to larger operations, and those keep what they have so far in the future: dropped by `select!` or
//! [`timeout`](crate::time::timeout), it is lost. So in a `select!` use the first kind:
//!
//! | nothing is lost | a part may be lost, or done |
//! |---|---|
//! | `read`, `write`, `flush`, `seek` | `read_exact`, `read_to_end`, `read_to_string`, `write_all` |
//! | `fill_buf` of a [`BufReader`] or [`PooledReader`]; the next of its `lines()`, which keep a half line in the stream | `read_line`, `read_until` |
//!
//! ```
//! use gorin::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex};
//! use gorin::prelude::*;
//! use gorin::stream::StreamExt;
//!
//! gorin::run(async {
//!     let (mut client, server) = duplex(64);
//!     let (tell, told) = chan(0);
//!     go(async move {
//!         client.write_all(b"one\nt").await.unwrap();
//!         tell.send("half a line").await.unwrap();
//!         client.write_all(b"wo\n").await.unwrap();
//!     });
//!     let mut lines = BufReader::new(server).lines();
//!     let mut read = Vec::new();
//!     loop {
//!         select! {
//!             line = lines.next() => match line {
//!                 Some(line) => read.push(line.unwrap()),
//!                 None => break,
//!             },
//!             // Drops the wait for the line, and nothing that was read of it.
//!             _ = told.recv() => {}
//!         }
//!     }
//!     assert_eq!(read, ["one", "two"]);
//! });
//! ```
//!
//! # Buffers
//! [`BufWriter`] must be flushed or closed: there is no way to write in a destructor, so that one
//! that is dropped loses what it holds (std's writes it).
//!
//! ```
//! use gorin::io::{AsyncReadExt, Cursor};
//!
//! gorin::run(async {
//!     let mut text = String::new();
//!     Cursor::new("five rings").read_to_string(&mut text).await.unwrap();
//!     assert_eq!(text, "five rings");
//! });
//! ```
//!
//! # Wakers
//! A poll of one of the traits that finds nothing leaves its waker with the stream until something happens
//! there, so that several goroutines can share a stream. Futures of the extension traits that are dropped and
//! made anew on a silent stream, each time under a waker of their own (in a new `FuturesUnordered`, say), add
//! up: some 200 bytes each, and every poll looks at all of them. The methods of the streams themselves
//! (`stream.read(…)`) leave nothing behind.
//!
//! # tokio's traits
//!
//! With the feature `tokio-io` gorin's streams have tokio's `AsyncRead` and `AsyncWrite` too, so that
//! what asks for them (the codecs of tokio-util, h2, tokio-rustls) takes them as they are. Of tokio
//! nothing but these traits is compiled: no runtime, no sockets.
//!
#![cfg_attr(not(doctest), doc = include_str!("tokio.md"))]
//!
//! They are the futures crate's traits under other names: what is said of a stream's `AsyncRead` and
//! `AsyncWrite`, of dropped calls and of errors, holds for both, and `poll_shutdown` is `poll_close`.
//! Which have them: [`TcpStream`](crate::net::TcpStream) and [`UnixStream`](crate::net::UnixStream),
//! their [halves](crate::net::ReadHalf), the ends of a [`pipe`](pipe()), [`AsyncFd`], references to these
//! (but for the halves), [`DuplexStream`], [`Join`], [`PooledReader`] (and tokio's `AsyncBufRead`),
//! [`File`](crate::fs::File) (and `AsyncSeek`: a seek that was given up is done before what comes next),
//! the standard streams, and `hyper::Io` around a connection that hyper has given back.
//!
//! Methods of the type itself come first: `stream.shutdown(…)` is gorin's, tokio's is
//! `AsyncWriteExt::shutdown(&mut stream)`. Where a type has none of its own, the compiler cannot choose
//! between the extension traits of both crates: import those of one.

#[cfg(not(loom))]
mod async_fd;
pub(crate) mod copy;
mod duplex;
mod join;
#[cfg(any(not(loom), test))]
mod line;
#[cfg(not(loom))]
mod pipe;
mod pooled_reader;
#[cfg(not(loom))]
pub(crate) mod splice;
#[cfg(not(loom))]
mod stdio;
#[cfg(all(feature = "tokio-io", not(loom)))]
mod tokio;
#[cfg(any(not(loom), test))]
pub(crate) mod turns;
#[cfg(not(loom))]
pub(crate) mod write_all;

#[cfg(not(loom))]
pub use async_fd::AsyncFd;
pub use copy::{copy, copy_bidirectional, split};
pub use duplex::{DuplexStream, duplex};
pub use gorin_base::pool::PooledBuf;
#[cfg(not(loom))]
pub use gorin_reactor::{IoBuf, IoBufMut};
pub use join::{Join, join};
pub use std::io::{Error, ErrorKind, Result, SeekFrom};

pub use futures::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite,
    AsyncWriteExt, BufReader, BufWriter, Chain, Cursor, Empty, LineWriter, Lines, ReadHalf, Repeat,
    Sink, Take, WriteHalf, copy_buf, empty, repeat, sink,
};
#[cfg(not(loom))]
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use pooled_reader::PooledReader;
#[cfg(not(loom))]
pub use splice::{SpliceFrom, SpliceTo, splice, splice_bidirectional};
#[cfg(not(loom))]
pub use stdio::{Stderr, Stdin, Stdout, stderr, stdin, stdout};
