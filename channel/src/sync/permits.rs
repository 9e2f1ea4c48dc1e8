//! Permits in stock, and the line of those who wait for some: what a semaphore is, and what a cell that is
//! filled once gives its turns by.
//!
//! Who wants permits takes them at once or stands in line. What comes back goes to the head of the line
//! first, as many as it wants or none at all: it is never overtaken, however many it waits for, and two who
//! wait for several can never each hold what the other one lacks.
//!
//! Invariants, whenever the lock is free:
//!
//! 1. somebody waits ⇒ there are fewer in stock than the head of the line wants;
//! 2. every permit is in exactly one of: the stock, a completed waiter, the hands of who took it.
//!
//! (How a wait comes to its end is in `line.rs`; one that is dropped gives back what it was served.)
//!
//! The stock is full at `usize::MAX`; what would be more is lost.
//!
//! Must not: clone, wake or drop a waker under the lock.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use gorin_base::hook::{Access, Site};
use gorin_base::seeded;

use crate::line::Line;
use crate::sync::line::{self, Object, Rule, Woken};
use crate::waiter::{Phase, Side, Waiters, Wants};

pub(super) struct Permits {
    object: Object<State>,
}

struct State {
    stock: usize,
    /// The value of each is how many it wants.
    waiters: Waiters<usize>,
}

impl Line for State {
    type Value = usize;

    #[inline]
    fn waiters(&mut self) -> &mut Waiters<usize> {
        &mut self.waiters
    }
}

impl State {
    /// Takes `wanted` permits if there are so many and nobody waits.
    #[inline]
    fn take(&mut self, wanted: usize) -> bool {
        let nobody_waits =
            self.waiters.is_empty(Side::Receive) || seeded::bug("permits.head_is_overtaken");
        let enough = nobody_waits && wanted <= self.stock;
        if enough {
            self.stock -= wanted;
        }
        enough
    }

    #[inline]
    fn put(&mut self, permits: usize) -> Woken {
        self.stock = self.stock.saturating_add(permits);
        match self.waiters.is_empty(Side::Receive) {
            true => Woken::default(),
            false => self.serve(),
        }
    }

    /// Serves the head of the line, and who is the head then, as long as there is enough.
    #[inline(never)]
    fn serve(&mut self) -> Woken {
        let served = std::iter::from_fn(|| {
            let wanted = self.waiters.head(Side::Receive)?.value;
            let wanted = wanted.expect("who waits says for how many");
            if wanted > self.stock {
                return None;
            }
            let head = self.waiters.dequeue(Side::Receive, |_| true)?;
            self.stock -= wanted;
            Some(head.complete(Phase::Done))
        });
        let most = match seeded::bug("permits.serves_one_only") {
            true => 1,
            false => usize::MAX,
        };
        served.take(most).collect()
    }
}

impl Permits {
    /// Nobody waits yet. They are part number `part` of the object `id`.
    pub(super) fn new(id: u64, part: usize, stock: usize) -> Self {
        let state = State {
            stock,
            waiters: Waiters::new(),
        };
        Self {
            object: Object::part(id, part, state),
        }
    }

    /// The object that they belong to.
    pub(super) fn id(&self) -> u64 {
        self.object.id()
    }

    /// Takes `wanted` permits if there are so many and nobody waits. Announces nothing.
    #[inline]
    pub(super) fn try_take(&self, wanted: usize) -> bool {
        self.object.lock().take(wanted)
    }

    /// Permits in stock. Announces nothing.
    pub(super) fn stock(&self) -> usize {
        self.object.lock().stock
    }

    /// Puts `permits` into stock, or gives them to who waits. Announces nothing.
    #[inline]
    pub(super) fn put(&self, permits: usize) -> Woken {
        self.object.lock().put(permits)
    }

    /// As [`put`](Self::put), unless there is no room in stock for so many: then how many there are.
    pub(super) fn try_put(&self, permits: usize) -> Result<Woken, usize> {
        let mut state = self.object.lock();
        if state.stock.checked_add(permits).is_none() {
            return Err(state.stock);
        }
        Ok(state.put(permits))
    }

    /// Waits for `wanted` permits, which are its caller's when it ends. `operation` is what a report calls it.
    #[inline]
    pub(super) fn wait(&self, wanted: usize, operation: &'static str, site: Site) -> Wait<'_> {
        Wait {
            permits: self,
            wait: line::Wait::new(Take { wanted, operation }, site),
        }
    }
}

/// To take permits.
struct Take {
    wanted: usize,
    operation: &'static str,
}

/// Whether the permits were there at once; else others may have done something since its step.
pub(super) type AtOnce = bool;

impl Rule for Take {
    type State = State;
    type Output = AtOnce;
    const ACCESS: Access = Access::Write;
    const WANTS: Wants = Wants::Value;

    #[inline]
    fn name(&self) -> &'static str {
        self.operation
    }

    #[inline]
    fn now(&self, state: &mut State) -> Option<(AtOnce, Woken)> {
        state.take(self.wanted).then(|| (true, Woken::default()))
    }

    fn value(&self) -> Option<usize> {
        Some(self.wanted)
    }

    fn completed(&self) -> AtOnce {
        false
    }

    /// What it was served goes back; and those are served whom a head that wanted much has kept.
    fn undo(&self, state: &mut State, phase: Phase) -> Woken {
        match phase {
            Phase::Done if !seeded::bug("permits.dropped_wait_keeps_permits") => {
                state.put(self.wanted)
            }
            _ if seeded::bug("permits.dropped_head_still_in_the_way") => Woken::default(),
            _ => state.put(0),
        }
    }
}

/// A wait for permits.
#[must_use = "futures do nothing unless polled"]
pub(super) struct Wait<'a> {
    permits: &'a Permits,
    wait: line::Wait<Take>,
}

impl Wait<'_> {
    /// For how many.
    pub(super) fn wanted(&self) -> usize {
        self.wait.rule().wanted
    }

    /// True if it is in line.
    pub(super) fn is_in_line(&self) -> bool {
        self.wait.is_in_line()
    }
}

impl Future for Wait<'_> {
    type Output = AtOnce;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<AtOnce> {
        let this = self.get_mut();
        this.wait.poll(&this.permits.object, cx)
    }
}

impl Drop for Wait<'_> {
    #[inline]
    fn drop(&mut self) {
        self.wait.cancel(&self.permits.object);
    }
}
