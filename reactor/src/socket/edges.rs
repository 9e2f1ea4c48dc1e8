//! How a [`Socket`] waits where workers share an epoll set: see `readiness/edges.rs` for the protocol
//! and `poller.rs` for the set.
//!
//! A socket is added to the set when somebody first waits for it, not before: many never wait (a
//! connection that is served by one read and one write), and one that is not yet connected would
//! tell of an end that has not come. The set looks when it is added, so nothing is missed.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::task::{Poll, Waker};

use gorin_base::primitive::Ordering;
use socket2::{Protocol, SockRef};

use super::Socket;
use crate::deadline::list_then_look;
use crate::driver::Direction;
use crate::error;
use crate::local;
use crate::readiness::edges::{Edge, Reason, Seen, Waiting};

impl Socket {
    /// Calls and waits until one of the two has an outcome.
    pub(super) fn poll_edges<R>(
        &self,
        direction: Direction,
        id: usize,
        waker: &Waker,
        call: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let sockets = &self.shared.sockets;
        let mut short = match direction {
            Direction::Read => self.take_short(),
            Direction::Write => None,
        };
        loop {
            let (seen, reason) = match short.take() {
                Some(seen) => (seen, Reason::Short),
                None => {
                    let seen = sockets.observe(self.slot, direction);
                    if direction == Direction::Read {
                        local::with_worker(&self.shared, |worker| {
                            worker.note_seen(self.slot, seen);
                        });
                    }
                    match self.call(direction, call) {
                        Some(result) => return Poll::Ready(result),
                        None => (seen, Reason::Blocked),
                    }
                }
            };
            if let Err(error) = self.watch() {
                return Poll::Ready(Err(error));
            }
            let list = || sockets.wait_edge(self.slot, direction, id, waker, seen, reason);
            let (found, allowed) = list_then_look(list, || self.may_wait(direction));
            match found {
                Waiting::Listed => match allowed {
                    Ok(()) => return Poll::Pending,
                    Err(error) => return Poll::Ready(Err(error)),
                },
                Waiting::Again => {}
                Waiting::Closed => return Poll::Ready(Err(error::closed())),
                Waiting::Ended => return Poll::Ready(Err(error::shut_down("socket"))),
            }
        }
    }

    /// Adds the socket to the set, once.
    fn watch(&self) -> io::Result<()> {
        // Relaxed: decides who adds it. Who comes meanwhile is listed before the set looks.
        if self.watched.load(Ordering::Relaxed) || self.watched.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let is_tcp = SockRef::from(&*self.file).protocol();
        let is_tcp = is_tcp.is_ok_and(|protocol| protocol == Some(Protocol::TCP));
        self.empties.store(is_tcp, Ordering::Relaxed);
        let added = self.shared.poller().add(self.file.as_raw_fd(), self.slot);
        added.inspect_err(|_| {
            self.watched.store(false, Ordering::Relaxed);
            // Who has come meanwhile tries again, and gets the error as well.
            for direction in [Direction::Read, Direction::Write] {
                self.shared.sockets.edge(self.slot, direction, Edge::Ready);
            }
        })
    }

    /// Takes the socket out of the set, before its descriptor is closed.
    pub(super) fn unwatch(&mut self) {
        if *self.watched.get_mut() {
            self.shared.poller().remove(self.file.as_raw_fd());
        }
    }

    /// [`Socket::set_drained`]: notes what the worker had seen before the read that came short, and
    /// the moment in which that holds.
    ///
    /// For TCP only, where urgent data, the one thing that ends a read early, is told of as an end is.
    /// Reads of others end at boundaries (packets in a pipe, lines of a terminal, descriptors in a
    /// Unix stream), and no edge tells of what is behind. What is not yet in the set may be what it
    /// likes: the set looks when it is added.
    pub(super) fn set_short(&self) {
        // Relaxed: who adds it writes first that it is watched; if only that is seen, a hint is lost.
        if self.watched.load(Ordering::Relaxed) && !self.empties.load(Ordering::Relaxed) {
            return;
        }
        let noted = local::with_worker(&self.shared, |worker| {
            worker
                .seen(self.slot)
                .map(|seen| short_bits(worker.moment(), seen))
        });
        if let Some(Some(bits)) = noted {
            self.drained.store(bits, Ordering::Relaxed);
        }
    }

    /// What was noted, once, if it was in this very moment.
    fn take_short(&self) -> Option<Seen> {
        let bits = self.drained.load(Ordering::Relaxed);
        if bits == 0 {
            return None;
        }
        self.drained.store(0, Ordering::Relaxed);
        let seen = Seen::from_bits(bits as u32);
        let moment = local::with_worker(&self.shared, |worker| worker.moment())?;
        (short_bits(moment, seen) == bits).then_some(seen)
    }
}

/// Half of the moment is enough: it comes again after a few seconds, and who then trusts an old hint
/// still compares what was seen.
fn short_bits(moment: u64, seen: Seen) -> u64 {
    moment << 32 | u64::from(seen.bits())
}
