//! [`Special`]: whether the calls on a socket have to look at more than its descriptor.
//!
//! A socket may be closed, have deadlines, or have had receives that owned their buffers; or all sockets wait
//! by edges (`readiness/edges.rs`). Most never do, and a call asks three times per wait: one flag for all of
//! it, next to the descriptor, spares them the way to each place.
//!
//! # Invariant
//!
//! *What is announced shows.* The flag is set before anything that it stands for has an effect, and never
//! reset. A call that waits lists itself before it looks (`list_then_look` in `deadline.rs`); whoever has
//! the effect wakes the list as its last part. The list's lock orders the two: the call is woken, or finds
//! the flag.
//!
//! That writing was ended is kept here as well, since what orders it is the same: it is there before the list
//! of those who write is woken.

use gorin_base::primitive::{AtomicBool, Ordering};
use gorin_base::seeded;

/// See the module text.
#[derive(Debug)]
pub(crate) struct Special {
    /// Written by whoever closes the socket, sets a deadline or receives into a buffer of its own; read by
    /// all calls. Relaxed: who must see it is ordered by the list's lock.
    announced: AtomicBool,
    /// Writing was ended. Written by who ends it, before the list of those who write is woken; read by writers
    /// that have just listed themselves. Relaxed: the list's lock orders it.
    write_ended: AtomicBool,
}

impl Special {
    pub(crate) fn new(announced: bool) -> Special {
        Special {
            announced: AtomicBool::new(announced),
            write_ended: AtomicBool::new(false),
        }
    }

    /// Announces `effect`, and then has it.
    pub(crate) fn announce<R>(&self, effect: impl FnOnce() -> R) -> R {
        if seeded::bug("special.announced_late") {
            let result = effect();
            self.announced.store(true, Ordering::Relaxed);
            return result;
        }
        self.announced.store(true, Ordering::Relaxed);
        effect()
    }

    #[inline]
    pub(crate) fn is_announced(&self) -> bool {
        self.announced.load(Ordering::Relaxed)
    }

    /// Ends writing, and wakes those who wait to write by `wake`.
    pub(crate) fn end_writing(&self, wake: impl FnOnce()) {
        self.announce(|| {
            if seeded::bug("special.woken_before_it_ends") {
                wake();
                self.write_ended.store(true, Ordering::Relaxed);
                return;
            }
            self.write_ended.store(true, Ordering::Relaxed);
            wake();
        });
    }

    /// True if writing was ended: for a writer that has just listed itself.
    #[inline]
    pub(crate) fn has_ended_writing(&self) -> bool {
        self.write_ended.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::list_then_look;
    use crate::driver::Direction;
    use crate::readiness::Table;
    use gorin_base::check::{block_on, model};
    use gorin_base::primitive::{PlainArc, thread};
    use std::future::poll_fn;
    use std::task::Poll;

    type World = (Table<()>, Special);

    fn world() -> PlainArc<World> {
        let world = PlainArc::new((Table::new(), Special::new(false)));
        assert_eq!(world.0.insert(PlainArc::new(())), 0);
        world
    }

    /// Waits as a call does that would block, until `ends` says that it must not.
    fn wait(world: &World, direction: Direction, ends: impl Fn(&Special) -> bool) {
        block_on(poll_fn(|cx| {
            let list = || world.0.wait(0, direction, 1, cx.waker(), 0);
            match list_then_look(list, || ends(&world.1)) {
                (_armed, false) => Poll::Pending,
                (_armed, true) => Poll::Ready(()),
            }
        }));
    }

    /// A read begins to wait while something is announced that ends it: it ends. For: an announcement after
    /// its effect.
    #[test]
    fn a_read_that_waits_sees_what_is_announced() {
        model("special: wait × announce", || {
            let world = world();
            let other = {
                let world = world.clone();
                thread::spawn(move || world.1.announce(|| world.0.wake(0, Direction::Read)))
            };
            wait(&world, Direction::Read, Special::is_announced);
            other.join().unwrap();
        });
    }

    /// A write begins to wait while writing is ended: it ends. For: waking those who write before there is
    /// anything to see.
    #[test]
    fn a_write_that_waits_sees_that_writing_was_ended() {
        model("special: wait × end writing", || {
            let world = world();
            let other = {
                let world = world.clone();
                thread::spawn(move || world.1.end_writing(|| world.0.wake(0, Direction::Write)))
            };
            wait(&world, Direction::Write, Special::has_ended_writing);
            other.join().unwrap();
            assert!(world.1.is_announced());
        });
    }
}
