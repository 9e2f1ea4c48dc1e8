//! The two directions of a stream as two values for two goroutines.
//!
//! Both hold a handle to the same connection; only the write half does something when it is
//! dropped: it ends its direction, or the peer would wait for more.

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::io::{AsyncRead, AsyncWrite};

use super::{TcpStream, UnixStream};
use crate::io::{IoBuf, IoBufMut, PooledBuf};

/// A stream whose writing direction can be ended alone.
pub trait HalfClose: Clone {
    /// Tells the peer that no more will come.
    fn end_writing(&self) -> io::Result<()>;

    /// True if both are handles to one connection.
    fn is_same(&self, other: &Self) -> bool;
}

/// The reading direction of a connection; made by `into_split` of a stream.
///
/// It has the stream's methods that read; `AsRef` gives the stream, for its other methods.
#[derive(Debug)]
pub struct ReadHalf<S: HalfClose = TcpStream> {
    stream: S,
}

/// The writing direction of a connection; made by `into_split` of a stream. Dropping it ends the
/// direction, and the peer reads the end of the stream.
///
/// It has the stream's methods that write; `AsRef` gives the stream, for its other methods.
#[derive(Debug)]
pub struct WriteHalf<S: HalfClose = TcpStream> {
    stream: S,
    /// Whether dropping this ends the direction.
    ends: bool,
}

pub(super) fn split<S: HalfClose>(stream: S) -> (ReadHalf<S>, WriteHalf<S>) {
    let read = ReadHalf {
        stream: stream.clone(),
    };
    (read, WriteHalf { stream, ends: true })
}

impl<S: HalfClose> ReadHalf<S> {
    /// The stream of which these are the halves.
    ///
    /// # Errors
    /// If they are the halves of two streams; they are in the error.
    pub fn reunite(self, mut write: WriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !self.stream.is_same(&write.stream) {
            return Err(ReuniteError { read: self, write });
        }
        write.ends = false;
        Ok(self.stream)
    }
}

impl<S: HalfClose> WriteHalf<S> {
    /// Lets go of the half without ending its direction.
    pub fn forget(mut self) {
        self.ends = false;
    }
}

/// The methods of a stream on its halves, so that neither a trait nor `as_ref` is needed for them.
macro_rules! half_methods {
    ($stream:ty) => {
        impl ReadHalf<$stream> {
            #[doc = concat!("As [`read`](", stringify!($stream), "::read) of the stream.")]
            ///
            /// # Cancel safety
            /// Nothing is lost: a dropped read leaves the bytes in the socket.
            ///
            /// # Errors
            /// Those of the stream.
            pub fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                self.stream.read(buf)
            }

            #[doc = concat!("As [`read_exact`](", stringify!($stream), "::read_exact) of the stream.")]
            ///
            /// # Cancel safety
            /// Not cancel-safe: how much a dropped call had read is unknown.
            ///
            /// # Errors
            /// Those of the stream.
            pub fn read_exact(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<()>> {
                self.stream.read_exact(buf)
            }

            #[doc = concat!("As [`peek`](", stringify!($stream), "::peek) of the stream.")]
            ///
            /// # Cancel safety
            /// Has no effect that could be lost.
            ///
            /// # Errors
            /// Those of the stream.
            pub fn peek(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                self.stream.peek(buf)
            }

            #[doc = concat!("As [`try_peek`](", stringify!($stream), "::try_peek) of the stream.")]
            ///
            /// # Errors
            /// Those of the stream.
            pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.stream.try_peek(buf)
            }

            #[doc = concat!("As [`try_read`](", stringify!($stream), "::try_read) of the stream.")]
            ///
            /// # Errors
            /// Those of the stream.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.stream.try_read(buf)
            }

            #[doc = concat!("As [`recv_owned`](", stringify!($stream), "::recv_owned) of the stream.")]
            ///
            /// # Cancel safety
            /// No bytes are lost: those that a dropped call has taken go to the next read.
            ///
            /// # Errors
            /// Those of the stream.
            pub fn recv_owned<B: IoBufMut>(&self, buf: B) -> impl Future<Output = (io::Result<usize>, B)> {
                self.stream.recv_owned(buf)
            }

            #[doc = concat!(
                "As [`read_vectored`](", stringify!($stream), "::read_vectored) of the stream."
            )]
            ///
            /// # Cancel safety
            /// Nothing is lost: a dropped read leaves the bytes in the socket.
            ///
            /// # Errors
            /// Those of the stream.
            pub fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> impl Future<Output = io::Result<usize>> {
                self.stream.read_vectored(bufs)
            }

            #[doc = concat!(
                "As [`try_read_vectored`](", stringify!($stream), "::try_read_vectored) of the stream."
            )]
            ///
            /// # Errors
            /// Those of the stream.
            pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.stream.try_read_vectored(bufs)
            }

            #[doc = concat!("As [`recv_pooled`](", stringify!($stream), "::recv_pooled) of the stream.")]
            ///
            /// # Cancel safety
            /// Nothing is lost: a dropped read leaves the bytes in the socket.
            ///
            /// # Errors
            /// Those of the stream.
            pub fn recv_pooled(&self, limit: usize) -> impl Future<Output = io::Result<PooledBuf>> {
                self.stream.recv_pooled(limit)
            }

            #[doc = concat!(
                "As [`try_recv_pooled`](", stringify!($stream), "::try_recv_pooled) of the stream."
            )]
            ///
            /// # Errors
            /// Those of the stream.
            pub fn try_recv_pooled(&self, limit: usize) -> io::Result<PooledBuf> {
                self.stream.try_recv_pooled(limit)
            }

            #[doc = concat!(
                "As [`readable`](", stringify!($stream), "::readable) of the stream."
            )]
            ///
            /// # Cancel safety
            /// Has no effect that could be lost.
            ///
            /// # Errors
            /// Those of the stream.
            pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
                self.stream.readable()
            }

            #[doc = concat!(
                "As [`set_read_deadline`](", stringify!($stream), "::set_read_deadline) of the stream."
            )]
            pub fn set_read_deadline(&self, deadline: Option<Instant>) {
                self.stream.set_read_deadline(deadline);
            }
        }

        impl WriteHalf<$stream> {
            #[doc = concat!("As [`write`](", stringify!($stream), "::write) of the stream.")]
            ///
            /// # Cancel safety
            /// As that of the stream.
            ///
            /// # Errors
            /// Those of the stream.
            pub fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
                self.stream.write(buf)
            }

            #[doc = concat!("As [`write_all`](", stringify!($stream), "::write_all) of the stream.")]
            ///
            /// # Cancel safety
            /// Not cancel-safe: a dropped call may have written a prefix.
            ///
            /// # Errors
            /// Those of the stream.
            pub fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
                self.stream.write_all(buf)
            }

            #[doc = concat!("As [`try_write`](", stringify!($stream), "::try_write) of the stream.")]
            ///
            /// # Errors
            /// Those of the stream.
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.stream.try_write(buf)
            }

            #[doc = concat!(
                "As [`write_all_owned`](", stringify!($stream), "::write_all_owned) of the stream."
            )]
            ///
            /// # Cancel safety
            /// Not cancel-safe: a dropped call may have written all, a prefix or nothing.
            ///
            /// # Errors
            /// Those of the stream.
            pub fn write_all_owned<B: IoBuf>(&self, buf: B) -> impl Future<Output = (io::Result<()>, B)> {
                self.stream.write_all_owned(buf)
            }

            #[doc = concat!(
                "As [`write_vectored`](", stringify!($stream), "::write_vectored) of the stream."
            )]
            ///
            /// # Cancel safety
            /// As that of the stream.
            ///
            /// # Errors
            /// Those of the stream.
            pub fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> impl Future<Output = io::Result<usize>> {
                self.stream.write_vectored(bufs)
            }

            #[doc = concat!(
                "As [`try_write_vectored`](", stringify!($stream), "::try_write_vectored) of the stream."
            )]
            ///
            /// # Errors
            /// Those of the stream.
            pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.stream.try_write_vectored(bufs)
            }

            #[doc = concat!(
                "As [`writable`](", stringify!($stream), "::writable) of the stream."
            )]
            ///
            /// # Cancel safety
            /// Has no effect that could be lost.
            ///
            /// # Errors
            /// Those of the stream.
            pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
                self.stream.writable()
            }

            #[doc = concat!("As [`send_owned`](", stringify!($stream), "::send_owned) of the stream.")]
            ///
            /// # Cancel safety
            /// Not cancel-safe: a dropped call may have written all, a prefix or nothing.
            ///
            /// # Errors
            /// Those of the stream.
            pub fn send_owned<B: IoBuf>(&self, buf: B) -> impl Future<Output = (io::Result<usize>, B)> {
                self.stream.send_owned(buf)
            }

            #[doc = concat!(
                "As [`write_all_zero_copy`](", stringify!($stream), "::write_all_zero_copy) of the stream."
            )]
            ///
            /// # Cancel safety
            /// Not cancel-safe: a dropped call may have written all, a prefix or nothing.
            ///
            /// # Errors
            /// Those of the stream.
            pub fn write_all_zero_copy<B: IoBuf>(&self, buf: B) -> impl Future<Output = (io::Result<()>, B)> {
                self.stream.write_all_zero_copy(buf)
            }

            #[doc = concat!(
                "As [`set_write_deadline`](", stringify!($stream), "::set_write_deadline) of the stream."
            )]
            pub fn set_write_deadline(&self, deadline: Option<Instant>) {
                self.stream.set_write_deadline(deadline);
            }
        }
    };
}

half_methods!(TcpStream);
half_methods!(UnixStream);

impl<S: HalfClose> AsRef<S> for ReadHalf<S> {
    fn as_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: HalfClose> AsRef<S> for WriteHalf<S> {
    fn as_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: HalfClose> Drop for WriteHalf<S> {
    fn drop(&mut self) {
        if self.ends {
            // The only error is that the connection is gone already, which is no news.
            let _ = self.stream.end_writing();
        }
    }
}

impl<S: HalfClose + AsyncRead + Unpin> AsyncRead for ReadHalf<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read_vectored(cx, bufs)
    }
}

impl<S: HalfClose + AsyncWrite + Unpin> AsyncWrite for WriteHalf<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// Two halves are not of one stream; [`ReadHalf::reunite`] gives them back in this.
#[derive(Debug)]
pub struct ReuniteError<S: HalfClose = TcpStream> {
    /// The half whose method it was.
    pub read: ReadHalf<S>,
    /// The half that was given.
    pub write: WriteHalf<S>,
}

impl<S: HalfClose> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these are the halves of two different streams")
    }
}

impl<S: HalfClose + fmt::Debug> Error for ReuniteError<S> {}
