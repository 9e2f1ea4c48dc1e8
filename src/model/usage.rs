//! What the steps of an execution have used so far, as far as it decides what the next ones use.
//!
//! What a step announces says the most that it may use; what it has used depends on what others did before: the
//! place of a give among those of its queue, whether a drop was that of the last handle, whether an end that
//! is looked at has come.
//!
//! Must not: know goroutines, nor run anything of the program.

use std::collections::{HashMap, HashSet};

use gorin_base::hook::Access;
use gorin_base::seeded;

use super::Object;
use super::footprint::{Footprint, Queueing, Use};
use super::member::Announced;

/// How far a queue has been used.
struct Queue {
    capacity: usize,
    /// Gives and takes so far; `None` once the queue was used in another way, because then it is not
    /// known how many values went in and out.
    turns: Option<[usize; 2]>,
}

/// See the module text.
#[derive(Default)]
pub(super) struct Usage {
    queues: HashMap<Object, Queue>,
    /// The objects of which handles were dropped that were not the last.
    left: HashSet<Object>,
    /// Those of them that are closed because the last handle was dropped, too.
    ended: HashSet<Object>,
    /// The objects that a goroutine has waited for, if only once.
    waited_for: HashSet<Object>,
    /// A step has used a channel that the drop of handles had closed, in a way that can tell.
    has_looked_at_an_end: bool,
    step: Running,
}

/// What is known of the step that runs.
#[derive(Default)]
struct Running {
    /// What it uses beside what it has announced: goroutines that unwind do not announce.
    unannounced: Vec<(Object, Access)>,
    /// It has dropped the last handle of its kind, and is as this says.
    was_last: Option<Access>,
}

impl Usage {
    /// A queue was made.
    pub(super) fn made(&mut self, object: Object, capacity: usize) {
        let turns = Some([0; 2]);
        self.queues.insert(object, Queue { capacity, turns });
    }

    pub(super) fn begin_step(&mut self) {
        self.step = Running::default();
    }

    /// A goroutine waits for `object`.
    pub(super) fn waited_for(&mut self, object: Object) {
        self.waited_for.insert(object);
    }

    /// A handle of `object` is dropped that is not the last.
    pub(super) fn leaves(&mut self, object: Object) {
        self.left.insert(object);
    }

    /// The step that runs has dropped the last handle of its kind, and is as `access` says.
    pub(super) fn was_last(&mut self, access: Access) {
        self.step.was_last = Some(access);
    }

    /// True once a step has used a channel that the drop of handles had closed, in a way that can tell.
    pub(super) fn has_looked_at_an_end(&self) -> bool {
        self.has_looked_at_an_end
    }

    /// The step that runs uses `objects` beside what it has announced.
    pub(super) fn unannounced(&mut self, objects: Vec<(Object, Access)>) {
        for (object, access) in objects {
            // It has no turn of its own among the gives and takes.
            let access = match access {
                Access::Give | Access::Take | Access::Leave => Access::Write,
                other => other,
            };
            if access != Access::Read {
                self.stop_counting(object);
            }
            self.step.unannounced.push((object, access));
        }
    }

    /// What the step that ends has used beside what it has announced.
    pub(super) fn take_unannounced(&mut self) -> Vec<(Object, Access)> {
        std::mem::take(&mut self.step.unannounced)
    }

    /// What the step just taken uses, now that is known how it is awaited, and what it has found.
    pub(super) fn effective(&mut self, announced: &Announced, alone: bool) -> Footprint {
        if let &[(object, Use::As(Access::Leave))] = announced.footprint.uses() {
            return self.left(object, announced);
        }
        let footprint = self.used(announced, alone);
        let mut uses = footprint.uses().iter();
        self.has_looked_at_an_end |=
            uses.any(|&(object, used)| self.ended.contains(&object) && used.tells_an_end());
        footprint
    }

    /// What the drop of a handle uses: as long as it is not the last, nothing but the number of handles.
    fn left(&mut self, object: Object, announced: &Announced) -> Footprint {
        let Some(access) = self.step.was_last else {
            return announced.footprint.clone();
        };
        if self.left.contains(&object) {
            self.ended.insert(object);
        }
        if access == Access::Give {
            return Footprint::queue(object, self.queueing(object, access, announced, true));
        }
        self.stop_counting(object);
        Footprint::end(object)
    }

    /// As [`effective`](Self::effective), of all but the drops of handles.
    fn used(&mut self, announced: &Announced, alone: bool) -> Footprint {
        if let &[(object, Use::As(access @ (Access::Give | Access::Take)))] =
            announced.footprint.uses()
        {
            return Footprint::queue(object, self.queueing(object, access, announced, alone));
        }
        for &(object, used) in announced.footprint.uses() {
            if used != Use::As(Access::Read) {
                self.stop_counting(object);
            }
        }
        if let &[(object, Use::As(Access::Raise))] = announced.footprint.uses()
            && (!self.waited_for.contains(&object) || seeded::bug("model.raise_commutes"))
        {
            return Footprint::new([(object, Access::Commute)]);
        }
        announced.footprint.clone()
    }

    /// `object` was used in another way than by gives and takes.
    fn stop_counting(&mut self, object: Object) {
        if let Some(queue) = self.queues.get_mut(&object)
            && !seeded::bug("model.queue_still_counted")
        {
            queue.turns = None;
        }
    }

    /// The place of a give or a take in its queue, which it takes up.
    fn queueing(
        &mut self,
        object: Object,
        access: Access,
        announced: &Announced,
        alone: bool,
    ) -> Queueing {
        let gives = access == Access::Give;
        let queue = self.queues.get_mut(&object);
        let capacity = queue.as_ref().map_or(0, |queue| queue.capacity);
        let turns = queue.and_then(|queue| queue.turns.as_mut());
        let nth = turns.map(|turns| {
            let turn = &mut turns[usize::from(gives)];
            *turn += 1;
            *turn - 1
        });
        // What never waits and still gives is the end of the queue.
        let closes = announced.awaited.is_none();
        Queueing {
            gives,
            nth,
            capacity,
            alone: alone || closes || seeded::bug("model.always_alone"),
            closes,
            ended: self.ended.contains(&object),
        }
    }
}
