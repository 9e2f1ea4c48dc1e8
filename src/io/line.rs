//! [`Line`]: what was accepted for a stream and is not written yet, the oldest first.
//!
//! Each chunk has a delivery that sees to it, on a thread of its own, and the threads come in any order. Who
//! comes writes all up to his own chunk, so that what is written is in the order in which it was accepted.
//!
//! Invariants:
//! 1. Chunks are taken out by who has the stream to himself, and before he gives it back they are written
//!    and say so. So who has the stream finds in line whatever is not written.
//! 2. The delivery of a chunk does not end before that is written.
//!
//! Must not: know which stream it is, nor what its lock is.

use std::collections::VecDeque;
use std::io;

use gorin_base::primitive::{Mutex, PlainArc};
use gorin_base::seeded;

/// See the module text.
pub(super) struct Line(Mutex<VecDeque<PlainArc<Accepted>>>);

/// A chunk that was accepted.
pub(super) struct Accepted {
    bytes: Vec<u8>,
    /// `None` until it is written, and when that has been told.
    outcome: Mutex<Option<io::Result<()>>>,
}

impl Accepted {
    pub(super) fn is_written(&self) -> bool {
        self.outcome.lock().is_some()
    }

    /// How writing it has ended, for who has waited for its delivery; once.
    pub(super) fn take_outcome(&self) -> Option<io::Result<()>> {
        self.outcome.lock().take()
    }
}

impl Line {
    pub(super) fn new() -> Line {
        Line(Mutex::new(VecDeque::new()))
    }

    /// Puts `bytes` in line. A delivery has to follow.
    pub(super) fn accept(&self, bytes: &[u8]) -> PlainArc<Accepted> {
        let chunk = PlainArc::new(Accepted {
            bytes: bytes.to_vec(),
            outcome: Mutex::new(None),
        });
        self.0.lock().push_back(chunk.clone());
        chunk
    }

    /// The delivery of `last`: writes by `write` all up to it, unless others have, to the stream that `lock`
    /// gives to this thread alone.
    pub(super) fn write_until<S>(
        &self,
        last: &Accepted,
        lock: impl FnOnce() -> S,
        mut write: impl FnMut(&mut S, &[u8]) -> io::Result<()>,
    ) {
        if last.is_written() {
            return;
        }
        let mut stream = lock();
        while !last.is_written() {
            let next = self.next().expect("what is not written is in line");
            let outcome = write(&mut stream, &next.bytes);
            *next.outcome.lock() = Some(outcome);
        }
    }

    fn next(&self) -> Option<PlainArc<Accepted>> {
        let mut chunks = self.0.lock();
        if seeded::bug("line.newest_first") {
            return chunks.pop_back();
        }
        chunks.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use gorin_base::check::model;
    use gorin_base::primitive::thread;

    use super::*;

    /// A line, and the stream that it is for.
    type Stream = (Line, Mutex<Vec<u8>>);

    fn deliver((line, stream): &Stream, chunk: &Accepted) {
        let lock = || stream.lock();
        line.write_until(chunk, lock, |stream, bytes| {
            stream.extend_from_slice(bytes);
            Ok(())
        });
        assert!(
            matches!(chunk.take_outcome(), Some(Ok(()))),
            "it is written"
        );
    }

    /// Whoever comes first, and while more is accepted. For: chunks that overtake each other.
    #[test]
    fn what_was_accepted_first_is_written_first() {
        model("line: deliveries in any order", || {
            let stream: PlainArc<Stream> = PlainArc::new((Line::new(), Mutex::new(Vec::new())));
            let (first, second) = (stream.0.accept(&[1]), stream.0.accept(&[2]));
            let theirs = stream.clone();
            let other = thread::spawn(move || deliver(&theirs, &second));
            let third = stream.0.accept(&[3]);
            deliver(&stream, &third);
            deliver(&stream, &first);
            other.join().unwrap();
            assert_eq!(*stream.1.lock(), [1, 2, 3]);
        });
    }
}
