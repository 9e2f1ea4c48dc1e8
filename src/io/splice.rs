//! Moving bytes between descriptors inside the kernel, by `splice(2)`.
//!
//! `splice` moves between a pipe and something else, so between two sockets lies a pipe, which is
//! made for the call and holds what was taken from the one and not yet given to the other. Both
//! sides wait by readiness. Because the pipe is empty whenever something is taken, `WouldBlock`
//! there means that the source has nothing, never that the pipe is full. A short count says nothing: the
//! pipe has 16 places, and each piece of memory, of which a socket may hold many small ones, takes one.
//!
//! Regular files are sources as far as they are in the page cache (`fs/range.rs`); else a page that is
//! not in memory would stop the worker. They are no destinations: to write them waits for locks and
//! for dirty pages to be written back.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use futures::future::try_join;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with};

use super::{PipeReader, PipeWriter};
use gorin_reactor::Direction;

/// Bytes asked for in one call: what a pipe of the default size holds. One of 256 KiB would save
/// another 10 to 15 % of the CPU time, but counts against what all pipes of the user may hold
/// together (`/proc/sys/fs/pipe-user-pages-soft`).
const ROOM_BYTES: usize = 64 * 1024;

/// What each call says: do not wait, and move pages instead of copying them where that is possible.
const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

/// What [`splice`] can take bytes from: `TcpStream`, `UnixStream`, [`PipeReader`], and a
/// [part of a file](crate::fs::File::range).
pub trait SpliceFrom: source::Source {}

/// What [`splice`] can give bytes to: `TcpStream`, `UnixStream`, [`PipeWriter`].
pub trait SpliceTo: sink::Sink {}

impl<S: source::Source> SpliceFrom for S {}
impl<S: sink::Sink> SpliceTo for S {}

pub(crate) mod source {
    use super::{BorrowedFd, Future, io};

    pub trait Source {
        /// Takes up to `room` bytes into `pipe`; 0 at the end.
        fn fill(
            &self,
            pipe: BorrowedFd<'_>,
            room: usize,
        ) -> impl Future<Output = io::Result<usize>> + Send;
    }
}

pub(crate) mod sink {
    use super::{BorrowedFd, Future, io};

    pub trait Sink {
        /// Takes up to `len` bytes out of `pipe`.
        fn drain(
            &self,
            pipe: BorrowedFd<'_>,
            len: usize,
        ) -> impl Future<Output = io::Result<usize>> + Send;

        /// Says that no more will come.
        fn end(&self) -> io::Result<()>;
    }
}

/// One call of `splice(2)`.
pub(crate) fn call(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    Ok(rustix::pipe::splice(from, None, to, None, len, FLAGS)?)
}

/// As [`call`], from a place in a file.
pub(crate) fn call_at(
    from: BorrowedFd<'_>,
    place: &mut u64,
    to: BorrowedFd<'_>,
    len: usize,
) -> io::Result<usize> {
    Ok(rustix::pipe::splice(
        from,
        Some(place),
        to,
        None,
        len,
        FLAGS,
    )?)
}

/// Moves all that comes from `from` to `to`, until its end, without copying it through this
/// process; gives the number of bytes. `to` is not closed.
///
/// Pays for bulk: a proxy on the loopback interface needed 0.7 of the CPU time per byte that
/// [`copy`](super::copy()) did, and as much for messages of some hundred bytes. Holds two
/// descriptors while it lasts.
///
/// ```
/// use gorin::io::{pipe, splice};
/// use gorin::net::UnixStream;
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let (client, server) = UnixStream::pair()?;
///     client.write_all(b"hello").await?;
///     drop(client);
///     let (reader, writer) = pipe()?;
///     assert_eq!(splice(&server, &writer).await?, 5);
///     let mut buf = [0; 8];
///     assert_eq!(reader.read(&mut buf).await?, 5);
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// Those of reading and writing, `InvalidInput` where the kernel cannot splice (some devices; terminals
/// if it is old), and an error if no descriptors are left. With an error of `to`, this one included, what
/// was taken and not given, 64 KiB at most, is lost; with one of `from` nothing is.
///
/// # Cancel safety
/// Not cancel-safe: bytes may have been taken that are not given yet.
pub async fn splice(from: &impl SpliceFrom, to: &impl SpliceTo) -> io::Result<u64> {
    let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let mut moved = 0;
    loop {
        let mut held = from.fill(into.as_fd(), ROOM_BYTES).await?;
        if held == 0 {
            return Ok(moved);
        }
        moved += held as u64;
        while held > 0 {
            match to.drain(out.as_fd(), held).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                given => held -= given,
            }
        }
    }
}

/// Moves between two streams in both directions at once, until both have ended: a proxy. Gives the
/// number of bytes from `a` to `b`, and from `b` to `a`. See [`splice`](splice()).
///
/// When one direction ends the other stream is told so, and the other direction goes on.
///
/// # Errors
/// The first error of either direction, which ends the other one too.
///
/// # Cancel safety
/// Not cancel-safe: bytes may have been taken that are not given yet.
pub async fn splice_bidirectional<A, B>(a: &A, b: &B) -> io::Result<(u64, u64)>
where
    A: SpliceFrom + SpliceTo,
    B: SpliceFrom + SpliceTo,
{
    try_join(one_way(a, b), one_way(b, a)).await
}

async fn one_way(from: &impl SpliceFrom, to: &impl SpliceTo) -> io::Result<u64> {
    let moved = splice(from, to).await?;
    match to.end() {
        // The peer has gone meanwhile, with all that it wanted.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(moved),
        ended => ended.map(|()| moved),
    }
}

impl source::Source for PipeReader {
    async fn fill(&self, pipe: BorrowedFd<'_>, room: usize) -> io::Result<usize> {
        let take = |fd: BorrowedFd<'_>| call(fd, pipe, room);
        self.socket().io(Direction::Read, take).await
    }
}

impl sink::Sink for PipeWriter {
    async fn drain(&self, pipe: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
        let give = |fd: BorrowedFd<'_>| call(pipe, fd, len);
        self.socket()?.io(Direction::Write, give).await
    }

    /// Nothing to say: what ends a pipe is dropping its writer.
    fn end(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use gorin_base::check::block_on;
    use std::io::ErrorKind;
    use std::sync::Mutex;

    /// Gives its pieces, one at a time.
    struct Pieces(Mutex<Vec<&'static str>>);

    impl Pieces {
        fn new(pieces: &[&'static str]) -> Pieces {
            Pieces(Mutex::new(pieces.iter().rev().copied().collect()))
        }
    }

    impl source::Source for Pieces {
        async fn fill(&self, pipe: BorrowedFd<'_>, _room: usize) -> io::Result<usize> {
            let next = self.0.lock().expect("no panic").pop();
            Ok(rustix::io::write(
                pipe,
                next.unwrap_or_default().as_bytes(),
            )?)
        }
    }

    /// Takes `most` bytes at a time.
    struct Sips {
        most: usize,
        taken: Mutex<Vec<u8>>,
        end: ErrorKind,
    }

    impl sink::Sink for Sips {
        async fn drain(&self, pipe: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
            let mut buffer = vec![0; len.min(self.most)];
            let taken = rustix::io::read(pipe, &mut buffer)?;
            self.taken
                .lock()
                .expect("no panic")
                .extend(&buffer[..taken]);
            Ok(taken)
        }

        fn end(&self) -> io::Result<()> {
            Err(self.end.into())
        }
    }

    fn sips(most: usize, end: ErrorKind) -> Sips {
        Sips {
            most,
            taken: Mutex::default(),
            end,
        }
    }

    /// For: what stays in the pipe when the other side has taken a part.
    #[test]
    fn all_goes_through_to_who_takes_little_at_a_time() {
        let to = sips(2, ErrorKind::Other);
        let moved = block_on(splice(&Pieces::new(&["hello", "", "never"]), &to));
        assert_eq!(moved.expect("room"), 5);
        assert_eq!(*to.taken.lock().expect("no panic"), b"hello");
        let moved = block_on(splice(&Pieces::new(&["ab", "cde", "f"]), &to));
        assert_eq!(moved.expect("room"), 6);
        assert_eq!(*to.taken.lock().expect("no panic"), b"helloabcdef");
    }

    #[test]
    fn who_takes_nothing_is_an_error() {
        let moved = block_on(splice(&Pieces::new(&["hello"]), &sips(0, ErrorKind::Other)));
        assert_eq!(moved.unwrap_err().kind(), ErrorKind::WriteZero);
    }

    /// For: a proxy that fails because who had all that he wanted has gone before he was told of the end.
    #[test]
    fn who_is_gone_at_the_end_has_had_all() {
        let gone = sips(9, ErrorKind::NotConnected);
        let moved = block_on(one_way(&Pieces::new(&["hello"]), &gone));
        assert_eq!(moved.expect("all has gone through"), 5);
        let broken = sips(9, ErrorKind::BrokenPipe);
        let moved = block_on(one_way(&Pieces::new(&["hello"]), &broken));
        assert_eq!(moved.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
