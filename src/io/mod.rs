//! Reading and writing streams: the traits of the `futures` crate, under one roof, pipes, and what
//! copies from one to another.
//!
//! gorin's streams implement [`AsyncRead`] and [`AsyncWrite`]; whatever is written against these
//! traits works on them. gorin's own are [`IoBuf`] and [`IoBufMut`], for calls that own their buffer.
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

mod copy;
mod duplex;
#[cfg(not(loom))]
mod pipe;
#[cfg(not(loom))]
pub(crate) mod splice;
#[cfg(not(loom))]
mod stdio;

pub use copy::{copy, copy_bidirectional, split};
pub use duplex::{DuplexStream, duplex};
#[cfg(not(loom))]
pub use gorin_reactor::{IoBuf, IoBufMut};
pub use std::io::SeekFrom;

pub use futures::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite,
    AsyncWriteExt, BufReader, BufWriter, Cursor, Lines, ReadHalf, WriteHalf, copy_buf, empty,
    repeat, sink,
};
#[cfg(not(loom))]
pub use pipe::{PipeReader, PipeWriter, pipe};
#[cfg(not(loom))]
pub use splice::{SpliceFrom, SpliceTo, splice, splice_bidirectional};
#[cfg(not(loom))]
pub use stdio::{Stderr, Stdin, Stdout, stderr, stdin, stdout};
