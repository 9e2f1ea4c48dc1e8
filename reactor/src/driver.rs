//! What the reactor asks of the kernel, as a trait: readiness of a socket, completion operations,
//! sleeping until something happens.
//!
//! One driver belongs to one worker and is used by its thread alone; what other threads want of it
//! goes through the worker's mailbox, and they end its sleep by what [`Driver::park`] waits for
//! (see `park.rs`). Implementations: `ring.rs` (io_uring), `epoll.rs`, `hybrid.rs`, which has both,
//! and, for tests, `simulated.rs`; which one is `choice.rs`'s business. What has no ring executes
//! [`Request`]s itself (`perform.rs`): therefore a request describes the operation and is no kernel
//! structure.
//!
//! Sockets are watched by the driver, one poll at a time, or by an epoll set that all workers share
//! (`poller.rs`); then nothing is armed, and what is reaped are the set's events.
//!
//! A driver never wakes a waker and runs no code of the user.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::key::Key;
use crate::standing::{Blocks, Ride};

/// What a socket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Data, a connection to accept, or the end of the stream.
    Read,
    /// Room to send, or the outcome of a connection attempt.
    Write,
}

/// One completion, as the driver reports it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    /// The key that the request was submitted with.
    pub(crate) key: Key,
    /// What the kernel says: a count or descriptor, or a negated errno.
    pub(crate) result: i32,
    /// More completions of this key will come: its memory stays with the kernel.
    pub(crate) more: bool,
}

/// The offset that stands for the file's own position, which the transfer moves on.
pub(crate) const POSITION: u64 = u64::MAX;

/// An operation for [`Driver::submit`], in the kernel's terms.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request {
    /// Nothing: completes at once.
    Nop,
    /// `openat(2)` relative to the working directory.
    Open {
        path: *const libc::c_char,
        flags: libc::c_int,
        mode: libc::mode_t,
    },
    /// `pread(2)`, or `read(2)` if `offset` is [`POSITION`].
    Read {
        fd: RawFd,
        buffer: *mut u8,
        len: u32,
        offset: u64,
    },
    /// `pwrite(2)`, or `write(2)` if `offset` is [`POSITION`].
    Write {
        fd: RawFd,
        buffer: *const u8,
        len: u32,
        offset: u64,
    },
    /// `fsync(2)`, or `fdatasync(2)` if `data_only`.
    Sync { fd: RawFd, data_only: bool },
    /// `close(2)`: the descriptor belongs to the operation.
    Close { fd: RawFd },
    /// `ftruncate(2)`.
    Truncate { fd: RawFd, len: u64 },
    /// `recv(2)`, waiting for data.
    Recv {
        fd: RawFd,
        buffer: *mut u8,
        len: u32,
    },
    /// `send(2)`, waiting for room for all. `zero_copy`: what the kernel completes first is the
    /// result, and last, after "more", that it does not need the buffer any longer.
    Send {
        fd: RawFd,
        buffer: *const u8,
        len: u32,
        zero_copy: bool,
    },
    /// A system call on paths, relative to the working directory.
    Path(PathRequest),
}

/// A request that is about names rather than an open file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PathRequest {
    /// `statx(2)` of all that there is, by `path` from `dir`.
    Stat {
        dir: RawFd,
        path: *const libc::c_char,
        flags: libc::c_int,
        into: *mut libc::statx,
    },
    /// `rename(2)`.
    Rename {
        from: *const libc::c_char,
        to: *const libc::c_char,
    },
    /// `unlink(2)`, or `rmdir(2)` if `directory`.
    Unlink {
        path: *const libc::c_char,
        directory: bool,
    },
    /// `mkdir(2)`.
    MakeDir {
        path: *const libc::c_char,
        mode: libc::mode_t,
    },
    /// `symlink(2)`.
    Symlink {
        target: *const libc::c_char,
        link: *const libc::c_char,
    },
    /// `link(2)`.
    Link {
        original: *const libc::c_char,
        link: *const libc::c_char,
    },
}

/// The kernel's side of one worker. Used as an object, so that a worker can be given another one at
/// run time; the calls through it are few beside what they do.
pub(crate) trait Driver {
    /// Queues a one-shot poll: one completion of `key` comes when `fd` is ready in `direction`, at
    /// once if it is ready already. The caller keeps `fd` open until that completion. Not called
    /// where workers share the sockets.
    fn arm(&mut self, key: Key, fd: RawFd, direction: Direction);

    /// Arms the poll of `key` for [`Direction::Read`] without a request of its own, if the driver has
    /// something in flight that will complete it: as [`arm`](Driver::arm), but that `fd` was ready
    /// already may be found only a little later, unless it became ready since this thread tried it.
    fn ride(&mut self, _key: Key, _fd: RawFd, _blocks: Blocks) -> Ride {
        Ride::Refused
    }

    /// True while somebody waits by a guess ([`Blocks::Probably`]) that was not looked at: if it was
    /// wrong, the kernel tells nobody, neither here nor by [`probe`](Driver::probe).
    fn guesses(&self) -> bool {
        false
    }

    /// As [`arm`](Driver::arm) after [`Ride::Wanted`], by a poll that goes on: `fd` is kept open until
    /// the completion of `standing` without [`Completion::more`], which may be cancelled like others.
    fn stand(&mut self, key: Key, _standing: Key, fd: RawFd) {
        self.arm(key, fd, Direction::Read);
    }

    /// Queues an operation.
    ///
    /// # Safety
    /// All memory that `request` names stays valid, and untouched by anyone else, until a
    /// completion of `key` without [`Completion::more`] has been reaped.
    unsafe fn submit(&mut self, key: Key, request: Request);

    /// Asks for the end of what was queued under `key`. Best effort: the completion of `key`
    /// comes in any case, with its result or `-ECANCELED`.
    fn cancel(&mut self, key: Key);

    /// Asks for the end of everything queued.
    fn cancel_all(&mut self);

    /// The worker will look for something to do, or sleep: from now on it is the one that hears of
    /// the sockets that workers share.
    fn rest(&mut self);

    /// The worker goes on, perhaps with a long computation: another one that rests hears of them.
    fn resume(&mut self);

    /// Hands what is queued to the kernel and lets it post what is due, if there is any of both.
    /// Does not wait.
    fn flush(&mut self) -> io::Result<()>;

    /// As [`flush`](Driver::flush), but sleeps until there is a completion, or `timeout` passes
    /// (`None`: for ever). May return early.
    fn park(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// True if [`flush`](Driver::flush) or [`reap`](Driver::reap) would find something to do. Looks at
    /// memory where it can: for a worker that polls before it sleeps.
    fn is_due(&mut self) -> bool;

    /// Moves all completions that have come to the end of `completions`. Where workers share the sockets it
    /// looks for news of them only if it `listens`.
    fn reap(&mut self, completions: &mut VecDeque<Completion>, listens: bool);

    /// Lets [`park`](Driver::park) end each time that the timer `alarm`, a timerfd, expires. Called
    /// at most once; the caller keeps `alarm` open. Fails if the kernel has no memory for it.
    fn add_alarm(&mut self, alarm: RawFd) -> io::Result<()>;

    /// A descriptor that `poll(2)`, called by any thread, finds readable while something waits for
    /// the driver's owner to come and reap it. `None` if no socket waits for this very owner, so
    /// that nothing has to be moved when it computes.
    fn probe(&self) -> Option<RawFd>;

    /// Takes note that a bell was rung for the sleep that has ended, or is being rung.
    fn expect_wake(&mut self);

    /// True if all announced wakes have been reaped: nobody uses the driver's wake target any more.
    fn is_quiet(&self) -> bool;
}
