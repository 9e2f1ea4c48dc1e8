//! The two directions of a [`TcpStream`] as two values for two goroutines.
//!
//! Both hold a handle to the same connection; only the write half does something when it is
//! dropped: it ends its direction, or the peer would wait for more.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

use super::TcpStream;

/// The reading direction of a connection; made by [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf {
    stream: TcpStream,
}

/// The writing direction of a connection; made by [`TcpStream::split`]. Dropping it ends the
/// direction, and the peer reads the end of the stream.
#[derive(Debug)]
pub struct WriteHalf {
    stream: TcpStream,
}

impl ReadHalf {
    pub(super) fn new(stream: TcpStream) -> ReadHalf {
        ReadHalf { stream }
    }
}

impl WriteHalf {
    pub(super) fn new(stream: TcpStream) -> WriteHalf {
        WriteHalf { stream }
    }
}

impl AsRef<TcpStream> for ReadHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsRef<TcpStream> for WriteHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        // The only error is that the connection is gone already, which is no news.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl AsyncRead for ReadHalf {
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

impl AsyncWrite for WriteHalf {
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
