//! One goroutine of an execution: where it stands, what it waits for, what it has made.
//!
//! Must not decide anything: `state.rs` moves it from stage to stage.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::task::Waker;

use gorin_base::hook::{Site, Wait};
use gorin_base::primitive::PlainArc;
use gorin_base::seeded;
use gorin_executor::task::Runnable;

use super::Object;
use super::coroutine::Started;
use super::footprint::{Awaited, Footprint};

/// Where a goroutine stands.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Started; it has not run.
    New,
    /// Suspended before an operation.
    Announced(Announced),
    /// Its future may be polled again, and when that happens can matter.
    Woken(Announced),
    /// Its future returned `Pending`.
    Waiting,
    /// Its coroutine has ended.
    Done,
}

/// The step that a goroutine takes when it is chosen.
#[derive(Clone, Debug)]
pub(super) struct Announced {
    pub(super) operation: &'static str,
    pub(super) site: Option<Site>,
    /// The one object of the operation, for reports.
    pub(super) object: Option<Object>,
    pub(super) footprint: Footprint,
    /// Which operation it is, if it waits until it can be done.
    pub(super) awaited: Option<Awaited>,
    /// The goroutine yielded after so many steps: it runs only if another has taken one since, or
    /// if no other can.
    pub(super) yielded_at: Option<usize>,
}

/// One goroutine.
pub(super) struct Member {
    pub(super) name: Option<PlainArc<str>>,
    pub(super) site: Option<Site>,
    pub(super) stage: Stage,
    /// Its future is gone; destructors of its output may still run.
    pub(super) finished: bool,
    pub(super) coroutine: Option<Started>,
    /// What it waits for, and since which step.
    pub(super) waits: Vec<(Wait, usize)>,
    /// The task to run, once it is runnable; `main` has none.
    pub(super) runnable: Option<Runnable>,
    /// It was woken inside of a poll, before an operation that it had announced: it is polled again
    /// after that poll. Of `main` only, because a task remembers it by itself.
    pub(super) woken_meanwhile: bool,
    /// It was woken while it ran, by itself: it yields.
    pub(super) woke_itself: bool,
    /// A timer of its own woke it.
    pub(super) timer_fired: bool,
    /// Wakes it when the execution is given up.
    pub(super) waker: Option<Waker>,
    /// How many goroutines and objects it has made: they are named by that.
    pub(super) children: usize,
    pub(super) made: usize,
    /// The waiting operations that it has announced and the choices that it has made, in their order, as
    /// one number: what it does next may depend on both. It may depend on the values that it was given,
    /// too, which are not in it: who waits at one line alone or not, by such a value, can lose an end.
    pub(super) way: u64,
    /// The channels that it was told are closed, each with the step in which it was told first.
    pub(super) refused: Vec<(Object, usize)>,
}

impl Member {
    pub(super) fn new(coroutine: Started, name: Option<PlainArc<str>>, site: Option<Site>) -> Self {
        Self {
            name,
            site,
            stage: Stage::New,
            finished: false,
            coroutine: Some(coroutine),
            waits: Vec::new(),
            runnable: None,
            woken_meanwhile: false,
            woke_itself: false,
            timer_fired: false,
            waker: None,
            children: 0,
            made: 0,
            way: 0,
            refused: Vec::new(),
        }
    }

    /// Goes on by `turn`.
    pub(super) fn turn(&mut self, turn: impl Hash) {
        if seeded::bug("model.way_forgotten") {
            return;
        }
        let mut hasher = DefaultHasher::new();
        (self.way, turn).hash(&mut hasher);
        self.way = hasher.finish();
    }

    /// Its future is gone; returns what the caller is to drop.
    pub(super) fn finish(&mut self) -> Option<Waker> {
        self.finished = true;
        self.waker.take()
    }
}
