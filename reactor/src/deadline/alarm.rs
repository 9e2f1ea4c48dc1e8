//! The timer of a [`Deadline`], and how it reaches those who wait.
//!
//! One timer per direction of a socket that has a deadline, registered when it is set. Its waker is
//! not a task's but the deadline's own: it marks the deadline as passed and wakes the waiters.

use std::task::{Wake, Waker};
use std::time::Instant;

use gorin_base::clock;
use gorin_base::primitive::{Mutex, PlainArc};

use super::Deadline;
use crate::driver::Direction;
use crate::reactor::Shared;
use crate::timer::{self, Timer};

/// A deadline and its timer.
#[derive(Debug)]
pub(crate) struct Alarm {
    target: PlainArc<Target>,
    /// The timer of the deadline, while one lies in the future. Whoever sets a deadline holds the
    /// lock, so that timer and deadline belong together. Not in `target`, which the timer holds.
    timer: Mutex<Option<Timer>>,
}

/// What the timer wakes. It may outlive the socket: then it wakes nobody, or those who wait for the
/// slot's next socket, who try again.
#[derive(Debug)]
struct Target {
    deadline: Deadline,
    shared: PlainArc<Shared>,
    slot: usize,
    direction: Direction,
}

impl Alarm {
    pub(crate) fn new(shared: &PlainArc<Shared>, slot: usize, direction: Direction) -> Alarm {
        let target = Target {
            deadline: Deadline::new(),
            shared: shared.clone(),
            slot,
            direction,
        };
        Alarm {
            target: PlainArc::new(target),
            timer: Mutex::new(None),
        }
    }

    pub(crate) fn deadline(&self) -> &Deadline {
        &self.target.deadline
    }

    /// Sets the deadline and wakes those who wait if it has passed.
    pub(crate) fn set(&self, at: Option<Instant>) {
        let target = &self.target;
        let mut timer = self.timer.lock();
        let passed = target.deadline.set(at, clock::now());
        let new = match at {
            Some(at) if !passed => {
                let waker = Waker::from(target.clone());
                // `None`: the runtime has shut down, and every call that waits fails.
                timer::start(&target.shared.timers, at, waker)
            }
            _ => None,
        };
        let old = std::mem::replace(&mut *timer, new);
        drop(timer);
        drop(old);
        if passed {
            target.shared.sockets.wake(target.slot, target.direction);
        }
    }
}

impl Wake for Target {
    fn wake(self: PlainArc<Self>) {
        if self.deadline.expire(clock::now()) {
            self.shared.sockets.wake(self.slot, self.direction);
        }
    }
}
