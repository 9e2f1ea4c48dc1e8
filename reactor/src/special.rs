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

use gorin_base::primitive::{AtomicBool, Ordering};
use gorin_base::seeded;

/// See the module text.
#[derive(Debug)]
pub(crate) struct Special {
    /// Written by whoever closes the socket, sets a deadline or receives into a buffer of its own; read by
    /// all calls. Relaxed: who must see it is ordered by the list's lock.
    announced: AtomicBool,
}

impl Special {
    pub(crate) fn new(announced: bool) -> Special {
        Special {
            announced: AtomicBool::new(announced),
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

    /// A read begins to wait while something is announced that ends it: it ends. For: an announcement after
    /// its effect.
    #[test]
    fn a_read_that_waits_sees_what_is_announced() {
        model("special: wait × announce", || {
            let world = PlainArc::new((Table::<()>::new(), Special::new(false)));
            assert_eq!(world.0.insert(PlainArc::new(())), 0);
            let other = {
                let world = world.clone();
                thread::spawn(move || world.1.announce(|| world.0.wake(0, Direction::Read)))
            };
            block_on(poll_fn(|cx| {
                let wait = || world.0.wait(0, Direction::Read, 1, cx.waker(), 0);
                match list_then_look(wait, || world.1.is_announced()) {
                    (_armed, false) => Poll::Pending,
                    (_armed, true) => Poll::Ready(()),
                }
            }));
            other.join().unwrap();
        });
    }
}
