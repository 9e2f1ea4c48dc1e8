//! Waiting in line for something other than a value: what reads, writes, waits at a barrier and waits for
//! permits have in common.
//!
//! [`Object`] is what goroutines wait for: a state under a lock, with the waiters in it, by which a report
//! names it. [`Rule`] is the difference between the operations; [`Wait`] is one of them on its way.
//!
//! ```text
//!   Wait   fresh --poll: now() does it--------------------> ended
//!          fresh --poll: now() would wait, push waiter----> in line
//!          in line --poll: somebody completed the waiter--> ended
//!          in line --cancel-------------------------------> ended; what was done for it is undone
//! ```
//!
//! A wait that somebody has completed has what it waited for already, whether or not its goroutine has
//! seen it: nobody else can come in between, and if it is dropped unseen, [`Rule::undo`] passes it on.
//!
//! Must not: clone, wake or drop a waker while the lock is held.

use std::task::{Context, Poll, ready};

use gorin_base::hook::{self, Access, Site, Wait as HookWait};
use gorin_base::{coop, primitive, seeded};

use crate::line::{self, HookKey, Line};
use crate::lock::{Guard, Lock};
use crate::waiter::{Key, Phase, Wakeup, Wants};

/// What goroutines wait for.
pub(super) struct Object<S> {
    id: u64,
    /// Tells it from the other part, if the object that users see has two.
    part: usize,
    state: Lock<S>,
}

/// Of what users see, at most so many are one.
const PARTS: usize = 2;

impl<S> Object<S> {
    /// `kind` is what reports call it.
    pub(super) fn new(kind: &'static str, state: S, site: Site) -> Self {
        let id = gorin_base::id::next();
        hook::created(id, kind, site);
        Self::part(id, 0, state)
    }

    /// Part number `part` of the object `id`, of which reports know.
    pub(super) fn part(id: u64, part: usize, state: S) -> Self {
        debug_assert!(part < PARTS);
        let state = Lock::new(state);
        Self { id, part, state }
    }

    /// Names it in reports.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Waits for the lock; the caller has announced its step.
    #[inline]
    #[cfg_attr(loom, track_caller)]
    pub(super) fn lock(&self) -> Guard<'_, S> {
        self.state.lock()
    }

    /// What a checker tells a waiter by.
    fn hook_key(&self, key: Key) -> HookKey {
        (self.id, key.index() * PARTS + self.part)
    }

    /// Does what `rule` asks for if that needs no waiting.
    #[inline]
    pub(super) fn now<R: Rule<State = S>>(&self, rule: &R) -> Option<R::Output> {
        let now = rule.now(&mut self.lock());
        let (output, woken) = now?;
        woken.wake();
        Some(output)
    }
}

/// An operation that is done at once or waits in line. All but its name runs under the object's lock.
pub(super) trait Rule {
    /// What is under the lock.
    type State: Line;

    /// What the operation gives its caller.
    type Output;

    /// How it uses the object, for a model checker.
    const ACCESS: Access;

    /// Which line it waits in.
    const WANTS: Wants;

    /// What a report calls it.
    fn name(&self) -> &'static str;

    /// Does it if that needs no waiting; else changes nothing.
    fn now(&self, state: &mut Self::State) -> Option<(Self::Output, Woken)>;

    /// What others see of its waiter.
    fn value(&self) -> Option<<Self::State as Line>::Value> {
        None
    }

    /// It stands in line from now on.
    fn entered(&self, _state: &mut Self::State) {}

    /// The result, after somebody has completed its waiter.
    fn completed(&self) -> Self::Output;

    /// Its waiter, which stood in `phase`, is gone: undoes what was done for it.
    fn undo(&self, state: &mut Self::State, phase: Phase) -> Woken;
}

/// The duty to wake whoever was completed, once the lock is released. One alone needs no memory.
#[derive(Debug, Default)]
#[must_use = "a completed waiter that nobody wakes sleeps for ever"]
pub(super) struct Woken {
    first: Option<Wakeup>,
    rest: Vec<Wakeup>,
}

impl Woken {
    /// Wakes them all. If a waker panics the others are woken all the same, and then it panics. One alone, which is
    /// the commonest case, needs nothing of that: a hand-over takes 563 instructions so, and else 639.
    #[inline]
    pub(super) fn wake(self) {
        if self.rest.is_empty() {
            Wakeup::wake_any(self.first);
        } else {
            Wakeup::wake_all(self.first.into_iter().chain(self.rest));
        }
    }

    /// The duty to wake those of `other`, too.
    pub(super) fn and(self, other: Woken) -> Woken {
        let [mine, theirs] = [self, other].map(|woken| woken.first.into_iter().chain(woken.rest));
        mine.chain(theirs).collect()
    }
}

impl FromIterator<Wakeup> for Woken {
    fn from_iter<I: IntoIterator<Item = Wakeup>>(wakeups: I) -> Self {
        let mut wakeups = wakeups.into_iter();
        Self {
            first: wakeups.next(),
            rest: wakeups.collect(),
        }
    }
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    Fresh,
    InLine(Key),
    Ended,
}

/// One operation that is being polled. Whoever owns it calls [`cancel`](Self::cancel) before dropping it.
pub(super) struct Wait<R> {
    rule: R,
    place: Place,
    site: Site,
}

impl<R: Rule> Wait<R> {
    pub(super) fn new(rule: R, site: Site) -> Self {
        Self {
            rule,
            place: Place::Fresh,
            site,
        }
    }

    /// What it waits for.
    pub(super) fn rule(&self) -> &R {
        &self.rule
    }

    /// True while it waits.
    pub(super) fn is_in_line(&self) -> bool {
        matches!(self.place, Place::InLine(_))
    }

    /// Polls it.
    ///
    /// # Panics
    /// If it has ended.
    #[inline]
    pub(super) fn poll(
        &mut self,
        object: &Object<R::State>,
        cx: &mut Context<'_>,
    ) -> Poll<R::Output> {
        ready!(coop::poll_ready(cx));
        let output = match self.place {
            Place::Fresh => {
                hook::step(self.rule.name(), object.id, R::ACCESS, self.site);
                match object.now(&self.rule) {
                    Some(output) => output,
                    None => ready!(self.enter(object, cx)),
                }
            }
            Place::InLine(key) => {
                let hook_key = object.hook_key(key);
                let _ = ready!(line::poll_waiter(&object.state, key, hook_key, cx.waker()));
                self.rule.completed()
            }
            Place::Ended => panic!("a {} was polled after it had ended", self.rule.name()),
        };
        self.place = Place::Ended;
        coop::spend();
        Poll::Ready(output)
    }

    /// Stands in line, unless it turns out that it need not.
    #[cold]
    fn enter(&mut self, object: &Object<R::State>, cx: &mut Context<'_>) -> Poll<R::Output> {
        // Cloned before the look that decides: a waker must not be cloned under the lock.
        let waker = cx.waker().clone();
        let mut state = object.lock();
        if !seeded::bug("line.no_look_before_waiting")
            && let Some((output, woken)) = self.rule.now(&mut state)
        {
            drop(state);
            drop(waker);
            woken.wake();
            return Poll::Ready(output);
        }
        let value = self.rule.value();
        let key = state.waiters().push(R::WANTS, value, Some(waker));
        self.rule.entered(&mut state);
        drop(state);
        self.place = Place::InLine(key);
        hook::parked(HookWait {
            operation: self.rule.name(),
            object: object.id,
            key: object.hook_key(key).1,
            site: self.site,
        });
        Poll::Pending
    }

    /// Leaves the line and undoes what somebody did for it meanwhile.
    #[inline]
    pub(super) fn cancel(&mut self, object: &Object<R::State>) {
        if let Place::InLine(key) = self.place
            && !primitive::unwinding()
        {
            self.place = Place::Ended;
            self.withdraw(object, key);
        }
    }

    #[cold]
    fn withdraw(&self, object: &Object<R::State>, key: Key) {
        hook::step("withdrawal", object.id, Access::Write, self.site);
        let mut state = object.lock();
        if seeded::bug("line.dropped_wait_stays")
            && state.waiters().get_mut(key).phase == Phase::Queued
        {
            return;
        }
        let removed = state.waiters().remove(key);
        let woken = self.rule.undo(&mut state, removed.phase);
        drop(state);
        hook::unparked(object.id, object.hook_key(key).1);
        // Before its own waker is dropped, which may panic.
        woken.wake();
        drop(removed);
    }
}
