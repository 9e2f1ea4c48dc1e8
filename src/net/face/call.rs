//! Calls that gorin does not have, and readiness, for those who make calls themselves; see `face.rs`.

/// What sockets have for calls of their users.
macro_rules! call_face {
    ($name:ident) => {
        /// Calls that gorin does not have (`recvmsg(2)` with control data, `sendmmsg(2)`, those of another
        /// library), in the place of its own.
        ///
        /// A call must not block, and must say `WouldBlock` only if the socket has nothing, or no
        /// room. What a dropped call of the kind `recv_owned` has taken from a stream it does not see.
        impl $name {
            /// Calls `call` until it gives something else than `WouldBlock`, and waits until there is
            /// something to read in between. (tokio's `async_io`.)
            ///
            /// # Cancel safety
            /// As `call`: a future that is dropped while it waits has had no effect.
            ///
            /// # Errors
            /// Those of `call`, except `WouldBlock` and `Interrupted` (it is repeated); `TimedOut` if
            /// the deadline has passed, and an error if the socket is closed meanwhile.
            #[doc(alias = "async_io")]
            pub fn read_with<R>(
                &self,
                call: impl FnMut(std::os::fd::BorrowedFd<'_>) -> std::io::Result<R>,
            ) -> impl Future<Output = std::io::Result<R>> {
                self.endpoint().read(call)
            }

            /// Calls `call` until it gives something else than `WouldBlock`, and waits until there is
            /// room to write in between.
            ///
            /// # Cancel safety
            /// As `call`: a future that is dropped while it waits has had no effect.
            ///
            /// # Errors
            /// As [`read_with`](Self::read_with).
            #[doc(alias = "async_io")]
            pub fn write_with<R>(
                &self,
                call: impl FnMut(std::os::fd::BorrowedFd<'_>) -> std::io::Result<R>,
            ) -> impl Future<Output = std::io::Result<R>> {
                self.endpoint().write(call)
            }

            /// Calls `call` once, unless the deadline of reading has passed or the socket was closed.
            ///
            /// # Errors
            /// Those of `call`, `WouldBlock` among them, except `Interrupted` (it is repeated); else
            /// as [`read_with`](Self::read_with).
            #[doc(alias = "try_io")]
            pub fn try_read_with<R>(
                &self,
                call: impl FnMut(std::os::fd::BorrowedFd<'_>) -> std::io::Result<R>,
            ) -> std::io::Result<R> {
                self.endpoint().try_read(call)
            }

            /// Calls `call` once, unless the deadline of writing has passed or the socket was closed.
            ///
            /// # Errors
            /// As [`try_read_with`](Self::try_read_with).
            #[doc(alias = "try_io")]
            pub fn try_write_with<R>(
                &self,
                call: impl FnMut(std::os::fd::BorrowedFd<'_>) -> std::io::Result<R>,
            ) -> std::io::Result<R> {
                self.endpoint().try_write(call)
            }

            /// As [`read_with`](Self::read_with), for futures written by hand; of wakers as
            /// [`poll_readable`](Self::poll_readable).
            ///
            /// # Errors
            /// As [`read_with`](Self::read_with).
            pub fn poll_read_with<R>(
                &self,
                cx: &mut std::task::Context<'_>,
                call: impl FnMut(std::os::fd::BorrowedFd<'_>) -> std::io::Result<R>,
            ) -> std::task::Poll<std::io::Result<R>> {
                self.endpoint().poll_read(cx, call)
            }

            /// As [`write_with`](Self::write_with), for futures written by hand; of wakers as
            /// [`poll_readable`](Self::poll_readable).
            ///
            /// # Errors
            /// As [`read_with`](Self::read_with).
            pub fn poll_write_with<R>(
                &self,
                cx: &mut std::task::Context<'_>,
                call: impl FnMut(std::os::fd::BorrowedFd<'_>) -> std::io::Result<R>,
            ) -> std::task::Poll<std::io::Result<R>> {
                self.endpoint().poll_write(cx, call)
            }

            /// As [`readable`](Self::readable), for futures written by hand: if it is pending, the task
            /// is woken when it is worth another look.
            ///
            /// The waker stays until the next event, also if the future is dropped; where futures are
            /// often dropped, `readable` is better.
            ///
            /// # Errors
            /// As [`readable`](Self::readable).
            pub fn poll_readable(
                &self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.endpoint().poll_readable(cx)
            }

            /// As [`writable`](Self::writable), for futures written by hand; see
            /// [`poll_readable`](Self::poll_readable).
            ///
            /// # Errors
            /// As [`writable`](Self::writable).
            pub fn poll_writable(
                &self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.endpoint().poll_writable(cx)
            }
        }
    };
}

pub(in crate::net) use call_face;
