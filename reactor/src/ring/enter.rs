//! One entry into the kernel, and what its refusals mean.
//!
//! What the kernel has taken shows in the queues, not in the answer of the call: an entry that was
//! refused, or interrupted, has lost nothing (but for `EBADR`), and the loop that called comes back.
//!
//! | answer | means | then |
//! |---|---|---|
//! | `EINTR`, `ETIME` | a signal came, the time is over | as if it had waited |
//! | `EBUSY` | completions overflow, and are to be reaped before more is submitted | who called reaps |
//! | `EBADR` | the kernel had no memory to keep a completion that overflowed: that one is lost, and nobody knows whose it was | said on stderr; who called reaps the others |
//! | `EAGAIN`, `ENOMEM` | no memory for a request, or for the call | the ring [starves](Ring::is_starved): what is queued stays queued, and is tried again after what completes, or a pause |
//! | anything else | the ring's descriptor was tampered with | an error |
//!
//! All but `ETIME` are counted.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use gorin_base::mishap;
use gorin_base::primitive::{AtomicBool, Ordering};
use io_uring::{EnterFlags, types};

use super::Ring;
use crate::calls;
use crate::counters::count;

/// How long a ring that starves waits until it tries again, unless something completes or a timer is due.
const PAUSE: Duration = Duration::from_millis(1);

/// The argument of an entry that waits with a time limit: `struct io_uring_getevents_arg`.
#[repr(C)]
struct WaitArgument {
    sigmask: u64,
    sigmask_len: u32,
    min_wait_us: u32,
    timespec: *const types::Timespec,
}

/// Said once in a process: who waits for that completion would be looked for in the program.
fn tell_of_loss() {
    static SAID: AtomicBool = AtomicBool::new(false);
    mishap::tell_once(
        &SAID,
        format_args!(
            "gorin: io_uring_enter: EBADR. The kernel had no memory to keep a completion and has dropped it: \
             whoever waits for that waits for ever. Mind the memory limits of this process's cgroups."
        ),
    );
}

impl Ring {
    /// Submits `submit` entries and waits for `complete` completions, for ever.
    pub(super) fn enter(&mut self, submit: usize, complete: u32, flags: u32) -> io::Result<()> {
        self.call(submit, complete, flags, std::ptr::null(), 0)
    }

    /// Submits `submit` entries and waits for a completion, at most for `limit`.
    pub(super) fn enter_for(
        &mut self,
        submit: usize,
        flags: u32,
        limit: Duration,
    ) -> io::Result<()> {
        let timespec = types::Timespec::from(limit);
        let argument = WaitArgument {
            sigmask: 0,
            sigmask_len: 0,
            min_wait_us: 0,
            timespec: &raw const timespec,
        };
        let flags = flags | EnterFlags::EXT_ARG.bits();
        self.call(
            submit,
            1,
            flags,
            &raw const argument,
            size_of_val(&argument),
        )
    }

    /// The system call.
    fn call(
        &mut self,
        submit: usize,
        complete: u32,
        flags: u32,
        argument: *const WaitArgument,
        len: usize,
    ) -> io::Result<()> {
        count(&self.counters.enters, 1);
        // SAFETY: the descriptor or index is this ring's, the argument is of the announced length
        // and lives through the call; entries are valid by the contract of `push`.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.enter_fd,
                submit as u32,
                complete,
                flags | self.enter_flags,
                argument,
                len,
            )
        };
        if result >= 0 {
            if self.starves {
                // It still does if it was not asked to submit anything.
                self.starves = submit == 0 && !self.uring.submission().is_empty();
            }
            return Ok(());
        }
        self.refused(io::Error::last_os_error())
    }

    /// See the table above.
    #[cold]
    fn refused(&mut self, error: io::Error) -> io::Result<()> {
        match error.raw_os_error() {
            Some(libc::ETIME) => {}
            Some(libc::EINTR) => count(&self.counters.interrupts, 1),
            Some(libc::EBUSY) => count(&self.counters.refusals, 1),
            Some(libc::EBADR) => {
                count(&self.counters.refusals, 1);
                tell_of_loss();
            }
            Some(libc::EAGAIN | libc::ENOMEM) => {
                count(&self.counters.refusals, 1);
                self.starves = true;
            }
            _ => return Err(error),
        }
        Ok(())
    }

    /// True if the kernel had no memory to submit what is queued, or for the last entry at all.
    pub(super) fn is_starved(&self) -> bool {
        self.starves
    }

    /// Lets what has completed come out, which an entry that cannot submit does not do.
    #[cold]
    pub(super) fn relieve(&mut self) -> io::Result<()> {
        self.enter(0, 0, EnterFlags::GETEVENTS.bits())
    }

    /// Instead of a sleep that the kernel had no memory for: waits for something to complete, for a moment.
    #[cold]
    pub(super) fn pause(&mut self, flags: u32, timeout: Option<Duration>) -> io::Result<()> {
        let pause = timeout.map_or(PAUSE, |timeout| timeout.min(PAUSE));
        let refusals = self.counters.refusals.load(Ordering::Relaxed);
        self.enter_for(0, flags, pause)?;
        if self.counters.refusals.load(Ordering::Relaxed) != refusals {
            // Not even that. A ring is readable when something has completed.
            calls::wait_readable(self.uring.as_raw_fd(), pause);
        }
        Ok(())
    }
}
