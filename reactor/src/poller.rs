//! The epoll set that all workers share: which sockets have changed, and who of the sleeping workers
//! is told.
//!
//! Each socket that somebody has waited for is in the set once, edge-triggered and for both
//! directions, until it is dropped; what an event means is `readiness/edges.rs`. Any worker takes
//! events ([`Poller::harvest`]): a busy one at its ticks, a sleeping one when it is told.
//!
//! Workers sleep on sets of their own (nests), which hold what wakes only them, and the shared set,
//! switched on for the lookout alone (`lookout.rs`). Rejected: all of them in `epoll_wait` on the
//! shared set, because nothing but a signal could then wake a certain one; one worker there and the
//! others on a futex (tokio's and Go's way), because a worker that leaves the set for a long
//! computation must then wake another one to watch, each time.
//!
//! The cost of nests: an event goes round all of them in the kernel, some 30 ns for each worker.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use gorin_base::primitive::{AtomicBool, Ordering};

use crate::driver::{Completion, Direction};
use crate::error;
use crate::lookout::{Lookout, Switch};
use crate::readiness::edges::{self, Edge};

/// Events taken at a time. What is left stays in the set for others.
const BATCH: usize = 128;

/// What a nest says of the shared set; everything else in it is somebody who rings.
const SHARED: u64 = 0;
const BELL: u64 = 1;

/// What one worker has taken out of the shared set and not yet passed on.
#[derive(Default)]
pub(crate) struct Harvest {
    events: Vec<libc::epoll_event>,
    /// It has looked since it last passed on.
    fresh: bool,
}

impl Harvest {
    /// Looks into the set, unless there is something already. Returns whether it did.
    pub(crate) fn look(&mut self, poller: &Poller) -> bool {
        self.fresh = true;
        let empty = self.events.is_empty();
        if empty {
            poller.harvest(&mut self.events);
        }
        empty
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// True if to look again would be too soon.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Passes on what there is.
    pub(crate) fn take(&mut self, completions: &mut VecDeque<Completion>) {
        self.fresh = false;
        for event in self.events.drain(..) {
            tell(&event, |slot, direction, edge| {
                completions.push_back(Completion {
                    key: edges::key(slot, direction),
                    result: edge as i32,
                    more: false,
                });
            });
        }
    }
}

/// The shared set and the nests. See the module text.
#[derive(Debug)]
pub(crate) struct Poller {
    set: OwnedFd,
    nests: Nests,
    lookout: Lookout,
}

/// The sets that the workers sleep on, by their index.
#[derive(Debug)]
struct Nests {
    sets: Box<[OwnedFd]>,
    /// The shared set's descriptor.
    shared: RawFd,
}

impl Switch for Nests {
    fn set(&self, worker: usize, on: bool) {
        let events = if on { libc::EPOLLIN } else { 0 };
        let nest = self.sets[worker].as_raw_fd();
        let changed = control(nest, libc::EPOLL_CTL_MOD, self.shared, events, SHARED);
        changed.expect("the shared set is in each nest");
    }
}

impl Poller {
    /// A set for `workers` workers.
    pub(crate) fn new(workers: usize) -> io::Result<Poller> {
        let set = create()?;
        let sets: Box<[OwnedFd]> = (0..workers).map(|_| create()).collect::<io::Result<_>>()?;
        for nest in &sets {
            let (nest, shared) = (nest.as_raw_fd(), set.as_raw_fd());
            add(nest, shared, 0, SHARED)?;
        }
        let nests = Nests {
            sets,
            shared: set.as_raw_fd(),
        };
        Ok(Poller {
            set,
            nests,
            lookout: Lookout::new(),
        })
    }

    /// Adds the socket in slot `slot`. What is ready already makes an event, too.
    pub(crate) fn add(&self, fd: RawFd, slot: usize) -> io::Result<()> {
        let read = libc::EPOLLIN | libc::EPOLLPRI | libc::EPOLLRDHUP;
        let events = read | libc::EPOLLOUT | libc::EPOLLET;
        let set = self.set.as_raw_fd();
        control(set, libc::EPOLL_CTL_ADD, fd, events, slot as u64).map_err(|error| {
            match error.raw_os_error() {
                Some(libc::ENOSPC) => error::too_many_watches(),
                _ => error,
            }
        })
    }

    /// Takes a socket out, which need not be the last descriptor of its file.
    pub(crate) fn remove(&self, fd: RawFd) {
        let set = self.set.as_raw_fd();
        let removed = control(set, libc::EPOLL_CTL_DEL, fd, 0, 0);
        debug_assert!(removed.is_ok(), "the socket was added: {removed:?}");
    }

    /// Takes up to [`BATCH`] events out of the set, into `events`, without waiting.
    fn harvest(&self, events: &mut Vec<libc::epoll_event>) {
        events.reserve(BATCH);
        let set = self.set.as_raw_fd();
        // SAFETY: there is room for BATCH events behind those in `events`.
        let room = unsafe { events.as_mut_ptr().add(events.len()) };
        // SAFETY: as above; the call writes at most BATCH events there and does not wait.
        let count = unsafe { libc::epoll_wait(set, room, BATCH as i32, 0) };
        // An error is EINTR: the next look finds what is there.
        let count = usize::try_from(count).unwrap_or(0);
        let len = events.len() + count;
        // SAFETY: the call has filled `count` of them.
        unsafe { events.set_len(len) };
    }

    /// Worker `worker` will now look or sleep: it hears of the sockets from now on.
    pub(crate) fn rest(&self, worker: usize) {
        self.lookout.rest(worker, &self.nests);
    }

    /// It will now do something else: another one that rests hears of them.
    pub(crate) fn resume(&self, worker: usize) {
        self.lookout.resume(worker, &self.nests);
    }

    /// It does not rest, and will sleep without hearing of the sockets.
    pub(crate) fn retire(&self, worker: usize) {
        self.lookout.retire(worker, &self.nests);
    }

    /// The set that worker `worker` sleeps on.
    pub(crate) fn nest(&self, worker: usize) -> RawFd {
        self.nests.sets[worker].as_raw_fd()
    }

    /// Lets `fd` end the sleep of worker `worker` each time it becomes readable. It is not read.
    pub(crate) fn add_bell(&self, worker: usize, fd: RawFd) -> io::Result<()> {
        let events = libc::EPOLLIN | libc::EPOLLET;
        add(self.nest(worker), fd, events, BELL)
    }

    /// Sleeps on the nest of worker `worker` until it is told of something, or `timeout` passes
    /// (`None`: for ever). May return early.
    pub(crate) fn sleep(&self, worker: usize, timeout: Option<Duration>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
        let nest = self.nest(worker);
        match wait(nest, &mut events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }
}

/// Gives `each` the slots, directions and edges that an event tells of.
fn tell(event: &libc::epoll_event, mut each: impl FnMut(usize, Direction, Edge)) {
    let (events, slot) = (event.events as i32, event.u64 as usize);
    let over = events & (libc::EPOLLHUP | libc::EPOLLERR) != 0;
    if over || events & (libc::EPOLLRDHUP | libc::EPOLLPRI) != 0 {
        each(slot, Direction::Read, Edge::HungUp);
    } else if events & libc::EPOLLIN != 0 {
        each(slot, Direction::Read, Edge::Ready);
    }
    if over || events & libc::EPOLLOUT != 0 {
        each(slot, Direction::Write, Edge::Ready);
    }
}

/// A new set.
fn create() -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor and touches no memory.
    let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if fd < 0 {
        return Err(error::explain(error::EPOLL, &io::Error::last_os_error()));
    }
    // SAFETY: the descriptor was made above and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds `fd`, which is a worker's own, to `set`.
fn add(set: RawFd, fd: RawFd, events: i32, data: u64) -> io::Result<()> {
    let added = control(set, libc::EPOLL_CTL_ADD, fd, events, data);
    added.map_err(|error| error::explain(error::WATCH, &error))
}

fn control(set: RawFd, what: i32, fd: RawFd, events: i32, data: u64) -> io::Result<()> {
    let mut event = libc::epoll_event {
        events: events as u32,
        u64: data,
    };
    // SAFETY: reads one event, which lives through the call.
    match unsafe { libc::epoll_ctl(set, what, fd, &mut event) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Set for good when the kernel turns out to have no `epoll_pwait2` (before Linux 5.11, or a sandbox
/// that does not know it). Written and read by anybody; relaxed, a stale value costs one refused call.
static NO_PRECISE_WAIT: AtomicBool = AtomicBool::new(false);

/// Waits until `set` has an event, at most for `timeout`.
fn wait(set: RawFd, events: &mut [libc::epoll_event], timeout: Option<Duration>) -> io::Result<()> {
    let room = events.len() as i32;
    if let Some(timeout) = timeout
        && !NO_PRECISE_WAIT.load(Ordering::Relaxed)
    {
        let limit = libc::timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // SAFETY: writes at most `room` events to `events`; the limit lives through the call, and a
        // null mask means that none is set.
        let result = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                set,
                events.as_mut_ptr(),
                room,
                &raw const limit,
                std::ptr::null::<libc::sigset_t>(),
                size_of::<libc::sigset_t>(),
            )
        };
        if result >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if !matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) {
            return Err(error);
        }
        NO_PRECISE_WAIT.store(true, Ordering::Relaxed);
    }
    // In milliseconds, rounded up: a timer must not be early.
    let millis = timeout.map_or(-1, |timeout| {
        let millis = timeout.as_nanos().div_ceil(1_000_000);
        i32::try_from(millis).unwrap_or(i32::MAX)
    });
    // SAFETY: writes at most `room` events to `events`.
    match unsafe { libc::epoll_wait(set, events.as_mut_ptr(), room, millis) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
