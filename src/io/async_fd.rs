//! [`AsyncFd`]: waiting for descriptors of others, and for calls that gorin does not have.
//!
//! # Invariants
//!
//! 1. The reactor holds a duplicate of the descriptor, which it closes itself. The value inside may
//!    close its own whenever it likes: no poll ever names a number that has become somebody else's.
//! 2. What is done to the duplicate must not be felt by the other one: the connection of a socket is
//!    not shut down when this is dropped.
//!
//! Rejected: to poll the value's own descriptor. A poll that is in a worker's mailbox, or not yet
//! submitted, would name a descriptor that may be closed meanwhile, and a safe trait like `AsFd`
//! cannot promise that it is not. The price is one descriptor, and a `dup` when it is made.
//!
//! Rejected: `POLLPRI` (out-of-band data, `/proc/pressure`, sysfs) as a third direction. The readiness
//! words have two, and the kernel reports priority with each arrival to polls that ask for both.
//!
//! Must not be given regular files: they cannot be polled, and are refused.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::io::{AsyncRead, AsyncWrite};
use gorin_reactor::{Direction, Socket};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};

/// Makes `fd` non-blocking and gives it to the reactor.
pub(super) fn pollable(fd: OwnedFd) -> io::Result<Socket> {
    let kind = FileType::from_raw_mode(fstat(&fd)?.st_mode);
    if matches!(kind, FileType::RegularFile | FileType::Directory) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a regular file or directory cannot be polled: there is nothing to wait for",
        ));
    }
    fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
    Socket::new(fd)
}

/// Lets goroutines wait for any descriptor that can be polled: of inotify, a timer, a device, an
/// epoll set, the socket of a C library.
///
/// `T` is what owns or borrows the descriptor: an `OwnedFd`, a `BorrowedFd`, a type of std or of
/// another library. It stays inside, and [`get_ref`](AsyncFd::get_ref) gives it.
///
/// There are two ways to use it. [`read_with`](AsyncFd::read_with) and
/// [`write_with`](AsyncFd::write_with) repeat a call until it does not block any more. Or
/// [`readable`](AsyncFd::readable) and [`writable`](AsyncFd::writable) wait until `poll(2)` says that
/// a call is worth trying, and the call is yours. They say so as long as it is true, so nothing has to
/// be cleared before the next wait. Where `T` is std's [`Read`] or [`Write`], this is
/// [`AsyncRead`] or [`AsyncWrite`].
///
/// All methods take `&self`: several goroutines may wait, for both directions.
///
/// # The descriptor
/// It is set non-blocking, which others who share it will see. gorin holds a duplicate of it (one
/// more descriptor), which is closed when this is dropped or [taken apart](AsyncFd::into_inner), or, if
/// somebody has waited, a moment later. Until then the other end of a pipe or connection does not
/// see an end. There may be several `AsyncFd` for one descriptor.
///
/// ```
/// use gorin::io::AsyncFd;
/// use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
/// use std::mem::MaybeUninit;
///
/// # fn main() -> std::io::Result<()> {
/// # let dir = std::env::temp_dir().join(format!("gorin-async-fd-doc-{}", std::process::id()));
/// # std::fs::create_dir(&dir)?;
/// gorin::run(async {
///     let watch = AsyncFd::new(inotify::init(CreateFlags::CLOEXEC)?)?;
///     inotify::add_watch(&watch, &dir, WatchFlags::CREATE)?;
///     gorin::fs::write(dir.join("ring"), "five").await?;
///
///     let mut buf = [MaybeUninit::uninit(); 512];
///     let created = watch.read_with(|fd| {
///         let mut events = inotify::Reader::new(fd, &mut buf);
///         let event = events.next()?; // `WouldBlock` if there is none
///         Ok(event.file_name().map(|name| name.to_owned()))
///     });
///     assert_eq!(created.await?.as_deref(), Some(c"ring"));
///     # std::fs::remove_dir_all(&dir)
/// })
/// # }
/// ```
pub struct AsyncFd<T: AsFd> {
    // Before the value, whose descriptor is then the last.
    socket: Socket,
    inner: T,
}

impl<T: AsFd> AsyncFd<T> {
    /// Sets the descriptor of `inner` non-blocking, and waits for it from now on. (To keep what is
    /// refused, lend it: `&T` will do for `T`.)
    ///
    /// # Errors
    /// `InvalidInput` for a regular file or directory; if no descriptor is left; an error that says so
    /// if this thread belongs to no runtime.
    pub fn new(inner: T) -> io::Result<AsyncFd<T>> {
        let socket = pollable(inner.as_fd().try_clone_to_owned()?)?;
        socket.set_duplicated();
        Ok(AsyncFd { socket, inner })
    }

    /// What is inside.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// What is inside. The descriptor that is waited for stays the one of before, whatever becomes
    /// of the value's.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// What was inside; it stays non-blocking.
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// Waits until there is something to read, or reading would give the end or an error. Another
    /// goroutine may still come first.
    ///
    /// ```
    /// use gorin::io::AsyncFd;
    /// use std::io::{Read, Write};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// gorin::run(async {
    ///     let (reader, mut writer) = std::io::pipe()?;
    ///     let reader = AsyncFd::new(reader)?;
    ///     writer.write_all(b"ring")?;
    ///     reader.readable().await?;
    ///     let mut buf = [0; 8];
    ///     assert_eq!(reader.get_ref().read(&mut buf)?, 4);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Has no effect that could be lost.
    ///
    /// # Errors
    /// `TimedOut` if the deadline has passed; an error if this is closed or the runtime ends
    /// meanwhile.
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
        self.socket.ready(Direction::Read)
    }

    /// Waits until there is room to write, or writing would give an error.
    ///
    /// # Cancel safety
    /// Has no effect that could be lost.
    ///
    /// # Errors
    /// As [`readable`](AsyncFd::readable).
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
        self.socket.ready(Direction::Write)
    }

    /// As [`readable`](AsyncFd::readable), for futures written by hand: if it is pending, the task is
    /// woken when it is worth another look.
    ///
    /// The waker stays until the next event, also if the future is dropped; where futures are often
    /// dropped, `readable` is better.
    ///
    /// # Errors
    /// As [`readable`](AsyncFd::readable).
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_ready(Direction::Read, cx)
    }

    /// As [`writable`](AsyncFd::writable), for futures written by hand; see
    /// [`poll_readable`](AsyncFd::poll_readable).
    ///
    /// # Errors
    /// As [`readable`](AsyncFd::readable).
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_ready(Direction::Write, cx)
    }

    /// Calls `call` until it gives something else than `WouldBlock`, and waits until there is
    /// something to read in between. (tokio's `async_io`.)
    ///
    /// `call` must not block, and must say `WouldBlock` only if it has found nothing to read. If it
    /// has left something, it depends on the driver whether it is called again at once or not before
    /// more has come.
    ///
    /// # Cancel safety
    /// As `call`: a future that is dropped while it waits has had no effect.
    ///
    /// # Errors
    /// Those of `call`, except `WouldBlock` and `Interrupted` (it is repeated); else as
    /// [`readable`](AsyncFd::readable).
    #[doc(alias = "async_io")]
    pub fn read_with<R>(
        &self,
        call: impl FnMut(&T) -> io::Result<R>,
    ) -> impl Future<Output = io::Result<R>> {
        let call = self.on_inner(call);
        self.socket.io(Direction::Read, call)
    }

    /// Calls `call` until it gives something else than `WouldBlock`, and waits until there is room to
    /// write in between; else as [`read_with`](AsyncFd::read_with).
    ///
    /// # Cancel safety
    /// As `call`: a future that is dropped while it waits has had no effect.
    ///
    /// # Errors
    /// As [`read_with`](AsyncFd::read_with).
    #[doc(alias = "async_io")]
    pub fn write_with<R>(
        &self,
        call: impl FnMut(&T) -> io::Result<R>,
    ) -> impl Future<Output = io::Result<R>> {
        let call = self.on_inner(call);
        self.socket.io(Direction::Write, call)
    }

    /// Calls `call` once, unless the deadline has passed or this was closed.
    ///
    /// # Errors
    /// Those of `call`, `WouldBlock` among them, except `Interrupted` (it is repeated); else as
    /// [`readable`](AsyncFd::readable).
    #[doc(alias = "try_io")]
    pub fn try_read_with<R>(&self, call: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.socket.try_io(Direction::Read, self.on_inner(call))
    }

    /// As [`try_read_with`](AsyncFd::try_read_with), for the other direction.
    ///
    /// # Errors
    /// As [`try_read_with`](AsyncFd::try_read_with).
    #[doc(alias = "try_io")]
    pub fn try_write_with<R>(&self, call: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.socket.try_io(Direction::Write, self.on_inner(call))
    }

    /// As [`read_with`](AsyncFd::read_with), for futures written by hand; of wakers as
    /// [`poll_readable`](AsyncFd::poll_readable).
    ///
    /// # Errors
    /// As [`read_with`](AsyncFd::read_with).
    pub fn poll_read_with<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let call = self.on_inner(call);
        self.socket.poll_io(Direction::Read, cx, call)
    }

    /// As [`write_with`](AsyncFd::write_with), for futures written by hand; of wakers as
    /// [`poll_readable`](AsyncFd::poll_readable).
    ///
    /// # Errors
    /// As [`read_with`](AsyncFd::read_with).
    pub fn poll_write_with<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let call = self.on_inner(call);
        self.socket.poll_io(Direction::Write, cx, call)
    }

    /// Sets the time at which reading ends, or lifts it (`None`). From then on calls that read, and
    /// [`readable`](AsyncFd::readable), fail with `TimedOut`, whether they wait already or come later,
    /// until the deadline is set anew; one in the past ends pending calls at once.
    pub fn set_read_deadline(&self, deadline: Option<Instant>) {
        self.socket.set_deadline(Direction::Read, deadline);
    }

    /// Sets the time at which writing ends, or lifts it, as
    /// [`set_read_deadline`](AsyncFd::set_read_deadline) does for reading.
    pub fn set_write_deadline(&self, deadline: Option<Instant>) {
        self.socket.set_deadline(Direction::Write, deadline);
    }

    /// Ends all calls that wait, of this and other goroutines, and refuses later ones, with an error
    /// of the kind `NotConnected`. The descriptor itself stays as it is. Closing twice has no effect.
    pub fn close(&self) {
        self.socket.close();
    }

    /// `call` for a descriptor of the reactor's, which is the value's.
    fn on_inner<R>(
        &self,
        mut call: impl FnMut(&T) -> io::Result<R>,
    ) -> impl FnMut(BorrowedFd<'_>) -> io::Result<R> {
        move |_duplicate| call(&self.inner)
    }
}

// Nothing is pinned through it.
impl<T: AsFd> Unpin for AsyncFd<T> {}

impl<T: AsFd + Read> AsyncRead for AsyncFd<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let AsyncFd { socket, inner } = self.get_mut();
        socket.poll_io(Direction::Read, cx, |_| inner.read(buf))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let AsyncFd { socket, inner } = self.get_mut();
        socket.poll_io(Direction::Read, cx, |_| inner.read_vectored(bufs))
    }
}

impl<T: AsFd> AsyncRead for &AsyncFd<T>
where
    for<'a> &'a T: Read,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_with(cx, |mut inner| inner.read(buf))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_with(cx, |mut inner| inner.read_vectored(bufs))
    }
}

impl<T: AsFd + Write> AsyncWrite for AsyncFd<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let AsyncFd { socket, inner } = self.get_mut();
        socket.poll_io(Direction::Write, cx, |_| inner.write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let AsyncFd { socket, inner } = self.get_mut();
        socket.poll_io(Direction::Write, cx, |_| inner.write_vectored(bufs))
    }

    /// Has the value flush what it buffers.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let AsyncFd { socket, inner } = self.get_mut();
        socket.poll_io(Direction::Write, cx, |_| inner.flush())
    }

    /// As `poll_flush`: how a direction is ended depends on the descriptor.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl<T: AsFd> AsyncWrite for &AsyncFd<T>
where
    for<'a> &'a T: Write,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |mut inner| inner.write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |mut inner| inner.write_vectored(bufs))
    }

    /// Has the value flush what it buffers.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_with(cx, |mut inner| inner.flush())
    }

    /// As `poll_flush`: how a direction is ended depends on the descriptor.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl<T: AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: AsFd> AsRawFd for AsyncFd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_fd().as_raw_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncFd").field(&self.inner).finish()
    }
}
