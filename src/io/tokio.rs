//! tokio's `AsyncRead`, `AsyncWrite` and `AsyncSeek` for gorin's streams, with the feature `tokio-io`: the
//! futures crate's traits under other names, so that what they promise holds here too. (The sample in the
//! module's text is `tokio.md`, so that `compat/` can run it.)
//!
//! Must not have behaviour of its own, and must not name more of tokio than traits: its runtime and
//! its sockets are not compiled.

use std::io::{self, IoSlice, SeekFrom};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite};
use tokio::io::ReadBuf;

use super::{
    AsyncFd, DuplexStream, Join, PipeReader, PipeWriter, PooledReader, Stderr, Stdin, Stdout,
};
use crate::fs::File;
use crate::net::{ReadHalf, TcpStream, UnixStream, WriteHalf};

/// Bytes that one read initializes at most. 16 KiB cost 3 to 6 % more CPU per byte of large frames.
const INIT_BYTES: usize = 64 * 1024;

/// Reads straight into the buffer of the caller, which is zeroed where it is not initialized. By way of the
/// buffer of the thread (`copy.rs`) nothing is zeroed and all is copied: no cheaper (0.97 to 1.02).
fn poll_read<S: AsyncRead>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    into: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let initialized = into.initialized().len() - into.filled().len();
    let room = into.remaining().min(initialized.max(INIT_BYTES));
    let len = ready!(stream.poll_read(cx, into.initialize_unfilled_to(room)))?;
    into.advance(len);
    Poll::Ready(Ok(()))
}

/// For types that have the futures crate's `AsyncRead`.
macro_rules! async_read {
    ([$($generics:tt)*] $name:ty $(where $bound:ty: $trait:path)?) => {
        impl<$($generics)*> tokio::io::AsyncRead for $name $(where $bound: $trait)? {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                into: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                poll_read(self, cx, into)
            }
        }
    };
    ($name:ty) => {
        async_read!([] $name);
    };
}

/// For types that have the futures crate's `AsyncWrite`; `vectored` if they write several buffers in one
/// call.
macro_rules! async_write {
    ([$($generics:tt)*] $name:ty $(where $bound:ty: $trait:path)?, vectored: $vectored:literal) => {
        impl<$($generics)*> tokio::io::AsyncWrite for $name $(where $bound: $trait)? {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                AsyncWrite::poll_write(self, cx, buf)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                AsyncWrite::poll_flush(self, cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                AsyncWrite::poll_close(self, cx)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                AsyncWrite::poll_write_vectored(self, cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                $vectored
            }
        }
    };
    ($name:ty, vectored: $vectored:literal) => {
        async_write!([] $name, vectored: $vectored);
    };
}

async_read!(TcpStream);
async_read!(&TcpStream);
async_read!(UnixStream);
async_read!(&UnixStream);
async_read!(ReadHalf<TcpStream>);
async_read!(ReadHalf<UnixStream>);
async_read!(PipeReader);
async_read!(&PipeReader);
async_read!(DuplexStream);
async_read!(File);
async_read!(Stdin);
async_read!([R, W] Join<R, W> where Self: AsyncRead);
async_read!([R] PooledReader<R> where Self: AsyncRead);
async_read!([T: AsFd] AsyncFd<T> where Self: AsyncRead);
async_read!([T: AsFd] &AsyncFd<T> where Self: AsyncRead);
#[cfg(feature = "hyper")]
async_read!([S] crate::hyper::Io<S> where Self: AsyncRead);

async_write!(TcpStream, vectored: true);
async_write!(&TcpStream, vectored: true);
async_write!(UnixStream, vectored: true);
async_write!(&UnixStream, vectored: true);
async_write!(WriteHalf<TcpStream>, vectored: true);
async_write!(WriteHalf<UnixStream>, vectored: true);
async_write!(PipeWriter, vectored: true);
async_write!(&PipeWriter, vectored: true);
async_write!(DuplexStream, vectored: false);
async_write!(File, vectored: false);
async_write!(Stdout, vectored: false);
async_write!(Stderr, vectored: false);
async_write!([R, W] Join<R, W> where Self: AsyncWrite, vectored: true);
async_write!([R] PooledReader<R> where Self: AsyncWrite, vectored: true);
async_write!([T: AsFd] AsyncFd<T> where Self: AsyncWrite, vectored: true);
async_write!([T: AsFd] &AsyncFd<T> where Self: AsyncWrite, vectored: true);
#[cfg(feature = "hyper")]
async_write!([S] crate::hyper::Io<S> where Self: AsyncWrite, vectored: true);

impl<R: AsyncRead + Unpin> tokio::io::AsyncBufRead for PooledReader<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        AsyncBufRead::poll_fill_buf(self, cx)
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        AsyncBufRead::consume(self, count);
    }
}

impl tokio::io::AsyncSeek for File {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        if self.seeking.is_some() {
            return Err(io::Error::other(
                "start_seek: the last one is not done, call poll_complete first",
            ));
        }
        self.seeking = Some(position);
        Ok(())
    }

    /// Where it is, if nothing was started.
    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let started = self.seeking.take();
        let position = started.unwrap_or(SeekFrom::Current(0));
        let polled = AsyncSeek::poll_seek(self.as_mut(), cx, position);
        if polled.is_pending() {
            self.seeking = started;
        }
        polled
    }
}
