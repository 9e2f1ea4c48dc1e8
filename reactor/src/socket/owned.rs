//! What a [`Socket`] has for operations that own their buffers (`ops/owned.rs`), and for what
//! dropped receives have left (`early.rs`).

use std::io;
use std::os::fd::OwnedFd;

use gorin_base::primitive::PlainArc;

use super::Socket;
use crate::driver::Direction;
use crate::early::Early;
use crate::local;
use crate::reactor::Shared;

/// The socket of an operation in flight: keeps its descriptor open and its slot in use.
pub(crate) struct Link {
    shared: PlainArc<Shared>,
    slot: usize,
}

impl Link {
    pub(crate) fn wake(&self, direction: Direction) {
        self.shared.sockets.wake(self.slot, direction);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.sockets.release(self.slot);
    }
}

impl Socket {
    /// Moves to `buf` what a dropped [receive](crate::ops::recv_owned) had taken from the stream, or
    /// copies it if `keep`. `None` if there is nothing: the socket is to be asked. Each call for
    /// [`Direction::Read`] that takes bytes begins with it, unless no such receives are used.
    #[inline]
    pub fn read_early(&self, buf: &mut [u8], keep: bool) -> Option<io::Result<usize>> {
        self.early()?.read(buf, keep)
    }

    /// Returns bytes of [`read_early`](Socket::read_early) that could not be passed on.
    pub fn put_back_early(&self, bytes: &[u8]) {
        if let Some(early) = self.early() {
            early.put_back(bytes);
        }
    }

    /// True if this thread can have receives and sends of this socket as operations of its ring: not
    /// with a shared set, whose edges know nothing of reads that have to wait for an orphan.
    pub(crate) fn completes(&self) -> bool {
        self.shared.poller.is_none() && local::with_worker(&self.shared, |_| ()).is_some()
    }

    #[inline]
    pub(crate) fn early(&self) -> Option<&Early> {
        if !self.is_special() {
            return None;
        }
        self.early.get().map(|early| &**early)
    }

    pub(crate) fn early_or_new(&self) -> &PlainArc<Early> {
        let early = || PlainArc::new(Early::new());
        self.special.announce(|| self.early.get_or_init(early))
    }

    /// For an operation that is about to be submitted.
    pub(crate) fn link(&self) -> Link {
        self.shared.sockets.pin(self.slot);
        Link {
            shared: self.shared.clone(),
            slot: self.slot,
        }
    }

    pub(crate) fn file(&self) -> &PlainArc<OwnedFd> {
        &self.file
    }

    /// True if reads have to wait for the end of a dropped receive.
    #[inline]
    pub(super) fn waits_for_orphan(&self, direction: Direction) -> bool {
        direction == Direction::Read && self.early().is_some_and(Early::is_awaited)
    }
}
