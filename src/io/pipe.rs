//! The system's pipes, and whatever else is a stream of bytes behind a descriptor that can be
//! polled: FIFOs, terminals, the standard streams of a child process.
//!
//! Both ends wait by readiness, as sockets do. Must not be given regular files: they cannot be
//! polled, and are refused.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::io::{AsyncRead, AsyncWrite};
use gorin_reactor::{Direction, Socket, calls};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};

use super::async_fd::pollable;
use super::turns::Turns;
use super::write_all::{WriteAll, write_all};

/// Makes a pipe of the system: what is written to one end can be read from the other.
///
/// For bytes that go to another process, or come from one. Between goroutines a
/// [channel](crate::chan()) does it without a system call.
///
/// ```
/// use gorin::io::{AsyncReadExt, pipe};
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let (mut reader, writer) = pipe()?;
///     writer.write_all(b"over there").await?;
///     drop(writer);
///     let mut text = String::new();
///     reader.read_to_string(&mut text).await?;
///     assert_eq!(text, "over there");
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// If no descriptors are left, or this thread belongs to no runtime.
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    Ok((PipeReader::from_fd(reader)?, PipeWriter::from_fd(writer)?))
}

/// Takes over what others may have, too. Where that is a socket, as programs get their standard streams from
/// some, its connection goes on without this end.
fn adopt(fd: OwnedFd) -> io::Result<Socket> {
    let socket = pollable(fd)?;
    socket.set_adopted();
    socket.set_pipe();
    Ok(socket)
}

/// A duplicate of the descriptor that blocks again, for other programs.
fn blocking(socket: &Socket) -> io::Result<OwnedFd> {
    let fd = socket.as_fd().try_clone_to_owned()?;
    // Where it is a socket, as programs get their standard streams from some, its connection goes on.
    socket.set_duplicated();
    fcntl_setfl(&fd, fcntl_getfl(&fd)? - OFlags::NONBLOCK)?;
    Ok(fd)
}

/// The reading end of a pipe, FIFO, terminal or the like.
///
/// Methods take `&self`, and several goroutines may read; each byte goes to one of them. Dropping
/// it closes the end; if somebody has waited for it, a moment later, when the worker that watched it
/// has let go.
pub struct PipeReader {
    socket: Socket,
}

impl PipeReader {
    /// Takes over the reading end of a pipe, a FIFO, a terminal, or whatever else can be polled and
    /// read; it is set non-blocking, which others who share it will see.
    ///
    /// A FIFO is to be opened to read and write, as Linux allows: that waits for nobody, and reading
    /// waits for whoever comes to write and never finds the end. (With `O_NONBLOCK` and to read
    /// only, reads give the end while there is no writer; with neither, opening blocks the thread.)
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// gorin::run(async {
    ///     let mut options = std::fs::OpenOptions::new();
    ///     let fifo = options.read(true).write(true).open("commands")?;
    ///     let reader = gorin::io::PipeReader::from_fd(fifo.into())?;
    ///     # drop(reader);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for a regular file or directory; an error if this thread belongs to no
    /// runtime.
    pub fn from_fd(fd: OwnedFd) -> io::Result<PipeReader> {
        let socket = adopt(fd)?;
        Ok(PipeReader { socket })
    }

    /// The descriptor, blocking again, as another program expects it. For that program's standard
    /// input there is `Stdio::try_from(reader)?`.
    ///
    /// # Errors
    /// If no descriptors are left.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        blocking(&self.socket)
    }

    /// Reads what is there, at most `buf.len()` bytes; waits if there is nothing. Zero means that
    /// all writers are gone (or that `buf` is empty).
    ///
    /// # Cancel safety
    /// Nothing is lost: a dropped read leaves the bytes in the pipe.
    ///
    /// # Errors
    /// Those of `read(2)`, and `TimedOut` if the deadline has passed.
    pub fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.socket.io(Direction::Read, self.call(buf))
    }

    /// As [`read`](PipeReader::read), into several buffers, one after the other.
    ///
    /// # Cancel safety
    /// As [`read`](PipeReader::read).
    ///
    /// # Errors
    /// As [`read`](PipeReader::read).
    pub async fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.socket
            .io(Direction::Read, self.call_vectored(bufs))
            .await
    }

    /// Reads until `buf` is full.
    ///
    /// # Cancel safety
    /// Not cancel-safe: what a dropped call had read is in `buf`, and how much is unknown. Where that
    /// matters use [`read`](PipeReader::read) and keep count.
    ///
    /// # Errors
    /// As [`read`](PipeReader::read); `UnexpectedEof` if all writers are gone before.
    pub async fn read_exact(&self, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read(buf).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => buf = &mut buf[len..],
            }
        }
        Ok(())
    }

    /// Reads what is there, without waiting.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// gorin::run(async {
    ///     let (reader, writer) = gorin::io::pipe()?;
    ///     let nothing = reader.try_read(&mut [0; 8]).unwrap_err();
    ///     assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    ///     assert_eq!(writer.try_write(b"bytes")?, 5);
    ///     assert_eq!(reader.try_read(&mut [0; 8])?, 5);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing; else as [`read`](PipeReader::read).
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.try_io(Direction::Read, self.call(buf))
    }

    /// As [`try_read`](PipeReader::try_read), into several buffers, one after the other.
    ///
    /// # Errors
    /// As [`try_read`](PipeReader::try_read).
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.socket
            .try_io(Direction::Read, self.call_vectored(bufs))
    }

    /// Waits until there is something to read, or all writers are gone. Another goroutine may still
    /// come first.
    ///
    /// # Cancel safety
    /// Has no effect that could be lost.
    ///
    /// # Errors
    /// `TimedOut` if the deadline has passed, and an error if the runtime ends meanwhile.
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
        self.socket.ready(Direction::Read)
    }

    /// Sets the time at which reading ends, or lifts it (`None`). From then on calls that read fail
    /// with `TimedOut`, whether they wait already or come later, until the deadline is set anew; one
    /// in the past ends pending calls at once. What is in the pipe stays there.
    pub fn set_read_deadline(&self, deadline: Option<Instant>) {
        self.socket.set_deadline(Direction::Read, deadline);
    }

    /// One call of `read(2)`, which notes when it has emptied the pipe.
    fn call(&self, buf: &mut [u8]) -> impl FnMut(BorrowedFd<'_>) -> io::Result<usize> {
        let room = self.check_room(buf.len());
        move |fd| self.note_short_read(rustix::io::read(fd, &mut *buf)?, room)
    }

    /// As [`call`](Self::call), into several buffers.
    fn call_vectored(
        &self,
        bufs: &mut [IoSliceMut<'_>],
    ) -> impl FnMut(BorrowedFd<'_>) -> io::Result<usize> {
        let room = self.check_room(calls::room(bufs));
        move |fd| self.note_short_read(rustix::io::readv(fd, bufs)?, room)
    }

    /// A read without room gives zero at once, also from a pipe that is known to be empty.
    fn check_room(&self, room: usize) -> usize {
        if room == 0 {
            self.socket.forget_drained();
        }
        room
    }

    /// A read that got less than it had room for has emptied the pipe, most likely.
    fn note_short_read(&self, read: usize, room: usize) -> io::Result<usize> {
        if (1..room).contains(&read) {
            self.socket.set_drained();
        }
        Ok(read)
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }
}

/// The writing end of a pipe, FIFO, terminal or the like.
///
/// Methods take `&self`. Writes of several goroutines do not mix with each other as long as they
/// are of at most 4,096 bytes (`PIPE_BUF`), those by [`write_all`](PipeWriter::write_all) never, unless
/// another process writes, too. Dropping it closes the end, as that of a [`PipeReader`]; when all
/// writing ends are closed, the reader finds the end of the stream.
pub struct PipeWriter {
    /// `None` once it is closed.
    socket: Option<Socket>,
    /// Whose message is being written.
    writing: Turns,
}

impl PipeWriter {
    /// Takes over the writing end of a pipe, a FIFO, a terminal, or whatever else can be polled and
    /// written; it is set non-blocking, which others who share it will see.
    ///
    /// # Errors
    /// As [`PipeReader::from_fd`].
    pub fn from_fd(fd: OwnedFd) -> io::Result<PipeWriter> {
        Ok(PipeWriter {
            socket: Some(adopt(fd)?),
            writing: Turns::new(),
        })
    }

    /// The descriptor, blocking again, as another program expects it. For that program's standard
    /// output there is `Stdio::try_from(writer)?`.
    ///
    /// # Errors
    /// If no descriptors are left, or the end was closed.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        blocking(self.socket()?)
    }

    pub(super) fn socket(&self) -> io::Result<&Socket> {
        self.socket.as_ref().ok_or_else(|| {
            let text = "this end of the pipe was closed by `AsyncWriteExt::close`";
            io::Error::new(io::ErrorKind::BrokenPipe, text)
        })
    }

    /// Writes what the pipe has room for, at least one byte unless `buf` is empty.
    ///
    /// # Cancel safety
    /// Nothing is written by a future that is dropped before it is ready.
    ///
    /// # Errors
    /// `BrokenPipe` if all readers are gone, `TimedOut` if the deadline has passed, and what else
    /// `write(2)` says.
    pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let write = |fd: BorrowedFd<'_>| Ok(rustix::io::write(fd, buf)?);
        self.socket()?.io(Direction::Write, write).await
    }

    /// As [`write`](PipeWriter::write), from several buffers, one after the other.
    ///
    /// # Cancel safety
    /// As [`write`](PipeWriter::write).
    ///
    /// # Errors
    /// As [`write`](PipeWriter::write).
    pub async fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let write = |fd: BorrowedFd<'_>| Ok(rustix::io::writev(fd, bufs)?);
        self.socket()?.io(Direction::Write, write).await
    }

    /// Writes what the pipe has room for, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if it has none; else as [`write`](PipeWriter::write).
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        let write = |fd: BorrowedFd<'_>| Ok(rustix::io::write(fd, buf)?);
        self.socket()?.try_io(Direction::Write, write)
    }

    /// As [`try_write`](PipeWriter::try_write), from several buffers, one after the other.
    ///
    /// # Errors
    /// As [`try_write`](PipeWriter::try_write).
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let write = |fd: BorrowedFd<'_>| Ok(rustix::io::writev(fd, bufs)?);
        self.socket()?.try_io(Direction::Write, write)
    }

    /// Waits until there is room to write, or all readers are gone.
    ///
    /// # Cancel safety
    /// Has no effect that could be lost.
    ///
    /// # Errors
    /// `TimedOut` if the deadline has passed, `BrokenPipe` if the end was closed, and an error if the
    /// runtime ends meanwhile.
    pub async fn writable(&self) -> io::Result<()> {
        self.socket()?.ready(Direction::Write).await
    }

    /// Sets the time at which writing ends, or lifts it, as
    /// [`PipeReader::set_read_deadline`] does for reading. What was written until then has been
    /// written.
    pub fn set_write_deadline(&self, deadline: Option<Instant>) {
        if let Some(socket) = &self.socket {
            socket.set_deadline(Direction::Write, deadline);
        }
    }

    /// Writes all of `buf`. Goroutines that call this at once write one after the other, in the order in
    /// which they came.
    ///
    /// # Cancel safety
    /// Not cancel-safe: a dropped call may have written a prefix. Where that matters use
    /// [`write`](PipeWriter::write) and keep count.
    ///
    /// # Errors
    /// As [`write`](PipeWriter::write); a prefix may have been written.
    pub async fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        let call = write_all(buf, |fd, part| Ok(rustix::io::write(fd, part)?));
        let io = self.socket()?.io(Direction::Write, call);
        WriteAll::new(&self.writing, io).await
    }
}

impl AsyncRead for &PipeReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_io(Direction::Read, cx, self.call(buf))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let read = self.call_vectored(bufs);
        self.socket.poll_io(Direction::Read, cx, read)
    }
}

impl AsyncRead for PipeReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_io(Direction::Read, cx, self.call(buf))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_read_vectored(cx, bufs)
    }
}

impl AsyncWrite for &PipeWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = |fd: BorrowedFd<'_>| Ok(rustix::io::write(fd, buf)?);
        self.socket()?.poll_io(Direction::Write, cx, write)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = |fd: BorrowedFd<'_>| Ok(rustix::io::writev(fd, bufs)?);
        self.socket()?.poll_io(Direction::Write, cx, write)
    }

    /// Ready at once: nothing is buffered here.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ready at once, and closes nothing: others may use it. Close the writer itself, or drop it.
    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PipeWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write_vectored(cx, bufs)
    }

    /// Ready at once: nothing is buffered here.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(cx)
    }

    /// Closes the end: the reader finds the end of the stream, and later writes fail.
    fn poll_close(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket = None;
        Poll::Ready(Ok(()))
    }
}

/// The conversions that both ends have.
macro_rules! conversions {
    ($end:ident) => {
        /// As `from_fd`.
        impl TryFrom<OwnedFd> for $end {
            type Error = io::Error;

            fn try_from(fd: OwnedFd) -> io::Result<$end> {
                $end::from_fd(fd)
            }
        }

        /// As `into_fd`.
        impl TryFrom<$end> for OwnedFd {
            type Error = io::Error;

            fn try_from(end: $end) -> io::Result<OwnedFd> {
                end.into_fd()
            }
        }

        /// As `into_fd`: the end becomes a standard stream of another program.
        impl TryFrom<$end> for Stdio {
            type Error = io::Error;

            fn try_from(end: $end) -> io::Result<Stdio> {
                end.into_fd().map(Stdio::from)
            }
        }
    };
}

conversions!(PipeReader);
conversions!(PipeWriter);

impl AsFd for PipeReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PipeReader").field(&self.socket).finish()
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PipeWriter").field(&self.socket).finish()
    }
}
