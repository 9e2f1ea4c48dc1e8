//! Sockets whose peer hears of their end only when their file is closed: the ends of pipes.
//!
//! A poll in flight keeps its file open, also when somebody has moved it to another ring, and nobody but
//! the owner of its ring can cancel it. So a worker that is about to [block](crate::expect_block), perhaps
//! for somebody who waits for that very end, has no poll of a pipe in flight: who waits for one is woken,
//! tries again, and waits on a worker that does not block.
//!
//! Rejected: that for all polls. A worker with ten thousand connections would wake as many goroutines
//! each time that it blocks, and connections end by `shutdown(2)`, which waits for no poll.

use std::collections::BTreeSet;

use gorin_base::primitive::Mutex;

use crate::worker::Worker;

/// The slots of the pipes of one reactor.
#[derive(Debug)]
pub(crate) struct Pipes(Mutex<BTreeSet<usize>>);

impl Pipes {
    pub(crate) fn new() -> Pipes {
        Pipes(Mutex::new(BTreeSet::new()))
    }

    /// To be called by a holder of the socket's pin, as [`remove`](Self::remove).
    pub(crate) fn add(&self, slot: usize) {
        self.0.lock().insert(slot);
    }

    pub(crate) fn remove(&self, slot: usize) {
        self.0.lock().remove(&slot);
    }
}

impl Worker {
    /// Asks the ring to cancel its polls of pipes. Who waits for them is woken when that is dispatched.
    pub(crate) fn let_go_of_pipes(&self) {
        let shared = self.shared();
        if shared.poller.is_some() {
            // What waits in a shared set keeps no file open.
            return;
        }
        let mut polls = Vec::new();
        for &slot in &*shared.pipes.0.lock() {
            let sockets = &shared.sockets;
            sockets.polls_on(slot, self.index(), |key| polls.push(key));
        }
        for key in polls {
            self.disarm(key);
        }
    }
}
