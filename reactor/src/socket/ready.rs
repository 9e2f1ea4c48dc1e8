//! Waiting for readiness alone: the call is the caller's, later, or of another library.
//!
//! What counts is what `poll(2)` says at this moment (and what a dropped receive has left), not
//! whether something has come since the last look. So nobody has to say that a descriptor is drained.

use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use super::Socket;
use crate::calls;
use crate::driver::Direction;
use crate::early::Early;

impl Socket {
    /// Waits until a call of `direction` is worth trying. It may still find that it would block, if
    /// another call comes first.
    ///
    /// # Errors
    /// As [`io`](Socket::io).
    ///
    /// # Cancel safety
    /// Has no effect that could be lost.
    pub fn ready(&self, direction: Direction) -> impl Future<Output = io::Result<()>> {
        self.io(direction, self.look(direction))
    }

    /// As [`ready`](Socket::ready), for futures written by hand; of wakers as
    /// [`poll_io`](Socket::poll_io).
    ///
    /// # Errors
    /// As [`poll_io`](Socket::poll_io).
    ///
    /// # Cancel safety
    /// Has no effect that could be lost.
    pub fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(direction, cx, self.look(direction))
    }

    fn look(&self, direction: Direction) -> impl FnMut(BorrowedFd<'_>) -> io::Result<()> + '_ {
        move |fd| {
            // At each look: a dropped receive may give its bytes while this waits.
            let early = direction == Direction::Read && self.early().is_some_and(Early::is_present);
            match early {
                true => Ok(()),
                false => calls::poll_now(fd, direction),
            }
        }
    }
}
