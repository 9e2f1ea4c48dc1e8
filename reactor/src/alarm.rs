//! A worker's alarm: a timer by which others end its sleep later.
//!
//! Who wakes while all others sleep cannot know whether its goroutine will compute for long, and a
//! call that wakes a peer costs 12 µs. So it sets the alarm of a peer that sleeps (a timerfd that
//! the peer's ring polls), at some 0.3 µs once in a few milliseconds, and the peer comes to look.
//! See `watch.rs` for who does that and when.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use gorin_base::primitive::{AtomicU64, Ordering};

use crate::error;

/// See the module text. It lives as long as its reactor, and so outlives the poll that names it.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: OwnedFd,
    /// When it was set to expire, on the reactor's clock. Written by who sets it, read by who sets
    /// it next; relaxed, since a value that is not the newest costs one call or one early alarm.
    until: AtomicU64,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Alarm> {
        // SAFETY: makes a descriptor and touches no memory.
        let fd = unsafe {
            libc::timerfd_create(
                libc::CLOCK_MONOTONIC,
                libc::TFD_CLOEXEC | libc::TFD_NONBLOCK,
            )
        };
        if fd < 0 {
            let error = io::Error::last_os_error();
            return Err(error::explain(error::TIMER, &error));
        }
        Ok(Alarm {
            // SAFETY: the descriptor was made above and belongs to nobody else.
            timer: unsafe { OwnedFd::from_raw_fd(fd) },
            until: AtomicU64::new(0),
        })
    }

    /// Lets it expire once, `delay` after `now`, or earlier if it is set already. `now` is not 0,
    /// and was read after everything that the expiry is to find.
    pub(crate) fn set(&self, now: u64, delay: Duration) {
        let until = now + u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX / 2);
        let set = self.until.load(Ordering::Relaxed);
        if (now..=until).contains(&set) {
            return;
        }
        self.until.store(until, Ordering::Relaxed);
        self.start(delay);
    }

    /// Lets it expire once, after `delay`, whatever was set before. For an alarm that is also [taken
    /// back](Self::take_back), which is never given to [`set`](Self::set): that would trust a time which is
    /// noted before it is set, and may have been taken back between the two.
    pub(crate) fn start(&self, delay: Duration) {
        // Not 0, which would disarm it.
        self.set_timer(delay.max(Duration::from_nanos(1)));
    }

    /// Keeps it from expiring, until it is [started](Self::start) again.
    pub(crate) fn take_back(&self) {
        self.set_timer(Duration::ZERO);
    }

    fn set_timer(&self, delay: Duration) {
        let zero = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let time = libc::itimerspec {
            it_interval: zero,
            it_value: libc::timespec {
                tv_sec: delay.as_secs() as libc::time_t,
                tv_nsec: delay.subsec_nanos().into(),
            },
        };
        // SAFETY: reads one itimerspec of this frame.
        let set = unsafe {
            libc::timerfd_settime(
                self.timer.as_raw_fd(),
                0,
                &raw const time,
                std::ptr::null_mut(),
            )
        };
        debug_assert_eq!(set, 0, "a valid time for an open timer");
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.timer.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::is_readable;

    #[test]
    fn an_alarm_expires_once_and_can_be_set_again() {
        let alarm = Alarm::new().expect("a timer");
        assert!(!is_readable(alarm.as_raw_fd()));
        let wait = || {
            while !is_readable(alarm.as_raw_fd()) {
                gorin_base::primitive::thread::yield_now();
            }
        };
        alarm.set(1, Duration::from_micros(1));
        wait();
        alarm.set(1_000_000, Duration::ZERO);
        wait();
        alarm.set(2_000_000, Duration::from_secs(3600));
        assert!(!is_readable(alarm.as_raw_fd()), "set anew");
        alarm.set(3_000_000, Duration::from_micros(1));
        wait();
        alarm.take_back();
        assert!(!is_readable(alarm.as_raw_fd()), "taken back");
        alarm.start(Duration::ZERO);
        wait();
    }

    #[test]
    fn what_is_no_descriptor_is_not_readable() {
        assert!(!is_readable(-1));
    }
}
