//! The methods and traits of streams; see `face.rs`.

/// What streams have.
macro_rules! stream_face {
    ($name:ident) => {
        impl $name {
            /// Reads what has arrived, at most `buf.len()` bytes. Zero means the peer will send no
            /// more (or that `buf` is empty).
            ///
            /// # Cancel safety
            /// Nothing is lost: a dropped read leaves the bytes in the socket.
            ///
            /// # Errors
            /// Those of `recv(2)`, `TimedOut` if the deadline has passed, and an error if the stream
            /// is closed meanwhile.
            pub fn read(&self, buf: &mut [u8]) -> impl Future<Output = std::io::Result<usize>> {
                self.endpoint.read(self.endpoint.recv_stream(buf))
            }

            /// As [`read`](Self::read), into several buffers, one after the other.
            ///
            /// # Cancel safety
            /// As [`read`](Self::read).
            ///
            /// # Errors
            /// As [`read`](Self::read).
            pub fn read_vectored(
                &self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> impl Future<Output = std::io::Result<usize>> {
                let call = self.endpoint.recv_stream_vectored(bufs);
                self.endpoint.read(call)
            }

            /// Reads until `buf` is full.
            ///
            /// # Cancel safety
            /// Not cancel-safe: what a dropped call had read is in `buf`, and how much is unknown.
            /// Where that matters use [`read`](Self::read) and keep count.
            ///
            /// # Errors
            /// As [`read`](Self::read); `UnexpectedEof` if the stream ends before.
            pub async fn read_exact(&self, mut buf: &mut [u8]) -> std::io::Result<()> {
                while !buf.is_empty() {
                    match self.read(buf).await? {
                        0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                        len => buf = &mut buf[len..],
                    }
                }
                Ok(())
            }

            /// Reads what has arrived without taking it out: the next read gets the same bytes.
            ///
            /// # Cancel safety
            /// Has no effect that could be lost.
            ///
            /// # Errors
            /// As [`read`](Self::read).
            pub fn peek(&self, buf: &mut [u8]) -> impl Future<Output = std::io::Result<usize>> {
                self.endpoint.read(self.endpoint.peek_stream(buf))
            }

            /// As [`peek`](Self::peek), without waiting.
            ///
            /// # Errors
            /// As [`try_read`](Self::try_read).
            pub fn try_peek(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.endpoint.try_read(self.endpoint.peek_stream(buf))
            }

            /// As [`peek`](Self::peek), for futures written by hand; of wakers as
            /// [`poll_readable`](Self::poll_readable).
            ///
            /// # Errors
            /// As [`read`](Self::read).
            pub fn poll_peek(
                &self,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.endpoint.poll_read(cx, self.endpoint.peek_stream(buf))
            }

            /// Reads what has arrived, without waiting.
            ///
            /// # Errors
            /// `WouldBlock` if nothing has; else as [`read`](Self::read).
            pub fn try_read(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.endpoint.try_read(self.endpoint.recv_stream(buf))
            }

            /// As [`try_read`](Self::try_read), into several buffers, one after the other.
            ///
            /// # Errors
            /// As [`try_read`](Self::try_read).
            pub fn try_read_vectored(
                &self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                let call = self.endpoint.recv_stream_vectored(bufs);
                self.endpoint.try_read(call)
            }

            /// Writes what the socket has room for, at least one byte unless `buf` is empty.
            ///
            /// Success means that the kernel has the bytes, not that the peer does.
            ///
            /// # Cancel safety
            /// Nothing is written by a future that is dropped before it is ready.
            ///
            /// # Errors
            /// Those of `send(2)`, `BrokenPipe` among them (no signal is raised), `TimedOut` if the
            /// deadline has passed, and an error if the stream is closed meanwhile.
            pub fn write(&self, buf: &[u8]) -> impl Future<Output = std::io::Result<usize>> {
                self.endpoint.write($crate::net::endpoint::send(buf))
            }

            /// As [`write`](Self::write), from several buffers, one after the other.
            ///
            /// # Cancel safety
            /// As [`write`](Self::write).
            ///
            /// # Errors
            /// As [`write`](Self::write).
            pub fn write_vectored(
                &self,
                bufs: &[std::io::IoSlice<'_>],
            ) -> impl Future<Output = std::io::Result<usize>> {
                let call = $crate::net::endpoint::send_vectored(bufs);
                self.endpoint.write(call)
            }

            /// Writes all of `buf`. Goroutines that call this at once, or another method that writes
            /// all, write one after the other, in the order in which they came: their bytes do not mix,
            /// as with Go's `Write`. (With those of [`write`](Self::write) and of the trait
            /// [`AsyncWrite`](crate::io::AsyncWrite) they may.) A call that has begun has its turn until it
            /// is done or dropped: a goroutine that keeps one without polling it, in a `select!` by `&mut`
            /// say, and writes meanwhile waits for itself.
            ///
            /// # Cancel safety
            /// Not cancel-safe: a dropped call may have written a prefix. Where that matters use
            /// [`write`](Self::write) and keep count.
            ///
            /// # Errors
            /// As [`write`](Self::write); a prefix may have been written.
            pub fn write_all(&self, buf: &[u8]) -> impl Future<Output = std::io::Result<()>> {
                self.endpoint.send_all(buf)
            }

            /// Writes what the socket has room for, without waiting.
            ///
            /// # Errors
            /// `WouldBlock` if it has none; else as [`write`](Self::write).
            pub fn try_write(&self, buf: &[u8]) -> std::io::Result<usize> {
                self.endpoint.try_write($crate::net::endpoint::send(buf))
            }

            /// As [`try_write`](Self::try_write), from several buffers, one after the other.
            ///
            /// # Errors
            /// As [`try_write`](Self::try_write).
            pub fn try_write_vectored(
                &self,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::io::Result<usize> {
                let call = $crate::net::endpoint::send_vectored(bufs);
                self.endpoint.try_write(call)
            }

            /// Reads what has arrived into a buffer that the call owns, over what it contains; gives
            /// the number of bytes, 0 at the end of the stream, and the buffer.
            ///
            /// On a worker this is an operation of its ring, submitted together with all others of
            /// the tick, with the buffer in the kernel's hands while it waits: for large buffers
            /// that are at hand anyway. [`read`](Self::read) holds no buffer while it waits. An
            /// operation completes on the worker that has submitted it; while that computes without
            /// awaiting, it waits, where a `read` is rescued by other workers.
            ///
            /// # Cancel safety
            /// No bytes are lost: those that a dropped call has taken go to the next read. The
            /// buffer is freed when the kernel is done with it.
            ///
            /// # Errors
            /// As [`read`](Self::read); `InvalidInput` for an empty vector that has a capacity, which is
            /// not filled: give it a length. The buffer comes back with every error but one: if the
            /// runtime is torn down by force while the kernel uses it, an empty one comes instead.
            pub fn recv_owned<B: $crate::io::IoBufMut>(
                &self,
                buf: B,
            ) -> impl Future<Output = (std::io::Result<usize>, B)> {
                self.endpoint.recv_owned(buf)
            }

            /// Reads what has arrived, at most `limit` bytes and 256 KiB, into a buffer of the worker's pool,
            /// which it takes when there is something to read. Empty means the peer will send no more (or that
            /// `limit` is 0).
            ///
            /// So a connection that waits needs no memory for what it may get, and one that does not reads
            /// into a buffer that is in the cache: for servers with many connections. Pass on the buffer as
            /// it is, or drop it when it is used up.
            ///
            /// ```
            /// # fn main() -> std::io::Result<()> {
            /// gorin::run(async {
            ///     let (client, server) = gorin::net::UnixStream::pair()?;
            ///     let echo = gorin::go(async move {
            ///         loop {
            ///             let message = server.recv_pooled(64 * 1024).await?;
            ///             if message.is_empty() {
            ///                 return std::io::Result::Ok(());
            ///             }
            ///             server.write_all(&message).await?;
            ///         }
            ///     });
            ///     client.write_all(b"five rings").await?;
            ///     assert_eq!(client.recv_pooled(4).await?[..], *b"five");
            ///     assert_eq!(client.recv_pooled(4096).await?[..], *b" rings");
            ///     drop(client);
            ///     echo.await.unwrap()
            /// })
            /// # }
            /// ```
            ///
            /// # Cancel safety
            /// As [`read`](Self::read).
            ///
            /// # Errors
            /// As [`read`](Self::read).
            pub fn recv_pooled(
                &self,
                limit: usize,
            ) -> impl Future<Output = std::io::Result<$crate::io::PooledBuf>> {
                self.endpoint.read(self.endpoint.recv_stream_pooled(limit))
            }

            /// As [`recv_pooled`](Self::recv_pooled), without waiting.
            ///
            /// # Errors
            /// As [`try_read`](Self::try_read).
            pub fn try_recv_pooled(&self, limit: usize) -> std::io::Result<$crate::io::PooledBuf> {
                self.endpoint
                    .try_read(self.endpoint.recv_stream_pooled(limit))
            }

            /// As [`recv_pooled`](Self::recv_pooled), for futures written by hand; of wakers as
            /// [`poll_readable`](Self::poll_readable).
            ///
            /// # Errors
            /// As [`read`](Self::read).
            pub fn poll_recv_pooled(
                &self,
                cx: &mut std::task::Context<'_>,
                limit: usize,
            ) -> std::task::Poll<std::io::Result<$crate::io::PooledBuf>> {
                self.endpoint
                    .poll_read(cx, self.endpoint.recv_stream_pooled(limit))
            }

            /// Writes what the socket has room for from a buffer that the call owns; gives the
            /// number of bytes and the buffer. See [`recv_owned`](Self::recv_owned).
            ///
            /// # Cancel safety
            /// Not cancel-safe: a dropped call may have written all, a prefix or nothing.
            ///
            /// # Errors
            /// As [`write`](Self::write), and of the buffer as [`recv_owned`](Self::recv_owned).
            pub fn send_owned<B: $crate::io::IoBuf>(
                &self,
                buf: B,
            ) -> impl Future<Output = (std::io::Result<usize>, B)> {
                self.endpoint.send_owned(buf)
            }

            /// Writes all of a buffer that the call owns; gives the buffer. Bytes of several goroutines
            /// do not mix, as with [`write_all`](Self::write_all).
            ///
            /// # Cancel safety
            /// As [`send_owned`](Self::send_owned).
            ///
            /// # Errors
            /// As [`send_owned`](Self::send_owned); a prefix may have been written.
            pub fn write_all_owned<B: $crate::io::IoBuf>(
                &self,
                buf: B,
            ) -> impl Future<Output = (std::io::Result<()>, B)> {
                self.endpoint.send_all_owned(buf, false)
            }

            /// As [`write_all_owned`](Self::write_all_owned), but the network card reads the buffer
            /// itself (`SEND_ZC`), which comes back when the peer has acknowledged all. Pays for
            /// large buffers on a real network; on loopback it costs more than copying. Where the
            /// kernel or the socket cannot do that, it sends as usual.
            ///
            /// # Cancel safety
            /// As [`send_owned`](Self::send_owned).
            ///
            /// # Errors
            /// As [`write_all_owned`](Self::write_all_owned).
            pub fn write_all_zero_copy<B: $crate::io::IoBuf>(
                &self,
                buf: B,
            ) -> impl Future<Output = (std::io::Result<()>, B)> {
                self.endpoint.send_all_owned(buf, true)
            }

            /// The two directions as two values within one goroutine. They are this very stream:
            /// dropping them has no effect. To move them into two goroutines use
            /// [`into_split`](Self::into_split).
            pub fn split(&self) -> (&Self, &Self) {
                (self, self)
            }

            /// The two directions as two values, to be moved into two goroutines. Dropping the
            /// [`WriteHalf`](crate::net::WriteHalf) ends that direction; the connection is closed
            /// when both are dropped.
            pub fn into_split(self) -> ($crate::net::ReadHalf<Self>, $crate::net::WriteHalf<Self>) {
                $crate::net::split::split(self)
            }
        }

        impl $crate::net::split::HalfClose for $name {
            fn end_writing(&self) -> std::io::Result<()> {
                self.shutdown(std::net::Shutdown::Write)
            }

            fn is_same(&self, other: &Self) -> bool {
                self.endpoint.is_same(&other.endpoint)
            }
        }

        impl $crate::io::splice::source::Source for $name {
            async fn fill(
                &self,
                pipe: std::os::fd::BorrowedFd<'_>,
                room: usize,
            ) -> std::io::Result<usize> {
                let call = self.endpoint.splice_out(pipe, room);
                self.endpoint.read(call).await
            }
        }

        impl $crate::io::splice::sink::Sink for $name {
            async fn drain(
                &self,
                pipe: std::os::fd::BorrowedFd<'_>,
                len: usize,
            ) -> std::io::Result<usize> {
                let call = $crate::net::endpoint::splice_in(pipe, len);
                self.endpoint.write(call).await
            }

            fn end(&self) -> std::io::Result<()> {
                self.shutdown(std::net::Shutdown::Write)
            }
        }

        const _: () = {
            use std::io::{IoSlice, IoSliceMut, Result};
            use std::pin::Pin;
            use std::task::{Context, Poll};

            use futures::io::{AsyncRead, AsyncWrite};

            impl AsyncRead for &$name {
                fn poll_read(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buf: &mut [u8],
                ) -> Poll<Result<usize>> {
                    self.endpoint.poll_read(cx, self.endpoint.recv_stream(buf))
                }

                fn poll_read_vectored(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    bufs: &mut [IoSliceMut<'_>],
                ) -> Poll<Result<usize>> {
                    let call = self.endpoint.recv_stream_vectored(bufs);
                    self.endpoint.poll_read(cx, call)
                }
            }

            impl AsyncWrite for &$name {
                fn poll_write(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buf: &[u8],
                ) -> Poll<Result<usize>> {
                    let call = $crate::net::endpoint::send(buf);
                    self.endpoint.poll_write(cx, call)
                }

                fn poll_write_vectored(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    bufs: &[IoSlice<'_>],
                ) -> Poll<Result<usize>> {
                    let call = $crate::net::endpoint::send_vectored(bufs);
                    self.endpoint.poll_write(cx, call)
                }

                /// Ready at once: nothing is buffered here.
                fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<()>> {
                    Poll::Ready(Ok(()))
                }

                /// Ends the writing direction; reading goes on. Where the connection is gone
                /// already there is nothing to end, which is no error.
                fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<()>> {
                    Poll::Ready(match self.shutdown(std::net::Shutdown::Write) {
                        Err(error) if error.kind() == std::io::ErrorKind::NotConnected => Ok(()),
                        result => result,
                    })
                }
            }

            impl AsyncRead for $name {
                fn poll_read(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buf: &mut [u8],
                ) -> Poll<Result<usize>> {
                    Pin::new(&mut &*self).poll_read(cx, buf)
                }

                fn poll_read_vectored(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    bufs: &mut [IoSliceMut<'_>],
                ) -> Poll<Result<usize>> {
                    Pin::new(&mut &*self).poll_read_vectored(cx, bufs)
                }
            }

            impl AsyncWrite for $name {
                fn poll_write(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buf: &[u8],
                ) -> Poll<Result<usize>> {
                    Pin::new(&mut &*self).poll_write(cx, buf)
                }

                fn poll_write_vectored(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    bufs: &[IoSlice<'_>],
                ) -> Poll<Result<usize>> {
                    Pin::new(&mut &*self).poll_write_vectored(cx, bufs)
                }

                /// Ready at once: nothing is buffered here.
                fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
                    Pin::new(&mut &*self).poll_flush(cx)
                }

                /// Ends the writing direction; reading goes on. Where the connection is gone
                /// already there is nothing to end, which is no error.
                fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
                    Pin::new(&mut &*self).poll_close(cx)
                }
            }
        };
    };
}

pub(in crate::net) use stream_face;
