//! The place of a timer future in a checker's virtual time.
//!
//! Must not measure time: without a checker it does nothing, and the future polls its real timer.

use std::task::{Poll, Waker};
use std::time::Instant;

use super::{Checker, TimerKey, is_active, with_checker};

/// What a timer future keeps beside its real timer: its place in a checker's virtual time.
#[derive(Debug, Default)]
pub struct VirtualTimer(Option<TimerKey>);

impl VirtualTimer {
    /// Not set.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Without a checker `None`: poll the real timer. With one, whether its time has come to
    /// `deadline`; if not, `waker` will be woken then.
    #[inline]
    pub fn poll(&mut self, deadline: Instant, waker: &Waker) -> Option<Poll<()>> {
        if is_active() {
            with_checker(|checker| self.poll_with(checker, deadline, waker))
        } else {
            None
        }
    }

    fn poll_with(&mut self, checker: &dyn Checker, deadline: Instant, waker: &Waker) -> Poll<()> {
        if let Some(key) = self.0.take() {
            checker.cancel_timer(key);
        }
        if checker.now().is_some_and(|now| now >= deadline) {
            return Poll::Ready(());
        }
        self.0 = Some(checker.set_timer(deadline, waker));
        Poll::Pending
    }

    /// Whoever waits is woken at `deadline` instead.
    #[inline]
    pub fn reset(&mut self, deadline: Instant) {
        if let Some(key) = self.0 {
            with_checker(|checker| checker.move_timer(key, deadline));
        }
    }
}

impl Drop for VirtualTimer {
    #[inline]
    fn drop(&mut self) {
        if let Some(key) = self.0 {
            with_checker(|checker| checker.cancel_timer(key));
        }
    }
}
