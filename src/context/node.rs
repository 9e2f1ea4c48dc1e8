//! [`Node`]: what of a context can end, and the tree of them.
//!
//! ```text
//!   a node    live --cancel of it or of one above it, or whoever finds its deadline past--> ended, for good
//!   its parent knows it  from when it is made until it is dropped, or the parent has ended
//! ```
//!
//! Invariants:
//! 1. The first reason stays: it is written once, under the node's lock, and everybody is told the same.
//!    First by time: a cancel that finds the deadline past says that.
//! 2. Who waits at a node is woken when it ends. Looking whether it has ended and standing in line is one
//!    step under its lock, as ending it and taking the line is.
//! 3. No child is missed: a child of an ended node is made ended, and looking and being put among the
//!    children is one step, too. When a cancel returns all below have ended, also if it came second:
//!    whoever cancels more than one node holds the tree's `walk` meanwhile.
//! 4. A node that is dropped is nowhere in the tree. (It has no children, for they hold it.)
//! 5. Nobody needs a timer before somebody waits: that a deadline has passed is seen by looking at the
//!    clock. A child's is never after its parent's, so that it has ended, too, whoever has looked.
//!
//! Locks: `walk` before a node's, and of the nodes one at a time, except that a child is made under its
//! parent's. Must not: wake, or drop a waker, a node or a cause under a lock; recurse from node to node.
//!
//! Rejected: a channel per node that closes, for its wakes are proved. Then a tree ends channel by channel,
//! and each is a step of its own for [`gorin_base::hook`]: a program would be told that a child still lives
//! whose parent has been cancelled. Children that look at all those above them, instead of being told: the
//! tree needs no `walk`, but each look costs its depth.

use std::sync::Weak;
use std::task::Waker;
use std::time::Instant;

use gorin_base::hook::{self, Access, Site};
use gorin_base::primitive::{AtomicU8, Mutex, Ordering, PlainArc, unwinding};
use gorin_base::{clock, id, mishap, seeded};
use slab::Slab;

use super::error::{Cause, CtxError};

/// What reports call it.
const KIND: &str = "context";

const LIVE: u8 = 0;
const CANCELED: u8 = 1;
const DEADLINE_EXCEEDED: u8 = 2;

/// Why a node has ended.
#[derive(Clone)]
pub(super) struct Reason {
    pub(super) error: CtxError,
    /// Given by somebody.
    pub(super) cause: Option<Cause>,
}

/// When a node ends by itself.
#[derive(Clone)]
pub(super) struct Limit {
    pub(super) at: Instant,
    pub(super) cause: Option<Cause>,
}

impl Limit {
    fn reason(&self) -> Reason {
        Reason {
            error: CtxError::DeadlineExceeded,
            cause: self.cause.clone(),
        }
    }
}

/// See the module text.
pub(super) struct Node {
    id: u64,
    /// Kept, so that a parent with children is in the tree. Only the destructor takes it away.
    parent: Option<PlainArc<Node>>,
    /// Among the parent's children; `None` if it was made ended.
    place: Option<usize>,
    /// The earliest of its own and of those above.
    limit: Option<Limit>,
    /// Of the whole tree.
    walk: PlainArc<Mutex<()>>,
    /// `LIVE`, or how it has ended. Written once, under `state`'s lock, so that who polls it in a loop needs
    /// none. Release pairs with the Acquire of `err`: who sees the end sees what was done before it.
    ended: AtomicU8,
    state: Mutex<State>,
}

struct State {
    reason: Option<Reason>,
    /// Who waits for the end; empty for good once it has come, as the children are.
    line: Slab<Waker>,
    children: Slab<Weak<Node>>,
}

impl State {
    fn new(reason: Option<Reason>) -> State {
        State {
            reason,
            line: Slab::new(),
            children: Slab::new(),
        }
    }
}

/// What an ended node had; to be woken and dropped without the lock.
struct Left {
    line: Slab<Waker>,
    children: Slab<Weak<Node>>,
}

/// Wakes all of `line`.
fn wake(line: Slab<Waker>) {
    line.into_iter().for_each(|(_, waker)| mishap::wake(waker));
}

impl Node {
    /// The first of a tree.
    pub(super) fn root(limit: Option<Limit>, site: Site) -> PlainArc<Node> {
        PlainArc::new(Node {
            id: created(site),
            parent: None,
            place: None,
            limit,
            walk: PlainArc::new(Mutex::new(())),
            ended: AtomicU8::new(LIVE),
            state: Mutex::new(State::new(None)),
        })
    }

    /// One below `parent`, which ends at the earlier of the parent's limit and its own.
    pub(super) fn child(parent: &PlainArc<Node>, own: Option<Limit>, site: Site) -> PlainArc<Node> {
        parent.announce("context child", Access::Read, site);
        // If its limit has passed unseen that is what ends the child, whatever the child's own is.
        if parent.limit.is_some() {
            parent.err();
        }
        let limit = match (&parent.limit, own) {
            (Some(above), Some(own)) if own.at < above.at => Some(own),
            (None, own) => own,
            (above, _) => above.clone(),
        };
        let id = created(site);
        let make = |place, reason: Option<Reason>| Node {
            id,
            parent: Some(parent.clone()),
            place,
            limit,
            walk: parent.walk.clone(),
            ended: AtomicU8::new(reason.as_ref().map_or(LIVE, |reason| code(reason.error))),
            state: Mutex::new(State::new(reason)),
        };
        let mut state = parent.state.lock();
        if let Some(reason) = &state.reason
            && !seeded::bug("context.child_of_the_ended_lives")
        {
            let reason = reason.clone();
            drop(state);
            return PlainArc::new(make(None, Some(reason)));
        }
        let entry = state.children.vacant_entry();
        let node = PlainArc::new(make(Some(entry.key()), None));
        entry.insert(PlainArc::downgrade(&node));
        node
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn limit(&self) -> Option<Instant> {
        self.limit.as_ref().map(|limit| limit.at)
    }

    /// Announces a step that changes at most this node and those below: it looks at all above.
    pub(super) fn announce(&self, operation: &'static str, access: Access, site: Site) {
        let uses = || {
            let others = std::iter::successors(self.above(), |node| node.above());
            std::iter::once((self.id, access)).chain(others.map(|node| (node.id, Access::Read)))
        };
        hook::step_all(operation, uses, site);
    }

    fn above(&self) -> Option<&Node> {
        let hides = seeded::bug("context.looks_at_nobody_above");
        self.parent.as_deref().filter(|_| !hides)
    }

    /// How it has ended, if it has.
    pub(super) fn err(&self) -> Option<CtxError> {
        match self.ended.load(Ordering::Acquire) {
            CANCELED => Some(CtxError::Canceled),
            DEADLINE_EXCEEDED => Some(CtxError::DeadlineExceeded),
            _ => {
                let limit = self.limit.as_ref()?;
                (limit.at <= clock::now()).then(|| self.expire(limit))
            }
        }
    }

    /// As [`err`](Self::err), with the cause that somebody has given.
    pub(super) fn reason(&self) -> Option<Reason> {
        self.err()?;
        self.state.lock().reason.clone()
    }

    /// The limit has passed: says so, unless something else came before and nobody has looked since. The
    /// children, which are past theirs, are left to whoever looks at them.
    #[cold]
    fn expire(&self, limit: &Limit) -> CtxError {
        let left = self.end(&limit.reason(), limit.at);
        wake(left.line);
        let reason = self.state.lock().reason.as_ref().map(|reason| reason.error);
        reason.expect("it has just ended")
    }

    /// Ends this node and all below it for `reason`, or for their deadlines where these have passed.
    pub(super) fn cancel(self: &PlainArc<Self>, reason: &Reason) {
        let now = clock::now();
        // Most have no children when they end, and need not wait for others then.
        if let Some(line) = self.end_childless(reason, now) {
            return wake(line);
        }
        let mut lines = Vec::new();
        // Grows at its end: what is below is found from here, and held until the locks are given back.
        let mut family = vec![self.clone()];
        let walk = (!seeded::bug("context.who_comes_second_runs_ahead")).then(|| self.walk.lock());
        let mut next = 0;
        while let Some(node) = family.get(next) {
            let left = node.end(reason, now);
            let children = left.children.iter();
            // Who cannot be had any more is being dropped.
            family.extend(children.filter_map(|(_, child)| child.upgrade()));
            lines.push(left.line);
            next += 1;
        }
        drop(walk);
        if seeded::bug("context.nobody_below_is_woken") {
            lines.truncate(1);
        }
        lines.into_iter().for_each(wake);
    }

    /// Ends it if it lives and has no children; returns who waited.
    fn end_childless(&self, reason: &Reason, now: Instant) -> Option<Slab<Waker>> {
        let mut state = self.state.lock();
        let alone = state.reason.is_none() && state.children.is_empty();
        alone.then(|| self.end_locked(&mut state, reason, now).line)
    }

    /// Ends it, if it lives, and nothing below it.
    fn end(&self, reason: &Reason, now: Instant) -> Left {
        self.end_locked(&mut self.state.lock(), reason, now)
    }

    fn end_locked(&self, state: &mut State, reason: &Reason, now: Instant) -> Left {
        if state.reason.is_none() || seeded::bug("context.last_reason_wins") {
            let limit = self.limit.as_ref().filter(|limit| limit.at <= now);
            let reason = limit.map_or_else(|| reason.clone(), Limit::reason);
            let release = match seeded::bug("context.end_publishes_nothing") {
                false => Ordering::Release,
                true => Ordering::Relaxed,
            };
            self.ended.store(code(reason.error), release);
            state.reason = Some(reason);
        }
        Left {
            line: std::mem::take(&mut state.line),
            children: std::mem::take(&mut state.children),
        }
    }

    /// Stands in line at `place`, or at a new one, to be woken by `waker` when it ends; false if it has ended.
    /// (A deadline that passes later wakes nobody.)
    pub(super) fn enter(&self, place: &mut Option<usize>, waker: &Waker) -> bool {
        // Cloned, and what is left of it dropped, without the lock.
        let mut waker = waker.clone();
        let looks_too_early = seeded::bug("context.looks_before_it_stands_in_line");
        let early = looks_too_early.then(|| self.state.lock().reason.is_some());
        let mut state = self.state.lock();
        if early.unwrap_or(state.reason.is_some()) {
            return false;
        }
        match *place {
            Some(place) => std::mem::swap(&mut state.line[place], &mut waker),
            None => *place = Some(state.line.insert(waker)),
        }
        true
    }

    /// Leaves the line.
    pub(super) fn leave(&self, place: usize) {
        let waker = self.state.lock().line.try_remove(place);
        drop(waker);
    }

    #[cfg(test)]
    pub(super) fn children(&self) -> usize {
        self.state.lock().children.len()
    }

    /// Takes it out of the tree; returns what was above.
    fn depart(&mut self) -> Option<PlainArc<Node>> {
        let parent = self.parent.take()?;
        if let Some(place) = self.place
            && !seeded::bug("context.dropped_child_stays")
        {
            parent.state.lock().children.try_remove(place);
        }
        Some(parent)
    }
}

impl Drop for Node {
    /// Those above whose last child it was go with it: in a loop, however many they are.
    fn drop(&mut self) {
        if unwinding() {
            return;
        }
        let mut above = self.depart();
        while let Some(mut last) = above.and_then(PlainArc::into_inner) {
            above = last.depart();
        }
    }
}

fn created(site: Site) -> u64 {
    let id = id::next();
    hook::created(id, KIND, site);
    id
}

fn code(error: CtxError) -> u8 {
    match error {
        CtxError::Canceled => CANCELED,
        CtxError::DeadlineExceeded => DEADLINE_EXCEEDED,
    }
}
