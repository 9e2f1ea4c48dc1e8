//! The last polls that a worker has armed: where a rescuer looks first.
//!
//! A hog's sockets stand in the socket table, which may hold a million others. The busy ones are
//! those that were armed last, and those that were armed and not yet submitted are among them.
//!
//! The log is lossy: an entry is overwritten when the log is full, and a reader that is slower than
//! the writer reads newer entries. Each entry is only a hint: the exchange of the socket's word
//! decides (`readiness.rs`).

use gorin_base::primitive::{AtomicU64, Ordering};
use gorin_base::seeded;

use crate::key::Key;

/// Entries; a power of two.
const LEN: usize = if cfg!(loom) { 2 } else { 256 };

/// See the module text. The worker writes, any thread reads.
#[derive(Debug)]
pub(crate) struct Arms {
    /// Keys, raw. Written before `count`.
    keys: Box<[AtomicU64]>,
    /// How many were written so far; releases `keys`.
    count: AtomicU64,
    /// How many of them the kernel will tell of. Relaxed: a hint.
    submitted: AtomicU64,
}

impl Arms {
    pub(crate) fn new() -> Arms {
        Arms {
            keys: (0..LEN).map(|_| AtomicU64::new(Key::WAKE.raw())).collect(),
            count: AtomicU64::new(0),
            submitted: AtomicU64::new(0),
        }
    }

    /// Owner: a poll was queued.
    #[inline]
    pub(crate) fn note(&self, key: Key) {
        // Relaxed: our own.
        let count = self.count.load(Ordering::Relaxed);
        if seeded::bug("arms.count_first") {
            self.count.store(count + 1, Ordering::Release);
        }
        self.keys[count as usize % LEN].store(key.raw(), Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Release);
    }

    /// Owner: all that was queued was handed to the kernel, and none waits by a guess that nobody has
    /// looked at ([`Driver::guesses`](crate::driver::Driver::guesses)).
    pub(crate) fn note_submitted(&self) {
        let count = self.count.load(Ordering::Relaxed);
        self.submitted.store(count, Ordering::Relaxed);
    }

    /// How many polls were queued so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// How many of them the kernel will tell of.
    pub(crate) fn submitted(&self) -> u64 {
        self.submitted.load(Ordering::Relaxed)
    }

    /// Calls `f` with the polls from number `from` up to number `to`, the newest first, as far as
    /// the log goes back.
    pub(crate) fn each(&self, from: u64, to: u64, mut f: impl FnMut(Key)) {
        let from = from.max(to.saturating_sub(LEN as u64));
        for number in (from..to).rev() {
            let raw = self.keys[number as usize % LEN].load(Ordering::Relaxed);
            f(Key::from_raw(raw));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Kind;
    use gorin_base::check::model;
    use gorin_base::primitive::{PlainArc, thread};

    fn key(index: usize) -> Key {
        Key::new(Kind::Readiness, index, 1)
    }

    /// A reader finds each poll that is counted, or newer ones in its place, and never what was not
    /// written. For: counting an entry before it is written.
    #[test]
    fn counted_entries_were_written() {
        model("arms: note × read", || {
            let arms = PlainArc::new(Arms::new());
            let reader = {
                let arms = arms.clone();
                thread::spawn(move || {
                    let count = arms.count();
                    let mut number = count as usize;
                    arms.each(0, count, |found| {
                        assert_eq!(found.kind(), Kind::Readiness, "not written yet");
                        let newer = found.index().checked_sub(number);
                        let newer = newer.is_some_and(|ahead| ahead.is_multiple_of(LEN));
                        assert!(newer, "{found:?} in the place of {number}");
                        number -= 1;
                    });
                    assert_eq!(number, (count as usize).saturating_sub(LEN));
                })
            };
            (1..=3).for_each(|index| arms.note(key(index)));
            reader.join().unwrap();
        });
    }

    #[cfg(not(loom))]
    #[test]
    fn the_newest_come_first_and_the_oldest_are_lost() {
        let arms = Arms::new();
        (0..LEN + 10).for_each(|index| arms.note(key(index)));
        let mut found = Vec::new();
        arms.each(0, arms.count(), |key| found.push(key.index()));
        let expected: Vec<usize> = (10..LEN + 10).rev().collect();
        assert_eq!(found, expected);
        assert_eq!(arms.submitted(), 0);
        arms.note_submitted();
        arms.each(arms.submitted(), arms.count(), |_| {
            panic!("all are submitted")
        });
    }
}
