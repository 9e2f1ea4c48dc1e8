//! Models of a socket's deadline against the list of those who wait.

use super::*;
use crate::driver::Direction;
use crate::readiness::Table;
use gorin_base::check::{block_on, model};
use gorin_base::clock;
use gorin_base::primitive::{PlainArc, thread};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

/// A socket that is never ready, and the deadline of its reads.
struct World {
    table: Table<()>,
    deadline: Deadline,
}

impl World {
    fn new() -> PlainArc<World> {
        let world = World {
            table: Table::new(),
            deadline: Deadline::new(),
        };
        assert_eq!(world.table.insert(PlainArc::new(())), 0);
        PlainArc::new(world)
    }

    /// What a read does that would block: ends when the deadline has passed.
    fn read(&self) {
        block_on(poll_fn(|cx| {
            let wait = || self.table.wait(0, Direction::Read, 1, cx.waker(), 0);
            match list_then_look(wait, || self.deadline.has_passed()) {
                (_armed, false) => Poll::Pending,
                (_armed, true) => Poll::Ready(()),
            }
        }));
    }

    fn wake(&self) {
        self.table.wake(0, Direction::Read);
    }
}

/// A deadline passes while a read begins to wait: the read ends. For: a look at the deadline before
/// the read is in the list.
#[test]
fn a_read_that_waits_ends_at_the_deadline() {
    model("deadline: wait × expire", || {
        let world = World::new();
        let at = clock::now();
        world.deadline.set(Some(at + Duration::from_secs(1)), at);
        let timer = {
            let world = world.clone();
            thread::spawn(move || {
                if world.deadline.expire(at + Duration::from_secs(1)) {
                    world.wake();
                }
            })
        };
        world.read();
        timer.join().unwrap();
    });
}

/// A deadline in the past is set while a read begins to wait: the read ends. For the same.
#[test]
fn a_read_that_waits_ends_when_a_past_deadline_is_set() {
    model("deadline: wait × set", || {
        let world = World::new();
        let now = clock::now();
        let setter = {
            let world = world.clone();
            thread::spawn(move || {
                if world.deadline.set(Some(now), now) {
                    world.wake();
                }
            })
        };
        world.read();
        setter.join().unwrap();
    });
}

/// A deadline is lifted while its timer fires: it has not passed afterwards. For: a timer that does
/// not look whose deadline it fires for.
#[test]
fn a_lifted_deadline_does_not_pass() {
    model("deadline: lift × expire", || {
        let world = World::new();
        let at = clock::now();
        world.deadline.set(Some(at + Duration::from_secs(1)), at);
        let timer = {
            let world = world.clone();
            thread::spawn(move || world.deadline.expire(at + Duration::from_secs(1)))
        };
        assert!(!world.deadline.set(None, at));
        timer.join().unwrap();
        assert!(!world.deadline.has_passed());
    });
}
