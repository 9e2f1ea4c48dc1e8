//! The methods that several kinds of sockets share, written once and given to each type.
//!
//! Macros rather than a generic `Stream<Family>`: a user's documentation and error messages then
//! name `TcpStream` and have all of its methods on one page, as with std.
//!
//! | macro | for | gives |
//! |---|---|---|
//! | `socket_face!` | all | std's type and back, the descriptor, addresses, buffer sizes, `close` |
//! | `transfer_face!` | all but listeners | deadlines, `readable`, `writable`, `shutdown` |
//! | `call_face!` | all but listeners | calls that gorin does not have, and `poll_readable` |
//! | `stream_face!` | streams | reading and writing, halves, `AsyncRead` and `AsyncWrite` |
//! | `datagram_face!` | datagram sockets | `recv`, `send`, `peek`, from whom, and what can fail with `WouldBlock` |
//!
//! A type provides `endpoint()` and `from_endpoint()`. What streams have is in `face/stream.rs`,
//! datagram sockets in `face/datagram.rs`, calls of users in `face/call.rs`.

mod call;
mod datagram;
mod stream;

/// What every socket has.
macro_rules! socket_face {
    ($name:ident, std: $std:ty, address: $address:ty = $convert:path) => {
        impl $name {
            /// Takes over a socket made by std; it is set non-blocking.
            ///
            /// Who has kept a duplicate of it (`try_clone`, another process) keeps the socket when this is
            /// dropped. For a duplicate of a socket that gorin has made, which it ends with the last handle,
            /// take [`clone().into_std()`](Self::into_std). Who makes the socket blocking again, which it then
            /// is for all, lets accepting and [`splice`](crate::io::splice()) keep their worker while
            /// there is nothing; other calls do not mind.
            ///
            /// # Errors
            /// If the descriptor cannot be set non-blocking, or this thread belongs to no runtime.
            pub fn from_std(socket: $std) -> std::io::Result<Self> {
                socket.set_nonblocking(true)?;
                $crate::net::endpoint::Endpoint::adopt(socket).map(Self::from_endpoint)
            }

            /// Gives the socket to std. It stays non-blocking, because other handles may share it;
            /// it lives until the last of them and the returned one are dropped. (What a dropped call of
            /// the kind `recv_owned` has taken from a stream stays with the handles; read first.)
            ///
            /// # Errors
            /// If no descriptor is left.
            pub fn into_std(self) -> std::io::Result<$std> {
                self.endpoint().duplicate().map(<$std>::from)
            }

            /// The address of this end.
            ///
            /// # Errors
            /// Those of `getsockname(2)`.
            pub fn local_addr(&self) -> std::io::Result<$address> {
                $convert(self.endpoint().options().local_addr()?)
            }

            /// The error that is pending on the socket (`SO_ERROR`), which this clears.
            ///
            /// # Errors
            /// Those of `getsockopt(2)`.
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                self.endpoint().options().take_error()
            }

            /// The size of the kernel's buffer for what arrives, in bytes: twice what was asked for.
            ///
            /// # Errors
            /// Those of `getsockopt(2)`.
            pub fn recv_buffer_size(&self) -> std::io::Result<usize> {
                self.endpoint().options().recv_buffer_size()
            }

            /// Sets the size of the kernel's buffer for what arrives (`SO_RCVBUF`), in bytes.
            ///
            /// # Errors
            /// Those of `setsockopt(2)`.
            pub fn set_recv_buffer_size(&self, bytes: usize) -> std::io::Result<()> {
                self.endpoint().options().set_recv_buffer_size(bytes)
            }

            /// The size of the kernel's buffer for what is sent, in bytes: twice what was asked for.
            ///
            /// # Errors
            /// Those of `getsockopt(2)`.
            pub fn send_buffer_size(&self) -> std::io::Result<usize> {
                self.endpoint().options().send_buffer_size()
            }

            /// Sets the size of the kernel's buffer for what is sent (`SO_SNDBUF`), in bytes.
            ///
            /// # Errors
            /// Those of `setsockopt(2)`.
            pub fn set_send_buffer_size(&self, bytes: usize) -> std::io::Result<()> {
                self.endpoint().options().set_send_buffer_size(bytes)
            }
        }

        /// To look at the descriptor, or set options. One that is duplicated this way, or sent to another
        /// process, may end with the last handle: where it is to go on, take `clone().into_std()`.
        impl std::os::fd::AsFd for $name {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                std::os::fd::AsFd::as_fd(self.endpoint())
            }
        }

        impl std::os::fd::AsRawFd for $name {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(self))
            }
        }

        /// As `from_std`: the descriptor must be a socket of this kind.
        impl TryFrom<std::os::fd::OwnedFd> for $name {
            type Error = std::io::Error;

            fn try_from(fd: std::os::fd::OwnedFd) -> std::io::Result<Self> {
                Self::from_std(fd.into())
            }
        }

        /// As `into_std`.
        impl TryFrom<$name> for std::os::fd::OwnedFd {
            type Error = std::io::Error;

            fn try_from(socket: $name) -> std::io::Result<Self> {
                socket.endpoint().duplicate()
            }
        }
    };
}

/// What sockets have through which bytes go.
macro_rules! transfer_face {
    ($name:ident, address: $address:ty = $convert:path) => {
        impl $name {
            /// The address of the peer.
            ///
            /// # Errors
            /// `NotConnected` if there is none, or it is gone.
            pub fn peer_addr(&self) -> std::io::Result<$address> {
                $convert(self.endpoint().options().peer_addr()?)
            }

            /// Sets the time at which reading ends, or lifts it (`None`), for all handles. From then
            /// on calls that read fail with `TimedOut`, whether they wait already or come later and
            /// whether there is something to read or not, until the deadline is set anew: Go's
            /// `SetReadDeadline`. One in the past ends pending calls at once.
            ///
            /// What has arrived stays in the socket, for after the deadline has been moved. A time
            /// limit for one call is [`time::timeout`](crate::time::timeout).
            pub fn set_read_deadline(&self, deadline: Option<std::time::Instant>) {
                self.endpoint().set_read_deadline(deadline);
            }

            /// Sets the time at which writing ends, or lifts it, as
            /// [`set_read_deadline`](Self::set_read_deadline) does for reading. What was written
            /// until then has been written.
            pub fn set_write_deadline(&self, deadline: Option<std::time::Instant>) {
                self.endpoint().set_write_deadline(deadline);
            }

            /// Sets the time at which reading and writing end, or lifts both: Go's `SetDeadline`.
            pub fn set_deadline(&self, deadline: Option<std::time::Instant>) {
                self.set_read_deadline(deadline);
                self.set_write_deadline(deadline);
            }

            /// Waits until there is something to read, or reading would give the end or an error.
            /// Another goroutine may still come first.
            ///
            /// # Cancel safety
            /// Has no effect that could be lost.
            ///
            /// # Errors
            /// If the socket is closed meanwhile or its deadline passes.
            pub fn readable(&self) -> impl Future<Output = std::io::Result<()>> {
                self.endpoint().readable()
            }

            /// Waits until there is room to write, or writing would give an error.
            ///
            /// # Cancel safety
            /// Has no effect that could be lost.
            ///
            /// # Errors
            /// If the socket is closed meanwhile or its deadline passes; `BrokenPipe` if this direction
            /// [was ended](Self::shutdown) and has no room.
            pub fn writable(&self) -> impl Future<Output = std::io::Result<()>> {
                self.endpoint().writable()
            }

            /// Ends one or both directions; pending and later calls of that direction see the end.
            /// On a stream `Shutdown::Write` tells the peer that no more will come, while reading
            /// goes on.
            ///
            /// # Errors
            /// Those of `shutdown(2)`: `NotConnected` if there is no peer, or it is gone already.
            pub fn shutdown(&self, how: std::net::Shutdown) -> std::io::Result<()> {
                self.endpoint().shutdown(how)
            }

            /// Ends the socket for all handles, now; pending and later calls, of this and other
            /// goroutines, end with an error of the kind `NotConnected`. Closing twice has no
            /// effect.
            ///
            /// Data that nobody has read is dropped; the peer of a stream sees a normal end, or a reset if it
            /// is not to linger (`SO_LINGER` of zero).
            pub fn close(&self) {
                self.endpoint().close();
            }
        }
    };
}

pub(super) use call::call_face;
pub(super) use datagram::datagram_face;
pub(super) use stream::stream_face;
pub(super) use {socket_face, transfer_face};
