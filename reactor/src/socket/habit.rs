//! [`Habit`]: whether reads that filled their buffer have emptied the socket, as a rule.
//!
//! A read that came short has emptied it. One that filled its buffer exactly may have, or not; where
//! messages are as large as the buffer, it always has, and trying again costs a server of 1,000 connections
//! with messages of 4 KiB a tenth of its CPU time (0.4 µs of 5: the call takes the socket's lock, on which
//! the peer's acknowledgements queue up). So a socket remembers what came after its last full reads. After
//! [`SURE`] in a row that were followed by nothing, the next read is not tried but waits. Each time that
//! this was wrong four times as many are needed.
//!
//! Such a *guess* may be wrong: what the read has left is in the socket already, and no arrival tells of it.
//! So whoever waits by a guess is looked at (`standing.rs`): before its worker sleeps, after 1 to 3 ms if
//! it has other things to do, and when another one rescues it from a goroutine that computes; if there was
//! something, the socket has been misled, and begins to count anew. A message that is longer than the
//! [`SURE`] before it loses that time, if its worker is busy, and nothing else.
//!
//! Hints: a wrong one costs a system call, or that look. Written and read by readers without ordering.

use gorin_base::primitive::{AtomicU16, Ordering};

/// The last read has filled its buffer.
const FULL: u16 = 0x8000;
/// The bits below: how often a guess was wrong, as far as that counts.
const WRONG: u32 = 12;
const MOST_WRONG: u16 = 3;
/// The bits below these: how many full reads in a row were followed by nothing.
const COUNT: u16 = (1 << WRONG) - 1;
/// So many in a row, and the next one will be, too.
const SURE: u16 = 16;

/// See the module text.
#[derive(Debug)]
pub(super) struct Habit {
    /// [`FULL`], and below it two numbers.
    bits: AtomicU16,
}

impl Habit {
    pub(super) fn new() -> Habit {
        Habit {
            bits: AtomicU16::new(0),
        }
    }

    #[inline]
    fn get(&self) -> u16 {
        self.bits.load(Ordering::Relaxed)
    }

    #[inline]
    fn set(&self, bits: u16) {
        self.bits.store(bits, Ordering::Relaxed);
    }

    /// A read has filled its buffer. True if the next one will find nothing, most likely.
    #[inline]
    pub(super) fn note_full(&self) -> bool {
        let bits = self.get();
        if bits & FULL != 0 {
            // Full twice: there was more behind the first.
            self.set(bits & !COUNT);
            return false;
        }
        let sure = bits & COUNT >= SURE << (2 * (bits >> WRONG));
        if !sure {
            self.set(bits | FULL);
        }
        sure
    }

    /// A read came short of its buffer.
    #[inline]
    pub(super) fn note_short(&self) {
        let bits = self.get();
        if bits & FULL != 0 {
            self.set(bits & !FULL & !COUNT);
        }
    }

    /// A read found nothing.
    #[inline]
    pub(super) fn note_nothing(&self) {
        let bits = self.get();
        if bits & FULL != 0 {
            self.set((bits & !FULL) + 1);
        }
    }

    /// A guess was wrong.
    #[cold]
    pub(super) fn note_misled(&self) {
        let wrong = (self.get() & !FULL) >> WRONG;
        self.set((wrong + 1).min(MOST_WRONG) << WRONG);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn learn(habit: &Habit) {
        for _ in 0..SURE {
            assert!(!habit.note_full());
            habit.note_nothing();
        }
    }

    #[test]
    fn who_is_always_followed_by_nothing_is_believed() {
        let habit = Habit::new();
        learn(&habit);
        for _ in 0..300 {
            assert!(habit.note_full());
        }
    }

    #[test]
    fn who_was_misled_needs_more_evidence() {
        let habit = Habit::new();
        for needed in [16, 64, 256, 1024, 1024] {
            for _ in 0..needed {
                assert!(!habit.note_full());
                habit.note_nothing();
            }
            assert!(habit.note_full());
            habit.note_misled();
        }
    }

    #[test]
    fn what_was_followed_by_more_counts_anew() {
        let habit = Habit::new();
        for more in [Habit::note_short, |habit: &Habit| {
            assert!(!habit.note_full())
        }] {
            for _ in 1..SURE {
                assert!(!habit.note_full());
                habit.note_nothing();
            }
            assert!(!habit.note_full());
            more(&habit);
            habit.note_nothing();
            assert!(!habit.note_full(), "believed too early");
            more(&habit);
            habit.note_short();
        }
    }

    #[test]
    fn waits_without_a_full_read_say_nothing() {
        let habit = Habit::new();
        for _ in 0..2 * SURE {
            habit.note_nothing();
            habit.note_short();
        }
        assert!(!habit.note_full());
    }
}
