//! The driver over epoll, for kernels and containers without io_uring: sockets in the set that all
//! workers share (`poller.rs`), operations on a pool of threads (`offload.rs`), sleep in
//! `epoll_pwait2` on the worker's own nest.
//!
//! Sockets are not armed here: they wait by edges, and [`Driver::arm`] is never called.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use gorin_base::primitive::PlainArc;

use crate::bell::{Target, new_event};
use crate::counters::{Counters, count};
use crate::driver::{Completion, Direction, Driver, Request};
use crate::key::Key;
use crate::offload::Jobs;
use crate::poller::{Harvest, Poller};
use crate::reactor::Shared;

/// See the module text.
pub(crate) struct Epoll {
    shared: PlainArc<Shared>,
    worker: usize,
    harvest: Harvest,
    jobs: Jobs,
    counters: PlainArc<Counters>,
}

impl Epoll {
    /// The driver of worker `worker`, on its own thread; connects its bell.
    pub(crate) fn new(shared: &PlainArc<Shared>, worker: usize) -> io::Result<Epoll> {
        let post = &shared.posts[worker];
        let event = new_event()?;
        let driver = Epoll {
            shared: shared.clone(),
            worker,
            harvest: Harvest::default(),
            jobs: Jobs::new(shared.config.offload.clone(), post.signal.clone()),
            counters: post.counters.clone(),
        };
        driver.poller().add_bell(worker, event.as_raw_fd())?;
        post.signal.bell().connect(Target::Event(event));
        Ok(driver)
    }

    fn poller(&self) -> &Poller {
        self.shared.poller()
    }

    fn look(&mut self) {
        if self.harvest.look(self.shared.poller()) {
            count(&self.counters.enters, 1);
        }
    }
}

impl Driver for Epoll {
    fn arm(&mut self, _key: Key, _fd: RawFd, _direction: Direction) {
        unreachable!("sockets of this driver wait by edges");
    }

    unsafe fn submit(&mut self, key: Key, request: Request) {
        // SAFETY: the caller's contract.
        unsafe { self.jobs.submit(key, request) };
    }

    fn cancel(&mut self, key: Key) {
        self.jobs.cancel(key);
    }

    fn cancel_all(&mut self) {
        self.jobs.cancel_all();
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn rest(&mut self) {
        self.poller().rest(self.worker);
    }

    fn resume(&mut self) {
        // Before another worker hears of the sockets, or it would be woken for what was meant for
        // this one.
        self.look();
        self.poller().resume(self.worker);
    }

    fn park(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if !self.harvest.is_empty() {
            // Found by the last look, which took too long to count as a success.
            return Ok(());
        }
        count(&self.counters.enters, 1);
        count(&self.counters.sleeps, 1);
        self.poller().sleep(self.worker, timeout)
    }

    fn is_due(&mut self) -> bool {
        self.look();
        !self.harvest.is_empty() || self.jobs.is_due()
    }

    fn reap(&mut self, completions: &mut VecDeque<Completion>, listens: bool) {
        if listens && !self.harvest.is_fresh() {
            self.look();
        }
        let before = completions.len();
        self.harvest.take(completions);
        self.jobs.reap(completions);
        let reaped = completions.len() - before;
        count(&self.counters.completions, reaped as u64);
    }

    fn add_alarm(&mut self, alarm: RawFd) -> io::Result<()> {
        self.poller().add_bell(self.worker, alarm)
    }

    fn probe(&self) -> Option<RawFd> {
        // No socket waits for this worker: they are in the set that all share.
        None
    }

    fn expect_wake(&mut self) {}

    fn is_quiet(&self) -> bool {
        // The bell's descriptor lives as long as those who may ring it.
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::DriverKind;
    use crate::hybrid::Hybrid;
    use crate::reactor::{Config, Reactor};
    use std::time::Instant;

    /// No event of these tests takes that long.
    const LIMIT: Duration = Duration::from_secs(10);

    /// What a look has found, and nobody was told of yet, keeps its worker from sleeping: no edge tells of it
    /// again. For: a look that took too long to count as a success, and a sleep that nothing ends.
    #[test]
    fn what_was_found_is_not_slept_on() {
        for kind in [DriverKind::Epoll, DriverKind::Hybrid] {
            let config = Config {
                driver: Some(kind),
                ..Config::default()
            };
            let shared = Reactor::new(config).expect("a set").shared;
            let mut driver: Box<dyn Driver> = match kind {
                DriverKind::Epoll => Box::new(Epoll::new(&shared, 0).expect("a set")),
                _ => Box::new(Hybrid::new(&shared, 0).expect("a ring")),
            };
            let (_reader, writer) = io::pipe().expect("a pipe");
            let file = PlainArc::new(writer.into());
            let slot = shared.sockets.insert(PlainArc::clone(&file));
            shared.poller().add(file.as_raw_fd(), slot).expect("a set");

            driver.rest();
            assert!(driver.is_due(), "there is room in the pipe");
            let began = Instant::now();
            driver.park(Some(LIMIT)).expect("a sleep");
            assert!(began.elapsed() < LIMIT, "{kind} has slept on what it found");
            driver.resume();
            let mut completions = VecDeque::new();
            driver.reap(&mut completions, true);
            let key = crate::readiness::edges::key(slot, Direction::Write);
            assert!(completions.iter().any(|completion| completion.key == key));
            shared.poller().remove(file.as_raw_fd());
            shared.sockets.release(slot);
        }
    }
}
