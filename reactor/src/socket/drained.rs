//! What a reader says of the next read: that it would block, so that it need not be tried.
//!
//! Hints: they are kept in one number, [`Socket::drained`], the moment in which they hold (`Worker::moment`), with
//! [`GUESSED`] if they come from a [habit](super::habit), or 0. Where workers share their sockets the number is
//! another one, and `edges.rs` says which.

use gorin_base::primitive::Ordering;

use super::Socket;
use crate::local;
use crate::standing::Blocks;

/// By a habit, not by a read that came short. No moment has this bit.
const GUESSED: u64 = 1 << 63;

impl Socket {
    /// Says that the next read will probably block, since the last one got less than it had room for: the
    /// next call for [`Direction::Read`](crate::Direction::Read) then waits before it tries. That saves the
    /// call that would fail, a third of the system calls of a server that answers each message.
    ///
    /// Only a hint: whatever has come since that read, an end or an error included, ends that wait at once,
    /// if this is said before the task that has read is pending. It holds until the worker looks at its ring
    /// again, some 200 µs at most: a later call finds at its first poll what is there, as a `select!` with
    /// `default` expects. On a thread that is no worker nothing is noted.
    #[inline]
    pub fn set_drained(&self) {
        if self.waits_by_edges() {
            self.set_short();
            return;
        }
        self.note_drained(Blocks::Surely);
    }

    /// Says that a read of a stream with room for `room` bytes has got `len`: if that is less, as
    /// [`set_drained`](Socket::set_drained); if it is all, the same where such reads have had nothing left to
    /// the next one, many times and without exception. A wrong guess is found out when the worker has nothing
    /// else to do, and after 8 to 16 of its turns (some 2 ms on a CPU of its own) if it has; a `select!` with
    /// `default` may say once that there is nothing.
    #[inline]
    pub fn note_read(&self, len: usize, room: usize) {
        if len == 0 {
            return;
        }
        if len < room {
            self.habit.note_short();
            self.set_drained();
        } else if self.habit.note_full() && !self.waits_by_edges() {
            self.note_drained(Blocks::Probably);
        }
    }

    /// Takes back what was said of the next read, which has room for nothing and will not block.
    #[inline]
    pub fn forget_drained(&self) {
        self.drained.store(0, Ordering::Relaxed);
    }

    /// The next read `blocks`, as long as this moment lasts.
    #[inline]
    fn note_drained(&self, blocks: Blocks) {
        let moment = local::moment();
        if moment == 0 {
            return;
        }
        let guessed = match blocks {
            Blocks::Surely => 0,
            Blocks::Probably => GUESSED,
        };
        self.drained.store(moment | guessed, Ordering::Relaxed);
    }

    /// Once if the socket was drained in this very moment.
    #[inline]
    pub(super) fn take_drained(&self) -> Option<Blocks> {
        let drained = self.drained.load(Ordering::Relaxed);
        if drained == 0 {
            return None;
        }
        self.drained.store(0, Ordering::Relaxed);
        if local::moment() != drained & !GUESSED {
            return None;
        }
        Some(match drained & GUESSED {
            0 => Blocks::Surely,
            _ => Blocks::Probably,
        })
    }
}
