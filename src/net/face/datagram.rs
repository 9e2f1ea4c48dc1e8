//! The methods of datagram sockets; see `face.rs`.

/// What datagram sockets have, whatever their addresses.
macro_rules! datagram_face {
    ($name:ident, address: $address:ty = $convert:path) => {
        impl $name {
            /// Receives a datagram; gives its length. What does not fit into `buf` is dropped.
            ///
            /// On a socket that is connected only datagrams of its peer are received.
            ///
            /// # Cancel safety
            /// Nothing is lost: a dropped call leaves the datagram in the socket.
            ///
            /// # Errors
            /// Those of `recv(2)`, `TimedOut` if the deadline has passed, and an error if the socket
            /// is closed meanwhile.
            pub fn recv(&self, buf: &mut [u8]) -> impl Future<Output = std::io::Result<usize>> {
                let call = $crate::net::endpoint::recv(buf, 0);
                self.endpoint.read(call)
            }

            /// As [`recv`](Self::recv), but leaves the datagram to the next call.
            ///
            /// # Cancel safety
            /// Has no effect that could be lost.
            ///
            /// # Errors
            /// As [`recv`](Self::recv).
            pub fn peek(&self, buf: &mut [u8]) -> impl Future<Output = std::io::Result<usize>> {
                let call = $crate::net::endpoint::recv(buf, libc::MSG_PEEK);
                self.endpoint.read(call)
            }

            /// Looks at a datagram, without waiting, and leaves it to the next call.
            ///
            /// # Errors
            /// As [`try_recv`](Self::try_recv).
            pub fn try_peek(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                let call = $crate::net::endpoint::recv(buf, libc::MSG_PEEK);
                self.endpoint.try_read(call)
            }

            /// As [`recv`](Self::recv), into several buffers, one after the other.
            ///
            /// # Cancel safety
            /// As [`recv`](Self::recv).
            ///
            /// # Errors
            /// As [`recv`](Self::recv); `EMSGSIZE` if there are more than 1,024 buffers.
            pub fn recv_vectored(
                &self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> impl Future<Output = std::io::Result<usize>> {
                let call = $crate::net::endpoint::recv_datagram_vectored(bufs);
                self.endpoint.read(call)
            }

            /// Receives a datagram, without waiting.
            ///
            /// # Errors
            /// `WouldBlock` if there is none; else as [`recv`](Self::recv).
            pub fn try_recv(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                let call = $crate::net::endpoint::recv(buf, 0);
                self.endpoint.try_read(call)
            }

            /// As [`try_recv`](Self::try_recv), into several buffers, one after the other.
            ///
            /// # Errors
            /// As [`try_recv`](Self::try_recv).
            pub fn try_recv_vectored(
                &self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                let call = $crate::net::endpoint::recv_datagram_vectored(bufs);
                self.endpoint.try_read(call)
            }

            /// Receives a datagram, at most `limit` bytes of it and 256 KiB, into a buffer of the worker's
            /// pool, which it takes when there is one: to pass on what came, to another goroutine say,
            /// without copying it.
            ///
            /// # Cancel safety
            /// As [`recv`](Self::recv).
            ///
            /// # Errors
            /// As [`recv`](Self::recv).
            pub fn recv_pooled(
                &self,
                limit: usize,
            ) -> impl Future<Output = std::io::Result<$crate::io::PooledBuf>> {
                let call = $crate::net::endpoint::recv_pooled(limit);
                self.endpoint.read(call)
            }

            /// As [`recv_pooled`](Self::recv_pooled), without waiting.
            ///
            /// # Errors
            /// As [`try_recv`](Self::try_recv).
            pub fn try_recv_pooled(&self, limit: usize) -> std::io::Result<$crate::io::PooledBuf> {
                let call = $crate::net::endpoint::recv_pooled(limit);
                self.endpoint.try_read(call)
            }

            /// As [`recv`](Self::recv), for futures written by hand; of wakers as
            /// [`poll_readable`](Self::poll_readable).
            ///
            /// # Errors
            /// As [`recv`](Self::recv).
            pub fn poll_recv(
                &self,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let call = $crate::net::endpoint::recv(buf, 0);
                self.endpoint.poll_read(cx, call)
            }

            /// Sends a datagram to the peer that the socket is connected to; gives its length.
            ///
            /// # Cancel safety
            /// Nothing is sent by a future that is dropped before it is ready.
            ///
            /// # Errors
            /// Those of `send(2)`: `ConnectionRefused` if the peer has refused an earlier one, for
            /// example; `TimedOut` if the deadline has passed; and an error if the socket is closed
            /// meanwhile.
            pub fn send(&self, buf: &[u8]) -> impl Future<Output = std::io::Result<usize>> {
                self.endpoint.write($crate::net::endpoint::send(buf))
            }

            /// As [`send`](Self::send), one datagram from several buffers.
            ///
            /// # Cancel safety
            /// As [`send`](Self::send).
            ///
            /// # Errors
            /// As [`send`](Self::send); `EMSGSIZE` if there are more than 1,024 buffers.
            pub fn send_vectored(
                &self,
                bufs: &[std::io::IoSlice<'_>],
            ) -> impl Future<Output = std::io::Result<usize>> {
                let call = $crate::net::endpoint::send_datagram_vectored(bufs);
                self.endpoint.write(call)
            }

            /// Sends a datagram, without waiting.
            ///
            /// # Errors
            /// `WouldBlock` if there is no room; else as [`send`](Self::send).
            pub fn try_send(&self, buf: &[u8]) -> std::io::Result<usize> {
                self.endpoint.try_write($crate::net::endpoint::send(buf))
            }

            /// As [`try_send`](Self::try_send), one datagram from several buffers.
            ///
            /// # Errors
            /// As [`try_send`](Self::try_send).
            pub fn try_send_vectored(
                &self,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::io::Result<usize> {
                let call = $crate::net::endpoint::send_datagram_vectored(bufs);
                self.endpoint.try_write(call)
            }

            /// As [`send`](Self::send), for futures written by hand; of wakers as
            /// [`poll_readable`](Self::poll_readable).
            ///
            /// # Errors
            /// As [`send`](Self::send).
            pub fn poll_send(
                &self,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let call = $crate::net::endpoint::send(buf);
                self.endpoint.poll_write(cx, call)
            }

            /// Receives a datagram; gives its length and where it is from. What does not fit into `buf` is
            /// dropped.
            ///
            /// # Cancel safety
            /// Nothing is lost: a dropped call leaves the datagram in the socket.
            ///
            /// # Errors
            /// As [`recv`](Self::recv).
            pub async fn recv_from(&self, buf: &mut [u8]) -> std::io::Result<(usize, $address)> {
                let (len, address) = self
                    .endpoint
                    .read($crate::net::endpoint::recv_from(buf, 0))
                    .await?;
                Ok((len, $convert(address)?))
            }

            /// As [`recv_pooled`](Self::recv_pooled), and tells where the datagram is from.
            ///
            /// ```
            /// use gorin::net::UdpSocket;
            ///
            /// # fn main() -> std::io::Result<()> {
            /// gorin::run(async {
            ///     let server = UdpSocket::bind("127.0.0.1:0").await?;
            ///     let client = UdpSocket::bind("127.0.0.1:0").await?;
            ///     client.connect(server.local_addr()?).await?;
            ///     client.send(b"question").await?;
            ///     let (question, from) = server.recv_from_pooled(1500).await?;
            ///     // Whoever answers gets what came as it is; the socket receives the next one meanwhile.
            ///     let answering = server.clone();
            ///     gorin::go(async move { answering.send_to(&question, from).await })
            ///         .await
            ///         .unwrap()?;
            ///     assert_eq!(client.recv_pooled(1500).await?[..], *b"question");
            ///     Ok(())
            /// })
            /// # }
            /// ```
            ///
            /// # Cancel safety
            /// As [`recv`](Self::recv).
            ///
            /// # Errors
            /// As [`recv`](Self::recv).
            pub async fn recv_from_pooled(
                &self,
                limit: usize,
            ) -> std::io::Result<($crate::io::PooledBuf, $address)> {
                let call = $crate::net::endpoint::recv_from_pooled(limit);
                let (datagram, address) = self.endpoint.read(call).await?;
                Ok((datagram, $convert(address)?))
            }

            /// As [`recv_from`](Self::recv_from), but leaves the datagram to the next call.
            ///
            /// # Cancel safety
            /// Has no effect that could be lost.
            ///
            /// # Errors
            /// As [`recv`](Self::recv).
            pub async fn peek_from(&self, buf: &mut [u8]) -> std::io::Result<(usize, $address)> {
                let call = $crate::net::endpoint::recv_from(buf, libc::MSG_PEEK);
                let (len, address) = self.endpoint.read(call).await?;
                Ok((len, $convert(address)?))
            }

            /// Receives a datagram, without waiting.
            ///
            /// # Errors
            /// `WouldBlock` if there is none; else as [`recv`](Self::recv).
            pub fn try_recv_from(&self, buf: &mut [u8]) -> std::io::Result<(usize, $address)> {
                let (len, address) = self
                    .endpoint
                    .try_read($crate::net::endpoint::recv_from(buf, 0))?;
                Ok((len, $convert(address)?))
            }

            /// As [`recv_from_pooled`](Self::recv_from_pooled), without waiting.
            ///
            /// # Errors
            /// `WouldBlock` if there is none; else as [`recv`](Self::recv).
            pub fn try_recv_from_pooled(
                &self,
                limit: usize,
            ) -> std::io::Result<($crate::io::PooledBuf, $address)> {
                let call = $crate::net::endpoint::recv_from_pooled(limit);
                let (datagram, address) = self.endpoint.try_read(call)?;
                Ok((datagram, $convert(address)?))
            }

            /// As [`peek_from`](Self::peek_from), without waiting.
            ///
            /// # Errors
            /// As [`try_recv_from`](Self::try_recv_from).
            pub fn try_peek_from(&self, buf: &mut [u8]) -> std::io::Result<(usize, $address)> {
                let call = $crate::net::endpoint::recv_from(buf, libc::MSG_PEEK);
                let (len, address) = self.endpoint.try_read(call)?;
                Ok((len, $convert(address)?))
            }

            /// As [`recv_from`](Self::recv_from), for futures written by hand; of wakers as
            /// [`poll_readable`](Self::poll_readable).
            ///
            /// # Errors
            /// As [`recv`](Self::recv).
            pub fn poll_recv_from(
                &self,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<(usize, $address)>> {
                let call = $crate::net::endpoint::recv_from(buf, 0);
                let (len, address) = std::task::ready!(self.endpoint.poll_read(cx, call))?;
                std::task::Poll::Ready(Ok((len, $convert(address)?)))
            }
        }
    };
}

pub(in crate::net) use datagram_face;
