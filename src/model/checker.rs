//! What the operations of goroutines announce, as seen by an execution.
//!
//! Must not decide anything: it turns process-wide ids into the model's names and hands on.

use std::task::Waker;
use std::time::Instant;

use gorin_base::hook::{Access, Checker, Site, TimerKey, Wait};
use gorin_base::seeded;

use super::Object;
use super::execution::Execution;
use super::footprint::{Footprint, MAIN};
use super::member::Announced;
use super::state::Made;
use super::timers::Timer;

impl Execution {
    /// True if announcements of the caller are steps: it is a goroutine, and the execution goes on.
    /// A goroutine that unwinds is not suspended, because the count of panics belongs to the thread: what
    /// it does meanwhile belongs to the step in which it panicked.
    fn is_listening(&self) -> bool {
        let state = self.state.borrow();
        state.current.is_some() && !state.ending && !std::thread::panicking()
    }

    /// The running goroutine announces a step on `objects`, which have the model's names already.
    pub(super) fn announce_step(
        &self,
        operation: &'static str,
        objects: Vec<(Object, Access)>,
        site: Option<Site>,
        waits: bool,
    ) {
        if !self.is_listening() {
            self.state.borrow_mut().use_unannounced(objects);
            return;
        }
        let mut state = self.state.borrow_mut();
        let awaited = site.filter(|_| waits).and_then(|site| state.awaited(site));
        drop(state);
        self.announce(Announced {
            awaited,
            operation,
            site,
            object: match objects[..] {
                [(object, _)] => Some(object),
                _ => None,
            },
            footprint: Footprint::new(objects),
            yielded_at: None,
        });
    }
}

impl Execution {
    /// The model's names of what an operation uses.
    fn named(&self, objects: &[(u64, Access)]) -> Vec<(Object, Access)> {
        let mut names = self.session.names.borrow_mut();
        let mut state = self.state.borrow_mut();
        let named = objects
            .iter()
            .map(|&(id, access)| (state.object(id, &mut names), access));
        named.collect()
    }
}

impl Checker for Execution {
    fn created(&self, object: u64, kind: &'static str, capacity: Option<usize>, site: Site) {
        let mut names = self.session.names.borrow_mut();
        let made = Made {
            kind,
            capacity,
            site,
        };
        self.state.borrow_mut().made(object, made, &mut names);
    }

    fn step(&self, operation: &'static str, objects: &[(u64, Access)], site: Site) {
        let state = self.state.borrow();
        let goes_on = !state.ending || seeded::bug("model.aborts_of_the_end");
        let aborts = matches!(*objects, [(object, Access::Write)] if state.is_task(object));
        drop(state);
        if aborts && goes_on {
            self.session.show(|shown| shown.aborts = true);
        }
        self.announce_step(operation, self.named(objects), Some(site), false);
    }

    fn waiting_step(&self, operation: &'static str, object: u64, access: Access, site: Site) {
        let objects = self.named(&[(object, access)]);
        self.announce_step(operation, objects, Some(site), true);
    }

    fn parked(&self, wait: Wait) {
        self.state.borrow_mut().park(wait);
    }

    fn unparked(&self, object: u64, key: usize) {
        self.state.borrow_mut().unpark(object, key);
    }

    fn refused(&self, object: u64, at_once: bool) {
        if self.is_listening() && !self.session.limits.ignored_sends {
            let object = self.named(&[(object, Access::Read)])[0].0;
            self.state.borrow_mut().refused(object, at_once);
        }
    }

    fn lost(&self, object: u64, values: usize) {
        if self.is_listening() && !self.session.limits.lost_values {
            let object = self.named(&[(object, Access::Read)])[0].0;
            self.state.borrow_mut().lost(object, values);
        }
    }

    fn leaves(&self, object: u64) -> bool {
        let steps = self.session.shown.get().drops && !seeded::bug("model.drops_are_no_steps");
        if self.is_listening() {
            let object = self.named(&[(object, Access::Leave)])[0].0;
            self.state.borrow_mut().usage.leaves(object);
        }
        steps
    }

    fn was_last(&self, access: Access) {
        if self.is_listening() {
            self.state.borrow_mut().usage.was_last(access);
        }
    }

    fn steps(&self) -> usize {
        self.state.borrow().steps.len()
    }

    fn choose(&self, n: usize) -> Option<usize> {
        Some(Execution::choose(self, n))
    }

    fn now(&self) -> Option<Instant> {
        Some(self.state.borrow().timers.now())
    }

    fn set_timer(&self, deadline: Instant, waker: &Waker) -> TimerKey {
        let waker = waker.clone();
        let mut state = self.state.borrow_mut();
        let goroutine = state.current.unwrap_or(MAIN);
        state.timers.set(deadline, Timer { goroutine, waker })
    }

    fn move_timer(&self, key: TimerKey, deadline: Instant) {
        self.state.borrow_mut().timers.reset(key, deadline);
    }

    fn cancel_timer(&self, key: TimerKey) {
        let timer = self.state.borrow_mut().timers.cancel(key);
        drop(timer);
    }
}
