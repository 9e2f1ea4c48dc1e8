//! The waiters of one direction of one socket, in the order in which they came.
//!
//! Plain data behind the slot's lock. Nothing here may wake, clone or drop a waker while the lock is
//! held: what is replaced or removed is returned, and the caller drops it afterwards.

use std::task::Waker;

use gorin_base::mishap::wake;
use gorin_base::primitive::unwinding;

/// One waiter.
#[derive(Debug)]
struct Waiter {
    id: usize,
    waker: Waker,
}

/// The list. Its first entry needs no allocation: nearly always there is one reader and one writer.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    first: Option<Waiter>,
    #[expect(
        clippy::box_collection,
        reason = "seldom there, and a vector would not fit into the socket's cache line"
    )]
    rest: Option<Box<Vec<Waiter>>>,
}

/// Waiters taken out of their list, to be woken when no lock is held. A waker that panics does not
/// keep the later ones from being woken. Dropping wakes too.
#[must_use = "waiters that are never woken wait for ever"]
#[derive(Debug)]
pub(crate) struct Taken(Waiters);

impl Taken {
    /// Wakes all, in the order in which they came.
    #[inline]
    pub(crate) fn wake(mut self) {
        self.wake_all();
    }

    #[inline]
    fn wake_all(&mut self) {
        if let Some(first) = self.0.first.take() {
            wake(first.waker);
        }
        while let Some(next) = self.0.rest.as_mut().and_then(|rest| rest.pop()) {
            wake(next.waker);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !unwinding() {
            self.wake_all();
        }
    }
}

impl Waiters {
    /// Adds a waiter at the end, or gives `waker` to the waiter that has its `id` already. Waiters
    /// with `id` 0 have no identity; there one entry per task is kept. What must be dropped is
    /// returned.
    #[inline]
    pub(crate) fn add(&mut self, id: usize, waker: Waker) -> Option<Waker> {
        let Waiters { first, rest } = self;
        let known = first
            .iter_mut()
            .chain(rest.iter_mut().flat_map(|rest| rest.iter_mut()))
            .find(|waiter| waiter.id == id && (id != 0 || waiter.waker.will_wake(&waker)));
        if let Some(known) = known {
            return Some(std::mem::replace(&mut known.waker, waker));
        }
        let waiter = Waiter { id, waker };
        if first.is_none() && rest.as_ref().is_none_or(|rest| rest.is_empty()) {
            *first = Some(waiter);
        } else {
            rest.get_or_insert_default().push(waiter);
        }
        None
    }

    /// Takes waiter `id` out.
    pub(crate) fn remove(&mut self, id: usize) -> Option<Waker> {
        let Waiters { first, rest } = self;
        if first.as_ref().is_some_and(|waiter| waiter.id == id) {
            return first.take().map(|waiter| waiter.waker);
        }
        let rest = rest.as_mut()?;
        let place = rest.iter().position(|waiter| waiter.id == id)?;
        Some(rest.remove(place).waker)
    }

    /// Takes all waiters out.
    #[inline]
    pub(crate) fn take(&mut self) -> Taken {
        let mut taken = std::mem::take(self);
        if let Some(rest) = &mut taken.rest {
            // Woken by popping, hence in the reverse order.
            rest.reverse();
        }
        Taken(taken)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use gorin_base::primitive::{Mutex, PlainArc};
    use std::task::Wake;

    /// Notes its number when woken; panics if that is `bad`.
    struct Note {
        number: usize,
        woken: PlainArc<Mutex<Vec<usize>>>,
        bad: usize,
    }

    impl Wake for Note {
        fn wake(self: PlainArc<Self>) {
            self.woken.lock().push(self.number);
            assert_ne!(self.number, self.bad, "a waker panics");
        }
    }

    fn list(bad: usize) -> (Waiters, PlainArc<Mutex<Vec<usize>>>) {
        let woken = PlainArc::new(Mutex::new(Vec::new()));
        let mut waiters = Waiters::default();
        for number in 1..=4 {
            let note = Note {
                number,
                woken: woken.clone(),
                bad,
            };
            assert!(
                waiters
                    .add(number, Waker::from(PlainArc::new(note)))
                    .is_none()
            );
        }
        (waiters, woken)
    }

    #[test]
    fn waiters_are_woken_in_their_order_without_the_removed_ones() {
        let (mut waiters, woken) = list(0);
        assert!(waiters.remove(1).is_some());
        assert!(waiters.remove(3).is_some());
        assert!(waiters.remove(3).is_none());
        waiters.take().wake();
        assert_eq!(*woken.lock(), [2, 4]);
        assert!(waiters.remove(2).is_none());
    }

    #[test]
    fn a_waker_that_panics_does_not_rob_the_others() {
        let (mut waiters, woken) = list(2);
        let taken = waiters.take();
        taken.wake();
        assert_eq!(*woken.lock(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_task_without_identity_is_listed_once() {
        let (mut waiters, _) = list(0);
        let waker = Waker::noop().clone();
        assert!(waiters.add(0, waker.clone()).is_none());
        assert!(waiters.add(0, waker.clone()).is_some());
        assert!(waiters.add(2, waker.clone()).is_some());
        waiters.take().wake();
        assert!(waiters.add(0, waker).is_none());
    }
}
