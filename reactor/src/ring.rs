//! The driver over io_uring. `ring/setup.rs` makes the rings, `ring/enter.rs` enters them; nothing else does.
//!
//! # Invariants
//!
//! 1. What was queued is submitted, in its order: what finds the submission queue full waits in
//!    `backlog`, and the queue is refilled before each entry into the kernel.
//! 2. What has completed is reaped: while the kernel says that completions overflowed, [`Ring::reap`]
//!    enters again.
//! 3. An entry that the kernel refuses for now is no error, and loses nothing: the loop that called comes
//!    back.
//! 4. A ring is not dropped while something is in flight, or a bell (`bell.rs`) is on its way to it:
//!    see [`Driver::is_quiet`]. Who cannot wait leaks it.
//!
//! Not used: SQPOLL (burns CPU), min-wait (1 connection: 13 k → 2–8 k requests/s), registered files
//! (1 %).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use gorin_base::primitive::PlainArc;
use io_uring::{EnterFlags, IoUring, opcode, squeue, types};

use crate::calls;
use crate::counters::{Counters, count};
use crate::driver::{Completion, Direction, Driver, Request};
use crate::entry::entry;
use crate::features::{Feature, Features};
use crate::key::{Key, Kind};
use crate::readiness;
use crate::standing::{Blocks, Ride, Standing};

mod enter;
mod setup;

/// Entries into the kernel in one flush at most. Since Linux 6.14 or so each one does the completion
/// work of 20 requests only, unless it waits for more: with one in each tick, a worker whose
/// goroutines compute between the ticks falls behind when thousands of polls are cancelled.
const MOST_FLUSHES: usize = 16;

/// How often a worker that looks for something to do asks until it looks at riders: for a millisecond or so,
/// which is more than it looks by default. (At each rest: five times as many calls of `poll(2)` with 50
/// connections.)
const LOOK_AT_RIDERS_AFTER: u32 = 1 << 14;

/// What a read poll waits for.
const READ_EVENTS: i16 = libc::POLLIN | libc::POLLRDHUP;
/// What a poll reports once for good.
const OVER: u32 = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as u32;

/// The ring of one worker. See the module text.
pub(crate) struct Ring {
    uring: IoUring,
    /// Entries that found the queue full, in their order.
    backlog: VecDeque<squeue::Entry>,
    /// What `io_uring_enter` is given: the ring's descriptor, or its registered index and the flag
    /// that says so (13 ns less).
    enter_fd: RawFd,
    enter_flags: u32,
    /// `NO_IOWAIT` where the kernel has it: a sleeping server is not a busy disk.
    sleep_flags: u32,
    /// The eventfd to poll for wakes; `None` where messages work. It belongs to the bell.
    event: Option<RawFd>,
    /// The timerfd to poll for alarms, which is not this ring's.
    alarm: Option<RawFd>,
    /// A poll of the worker's nest is queued or in flight.
    listening: bool,
    /// Bells that were announced less messages that arrived.
    wakes_due: i64,
    standing: Standing,
    /// How often it was asked whether something is due, since the worker rests.
    asked: u32,
    /// Completions that need no kernel: of polls that ride on standing ones.
    due: VecDeque<Completion>,
    /// Standing polls that are to be cancelled, while completions are gone through.
    ended: Vec<Key>,
    /// The kernel had no memory for the last entry into it.
    starves: bool,
    features: Features,
    counters: PlainArc<Counters>,
}

impl Ring {
    fn push(&mut self, entry: squeue::Entry) {
        if self.backlog.is_empty() {
            // SAFETY: what the entry names stays valid by the contracts of `arm` and `submit`.
            let pushed = unsafe { self.uring.submission().push(&entry) };
            if pushed.is_ok() {
                return;
            }
            count(&self.counters.backlogs, 1);
        }
        self.backlog.push_back(entry);
    }

    /// Moves entries from the backlog to the queue as long as there is room.
    fn refill(&mut self) {
        if self.backlog.is_empty() {
            return;
        }
        let mut queue = self.uring.submission();
        while let Some(entry) = self.backlog.front() {
            // SAFETY: as in `push`.
            if unsafe { queue.push(entry) }.is_err() {
                break;
            }
            self.backlog.pop_front();
        }
    }

    /// Polls an eventfd or timerfd for ever: each write or expiry makes a completion of `key`.
    fn poll_for_ever(&mut self, fd: RawFd, key: Key) {
        let poll = opcode::PollAdd::new(types::Fd(fd), libc::POLLIN as u32)
            .multi(true)
            .build()
            .user_data(key.raw());
        self.push(poll);
    }

    /// Lets `nest`, an epoll set, end the sleeps of this ring from when it next is readable, once.
    pub(crate) fn listen(&mut self, nest: RawFd) {
        if !std::mem::replace(&mut self.listening, true) {
            let poll = opcode::PollAdd::new(types::Fd(nest), libc::POLLIN as u32).build();
            self.push(poll.user_data(Key::NEST.raw()));
        }
    }

    fn cancel_request(&mut self, key: Key) {
        let cancel = opcode::AsyncCancel::new(key.raw()).build();
        self.push(cancel.user_data(Key::CANCEL.raw()));
    }

    /// Looks at sockets whose polls ride on standing ones: all, or those whose time it is.
    fn look_at_riders(&mut self, all: bool) {
        let Ring { standing, due, .. } = self;
        standing.look(all, calls::poll_all, |slot, generation| {
            due.push_back(ready(slot, generation));
        });
    }

    /// Takes what is in the completion queue. Returns how much that was.
    fn drain(&mut self, completions: &mut VecDeque<Completion>) -> u64 {
        if !self.due.is_empty() {
            completions.append(&mut self.due);
        }
        let mut drained = 0;
        // Polls for ever, which end when completions overflow.
        let (mut event_ended, mut alarm_ended) = (false, false);
        for entry in self.uring.completion() {
            drained += 1;
            let key = Key::from_raw(entry.user_data());
            let more = io_uring::cqueue::more(entry.flags());
            match key.kind() {
                Kind::Wake if key == Key::ALARM => alarm_ended |= !more,
                Kind::Wake if key == Key::NEST => self.listening = false,
                Kind::Wake if self.event.is_none() => self.wakes_due -= 1,
                Kind::Wake => event_ended |= !more,
                Kind::Cancel => {}
                Kind::Standing => {
                    let result = entry.result();
                    let over = result < 0 || result as u32 & OVER != 0;
                    let report = self.standing.report(key.index(), over, more);
                    if let Some(generation) = report.completes {
                        completions.push_back(ready(key.index(), generation));
                    }
                    if report.cancel {
                        self.ended.push(key);
                    }
                    if !more {
                        completions.push_back(Completion { key, result, more });
                    }
                }
                Kind::Readiness | Kind::Operation => completions.push_back(Completion {
                    key,
                    result: entry.result(),
                    more,
                }),
            }
        }
        while let Some(key) = self.ended.pop() {
            self.cancel_request(key);
        }
        if let Some(event) = self.event.filter(|_| event_ended) {
            self.poll_for_ever(event, Key::WAKE);
        }
        if let Some(alarm) = self.alarm.filter(|_| alarm_ended) {
            self.poll_for_ever(alarm, Key::ALARM);
        }
        drained
    }
}

/// The completion of the read poll of `slot` in generation `generation`.
fn ready(slot: usize, generation: u32) -> Completion {
    Completion {
        key: readiness::key_of(slot, Direction::Read, generation),
        result: i32::from(libc::POLLIN),
        more: false,
    }
}

impl Driver for Ring {
    fn rest(&mut self) {
        self.asked = 0;
    }

    fn resume(&mut self) {}

    fn arm(&mut self, key: Key, fd: RawFd, direction: Direction) {
        let events = match direction {
            Direction::Read => READ_EVENTS,
            Direction::Write => libc::POLLOUT,
        };
        let poll = opcode::PollAdd::new(types::Fd(fd), events as u32).build();
        self.push(poll.user_data(key.raw()));
    }

    fn ride(&mut self, key: Key, fd: RawFd, blocks: Blocks) -> Ride {
        if !self.features.has(Feature::MultishotPoll) {
            return Ride::Refused;
        }
        let (slot, _) = readiness::place(key);
        let (ride, completes) = self.standing.ride(slot, key.generation(), fd, blocks);
        if let Some(generation) = completes {
            self.due.push_back(ready(slot, generation));
        }
        ride
    }

    fn guesses(&self) -> bool {
        self.standing.guesses()
    }

    fn stand(&mut self, _key: Key, standing: Key, fd: RawFd) {
        self.standing.start(standing.index());
        let poll = opcode::PollAdd::new(types::Fd(fd), READ_EVENTS as u32).multi(true);
        self.push(poll.build().user_data(standing.raw()));
    }

    unsafe fn submit(&mut self, key: Key, request: Request) {
        if matches!(request, Request::Truncate { .. }) && !self.features.has(Feature::Ftruncate) {
            // As by a kernel that does not know it.
            return self.due.push_back(Completion {
                key,
                result: -libc::EINVAL,
                more: false,
            });
        }
        self.push(entry(request).user_data(key.raw()));
    }

    fn cancel(&mut self, key: Key) {
        match key.kind() {
            Kind::Standing if !self.standing.end(key.index()) => return,
            Kind::Readiness => {
                let (slot, direction) = readiness::place(key);
                let generation = key.generation();
                if direction == Direction::Read && self.standing.take_off(slot, generation) {
                    self.due.push_back(ready(slot, generation));
                    // Its goroutine waits elsewhere from now on, or it is closed.
                    return self.cancel(readiness::standing_key(slot));
                }
            }
            _ => {}
        }
        self.cancel_request(key);
    }

    fn cancel_all(&mut self) {
        let all = types::CancelBuilder::any();
        let cancel = opcode::AsyncCancel2::new(all).build();
        self.push(cancel.user_data(Key::CANCEL.raw()));
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.standing.is_time_to_look() {
            self.look_at_riders(false);
        }
        let mut entered = 0;
        loop {
            let waiting = self.backlog.len();
            self.refill();
            let queue = self.uring.submission();
            let queued = queue.len();
            let overflow = queue.cq_overflow();
            let due = queue.taskrun() || overflow;
            drop(queue);
            if queued == 0 && !due {
                return Ok(());
            }
            let flags = if due { EnterFlags::GETEVENTS.bits() } else { 0 };
            self.enter(queued, 0, flags)?;
            if self.is_starved() {
                return self.relieve();
            }
            // Without progress the kernel wants completions to be reaped first.
            if waiting > 0 && self.uring.submission().len() == queued {
                return Ok(());
            }
            // As it does when they overflow.
            entered += usize::from(self.backlog.is_empty());
            if self.backlog.is_empty() && (overflow || entered == MOST_FLUSHES) {
                return Ok(());
            }
        }
    }

    fn park(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.look_at_riders(true);
        let flags = EnterFlags::GETEVENTS.bits() | self.sleep_flags;
        if !self.backlog.is_empty() || !self.due.is_empty() {
            self.flush()?;
        } else {
            count(&self.counters.sleeps, 1);
            let queued = self.uring.submission().len();
            match timeout {
                None => self.enter(queued, 1, flags)?,
                Some(timeout) => self.enter_for(queued, flags, timeout)?,
            }
        }
        // Also with a backlog, which would let the worker come back at once for as long as memory is short.
        if self.is_starved() && self.due.is_empty() {
            self.pause(flags, timeout)?;
        }
        Ok(())
    }

    fn is_due(&mut self) -> bool {
        self.asked = self.asked.wrapping_add(1);
        if self.asked == LOOK_AT_RIDERS_AFTER {
            self.look_at_riders(true);
        }
        if !self.due.is_empty() || !self.uring.completion().is_empty() {
            return true;
        }
        let queue = self.uring.submission();
        let queued = !queue.is_empty() || !self.backlog.is_empty();
        (queued && !self.starves) || queue.taskrun() || queue.cq_overflow()
    }

    fn reap(&mut self, completions: &mut VecDeque<Completion>, _listens: bool) {
        loop {
            let drained = self.drain(completions);
            count(&self.counters.completions, drained);
            if !self.uring.submission().cq_overflow() {
                return;
            }
            count(&self.counters.overflows, 1);
            let entered = self.enter(0, 0, EnterFlags::GETEVENTS.bits());
            // Else the next tick tries again.
            if drained == 0 || entered.is_err() {
                return;
            }
        }
    }

    fn add_alarm(&mut self, alarm: RawFd) -> io::Result<()> {
        self.alarm = Some(alarm);
        self.poll_for_ever(alarm, Key::ALARM);
        Ok(())
    }

    fn probe(&self) -> Option<RawFd> {
        // Readable while the completion queue is not empty or, on a deferred ring, completion work
        // waits for its owner to enter.
        Some(self.uring.as_raw_fd())
    }

    fn expect_wake(&mut self) {
        if self.event.is_none() {
            self.wakes_due += 1;
        }
    }

    fn is_quiet(&self) -> bool {
        self.wakes_due == 0
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("backlog", &self.backlog.len())
            .field("wakes_due", &self.wakes_due)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::Alarm;
    use crate::bell::RingBell;
    use crate::park::Bell;
    use crate::reactor::Config;

    /// No event of these tests takes that long.
    const LIMIT: Duration = Duration::from_secs(20);

    /// A ring of one entry that is woken by an eventfd, and its bell.
    fn small() -> (Ring, RingBell) {
        with(Features::ALL.without(Feature::MsgRing))
    }

    /// A ring of one entry that uses these features, and its bell.
    fn with(features: Features) -> (Ring, RingBell) {
        let config = Config {
            entries: 1,
            features,
            ..Config::default()
        };
        let counters = PlainArc::new(Counters::default());
        let bell = RingBell::new(counters.clone());
        let ring = Ring::new(&config, &bell, counters).expect("a ring");
        (ring, bell)
    }

    /// Whether `ring` uses `feature`, if the kernel has it.
    fn uses(ring: &mut Ring, feature: Feature) -> bool {
        match feature {
            Feature::DeferTaskrun => ring.uring.params().is_setup_single_issuer(),
            Feature::MsgRing => ring.event.is_none(),
            Feature::RegisteredRing => ring.enter_flags != 0,
            Feature::NoIowait => ring.sleep_flags != 0,
            Feature::MultishotPoll => {
                let rides = [1, 2].map(|generation| {
                    let key = readiness::key_of(0, Direction::Read, generation);
                    ring.ride(key, 0, Blocks::Surely)
                });
                rides.contains(&Ride::Wanted)
            }
            Feature::Ftruncate => {
                let request = Request::Truncate { fd: -1, len: 0 };
                // SAFETY: names no memory.
                unsafe { ring.submit(Key::new(Kind::Operation, 0, 0), request) };
                let mut completions = VecDeque::new();
                while completions.is_empty() {
                    ring.flush().expect("a ring that can be entered");
                    ring.reap(&mut completions, true);
                }
                completions[0].result == -libc::EBADF
            }
            // Nothing tells it from none.
            Feature::CoopTaskrun => false,
        }
    }

    #[test]
    fn what_is_switched_off_is_not_used() {
        let used_by = |features| {
            let (mut ring, _bell) = with(features);
            Feature::ALL.map(|(_, feature)| uses(&mut ring, feature))
        };
        let all = used_by(Features::ALL);
        assert!(all.contains(&true), "this kernel has none");
        for (place, (name, feature)) in Feature::ALL.into_iter().enumerate() {
            let mut expected = all;
            expected[place] = false;
            assert_eq!(used_by(Features::ALL.without(feature)), expected, "{name}");
        }
    }

    /// Completes more than the completion queue holds, and then `event`, before anything is reaped.
    fn overflow(ring: &mut Ring, event: impl FnOnce()) {
        const OPERATIONS: usize = 64;
        for index in 0..OPERATIONS {
            let key = Key::new(Kind::Operation, index, 0);
            // SAFETY: names no memory.
            unsafe { ring.submit(key, Request::Nop) };
        }
        while !ring.backlog.is_empty() || !ring.uring.submission().is_empty() {
            ring.flush().expect("a ring that can be entered");
        }
        event();
        let flags = EnterFlags::GETEVENTS.bits();
        ring.enter(0, 0, flags).expect("as above");
        let mut completions = VecDeque::new();
        while completions.len() < OPERATIONS {
            ring.reap(&mut completions, true);
            ring.flush().expect("as above");
        }
        assert_eq!(completions.len(), OPERATIONS);
    }

    /// True if `event` ends the next sleep.
    fn wakes(ring: &mut Ring, event: impl FnOnce()) -> bool {
        // What was armed anew meanwhile, and what it finds at once.
        for _ in 0..2 {
            ring.flush().expect("a ring that can be entered");
            ring.reap(&mut VecDeque::new(), true);
        }
        event();
        ring.park(Some(LIMIT)).expect("as above");
        !ring.uring.completion().is_empty()
    }

    /// For: a queue that was full, which looked like a kernel that takes nothing.
    #[test]
    fn one_flush_hands_over_what_the_queue_had_no_room_for() {
        let (mut ring, _bell) = small();
        for index in 0..20 {
            // SAFETY: names no memory.
            unsafe { ring.submit(Key::new(Kind::Operation, index, 0), Request::Nop) };
        }
        assert!(!ring.backlog.is_empty());
        ring.flush().expect("a ring that can be entered");
        assert!(ring.backlog.is_empty() && ring.uring.submission().is_empty());
    }

    /// For: a worker that hears of nobody any more after a crowd of completions.
    #[test]
    fn a_bell_is_heard_after_completions_have_overflown() {
        let (mut ring, bell) = small();
        for _ in 0..3 {
            overflow(&mut ring, || bell.ring());
            assert!(wakes(&mut ring, || bell.ring()));
        }
    }

    /// For: as above, of alarms.
    #[test]
    fn an_alarm_is_heard_after_completions_have_overflown() {
        let (mut ring, _bell) = small();
        let alarm = Alarm::new().expect("a timer");
        ring.add_alarm(alarm.as_raw_fd()).expect("a ring");
        let expire = || {
            alarm.start(Duration::ZERO);
            while !calls::is_readable(alarm.as_raw_fd()) {
                std::thread::yield_now();
            }
        };
        for _ in 0..3 {
            overflow(&mut ring, expire);
            assert!(wakes(&mut ring, expire));
        }
    }
}
