//! Waiting for the end of a process.
//!
//! A pidfd becomes readable when its process ends, so a goroutine waits for it as for a socket, and
//! then asks `waitpid`, which also takes the zombie away. Where the system gives no pidfd (a
//! sandbox, no descriptors left) the process is asked again and again, at growing intervals.
//! Rejected: `SIGCHLD`, which wakes everybody for each child, and belongs to the whole process.
//!
//! # Zombies
//! A child that nobody waits for any more is given to a goroutine of its runtime that does. When
//! that runtime ends first the child is kept in `ORPHANS`, and asked for whenever this process
//! starts or forgets another one.

use std::io;
use std::os::fd::BorrowedFd;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use gorin_base::primitive::Mutex;
use gorin_reactor::{Direction, Socket};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::time::sleep;

/// The intervals at which a process without a pidfd is asked: the first and the longest.
const ASK: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// Children that may have ended, and that no goroutine waits for.
static ORPHANS: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Takes the zombies among the orphans away.
pub(super) fn reap_orphans() {
    // Asking is one short system call each.
    let is_running = |child: &mut Child| matches!(child.try_wait(), Ok(None));
    ORPHANS.lock().retain_mut(is_running);
}

/// A child process until its end has been seen.
#[derive(Debug)]
pub(super) struct Exit {
    /// `None` only while it is dropped.
    child: Option<Child>,
    /// `None` where there is none to be had.
    pidfd: Option<Socket>,
}

impl Exit {
    pub(super) fn new(child: Child) -> Exit {
        let pidfd = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok())
            .and_then(|fd| Socket::new(fd).ok());
        Exit {
            child: Some(child),
            pidfd,
        }
    }

    pub(super) fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("it is there until the drop")
    }

    /// Waits for the end of the process.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let child = self.child.as_mut().expect("it is there until the drop");
        if let Some(pidfd) = &self.pidfd {
            let ask = |_: BorrowedFd<'_>| child.try_wait()?.ok_or(io::ErrorKind::WouldBlock.into());
            return pidfd.io(Direction::Read, ask).await;
        }
        let (mut interval, longest) = ASK;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            sleep(interval).await;
            interval = longest.min(interval * 2);
        }
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take()
            && let Ok(None) = child.try_wait()
        {
            ORPHANS.lock().push(child);
        }
    }
}
