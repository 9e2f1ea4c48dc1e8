//! What a step uses, in names that mean the same in every execution of a model.
//!
//! Invariants: a goroutine is named by its parent and by which of the parent's children it is, an
//! object by its maker and by which of the maker's objects it is. Neither depends on the order in
//! which goroutines run, so what was learned in one execution holds in the next. Must not use
//! process-wide ids or addresses: both differ from execution to execution.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::Location;
use std::rc::Rc;

use gorin_base::hook::Access;
use gorin_base::seeded;

use super::{Goroutine, Object};

/// `main`, whose number is fixed.
pub(super) const MAIN: Goroutine = 0;

/// How one step uses one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// As announced; never [`Access::Give`] or [`Access::Take`].
    As(Access),
    /// Puts into, or takes from, a queue.
    Queue(Queueing),
    /// Drops the last receiver: a write, but for the drops of others that came before.
    End,
}

/// The place of a give or a take among those of its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queueing {
    pub(super) gives: bool,
    /// How many of its kind came before it; unknown once the queue was used in another way.
    pub(super) nth: Option<usize>,
    pub(super) capacity: usize,
    /// What its goroutine does next depends on nothing but this operation.
    pub(super) alone: bool,
    /// It ends the queue: it is also the give for every take that finds nothing.
    pub(super) closes: bool,
    /// The queue had ended before, because the last handle of a kind was dropped.
    pub(super) ended: bool,
}

impl Queueing {
    /// True if one of the two can find the other one missing, and somebody can tell.
    ///
    /// The n-th take waits for the n-th give; the give number n waits for the take number
    /// n - capacity. Which of the two comes first matters only if the goroutine of the one that
    /// would wait does something else meanwhile.
    fn conflicts(self, other: Queueing) -> bool {
        if self.gives == other.gives {
            return true;
        }
        let (give, take) = if self.gives {
            (self, other)
        } else {
            (other, self)
        };
        let (Some(given), Some(taken)) = (give.nth, take.nth) else {
            return !(give.alone && take.alone);
        };
        let ends = give.closes && !seeded::bug("model.end_is_no_news");
        let value = given == taken || ends && given <= taken;
        let room = taken.saturating_add(give.capacity) == given && !give.closes;
        let room = room && !seeded::bug("model.room_is_no_news");
        value && !take.alone || room && !give.alone
    }
}

impl Use {
    fn conflicts(self, other: Use) -> bool {
        match (self, other) {
            (Use::Queue(one), Use::Queue(other)) => one.conflicts(other),
            (Use::As(one), Use::As(other)) => one.conflicts(other),
            // Who found no end finds none either if a handle that was not the last is dropped later.
            (Use::As(Access::Leave), Use::Queue(queueing))
            | (Use::Queue(queueing), Use::As(Access::Leave)) => {
                queueing.ended && Use::Queue(queueing).tells_an_end()
            }
            (Use::As(Access::Leave), Use::End) | (Use::End, Use::As(Access::Leave)) => false,
            _ => true,
        }
    }

    /// True if somebody can tell whether it came before or after the end of its object: not if it waits
    /// for the end and does nothing else.
    pub(super) fn tells_an_end(self) -> bool {
        match self {
            Use::As(access) => access != Access::Leave,
            Use::Queue(one) => !one.closes && (one.gives || !one.alone),
            Use::End => false,
        }
    }
}

/// The objects that one step uses, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Footprint {
    /// The step may use anything: its goroutine waits for something that never announced itself.
    everything: bool,
    uses: Rc<[(Object, Use)]>,
}

impl Footprint {
    /// A step that uses exactly `uses`.
    pub(super) fn new(uses: impl IntoIterator<Item = (Object, Access)>) -> Self {
        let uses = uses.into_iter();
        Self {
            everything: false,
            uses: uses
                .map(|(object, access)| (object, Use::As(access)))
                .collect(),
        }
    }

    /// A step that gives to or takes from a queue.
    pub(super) fn queue(object: Object, queueing: Queueing) -> Self {
        Self {
            everything: false,
            uses: Rc::new([(object, Use::Queue(queueing))]),
        }
    }

    /// A step that drops the last receiver of `object`.
    pub(super) fn end(object: Object) -> Self {
        Self {
            everything: false,
            uses: Rc::new([(object, Use::End)]),
        }
    }

    /// A step of which nothing is known.
    pub(super) fn everything() -> Self {
        Self {
            everything: true,
            uses: Rc::default(),
        }
    }

    /// The same step, which also uses `object`; `access` is neither a give nor a take.
    pub(super) fn and_uses(&self, object: Object, access: Access) -> Self {
        let more = (object, Use::As(access));
        Self {
            everything: self.everything,
            uses: self.uses.iter().copied().chain([more]).collect(),
        }
    }

    /// What the step uses, and how.
    pub(super) fn uses(&self) -> &[(Object, Use)] {
        &self.uses
    }

    /// True if the order of two steps of different goroutines can matter.
    pub(super) fn conflicts(&self, other: &Footprint) -> bool {
        let same_object = |&(object, one): &(Object, Use)| {
            let theirs = other.uses.iter();
            let mut theirs = theirs.filter(|(its_object, _)| *its_object == object);
            theirs.any(|&(_, its_use)| one.conflicts(its_use))
        };
        self.everything || other.everything || self.uses.iter().any(same_object)
    }

    /// True if the step may be another one after `other`: they conflict, or it is the drop of a handle,
    /// which may have become the last one.
    pub(super) fn is_disturbed_by(&self, other: &Footprint) -> bool {
        let mut uses = self.uses.iter();
        let leaves = |&(object, used)| used == Use::As(Access::Leave) && other.touches(object);
        self.conflicts(other) || uses.any(leaves)
    }

    /// True if the step uses `object`, in whatever way.
    pub(super) fn touches(&self, object: Object) -> bool {
        self.uses.iter().any(|&(used, _)| used == object)
    }
}

/// How an operation that waits is recognized in the next execution: by its goroutine, its place in
/// the source, and the way by which the goroutine has come there: see `Member::way`.
pub(super) type Awaited = (Goroutine, &'static Location<'static>, u64);

/// How an object is recognized in the next execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ObjectName {
    /// The `nth` object that `maker` made.
    Made { maker: Goroutine, nth: usize },
    /// Made before the model began: the process-wide id stays the same.
    Outside(u64),
    /// The goroutine itself: what its join handle waits for.
    Task(Goroutine),
    /// Whether `main` waits: changed by its steps and by those that wake it.
    Program,
}

/// The names given out so far; outlives the executions of one model.
#[derive(Debug, Default)]
pub(super) struct Names {
    goroutines: HashMap<(Goroutine, usize), Goroutine>,
    objects: HashMap<ObjectName, Object>,
    /// Operations that waited once. True: their goroutine waited for nothing else.
    awaited_alone: HashMap<Awaited, bool>,
}

impl Names {
    /// The `nth` child of `parent`.
    pub(super) fn child(&mut self, parent: Goroutine, nth: usize) -> Goroutine {
        let next = self.goroutines.len() + 1;
        *self.goroutines.entry((parent, nth)).or_insert(next)
    }

    /// The `nth` object that `maker` made.
    pub(super) fn made(&mut self, maker: Goroutine, nth: usize) -> Object {
        self.object(ObjectName::Made { maker, nth })
    }

    /// An object that was made outside of the model.
    pub(super) fn outside(&mut self, id: u64) -> Object {
        self.object(ObjectName::Outside(id))
    }

    /// The goroutine as something that others wait for.
    pub(super) fn task(&mut self, goroutine: Goroutine) -> Object {
        self.object(ObjectName::Task(goroutine))
    }

    /// Whether `main` waits, as something that steps change and look at.
    pub(super) fn program(&mut self) -> Object {
        self.object(ObjectName::Program)
    }

    /// True if the operation is known to be awaited alone.
    pub(super) fn is_awaited_alone(&self, awaited: Awaited) -> bool {
        self.awaited_alone.get(&awaited) == Some(&true)
    }

    /// Notes how an operation was awaited; false if the contrary was believed.
    pub(super) fn learn(&mut self, awaited: Awaited, alone: bool) -> bool {
        let known = self.awaited_alone.entry(awaited).or_insert(alone);
        let believed = *known;
        *known &= alone;
        alone || !believed
    }

    fn object(&mut self, name: ObjectName) -> Object {
        let next = self.objects.len();
        match self.objects.entry(name) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => *free.insert(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_conflict_when_one_of_them_changes_a_common_object() {
        let read = Footprint::new([(1, Access::Read)]);
        let write = Footprint::new([(1, Access::Write), (2, Access::Write)]);
        let elsewhere = Footprint::new([(3, Access::Write)]);
        assert!(!read.conflicts(&read));
        assert!(read.conflicts(&write) && write.conflicts(&read));
        assert!(!write.conflicts(&elsewhere));
        assert!(Footprint::everything().conflicts(&elsewhere));
        assert!(!Footprint::default().conflicts(&write));
        assert!(write.touches(2) && !write.touches(3));
    }

    fn queueing(gives: bool, nth: usize, alone: bool) -> Footprint {
        Footprint::queue(
            1,
            Queueing {
                gives,
                nth: Some(nth),
                capacity: 2,
                alone,
                closes: false,
                ended: false,
            },
        )
    }

    #[test]
    fn a_give_and_a_take_conflict_only_if_one_waits_for_the_other_and_does_not_wait_alone() {
        let give = |nth, alone| queueing(true, nth, alone);
        let take = |nth, alone| queueing(false, nth, alone);
        assert!(give(3, true).conflicts(&give(4, true)));
        assert!(take(3, true).conflicts(&take(4, true)));
        // The value: the take waits for its give.
        assert!(!give(3, false).conflicts(&take(3, true)));
        assert!(give(3, true).conflicts(&take(3, false)));
        // The room: the give waits for the take two before it.
        assert!(!give(3, true).conflicts(&take(1, false)));
        assert!(give(3, false).conflicts(&take(1, true)));
        // Others never meet.
        assert!(!give(3, false).conflicts(&take(2, false)));
        assert!(!give(3, false).conflicts(&take(4, false)));
        // What is no give or take sees them all.
        assert!(Footprint::new([(1, Access::Read)]).conflicts(&take(4, true)));
    }

    #[test]
    fn the_end_of_a_queue_is_a_give_for_all_that_find_nothing() {
        let closing = |alone| {
            let closes = Queueing {
                gives: true,
                nth: Some(3),
                capacity: 0,
                alone: true,
                closes: true,
                ended: false,
            };
            let take = |nth| queueing(false, nth, alone);
            let closes = Footprint::queue(1, closes);
            [2, 3, 9].map(|nth| closes.conflicts(&take(nth)))
        };
        assert_eq!(closing(true), [false; 3]);
        assert_eq!(closing(false), [false, true, true]);
    }

    #[test]
    fn names_do_not_depend_on_the_order_in_which_they_are_asked_for() {
        let mut names = Names::default();
        let (first, second) = (names.child(MAIN, 0), names.child(MAIN, 1));
        let grandchild = names.child(first, 0);
        assert_eq!((first, second, grandchild), (1, 2, 3));
        assert_eq!(names.child(MAIN, 1), second);
        assert_eq!(names.child(first, 0), grandchild);
        let object = names.made(first, 0);
        assert_ne!(names.made(second, 0), object);
        assert_ne!(names.task(first), object);
        assert_eq!(names.made(first, 0), object);
    }
}
