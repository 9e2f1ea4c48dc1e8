//! A worker: the thread that owns a ring.
//!
//! # The loop
//!
//! It is in `worker/run.rs`, how it rests in `worker/rest.rs`, how it ends in `worker/end.rs`; here is
//! what it does in a tick.
//!
//! ```text
//! block_on:  poll the future if it was woken
//!            tick: serve the mailbox, flush, reap, dispatch completions, fire timers, look now and
//!            then whether another worker computes for long (`rescue.rs`), and whether this one is kept
//!            from running (`crowd.rs`)
//!            woken meanwhile? again; else look for completions for a while if that pays, then sleep
//!            in the ring until a completion, a bell, a deadline
//! ```
//! The future comes back every 100 to 200 µs while it has work, so that completions do not wait longer; a
//! tick with nothing to do costs a few loads and a clock read.
//!
//! # Invariants
//!
//! 1. `core` is borrowed only while no code of others runs: wakers are woken, and operations
//!    completed, one at a time, from queues that stay in `core`. A waker that panics loses nothing
//!    but its own wake, and does not get through to here: all are woken by [`mishap::wake`].
//! 2. Only this thread touches the ring.
//! 3. The ring is closed when nothing is in flight and no bell is on its way, or never (leaked).

mod end;
mod rest;
mod run;
mod spare;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::task::Waker;
use std::time::Instant;

use gorin_base::primitive::{AtomicU32, Ordering, PlainArc};
use gorin_base::{clock, mishap};

use crate::alarm::Alarm;
use crate::bell::RingBell;
use crate::cells::Cells;
use crate::choice::DriverKind;
use crate::crowd::Gauge;
use crate::driver::{Completion, Direction, Driver};
use crate::epoll::Epoll;
use crate::hybrid::Hybrid;
use crate::key::{Key, Kind};
use crate::local;
use crate::mailbox::{Message, Operation};
use crate::op::{Op, Opcode};
use crate::park::Signal;
use crate::polling::Patience;
use crate::reactor::{Post, Shared};
use crate::readiness;
use crate::readiness::edges::{Edge, Seen};
use crate::rescue::Duty;
use crate::ring::Ring;
use crate::simulated::Simulated;
use crate::standing::{Blocks, Ride};
use crate::table::Table;
use crate::timer::Spacing;

use spare::Shift;

pub use end::Drained;
pub use run::Local;

/// How many completions before its own a socket's slot is fetched. With 1,000 busy connections this, and
/// slots that are read in one cache line, took 3 % (± 0.6 %) off the CPU time per request.
const FETCHED_AHEAD: usize = 3;

/// Room for so many timers that have fired is kept; more, after a crowd, is given back.
const DUE_KEPT: usize = 4096;

/// Bits of a moment that hold the worker's number.
const NUMBER_BITS: u32 = u16::BITS;

/// Numbers the workers of all reactors. (A number comes again after 65,536 workers; two that had it at once,
/// in the same tick, might take each other's hints, which cost a delay of some ms at the worst.)
static WORKERS: AtomicU32 = AtomicU32::new(0);

/// What only the worker's thread touches.
struct Core {
    driver: Box<dyn Driver>,
    operations: Table,
    /// Polls that were queued and have not completed.
    polls: usize,
    /// Reaped and not yet dispatched.
    completions: VecDeque<Completion>,
    /// Timers that have fired and were not yet woken; the next one is at the end.
    due: Vec<Waker>,
    /// Whether to look for completions before sleeping.
    patience: Patience,
    /// When it last ended a wait, as far as its patience needs to know.
    rested: Instant,
    /// How often to get up for timers.
    spacing: Spacing,
    /// The mailbox's other queue.
    inbox: VecDeque<Message>,
    cells: Cells,
}

/// One worker, as its own thread sees it. See the module text.
pub(crate) struct Worker {
    shared: PlainArc<Shared>,
    index: usize,
    /// Of all workers of all reactors.
    number: u16,
    /// How often completions were taken; see [`moment`](Worker::moment).
    reaps: Cell<u64>,
    /// The clock, as it was read last.
    now: Cell<Instant>,
    /// What it has to do for others when it has woken.
    pub(crate) duty: Cell<Duty>,
    pub(crate) gauge: Gauge,
    shift: Shift,
    core: RefCell<Core>,
    /// Of the last read that was tried here: the socket's slot, and what was seen before.
    seen: Cell<Option<(usize, Seen)>>,
}

impl Worker {
    /// Makes the ring of worker `index` on the calling thread.
    pub(crate) fn new(shared: PlainArc<Shared>, index: usize) -> io::Result<Worker> {
        let post = &shared.posts[index];
        let mut driver: Box<dyn Driver> = match shared.driver {
            DriverKind::Uring => {
                let (bell, counters) = (post.signal.bell(), post.counters.clone());
                Box::new(Ring::new(&shared.config, bell, counters)?)
            }
            DriverKind::Hybrid => Box::new(Hybrid::new(&shared, index)?),
            DriverKind::Epoll => Box::new(Epoll::new(&shared, index)?),
            DriverKind::Simulated { seed } => {
                let (bell, counters) = (post.signal.bell(), post.counters.clone());
                Box::new(Simulated::new(seed, index, bell, counters)?)
            }
        };
        if shared.guard.is_some() {
            let alarm = Alarm::new()?;
            driver.add_alarm(post.alarm.get_or_init(|| alarm).as_raw_fd())?;
            post.set_probe(driver.probe());
        }
        let core = Core {
            driver,
            operations: Table::default(),
            polls: 0,
            completions: VecDeque::new(),
            due: Vec::new(),
            patience: Patience::new(shared.config.poll_before_sleep),
            rested: clock::now(),
            spacing: Spacing::new(clock::now()),
            inbox: VecDeque::new(),
            cells: Cells::default(),
        };
        Ok(Worker {
            shared,
            index,
            // Relaxed: a number.
            number: WORKERS.fetch_add(1, Ordering::Relaxed) as u16,
            reaps: Cell::new(1),
            now: Cell::new(clock::now()),
            duty: Cell::default(),
            gauge: Gauge::default(),
            shift: Shift::default(),
            core: RefCell::new(core),
            seen: Cell::new(None),
        })
    }

    #[inline]
    pub(crate) fn shared(&self) -> &PlainArc<Shared> {
        &self.shared
    }

    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The clock, as it was read last.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Names the time in which this worker takes no completions; no two workers share a moment, and none is
    /// 0. What is known of the kernel now is news only as long: what comes after is completed after.
    #[inline]
    pub(crate) fn moment(&self) -> u64 {
        self.reaps.get() << NUMBER_BITS | u64::from(self.number)
    }

    /// Takes note of a read that is about to be tried.
    pub(crate) fn note_seen(&self, slot: usize, seen: Seen) {
        self.seen.set(Some((slot, seen)));
    }

    /// What was seen before the last read that was tried here, if it was of this socket.
    pub(crate) fn seen(&self, slot: usize) -> Option<Seen> {
        let (last, seen) = self.seen.get()?;
        (last == slot).then_some(seen)
    }

    #[inline]
    pub(crate) fn post(&self) -> &Post {
        &self.shared.posts[self.index]
    }

    fn signal(&self) -> &PlainArc<Signal<RingBell>> {
        &self.post().signal
    }

    /// Queues the poll of `key`, which has been armed for this worker.
    pub(crate) fn arm(&self, key: Key, fd: RawFd, direction: Direction) {
        let mut core = self.core.borrow_mut();
        core.polls += 1;
        core.driver.arm(key, fd, direction);
        self.post().arms.note(key);
    }

    /// As [`arm`](Worker::arm), for the read poll of who has just tried `fd` on this thread. True if who
    /// waited there by a guess was misled.
    #[inline]
    pub(crate) fn arm_tried(&self, key: Key, fd: RawFd, blocks: Blocks) -> bool {
        let mut was_misled = false;
        let core = &mut *self.core.borrow_mut();
        core.polls += 1;
        let (slot, direction) = readiness::place(key);
        match core.driver.ride(key, fd, blocks) {
            Ride::Taken { misled } => was_misled = misled,
            Ride::Wanted if self.shared.sockets.start_standing(slot, self.index) => {
                core.polls += 1;
                core.driver.stand(key, readiness::standing_key(slot), fd);
            }
            Ride::Wanted => {
                core.driver.arm(key, fd, direction);
                // The goroutine has come from another worker.
                if let Some((owner, standing)) = self.shared.sockets.standing(slot) {
                    let _ = self.shared.posts[owner].send(Message::Disarm(standing));
                }
            }
            Ride::Refused => core.driver.arm(key, fd, direction),
        }
        self.post().arms.note(key);
        was_misled
    }

    /// Cancels the poll of `key`.
    pub(crate) fn disarm(&self, key: Key) {
        self.core.borrow_mut().driver.cancel(key);
    }

    /// Submits an operation, unless its future has been dropped already.
    pub(crate) fn submit(&self, operation: PlainArc<dyn Operation>) {
        let mut core = self.core.borrow_mut();
        if let Some((key, request)) = core.operations.insert(operation) {
            // SAFETY: the table holds the operation, which owns all memory of its request and leaves
            // it alone, until its last completion.
            unsafe { core.driver.submit(key, request) };
        }
    }

    /// A cell for another operation, if one was kept.
    pub(crate) fn take_cell<C: Opcode>(&self) -> Option<PlainArc<Op<C>>> {
        self.core.borrow_mut().cells.take()
    }

    /// Keeps an empty cell for another operation.
    pub(crate) fn keep_cell<C: Opcode>(&self, cell: PlainArc<Op<C>>) {
        self.core.borrow_mut().cells.keep(cell);
    }

    /// Cancels an operation of this worker, if it is still in flight.
    pub(crate) fn cancel_operation(&self, operation: &dyn Operation) {
        let mut core = self.core.borrow_mut();
        if let Some(key) = core.operations.cancel(operation) {
            core.driver.cancel(key);
        }
    }

    /// Everything that is due and needs no sleep.
    fn tick(&self, mail: bool) {
        if mail {
            self.serve_mailbox();
        }
        self.reap();
        self.dispatch();
        self.fire_timers();
        self.watch(self.shared.number(self.now.get()));
        self.gauge();
    }

    pub(crate) fn serve_mailbox(&self) {
        let mut inbox = std::mem::take(&mut self.core.borrow_mut().inbox);
        self.post().mailbox().take(&mut inbox);
        for message in inbox.drain(..) {
            self.serve(message);
        }
        self.core.borrow_mut().inbox = inbox;
    }

    fn serve(&self, message: Message) {
        match message {
            Message::Arm(key) => {
                let (slot, direction) = readiness::place(key);
                if self.shared.sockets.is_wanted(key) {
                    // The poll's pin keeps the file open until the completion.
                    let fd = self.shared.sockets.file(slot).as_raw_fd();
                    self.arm(key, fd, direction);
                } else {
                    self.shared.sockets.release(slot);
                }
            }
            Message::Disarm(key) => self.disarm(key),
            Message::Submit(operation) => self.submit(operation),
            Message::Cancel(operation) => self.cancel_operation(&*operation),
        }
    }

    /// Hands over what is queued, and takes what has completed.
    pub(crate) fn reap(&self) {
        self.reaps.set(self.reaps.get() + 1);
        local::set_moment(self.moment());
        let listens = !self.stands_by();
        let core = &mut *self.core.borrow_mut();
        expect_enter(core.driver.flush());
        if !core.driver.guesses() {
            self.post().arms.note_submitted();
        }
        core.driver.reap(&mut core.completions, listens);
    }

    /// Wakes who waits for a socket.
    #[inline]
    fn ready(&self, completion: Completion) {
        let (key, sockets) = (completion.key, &self.shared.sockets);
        if self.shared.poller.is_none() {
            self.core.borrow_mut().polls -= 1;
            sockets.complete(key);
            return;
        }
        let (slot, direction) = readiness::place(key);
        let edge = match completion.result {
            0 => Edge::Ready,
            _ => Edge::HungUp,
        };
        sockets.edge(slot, direction, edge);
    }

    pub(crate) fn dispatch(&self) {
        loop {
            let Some(completion) = self.next_completion() else {
                return;
            };
            match completion.key.kind() {
                Kind::Readiness => self.ready(completion),
                Kind::Standing => {
                    self.core.borrow_mut().polls -= 1;
                    self.shared.sockets.end_standing(completion.key.index());
                }
                Kind::Operation => {
                    let Completion { key, result, more } = completion;
                    let finished = self
                        .core
                        .borrow_mut()
                        .operations
                        .complete(key, result, more);
                    if let Some(finished) = finished {
                        finished.complete();
                    }
                }
                Kind::Wake | Kind::Cancel => {}
            }
        }
    }

    #[inline]
    fn next_completion(&self) -> Option<Completion> {
        let completions = &mut self.core.borrow_mut().completions;
        let next = completions.pop_front();
        if let Some(later) = completions.get(FETCHED_AHEAD)
            && later.key.kind() == Kind::Readiness
        {
            let (slot, _) = readiness::place(later.key);
            self.shared.sockets.prefetch(slot);
        }
        next
    }

    fn fire_timers(&self) {
        let now = clock::now();
        self.now.set(now);
        if self.stands_by() {
            return;
        }
        {
            let core = &mut *self.core.borrow_mut();
            let left = core.due.len();
            self.shared.timers.fire_due(now, &mut core.due);
            core.due[left..].reverse();
            core.spacing.note_fired(core.due.len() - left);
        }
        loop {
            // Ends the borrow before the waker runs.
            let next = self.core.borrow_mut().due.pop();
            match next {
                Some(waker) => mishap::wake(waker),
                None => break,
            }
        }
        let due = &mut self.core.borrow_mut().due;
        if due.capacity() > DUE_KEPT {
            *due = Vec::new();
        }
    }

    /// Passes on what the worker has taken out of the shared set when it got up, if it was woken for
    /// something else as well: that may compute for long, and nobody else hears of those events.
    fn tell_of_shared(&self) {
        if self.shared.poller.is_some() && self.signal().is_notified() {
            self.reap();
            self.dispatch();
        }
    }
}

/// The kernel refuses to be entered only if what a worker sleeps on was tampered with (its
/// descriptor closed).
fn expect_enter(result: io::Result<()>) {
    if let Err(error) = result {
        panic!("io_uring_enter or epoll_wait failed on a worker: {error}");
    }
}
