//! Reading and writing a file from its position: the traits of the `futures` crate over owned
//! buffers.
//!
//! The traits lend a buffer for one poll only, and an operation needs one until it ends. So what the
//! page cache has is read into the caller's buffer, and everything else goes through a buffer of the
//! stream, which the operation owns while it is in flight.
//!
//! # Invariants
//!
//! 1. At most one operation is in flight: transfers happen in the order of the calls.
//! 2. The operation belongs to the stream, not to the future of a call. So a dropped `read` loses
//!    nothing: what it has read is `unread`, and the next `read` gets it.
//! 3. A write is done when its bytes are in the stream's buffer. It goes on when the stream is
//!    dropped. If it fails the next write or flush says so, once.
//! 4. The file's position, as the kernel has it, is that of the stream plus what is `unread`.
//!
//! Must not cancel a write, and must not look at `offset`s: reads and writes at an offset are no
//! business of the stream.

use std::fmt;
use std::future::Future;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use gorin_base::coop;
use gorin_reactor::ops::{self, Transfer};

/// What is transferred at a time through the stream's buffer, at most: the kernel copies that much
/// in some 20 µs, beside which the operation's own cost does not count.
const MAX_BUFFER: usize = 256 << 10;

/// The stream of one file. See the module text.
#[derive(Default)]
pub(super) struct Stream {
    state: State,
    /// Empty while an operation has it.
    buffer: Vec<u8>,
    /// What of the buffer was read and not yet asked for.
    unread: Range<usize>,
    /// What became of an earlier write that nobody has been told.
    error: Option<io::Error>,
}

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Reading(Transfer<Vec<u8>>),
    Writing {
        transfer: Transfer<Vec<u8>>,
        /// What the transfer is to write, of its buffer.
        part: Range<usize>,
    },
}

type File = Arc<std::fs::File>;

impl State {
    fn read(file: &File, mut buffer: Vec<u8>, len: usize) -> State {
        buffer.resize(len, 0);
        let mut transfer = ops::read(file, buffer, 0..len, None);
        transfer.start();
        State::Reading(transfer)
    }

    fn write(file: &File, buffer: Vec<u8>, part: Range<usize>) -> State {
        let mut transfer = ops::write(file, buffer, part.clone(), None);
        transfer.never_cancel();
        transfer.start();
        State::Writing { transfer, part }
    }
}

impl Stream {
    /// Reads; if `eager`, what is cached without the ring.
    pub(super) fn poll_read(
        &mut self,
        file: &File,
        eager: bool,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(coop::poll_ready(cx));
        loop {
            match &mut self.state {
                State::Idle if !self.unread.is_empty() => {
                    coop::spend();
                    return Poll::Ready(Ok(self.take_unread(into)));
                }
                State::Idle if into.is_empty() => return Poll::Ready(Ok(0)),
                State::Idle => {
                    if eager && let Ok(count) = ops::read_cached(&**file, into, None) {
                        coop::spend();
                        return Poll::Ready(Ok(count));
                    }
                    let len = into.len().min(MAX_BUFFER);
                    self.state = State::read(file, std::mem::take(&mut self.buffer), len);
                }
                State::Reading(transfer) => {
                    let done = ready!(Pin::new(transfer).poll(cx));
                    match self.end_read(done) {
                        Ok(0) => return Poll::Ready(Ok(0)),
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
                State::Writing { .. } => ready!(self.poll_idle(file, cx)),
            }
        }
    }

    fn take_unread(&mut self, into: &mut [u8]) -> usize {
        let count = self.unread.len().min(into.len());
        into[..count].copy_from_slice(&self.buffer[self.unread.start..][..count]);
        self.unread.start += count;
        count
    }

    fn end_read(&mut self, (result, buffer): (io::Result<usize>, Vec<u8>)) -> io::Result<usize> {
        self.state = State::Idle;
        self.unread = 0..*result.as_ref().unwrap_or(&0);
        self.buffer = buffer;
        result
    }

    /// Takes a copy of what begins `from`, and begins to write it.
    pub(super) fn poll_write(
        &mut self,
        file: &File,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(coop::poll_ready(cx));
        ready!(self.poll_flush(file, cx))?;
        let from = &from[..from.len().min(MAX_BUFFER)];
        if from.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.forget_unread(file)?;
        // Where there is no position to go back to, what is unread stays.
        let mut buffer = match self.unread.is_empty() {
            true => std::mem::take(&mut self.buffer),
            false => Vec::new(),
        };
        buffer.clear();
        buffer.extend_from_slice(from);
        self.state = State::write(file, buffer, 0..from.len());
        coop::spend();
        Poll::Ready(Ok(from.len()))
    }

    /// Waits until all is written, and tells what went wrong.
    pub(super) fn poll_flush(&mut self, file: &File, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_idle(file, cx));
        Poll::Ready(match self.error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        })
    }

    /// Waits until nothing is in flight.
    pub(super) fn poll_idle(&mut self, file: &File, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.state {
                State::Idle => return Poll::Ready(()),
                State::Reading(transfer) => {
                    let done = ready!(Pin::new(transfer).poll(cx));
                    // Whoever wanted to read is gone; reading again will give the same error.
                    let _ = self.end_read(done);
                }
                State::Writing { transfer, part } => {
                    let (result, buffer) = ready!(Pin::new(transfer).poll(cx));
                    let part = part.clone();
                    self.end_write(file, result, buffer, part);
                }
            }
        }
    }

    fn end_write(
        &mut self,
        file: &File,
        result: io::Result<usize>,
        buffer: Vec<u8>,
        part: Range<usize>,
    ) {
        self.state = State::Idle;
        match result {
            Ok(count) if count == part.len() => {}
            Ok(0) => self.error = Some(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                self.state = State::write(file, buffer, part.start + count..part.end);
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.state = State::write(file, buffer, part);
                return;
            }
            Err(error) => self.error = Some(error),
        }
        if self.unread.is_empty() {
            self.buffer = buffer;
        }
    }

    /// Moves the position, when nothing is in flight any more.
    pub(super) fn poll_seek(
        &mut self,
        file: &File,
        cx: &mut Context<'_>,
        position: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        ready!(self.poll_idle(file, cx));
        let position = match position {
            SeekFrom::Current(distance) => {
                let unread = self.unread.len() as i64;
                SeekFrom::Current(distance.checked_sub(unread).ok_or_else(out_of_range)?)
            }
            absolute => absolute,
        };
        // At once: `lseek(2)` looks at what is in memory.
        let result = (&**file).seek(position);
        if result.is_ok() {
            self.unread = 0..0;
        }
        Poll::Ready(result)
    }

    /// Goes back to where the caller takes the position to be. Nothing is in flight.
    pub(super) fn forget_unread(&mut self, file: &File) -> io::Result<()> {
        if self.unread.is_empty() {
            return Ok(());
        }
        match (&**file).seek(SeekFrom::Current(-(self.unread.len() as i64))) {
            Ok(_) => self.unread = 0..0,
            Err(error) if error.kind() == io::ErrorKind::NotSeekable => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn out_of_range() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the position is out of range")
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Idle => "idle",
            State::Reading(_) => "reading",
            State::Writing { .. } => "writing",
        };
        f.debug_struct("Stream")
            .field("state", &state)
            .field("unread", &self.unread.len())
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// How a stream goes on after a write of the last three of five bytes has ended with `result`.
    fn after(result: io::Result<usize>) -> Stream {
        let file = Arc::new(std::fs::File::open("/dev/null").expect("a device"));
        let mut stream = Stream::default();
        stream.end_write(&file, result, b"12345".to_vec(), 2..5);
        stream
    }

    fn next(stream: &Stream) -> Option<Range<usize>> {
        match &stream.state {
            State::Writing { part, .. } => Some(part.clone()),
            _ => None,
        }
    }

    /// For: a part of the caller's bytes that is lost without a word.
    #[test]
    fn what_a_write_has_left_is_written_next() {
        let short = after(Ok(2));
        assert_eq!(next(&short), Some(4..5));
        let interrupted = after(Err(io::ErrorKind::Interrupted.into()));
        assert_eq!(next(&interrupted), Some(2..5));
        for stream in [short, interrupted] {
            assert!(stream.error.is_none());
        }
        let whole = after(Ok(3));
        assert!(next(&whole).is_none() && whole.error.is_none());
    }

    #[test]
    fn a_write_that_fails_or_takes_nothing_is_told() {
        let told = |stream: &Stream| stream.error.as_ref().map(io::Error::kind);
        let nothing = after(Ok(0));
        assert_eq!(told(&nothing), Some(io::ErrorKind::WriteZero));
        let failed = after(Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(told(&failed), Some(io::ErrorKind::StorageFull));
        assert!(next(&nothing).is_none() && next(&failed).is_none());
    }

    /// Where there is no position to go back to. For: bytes that were read for somebody who is gone, and get
    /// lost by a write.
    #[test]
    fn what_is_unread_of_a_pipe_outlives_a_write() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let file = Arc::new(std::fs::File::from(std::os::fd::OwnedFd::from(writer)));
        let mut stream = Stream {
            buffer: b"abcde".to_vec(),
            unread: 2..5,
            ..Stream::default()
        };
        crate::run(async {
            let write = poll_fn(|cx| stream.poll_write(&file, cx, b"xy"));
            assert_eq!(write.await.expect("room"), 2);
            let flush = poll_fn(|cx| stream.poll_flush(&file, cx));
            flush.await.expect("it was written");
        });
        let mut bytes = [0; 8];
        assert_eq!(
            io::Read::read(&mut &reader, &mut bytes).expect("written"),
            2
        );
        assert_eq!(&bytes[..2], b"xy");
        assert_eq!(stream.take_unread(&mut bytes), 3);
        assert_eq!(&bytes[..3], b"cde");
    }
}
