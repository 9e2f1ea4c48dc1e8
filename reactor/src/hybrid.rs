//! The driver that has both: sockets in the epoll set that all workers share (`poller.rs`), and a
//! ring for each worker for operations, wakes and sleep.
//!
//! A worker that goes to sleep polls its nest in its ring, so that an event which it is to hear of
//! ends its sleep. That poll is one-shot and stays armed when something else ends the sleep: at most
//! one completion too many comes of it, since the nest is switched off while another worker is the
//! lookout (`lookout.rs`). Rejected: an exclusive poll of the shared set itself in each ring, which
//! must be cancelled on every other wake (an entry into the kernel more), rotates among the workers
//! and wakes a sleeper for what a worker that looks would have found.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use gorin_base::primitive::PlainArc;

use crate::counters::count;
use crate::driver::{Completion, Direction, Driver, Request};
use crate::key::Key;
use crate::poller::Harvest;
use crate::reactor::Shared;
use crate::ring::Ring;

/// See the module text.
pub(crate) struct Hybrid {
    ring: Ring,
    shared: PlainArc<Shared>,
    worker: usize,
    harvest: Harvest,
    /// Between [`Driver::rest`] and [`Driver::resume`].
    resting: bool,
}

impl Hybrid {
    /// The driver of worker `worker`, on its own thread; connects its bell.
    pub(crate) fn new(shared: &PlainArc<Shared>, worker: usize) -> io::Result<Hybrid> {
        let post = &shared.posts[worker];
        let ring = Ring::new(&shared.config, post.signal.bell(), post.counters.clone())?;
        Ok(Hybrid {
            ring,
            shared: shared.clone(),
            worker,
            harvest: Harvest::default(),
            resting: false,
        })
    }
}

impl Driver for Hybrid {
    fn arm(&mut self, _key: Key, _fd: RawFd, _direction: Direction) {
        unreachable!("sockets of this driver wait by edges");
    }

    unsafe fn submit(&mut self, key: Key, request: Request) {
        // SAFETY: the caller's contract.
        unsafe { self.ring.submit(key, request) };
    }

    fn cancel(&mut self, key: Key) {
        self.ring.cancel(key);
    }

    fn cancel_all(&mut self) {
        self.ring.cancel_all();
    }

    fn flush(&mut self) -> io::Result<()> {
        self.ring.flush()
    }

    fn rest(&mut self) {
        self.resting = true;
        self.shared.poller().rest(self.worker);
    }

    fn resume(&mut self) {
        self.resting = false;
        // Before another worker hears of the sockets, or it would be woken for what was meant for
        // this one.
        self.harvest.look(self.shared.poller());
        self.shared.poller().resume(self.worker);
    }

    fn park(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if !self.harvest.is_empty() {
            // Found by the last look, which took too long to count as a success.
            return self.ring.flush();
        }
        if self.resting {
            self.ring.listen(self.shared.poller().nest(self.worker));
        }
        self.ring.park(timeout)
    }

    fn is_due(&mut self) -> bool {
        self.harvest.look(self.shared.poller());
        !self.harvest.is_empty() || self.ring.is_due()
    }

    fn reap(&mut self, completions: &mut VecDeque<Completion>, listens: bool) {
        self.ring.reap(completions, listens);
        if listens && !self.harvest.is_fresh() {
            self.harvest.look(self.shared.poller());
        }
        let before = completions.len();
        self.harvest.take(completions);
        // The ring has counted its own.
        let harvested = completions.len() - before;
        let counters = &self.shared.posts[self.worker].counters;
        count(&counters.completions, harvested as u64);
    }

    fn add_alarm(&mut self, alarm: RawFd) -> io::Result<()> {
        self.ring.add_alarm(alarm)
    }

    fn probe(&self) -> Option<RawFd> {
        // No socket waits for this worker: they are in the set that all share.
        None
    }

    fn expect_wake(&mut self) {
        self.ring.expect_wake();
    }

    fn is_quiet(&self) -> bool {
        // The poll of the nest is not waited for: it writes to no memory, and ends with the ring.
        self.ring.is_quiet()
    }
}
