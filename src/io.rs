//! Reading and writing streams: the traits of the `futures` crate, under one roof.
//!
//! gorin's streams implement [`AsyncRead`] and [`AsyncWrite`]; whatever is written against these
//! traits works on them. Nothing here is gorin's own.
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

pub use futures::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite,
    AsyncWriteExt, BufReader, BufWriter, Cursor, Lines, copy, copy_buf,
};
