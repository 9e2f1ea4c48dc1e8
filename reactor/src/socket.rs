//! [`Socket`]: a descriptor that goroutines wait for.
//!
//! Calls are tried first and waited for only when they would block, or when the caller of the last
//! one has said that the next one would (`socket/drained.rs`); waiting is the readiness words'
//! business (`readiness.rs`), and this file's is which ring watches: the worker's own if the caller
//! is one of this reactor's, else a home worker's, by message. Where workers share the sockets it is
//! none of them: `socket/edges.rs`. Deadlines are `deadline.rs`'s.
//!
//! # Invariants
//!
//! 1. The descriptor is open as long as the `Socket` lives, and longer while a poll names it.
//! 2. A waiter of [`Socket::io`] takes itself out of the list when its future is dropped.
//!
//! This file must not touch a ring, nor run a call while anything is locked or borrowed.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use gorin_base::primitive::{AtomicBool, AtomicU64, Ordering, PlainArc};
use gorin_base::{coop, hook, seeded};

use crate::deadline::{Alarm, Deadline, list_then_look};
use crate::driver::Direction;
use crate::early::{Additions, Early};
use crate::error;
use crate::key::Key;
use crate::local;
use crate::mailbox::Message;
use crate::reactor::Shared;
use crate::readiness::Arm;
use crate::special::Special;
use crate::standing::Blocks;
use crate::worker::Worker;

mod drained;
mod edges;
mod end;
mod habit;
mod owned;
mod ready;
mod waiter;

pub use waiter::Io;

use habit::Habit;
pub(crate) use owned::Link;
pub(crate) use waiter::Waiter;

/// A non-blocking descriptor (a socket, a pipe, anything that can be polled) of a reactor.
///
/// It belongs to the reactor of the thread that makes it and can be used on any thread: a worker of
/// that reactor waits on its own ring, other threads let one of its workers watch. Several
/// goroutines may call at once; those that wait are woken in the order in which they came.
///
/// # Dropping and closing
/// If somebody waited for the socket, its polls are cancelled and the last of them closes the
/// descriptor. So that the peer does not wait for that, a connection is shut down at once: it ends
/// with FIN even if there is unread data, where a plain close would have sent RST. (One that is to linger
/// for no time, `SO_LINGER` of zero, ends with RST here as well.) See
/// [`set_duplicated`](Socket::set_duplicated) and [`set_adopted`](Socket::set_adopted) for connections
/// that others use as well.
pub struct Socket {
    shared: PlainArc<Shared>,
    /// The slot in `shared.sockets`, of which this holds a pin.
    slot: usize,
    file: PlainArc<OwnedFd>,
    /// The number of `file`, so that calls need not look there.
    fd: RawFd,
    /// It is closed, writing to it was ended, it has had a deadline or a receive that owned its buffer, or
    /// waits by edges.
    special: Special,
    /// Written by the user, read when it ends; relaxed, nothing hangs on it.
    duplicated: AtomicBool,
    /// Likewise.
    adopted: AtomicBool,
    /// Likewise; it is in `shared.pipes`.
    pipe: AtomicBool,
    /// Whether the next read would block: see `socket/drained.rs`. Written and read by readers; relaxed,
    /// because a wrong value only costs a system call.
    drained: AtomicU64,
    /// What full reads were followed by.
    habit: Habit,
    /// The deadlines of both directions, once one has been set: most sockets have none.
    alarms: OnceLock<Box<[Alarm; 2]>>,
    /// It is in the epoll set that workers share. Written by who first waits; relaxed, it only
    /// decides who adds it.
    watched: AtomicBool,
    /// A read of it that comes short has emptied it; known once it is `watched`.
    empties: AtomicBool,
    /// What dropped receives have taken, once there was one that owned its buffer.
    early: OnceLock<PlainArc<Early>>,
}

impl Socket {
    /// Gives `fd`, which must be non-blocking, to the reactor of this thread.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::{TcpListener, TcpStream};
    /// use gorin_reactor::{Config, Direction, Reactor, Socket};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let mut worker = Reactor::new(Config::default())?.attach(0)?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(listener.local_addr()?)?;
    /// let (stream, _) = listener.accept()?;
    /// stream.set_nonblocking(true)?;
    ///
    /// let socket = Socket::new(stream.try_clone()?.into())?;
    /// socket.set_duplicated();
    /// client.write_all(b"hello")?;
    /// let mut buffer = [0; 16];
    /// let n = worker.block_on(socket.io(Direction::Read, |_| (&stream).read(&mut buffer)))?;
    /// assert_eq!(&buffer[..n], b"hello");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `NotConnected` if this thread is no worker and has not entered a reactor.
    pub fn new(fd: OwnedFd) -> io::Result<Socket> {
        let shared = local::current()
            .filter(|_| !hook::is_active())
            .ok_or_else(|| error::no_runtime("a socket"))?;
        debug_assert!(
            is_non_blocking(&fd),
            "a blocking descriptor stops its worker"
        );
        let number = fd.as_raw_fd();
        let file = PlainArc::new(fd);
        let slot = shared.sockets.insert(file.clone());
        Ok(Socket {
            special: Special::new(shared.poller.is_some()),
            shared,
            slot,
            file,
            fd: number,
            duplicated: AtomicBool::new(false),
            adopted: AtomicBool::new(false),
            pipe: AtomicBool::new(false),
            drained: AtomicU64::new(0),
            habit: Habit::new(),
            alarms: OnceLock::new(),
            watched: AtomicBool::new(false),
            empties: AtomicBool::new(false),
            early: OnceLock::new(),
        })
    }

    /// Says that others may hold duplicates of the descriptor, in this process or another one. The
    /// connection is then not shut down when this socket is dropped or closed: it lives until the
    /// last duplicate ends.
    pub fn set_duplicated(&self) {
        self.duplicated.store(true, Ordering::Relaxed);
    }

    /// Says that the descriptor was somebody else's before, who may have kept duplicates of it. Dropping this
    /// socket then leaves the connection to them, and the peer of one that has no duplicates sees its end
    /// when the polls have ended, which may take as long as their worker computes.
    /// [Closing](Socket::close) it is the end for all.
    pub fn set_adopted(&self) {
        self.adopted.store(true, Ordering::Relaxed);
    }

    /// Says that it is an end of a pipe, for whose end somebody may wait who [blocks](crate::expect_block) a
    /// worker: that worker then waits for it no more, and whoever does tries again on another one.
    pub fn set_pipe(&self) {
        if !self.pipe.swap(true, Ordering::Relaxed) {
            self.shared.pipes.add(self.slot);
        }
    }

    #[inline]
    fn is_special(&self) -> bool {
        self.special.is_announced()
    }

    /// Where workers share a set: see `socket/edges.rs`.
    #[inline]
    fn waits_by_edges(&self) -> bool {
        self.is_special() && self.shared.poller.is_some()
    }

    /// Sets the deadline of the calls of `direction`, or lifts it (`None`): from then on they fail
    /// with `TimedOut`, those that wait now and later ones, whether they would block or not, until
    /// another deadline is set. What has arrived stays in the socket.
    ///
    /// A call that waits ends at most 1 ms after the deadline, while its runtime is not overloaded.
    pub fn set_deadline(&self, direction: Direction, deadline: Option<Instant>) {
        if deadline.is_none() && self.alarms.get().is_none() {
            return;
        }
        let alarm = |direction| Alarm::new(&self.shared, self.slot, direction);
        let alarms = || Box::new([Direction::Read, Direction::Write].map(alarm));
        self.special.announce(|| {
            let alarms = self.alarms.get_or_init(alarms);
            alarms[direction as usize].set(deadline);
        });
    }

    #[inline]
    fn deadline(&self, direction: Direction) -> Option<&Deadline> {
        let alarms = self.alarms.get()?;
        Some(alarms[direction as usize].deadline())
    }

    /// Calls `call` once. Does not wait, and needs no runtime.
    ///
    /// # Errors
    /// Those of `call`, `WouldBlock` among them, but not `Interrupted`; `NotConnected` if the socket
    /// has been [closed](Socket::close), `TimedOut` if a [deadline](Socket::set_deadline) has passed.
    pub fn try_io<R>(
        &self,
        direction: Direction,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.try_call(direction, &mut call)
    }

    /// Tries `call`, unless the socket [was drained](Socket::set_drained); if it would block, wakes
    /// `cx`'s task when it is worth another try.
    ///
    /// The waker stays listed until the next event of this direction, also if the caller loses
    /// interest; for futures that are often dropped [`io`](Socket::io) is better.
    ///
    /// # Errors
    /// Those of `call`, except `WouldBlock` and `Interrupted`; `NotConnected` if the socket has been
    /// [closed](Socket::close) or would have to wait and its runtime has shut down; `TimedOut` if a
    /// [deadline](Socket::set_deadline) has passed.
    ///
    /// # Cancel safety
    /// As `call`: it has either taken effect, and this is ready, or not.
    pub fn poll_io<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        ready!(coop::poll_ready(cx));
        self.poll_call(direction, 0, cx.waker(), &mut call)
    }

    /// Calls `call` until it does not block any more, waiting for readiness between the calls, and
    /// before the first one if the socket [was drained](Socket::set_drained).
    ///
    /// # Errors
    /// As [`poll_io`](Socket::poll_io).
    ///
    /// # Cancel safety
    /// Dropped while it waits, it has had no effect: what it would have read is still in the socket.
    pub fn io<R, F>(&self, direction: Direction, call: F) -> Io<'_, F, R>
    where
        F: FnMut(BorrowedFd<'_>) -> io::Result<R>,
    {
        Io::new(self.waiter(direction), call)
    }

    /// Tries `call`, or lists the waiter `id`.
    fn poll_call<R>(
        &self,
        direction: Direction,
        id: usize,
        waker: &Waker,
        call: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        if self.waits_by_edges() {
            return self.poll_edges(direction, id, waker, call);
        }
        let seen = self.early().map(Early::observe).unwrap_or_default();
        match self.attempt(direction, call) {
            Ok(result) => Poll::Ready(result),
            Err(blocks) => self.wait(direction, id, waker, blocks, seen),
        }
    }

    pub(crate) fn waiter(&self, direction: Direction) -> Waiter<'_> {
        Waiter::new(self, direction)
    }

    /// Whether calls of `direction` are allowed now.
    #[inline]
    pub(crate) fn verdict(&self, direction: Direction) -> io::Result<()> {
        if !self.is_special() {
            return Ok(());
        }
        if self.shared.sockets.is_closed(self.slot) {
            return Err(error::closed());
        }
        if self.deadline(direction).is_some_and(Deadline::has_passed) {
            return Err(error::deadline_passed());
        }
        Ok(())
    }

    /// Whether calls of `direction` that would block may wait now.
    #[inline]
    pub(crate) fn may_wait(&self, direction: Direction) -> io::Result<()> {
        self.verdict(direction)?;
        let ended = direction == Direction::Write && self.special.has_ended_writing();
        match ended {
            true => Err(io::Error::from_raw_os_error(libc::EPIPE)),
            false => Ok(()),
        }
    }

    /// `Err`: it would block, or is said to.
    fn attempt<R>(
        &self,
        direction: Direction,
        call: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Result<io::Result<R>, Blocks> {
        if direction == Direction::Read
            && let Some(blocks) = self.take_drained()
            && !self.early().is_some_and(Early::is_present)
        {
            // Good for one wait: somebody looks at the socket, so nothing is missed, and then the call is
            // tried.
            return Err(blocks);
        }
        self.call(direction, call).ok_or_else(|| {
            if direction == Direction::Read {
                self.habit.note_nothing();
            }
            Blocks::Surely
        })
    }

    /// `None`: it would block.
    fn call<R>(
        &self,
        direction: Direction,
        call: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        match self.try_call(direction, call) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            result => {
                coop::spend();
                Some(result)
            }
        }
    }

    /// One call that was not interrupted, unless the socket's state forbids it.
    fn try_call<R>(
        &self,
        direction: Direction,
        call: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.verdict(direction)?;
        if self.waits_for_orphan(direction) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        loop {
            match call(self.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Lists the waiter and has the descriptor watched. Ready with an error if that cannot be.
    fn wait<R>(
        &self,
        direction: Direction,
        id: usize,
        waker: &Waker,
        blocks: Blocks,
        seen: Additions,
    ) -> Poll<io::Result<R>> {
        let worker = local::worker(&self.shared);
        let here = worker.as_deref().map(Worker::ring);
        let Some(owner) = here.or_else(|| self.shared.home(self.slot)) else {
            return Poll::Ready(Err(error::shut_down("socket")));
        };
        let sockets = &self.shared.sockets;
        let orphan = self.waits_for_orphan(direction);
        let list = || match orphan {
            // It may be readable all the time: a poll would be ready again and again.
            true => {
                sockets.list(self.slot, direction, id, waker);
                Arm::Already
            }
            false => sockets.wait(self.slot, direction, id, waker, owner),
        };
        let (arm, (verdict, again)) = list_then_look(list, || {
            let early = self.early().filter(|_| direction == Direction::Read);
            let again = early.is_some_and(|early| early.is_news(seen, orphan));
            (self.may_wait(direction), again)
        });
        match arm {
            Arm::Already => {}
            Arm::Closed => return Poll::Ready(Err(error::closed())),
            Arm::Submit(key) => match worker.filter(|worker| worker.index() == owner) {
                Some(worker) if direction == Direction::Read => {
                    if worker.arm_tried(key, self.fd, blocks) {
                        self.habit.note_misled();
                    }
                }
                Some(worker) => worker.arm(key, self.fd, direction),
                None => self.submit(owner, key),
            },
        }
        if !seeded::bug("socket.waits_although_it_must_not") {
            verdict?;
        }
        if again && !seeded::bug("socket.what_came_back_unseen") {
            waker.wake_by_ref();
        }
        Poll::Pending
    }

    /// Has `owner`, which is not this thread, watch the descriptor.
    #[cold]
    fn submit(&self, owner: usize, key: Key) {
        if self.shared.posts[owner].send(Message::Arm(key)).is_err() {
            // That worker has ended meanwhile: all who wait try again, with another one.
            self.shared.sockets.complete(key);
        }
    }
}

impl AsFd for Socket {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `file` keeps it open, and is never exchanged.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("fd", &self.file.as_raw_fd())
            .field("closed", &self.shared.sockets.is_closed(self.slot))
            .finish_non_exhaustive()
    }
}

fn is_non_blocking(fd: &OwnedFd) -> bool {
    // SAFETY: reads the flags of an open descriptor.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    flags & libc::O_NONBLOCK != 0
}
