//! A driver that stands in for io_uring and is unkind on purpose, each time in another way, by seed.
//!
//! What a kernel may do but hardly ever does on a quiet machine, this one does all the time:
//!
//! | it | as the kernel does when |
//! |---|---|
//! | starts what was submitted late, or refuses an entry | it is short of memory, or completions wait |
//! | completes in any order, and late | requests go to threads of their own, interrupts are late |
//! | reads, writes, receives and sends less than was asked for | a signal comes, a page is missing |
//! | answers with an error | a signal comes (`EINTR`), a disk fails (`EIO`), descriptors are out (`EMFILE`) |
//! | reports a socket ready that is not | another reader was faster, a checksum was wrong |
//! | cancels late, or not at all | the request is being executed |
//! | has no room for completions | a burst comes |
//! | ends a sleep for no reason | a signal comes |
//!
//! Requests are executed by system calls on the worker's own thread ([`perform`]), sockets are looked
//! at with `poll(2)`: descriptors, files and peers are real. All choices come from one seeded
//! generator; with one worker, and peers on its thread, a seed replays what happened.
//!
//! Sockets wait as they do in a ring, by one poll at a time, and operations as in a ring's table: what
//! is tried out is all that stands above a driver. What a kernel does with real rings is tried in
//! `reactor/tests/kernel_ops.rs` and its siblings.
//!
//! # Invariants
//!
//! 1. Each key submitted completes exactly once without [`Completion::more`]; with it only as often
//!    as the kernel would.
//! 2. A request is executed at most once, and one that is answered with a made-up error not at all.
//!    [`Request::Close`] always is, since the descriptor belongs to it.
//! 3. Nothing is held back for ever: every delay is counted down by each look at the queues, and
//!    while one is left, [`Driver::park`] does not sleep.
//!
//! Must not be used where speed matters: it searches its lists.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use gorin_base::primitive::PlainArc;

use crate::bell::{RingBell, Target, new_event};
use crate::counters::{Counters, count};
use crate::driver::{Completion, Direction, Driver, Request};
use crate::key::Key;
use crate::perform::{answer, perform};

/// Looks at the queues by which a step is delayed at most.
const MOST_DELAY: u32 = 6;
/// The largest room for completions that a seed may choose.
const MOST_ROOM: usize = 32;
/// How long a sleep lasts while a request waits for its descriptor, which is not polled for it.
const RETRY: Duration = Duration::from_millis(1);

/// What was submitted and not yet taken.
enum Submission {
    Start(Flight),
    Cancel(Key),
    CancelAll,
}

/// What is in flight.
struct Flight {
    key: Key,
    task: Task,
    /// Looks until its next step.
    delay: u32,
}

#[derive(Clone, Copy)]
enum Task {
    Poll {
        fd: RawFd,
        events: i16,
    },
    Request(Request),
    /// The file was not ready when the request was executed first.
    Retry(Request),
}

/// The state of one worker's pretended ring. See the module text.
pub(crate) struct Simulated {
    dice: fastrand::Rng,
    /// Rung by who wakes the worker; it belongs to the bell.
    event: RawFd,
    /// The timer that ends a sleep, if there is one; its owner keeps it open.
    alarm: Option<RawFd>,
    submissions: VecDeque<Submission>,
    flights: Vec<Flight>,
    /// Cancellations that were asked for and come late: whom (`None`: all), and the looks until then.
    cancels: Vec<(Option<Key>, u32)>,
    /// The completion queue, with room for `room`, and what did not find room.
    completed: VecDeque<Completion>,
    overflowed: VecDeque<Completion>,
    room: usize,
    counters: PlainArc<Counters>,
}

impl Simulated {
    /// The driver of worker `index` for `seed`; lets `bell` wake it.
    pub(crate) fn new(
        seed: u64,
        index: usize,
        bell: &RingBell,
        counters: PlainArc<Counters>,
    ) -> io::Result<Simulated> {
        let mut dice = fastrand::Rng::with_seed(seed.wrapping_add(index as u64));
        let event = new_event()?;
        let fd = event.as_raw_fd();
        bell.connect(Target::Event(event));
        Ok(Simulated {
            room: dice.usize(1..=MOST_ROOM),
            dice,
            event: fd,
            alarm: None,
            submissions: VecDeque::new(),
            flights: Vec::new(),
            cancels: Vec::new(),
            completed: VecDeque::new(),
            overflowed: VecDeque::new(),
            counters,
        })
    }

    /// True in one case of `n`.
    fn one_in(&mut self, n: u32) -> bool {
        self.dice.u32(0..n) == 0
    }

    /// Mostly none, so that a seed also has calm times.
    fn delay(&mut self) -> u32 {
        if self.one_in(2) {
            0
        } else {
            self.dice.u32(0..=MOST_DELAY)
        }
    }

    fn start(&mut self, key: Key, task: Task) {
        let delay = self.delay();
        let flight = Flight { key, task, delay };
        self.submissions.push_back(Submission::Start(flight));
    }

    /// Takes what was submitted, unless this entry is refused.
    fn take_submissions(&mut self) {
        if self.one_in(8) {
            return;
        }
        while let Some(submission) = self.submissions.pop_front() {
            match submission {
                Submission::Start(flight) => self.flights.push(flight),
                Submission::Cancel(key) => {
                    let delay = self.delay();
                    self.cancels.push((Some(key), delay));
                }
                Submission::CancelAll => {
                    let delay = self.delay();
                    self.cancels.push((None, delay));
                }
            }
        }
    }

    /// One look: everything in flight comes one step nearer, in any order.
    fn advance(&mut self) {
        self.take_submissions();
        self.cancel_due();
        let mut waiting = std::mem::take(&mut self.flights);
        while !waiting.is_empty() {
            let chosen = self.dice.usize(0..waiting.len());
            let flight = waiting.swap_remove(chosen);
            self.step(flight);
        }
    }

    fn step(&mut self, mut flight: Flight) {
        if flight.delay > 0 {
            flight.delay -= 1;
            return self.flights.push(flight);
        }
        match flight.task {
            Task::Poll { fd, events } => {
                if is_ready(fd, events) || self.one_in(32) {
                    self.complete(flight.key, i32::from(events));
                } else {
                    self.flights.push(flight);
                }
            }
            Task::Request(request) => match self.made_up_error(request) {
                Some(errno) => self.complete(flight.key, -errno),
                None => self.execute(flight.key, request),
            },
            Task::Retry(request) => self.execute(flight.key, request),
        }
    }

    fn execute(&mut self, key: Key, request: Request) {
        let request = self.shortened(request);
        match attempt(request) {
            Some(result) => self.complete(key, result),
            None => self.flights.push(Flight {
                key,
                task: Task::Retry(request),
                delay: 0,
            }),
        }
    }

    /// An error that the kernel might answer with instead of executing `request`.
    fn made_up_error(&mut self, request: Request) -> Option<i32> {
        if !self.one_in(16) {
            return None;
        }
        let possible: &[i32] = match request {
            Request::Open { .. } => &[libc::EINTR, libc::EMFILE, libc::ENFILE],
            Request::Read { .. } | Request::Write { .. } => &[libc::EINTR, libc::EIO],
            // A connection that breaks takes bytes with it.
            Request::Nop | Request::Close { .. } | Request::Recv { .. } | Request::Send { .. } => {
                return None;
            }
            _ => &[libc::EIO],
        };
        Some(possible[self.dice.usize(0..possible.len())])
    }

    /// `request`, or less of it.
    fn shortened(&mut self, mut request: Request) -> Request {
        if let Request::Read { len, .. }
        | Request::Write { len, .. }
        | Request::Recv { len, .. }
        | Request::Send { len, .. } = &mut request
            && *len > 1
            && self.one_in(2)
        {
            *len = self.dice.u32(1..*len);
        }
        request
    }

    /// Cancels what it is time for: a request is executed nevertheless in one case of four.
    fn cancel_due(&mut self) {
        let mut due = Vec::new();
        self.cancels.retain_mut(|(key, delay)| {
            let is_due = *delay == 0;
            if is_due {
                due.push(*key);
            }
            *delay = delay.saturating_sub(1);
            !is_due
        });
        for key in due {
            let hit = |flight: &mut Flight| key.is_none_or(|key| key == flight.key);
            let cancelled: Vec<Flight> = self.flights.extract_if(.., hit).collect();
            for flight in cancelled {
                self.cancel_flight(flight);
            }
        }
    }

    fn cancel_flight(&mut self, flight: Flight) {
        match flight.task {
            Task::Request(request @ Request::Close { .. }) => self.execute(flight.key, request),
            Task::Request(request) if self.one_in(4) => {
                let result = attempt(request);
                self.complete(flight.key, result.unwrap_or(-libc::ECANCELED));
            }
            _ => self.complete(flight.key, -libc::ECANCELED),
        }
    }

    fn complete(&mut self, key: Key, result: i32) {
        let completion = Completion {
            key,
            result,
            more: false,
        };
        if self.completed.len() < self.room {
            self.completed.push_back(completion);
        } else {
            count(&self.counters.overflows, 1);
            self.overflowed.push_back(completion);
        }
    }

    /// True if the next look may bring something without an event from outside.
    fn has_steps(&self) -> bool {
        !self.submissions.is_empty()
            || !self.completed.is_empty()
            || !self.overflowed.is_empty()
            || !self.cancels.is_empty()
            || self.flights.iter().any(|flight| flight.delay > 0)
    }

    /// Sleeps until a polled file is ready, the bell rings or `timeout` passes.
    fn sleep(&self, timeout: Option<Duration>) {
        let bells = [Some(self.event), self.alarm];
        let bells = bells.into_iter().flatten();
        let mut polled: Vec<_> = bells.map(|fd| entry((fd, libc::POLLIN))).collect();
        let (bells, mut must_retry) = (polled.len(), false);
        for flight in &self.flights {
            match flight.task {
                Task::Poll { fd, events } => polled.push(entry((fd, events))),
                Task::Request(_) | Task::Retry(_) => must_retry = true,
            }
        }
        let timeout = match timeout {
            _ if must_retry => Some(timeout.map_or(RETRY, |timeout| timeout.min(RETRY))),
            timeout => timeout,
        };
        poll(&mut polled, timeout);
        for bell in polled[..bells].iter().filter(|bell| bell.revents != 0) {
            hear(bell.fd);
        }
    }
}

/// Executes `request`, for which its submitter has promised that what it names is valid until its key
/// completes, which it does after this. `None` if the file is not ready.
fn attempt(request: Request) -> Option<i32> {
    let result = match request {
        Request::Recv { fd, buffer, len } => answer(|| {
            let (buffer, flags) = (buffer.cast(), libc::MSG_DONTWAIT);
            // SAFETY: the submitter's promise: `len` bytes to write to.
            unsafe { libc::recv(fd, buffer, len as usize, flags) }
        }),
        Request::Send {
            fd, buffer, len, ..
        } => answer(|| {
            let (buffer, flags) = (buffer.cast(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
            // SAFETY: the submitter's promise: `len` bytes to read.
            unsafe { libc::send(fd, buffer, len as usize, flags) }
        }),
        // SAFETY: the submitter's promise.
        _ => unsafe { perform(request) },
    };
    (result != -libc::EAGAIN).then_some(result)
}

/// Empties an eventfd or a timerfd, so that it can be polled for the next time.
fn hear(bell: RawFd) {
    let mut rings = 0_u64;
    // SAFETY: reads eight bytes into a live variable, from a descriptor that its owner keeps open.
    // That there was nothing to read is no error here.
    unsafe { libc::read(bell, (&raw mut rings).cast(), 8) };
}

fn entry((fd, events): (RawFd, i16)) -> libc::pollfd {
    libc::pollfd {
        fd,
        events,
        revents: 0,
    }
}

/// `ppoll(2)`; that it was interrupted, or there was no memory, is as good as an early return.
fn poll(entries: &mut [libc::pollfd], timeout: Option<Duration>) {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let timeout = timeout
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: as many entries as are announced, and a timespec or null, all alive through the call.
    unsafe {
        libc::ppoll(
            entries.as_mut_ptr(),
            entries.len() as libc::nfds_t,
            timeout,
            std::ptr::null(),
        )
    };
}

fn is_ready(fd: RawFd, events: i16) -> bool {
    let mut polled = [entry((fd, events))];
    poll(&mut polled, Some(Duration::ZERO));
    polled[0].revents != 0
}

impl Driver for Simulated {
    fn arm(&mut self, key: Key, fd: RawFd, direction: Direction) {
        let events = match direction {
            Direction::Read => libc::POLLIN | libc::POLLRDHUP,
            Direction::Write => libc::POLLOUT,
        };
        self.start(key, Task::Poll { fd, events });
    }

    unsafe fn submit(&mut self, key: Key, request: Request) {
        self.start(key, Task::Request(request));
    }

    fn cancel(&mut self, key: Key) {
        self.submissions.push_back(Submission::Cancel(key));
    }

    fn cancel_all(&mut self) {
        self.submissions.push_back(Submission::CancelAll);
    }

    fn rest(&mut self) {}

    fn resume(&mut self) {}

    fn flush(&mut self) -> io::Result<()> {
        self.advance();
        Ok(())
    }

    fn park(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.advance();
        if !self.has_steps() && !self.one_in(16) {
            count(&self.counters.sleeps, 1);
            self.sleep(timeout);
            self.advance();
        }
        Ok(())
    }

    fn is_due(&mut self) -> bool {
        self.has_steps()
    }

    fn reap(&mut self, completions: &mut VecDeque<Completion>, _listens: bool) {
        if self.completed.is_empty() {
            return;
        }
        let reaped = self.dice.usize(1..=self.completed.len());
        count(&self.counters.completions, reaped as u64);
        completions.extend(self.completed.drain(..reaped));
        while self.completed.len() < self.room
            && let Some(completion) = self.overflowed.pop_front()
        {
            self.completed.push_back(completion);
        }
    }

    fn add_alarm(&mut self, alarm: RawFd) -> io::Result<()> {
        self.alarm = Some(alarm);
        Ok(())
    }

    /// What waits here, its owner alone can find: nothing is moved to another worker.
    fn probe(&self) -> Option<RawFd> {
        None
    }

    fn expect_wake(&mut self) {}

    /// The bell's descriptor belongs to the bell: it may ring whenever it likes.
    fn is_quiet(&self) -> bool {
        true
    }
}
