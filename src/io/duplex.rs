//! [`duplex`]: a connection that exists in memory only.
//!
//! Each direction is bytes under a lock, and two channels of one place that say "there are bytes"
//! and "there is room": whoever finds nothing to do waits for the other side's word, and looks again.
//! A word is said where there were no bytes, or no room, before: only there can somebody wait. One
//! that is there already need not be said twice. So there is no wake-up protocol here beside
//! the channels', and the end of one side is the end of its channels.
//!
//! Invariant: no waker is touched while the bytes are locked.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};
use futures::stream::Stream;
use gorin_base::hook::{self, Access, Site};
use gorin_base::primitive::{Mutex, PlainArc};
use gorin_base::{coop, id, seeded};

use crate::channel::{Receiver, Sender, chan};

/// Two streams that are connected to each other: what is written to one can be read from the other.
/// Each direction holds up to `bytes` bytes that have not been read.
///
/// For tests of protocols, without sockets and ports: it works inside
/// [`gorin::model`](crate::model()) and on any executor.
///
/// Closing or dropping one end is the end of the stream for the other one, after the bytes that are
/// still there; writing to an end that is dropped is `BrokenPipe`.
///
/// ```
/// use gorin::io::{AsyncReadExt, AsyncWriteExt, duplex};
///
/// gorin::run(async {
///     let (mut client, mut server) = duplex(64);
///     client.write_all(b"ping").await.unwrap();
///     client.close().await.unwrap();
///     let mut request = String::new();
///     server.read_to_string(&mut request).await.unwrap();
///     assert_eq!(request, "ping");
/// });
/// ```
///
/// # Panics
/// If `bytes` is zero: nothing could ever be written.
#[track_caller]
pub fn duplex(bytes: usize) -> (DuplexStream, DuplexStream) {
    assert!(bytes > 0, "a duplex stream needs room for a byte at least");
    let site = Location::caller();
    let (to_right, from_left) = direction(bytes, site);
    let (to_left, from_right) = direction(bytes, site);
    let left = DuplexStream {
        reading: from_right,
        writing: to_right,
    };
    let right = DuplexStream {
        reading: from_left,
        writing: to_left,
    };
    (left, right)
}

/// One end of a connection in memory; made by [`duplex`].
///
/// For two goroutines it is taken apart by [`split`](super::split).
pub struct DuplexStream {
    reading: Reading,
    writing: Writing,
}

/// What both sides of a direction hold.
struct Shared {
    /// For the checker of goroutine programs.
    id: u64,
    site: Site,
    /// Bytes that it holds at most.
    capacity: usize,
    bytes: Mutex<VecDeque<u8>>,
}

impl Shared {
    fn announce(&self, operation: &'static str) {
        hook::step(operation, self.id, Access::Write, self.site);
    }
}

struct Reading {
    shared: PlainArc<Shared>,
    /// Says that bytes were written; ends with the writer.
    filled: Receiver<()>,
    /// Says that bytes were taken.
    freed: Sender<()>,
    /// The writer is gone.
    ended: bool,
}

struct Writing {
    shared: PlainArc<Shared>,
    /// `None` once it is closed.
    filled: Option<Sender<()>>,
    freed: Receiver<()>,
}

#[track_caller]
fn direction(capacity: usize, site: Site) -> (Writing, Reading) {
    let shared = PlainArc::new(Shared {
        id: id::next(),
        site,
        capacity,
        bytes: Mutex::new(VecDeque::new()),
    });
    hook::created(shared.id, "duplex stream", site);
    let (say_filled, filled) = chan(1);
    let (say_freed, freed) = chan(1);
    let writing = Writing {
        shared: shared.clone(),
        filled: Some(say_filled),
        freed,
    };
    let reading = Reading {
        shared,
        filled,
        freed: say_freed,
        ended: false,
    };
    (writing, reading)
}

impl Reading {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(coop::poll_ready(cx));
        loop {
            self.shared.announce("duplex read");
            let (read, was_full) = {
                let mut bytes = self.shared.bytes.lock();
                let was_full = bytes.len() == self.shared.capacity;
                (take(&mut bytes, buf), was_full)
            };
            if was_full && !self.freed.is_closed() && !seeded::bug("duplex.room_is_not_said") {
                // Full: it is said already.
                let _ = self.freed.try_send(());
            }
            if read > 0 || self.ended {
                coop::spend();
                return Poll::Ready(Ok(read));
            }
            // The first write after this look is followed by a word that stays until it is heard, so
            // that before the end of the words nothing is new, and after it all is there.
            self.ended = ready!(Pin::new(&mut self.filled).poll_next(cx)).is_none();
        }
    }
}

/// Moves bytes from `bytes` to `buf`, as many as there are and have room.
fn take(bytes: &mut VecDeque<u8>, buf: &mut [u8]) -> usize {
    let len = bytes.len().min(buf.len());
    let (front, back) = bytes.as_slices();
    let in_front = len.min(front.len());
    buf[..in_front].copy_from_slice(&front[..in_front]);
    buf[in_front..len].copy_from_slice(&back[..len - in_front]);
    bytes.drain(..len);
    len
}

impl Writing {
    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Some(filled) = &self.filled else {
            return Poll::Ready(Err(gone("this end was closed")));
        };
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(coop::poll_ready(cx));
        loop {
            if filled.is_closed() {
                return Poll::Ready(Err(gone("the other is gone")));
            }
            self.shared.announce("duplex write");
            let (written, was_empty) = {
                let mut bytes = self.shared.bytes.lock();
                let was_empty = bytes.is_empty();
                let room = self.shared.capacity - bytes.len();
                let written = room.min(buf.len());
                bytes.extend(&buf[..written]);
                (written, was_empty)
            };
            if written > 0 {
                coop::spend();
                // Full: it is said already. Closed: the reader has gone in this moment, perhaps with
                // the bytes; the next write will know.
                if was_empty && !seeded::bug("duplex.bytes_are_not_said") {
                    let _ = filled.try_send(());
                }
                return Poll::Ready(Ok(written));
            }
            if ready!(Pin::new(&mut self.freed).poll_next(cx)).is_none() {
                return Poll::Ready(Err(gone("the other is gone")));
            }
        }
    }
}

fn gone(why: &str) -> io::Error {
    let text = format!("cannot write to a duplex stream: {why}");
    io::Error::new(io::ErrorKind::BrokenPipe, text)
}

impl AsyncRead for DuplexStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.reading.poll_read(cx, buf)
    }
}

impl AsyncWrite for DuplexStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writing.poll_write(cx, buf)
    }

    /// Ready at once: what is written can be read.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the writing direction; reading goes on.
    fn poll_close(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writing.filled = None;
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for DuplexStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DuplexStream")
            .field("capacity", &self.writing.shared.capacity)
            .field("to_read", &self.reading.shared.bytes.lock().len())
            .field("closed", &self.writing.filled.is_none())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::io::{AsyncReadExt, AsyncWriteExt};
    use gorin_base::check::{block_on, model, model_bounded};
    use gorin_base::primitive::thread;

    use super::*;

    /// All bytes arrive in order, and then the end. For: bytes that nobody is told of, a full
    /// direction that nobody says is free again. Three preemptions: 1,500 executions.
    #[test]
    fn bytes_arrive_and_then_the_end() {
        model_bounded("duplex: bytes arrive and then the end", 3, || {
            let (mut left, mut right) = duplex(1);
            let writer = thread::spawn(move || {
                block_on(async {
                    left.write_all(b"ab").await.unwrap();
                    drop(left);
                });
            });
            let mut all = [0; 3];
            let got = block_on(async {
                let mut got = 0;
                loop {
                    match right.read(&mut all[got..]).await.unwrap() {
                        0 => break got,
                        read => got += read,
                    }
                }
            });
            assert_eq!(&all[..got], b"ab");
            writer.join().unwrap();
        });
    }

    /// Bytes that come while there are others, of which nobody is told, are read all the same, and make
    /// room again. For: a word left out where somebody waits.
    #[test]
    fn what_is_not_said_is_found() {
        model_bounded("duplex: what is not said is found", 2, || {
            let (mut left, mut right) = duplex(2);
            let writer = thread::spawn(move || {
                block_on(async {
                    left.write_all(b"a").await.unwrap();
                    left.write_all(b"bc").await.unwrap();
                    drop(left);
                });
            });
            let mut all = [0; 3];
            block_on(async {
                right.read_exact(&mut all[..1]).await.unwrap();
                right.read_exact(&mut all[1..]).await.unwrap();
                assert_eq!(right.read(&mut [0]).await.unwrap(), 0);
            });
            assert_eq!(&all, b"abc");
            writer.join().unwrap();
        });
    }

    /// A writer that waits for room learns that its reader is gone. For: a wait for a word that
    /// nobody will say.
    #[test]
    fn a_full_direction_whose_reader_goes_is_an_error() {
        model("duplex: a full direction whose reader goes", || {
            let (mut left, right) = duplex(1);
            let reader = thread::spawn(move || drop(right));
            let written = block_on(async { left.write_all(b"abc").await });
            let error = written.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            reader.join().unwrap();
        });
    }
}
