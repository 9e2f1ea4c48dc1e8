//! Waking a worker that sleeps in its ring: the system calls behind [`Bell`].
//!
//! A message to the ring (`SEND_MSG_RING`, Linux 6.13: needs no ring at the sender, and is 7 µs
//! faster than the alternative on deferred rings), or a write to an eventfd that the ring polls.
//!
//! # Invariants
//!
//! 1. A message names the ring's descriptor, so the ring stays open until every bell that was
//!    promised has arrived (`ring.rs` counts them), and none is rung afterwards (`park.rs`).
//! 2. The eventfd lives as long as its wakers, and is never read: each write makes a completion.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

use gorin_base::mishap;
use gorin_base::primitive::{AtomicBool, Ordering, PlainArc, thread};
use io_uring::{opcode, types};

use crate::counters::Counters;
use crate::error;
use crate::key::Key;
use crate::park::Bell;

const IORING_REGISTER_SEND_MSG_RING: u32 = 31;

/// What wakers ring: set once, when the worker makes its ring.
#[derive(Debug)]
pub(crate) struct RingBell {
    target: OnceLock<Target>,
    counters: PlainArc<Counters>,
}

#[derive(Debug)]
pub(crate) enum Target {
    /// The descriptor of the worker's ring (invariant 1).
    Message(RawFd),
    /// An eventfd that the worker's ring polls (invariant 2).
    Event(OwnedFd),
}

impl RingBell {
    pub(crate) fn new(counters: PlainArc<Counters>) -> Self {
        Self {
            target: OnceLock::new(),
            counters,
        }
    }

    /// Lets wakers ring. Called once, by the worker, before it first sleeps.
    pub(crate) fn connect(&self, target: Target) {
        let connected = self.target.set(target);
        connected.expect("a worker makes its ring once");
    }
}

impl Bell for RingBell {
    fn ring(&self) {
        self.counters.wakes.fetch_add(1, Ordering::Relaxed);
        match self
            .target
            .get()
            .expect("a worker sleeps after it has made its ring")
        {
            Target::Message(ring) => {
                if let Err(error) = send_wake(*ring, true) {
                    cannot_wake(&error);
                }
            }
            Target::Event(event) => write_event(event),
        }
    }
}

/// Says, once in a process, why a worker sleeps on that should not. It worked when the ring was made.
///
/// Rejected: an eventfd in each ring for this case, a descriptor and a poll per worker for what a filter can as
/// well do to them; and ending the process, which may have better to do.
#[cold]
fn cannot_wake(error: &io::Error) {
    static SAID: AtomicBool = AtomicBool::new(false);
    mishap::tell_once(
        &SAID,
        format_args!(
            "gorin: a worker cannot be woken, and may sleep for ever: io_uring_register: {error}. Workers are \
             woken by this call: a seccomp filter that is installed after the start must allow it, and \
             io_uring_enter; and nobody may close a ring's descriptor."
        ),
    );
}

/// Sends a completion with [`Key::WAKE`] to `ring`. The kernel's temporary refusals are retried if
/// `insist`.
pub(crate) fn send_wake(ring: RawFd, insist: bool) -> io::Result<()> {
    let message = opcode::MsgRingData::new(types::Fd(ring), 0, Key::WAKE.raw(), None).build();
    loop {
        // SAFETY: the call reads one entry, which lives until it returns, and writes to nothing of
        // this process; a ring descriptor that is not one is an error.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                -1,
                IORING_REGISTER_SEND_MSG_RING,
                &raw const message,
                1,
            )
        };
        if sent >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        let temporary = matches!(
            error.raw_os_error(),
            Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM)
        );
        if !(temporary && insist) {
            return Err(error);
        }
        thread::yield_now();
    }
}

fn write_event(event: &OwnedFd) {
    let one = 1_u64;
    loop {
        // SAFETY: eight bytes of a live variable.
        let written = unsafe { libc::write(event.as_raw_fd(), (&raw const one).cast(), 8) };
        if written >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

/// The eventfd of [`Target::Event`].
pub(crate) fn new_event() -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor and touches no memory.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(error::explain(error::EVENT, &io::Error::last_os_error()));
    }
    // SAFETY: the descriptor was made above and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
