//! The cases of a select: operations on channels, and foreign futures.
//!
//! The engine sees a case as a [`Kind`]; the result stays in the case until the select takes it
//! out. A case that is off (a guard that is false, an operand that is `None`) is never ready.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use gorin_base::hook::{self, Site, Wait as HookWait};
use gorin_base::primitive::PlainArc;

use crate::chan::{Shared, no_memory};
use crate::claim::Claim;
use crate::lock::LockSet;
use crate::operation::{Now, Operation};
use crate::send::SendOp;
use crate::waiter::{Key, Wakeup};

/// One case of a select. `'a` is the life of the channels.
pub trait Case<'a> {
    /// What the case is now.
    fn kind(&mut self) -> Kind<'_, 'a>;
}

/// How the engine uses a case.
#[expect(
    missing_debug_implementations,
    reason = "a view that lives for one step of the engine"
)]
pub enum Kind<'c, 'a> {
    /// Never ready.
    Off,
    /// An operation on a channel.
    Channel(&'c mut dyn OnChannel<'a>),
    /// Any other future.
    Foreign(&'c mut dyn Foreign),
}

/// A foreign future.
pub trait Foreign {
    /// Polls it; true if it has ended, with the result kept here.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool;
}

/// What committing a case did.
#[derive(Debug)]
pub enum Commit {
    /// The case has taken effect; the partner is to be woken without a lock.
    Done(Option<Wakeup>),
    /// It was ready a moment ago, but its partner (another select) has been served elsewhere.
    Missed,
    /// Its buffer cannot grow.
    NoMemory,
}

/// An operation on a channel, as a case.
pub trait OnChannel<'a> {
    /// The number of the channel.
    fn channel(&self) -> u64;

    /// Puts the lock of the channel into `locks`; called in the order of the channels' numbers.
    fn lock(&mut self, locks: &mut LockSet<'a>);

    /// Whether the case can take effect now.
    fn is_ready(&self, locks: &mut LockSet<'a>) -> bool;

    /// Makes it take effect.
    fn commit(&mut self, locks: &mut LockSet<'a>) -> Commit;

    /// Stands in line, as the case `index` of the select that owns `claim`.
    fn enter(&mut self, locks: &mut LockSet<'a>, claim: &PlainArc<Claim>, index: usize);

    /// Leaves the line if it stands there, without effect.
    fn leave(&mut self);

    /// Takes the result out of the waiter: a partner has served this case.
    fn collect(&mut self);

    /// A partner has served this case and nobody wants the result: undoes what can be undone.
    fn undo(&mut self);

    /// Tells the checker that the case waits.
    fn announce_wait(&self, site: Site);

    /// Reports [`Commit::NoMemory`]; no lock is held.
    fn no_memory(&self) -> !;
}

/// A case that is an operation on a channel.
pub struct ChannelCase<'a, T, O: Operation<'a, T>> {
    shared: &'a Shared<T>,
    operation: O,
    on: bool,
    /// The place of the channel's lock in the lock set.
    place: usize,
    /// The waiter, while the case stands in line.
    key: Option<Key>,
    output: Option<O::Output>,
}

impl<'a, T, O: Operation<'a, T>> ChannelCase<'a, T, O> {
    #[inline(always)]
    pub(crate) fn new(shared: &'a Shared<T>, operation: O) -> Self {
        Self {
            shared,
            operation,
            on: true,
            place: 0,
            key: None,
            output: None,
        }
    }

    pub(crate) fn take_output(&mut self) -> Option<O::Output> {
        self.output.take()
    }

    /// Switches the case on or off, between two waits.
    pub(crate) fn set_on(&mut self, on: bool) {
        self.on = on;
    }
}

impl<T> ChannelCase<'_, T, SendOp<T>> {
    /// Gives the send a value and switches it on; returns the value that it had.
    pub(crate) fn set_value(&mut self, value: T) -> Option<T> {
        self.on = true;
        std::mem::replace(&mut self.operation, SendOp::new(value)).into_value()
    }
}

impl<'a, T, O: Operation<'a, T>> Case<'a> for ChannelCase<'a, T, O> {
    fn kind(&mut self) -> Kind<'_, 'a> {
        if self.on {
            Kind::Channel(self)
        } else {
            Kind::Off
        }
    }
}

impl<'a, T, O: Operation<'a, T>> OnChannel<'a> for ChannelCase<'a, T, O> {
    fn channel(&self) -> u64 {
        self.shared.id
    }

    #[cfg_attr(loom, track_caller)]
    fn lock(&mut self, locks: &mut LockSet<'a>) {
        self.place = locks.add(&self.shared.state);
    }

    fn is_ready(&self, locks: &mut LockSet<'a>) -> bool {
        let state = locks.get(self.place, &self.shared.state);
        self.operation.is_ready(state)
    }

    fn commit(&mut self, locks: &mut LockSet<'a>) -> Commit {
        let state = locks.get(self.place, &self.shared.state);
        if let Some(key) = self.key {
            let value = state.waiters.get_mut(key).value.take();
            self.operation.take_value_back(value);
        }
        let missed = match self.operation.now(self.shared, state) {
            Now::Done(output, wakeup) => {
                self.output = Some(output);
                return Commit::Done(wakeup);
            }
            Now::Wait => Commit::Missed,
            Now::NoMemory => Commit::NoMemory,
        };
        if let Some(key) = self.key {
            state.waiters.get_mut(key).value = self.operation.give_up_value();
        }
        missed
    }

    fn enter(&mut self, locks: &mut LockSet<'a>, claim: &PlainArc<Claim>, index: usize) {
        let value = self.operation.give_up_value();
        let state = locks.get(self.place, &self.shared.state);
        self.key = Some(state.enter_case(O::WANTS, value, claim.clone(), index));
    }

    fn leave(&mut self) {
        if let Some(key) = self.key.take() {
            let removed = self.shared.state.lock().waiters.remove(key);
            hook::unparked(self.shared.id, key.index());
            self.operation.take_value_back(removed.value);
        }
    }

    fn collect(&mut self) {
        let key = self
            .key
            .take()
            .expect("a case that was served stood in line");
        let outcome = self.shared.state.lock().waiters.take(key);
        hook::unparked(self.shared.id, key.index());
        self.output = Some(self.operation.completed(self.shared, outcome));
    }

    fn undo(&mut self) {
        let key = self
            .key
            .take()
            .expect("a case that was served stood in line");
        let mut state = self.shared.state.lock();
        let mut removed = state.waiters.remove(key);
        let wakeup = self.operation.undo(&mut state, &mut removed);
        drop(state);
        hook::unparked(self.shared.id, key.index());
        Wakeup::wake_any(wakeup);
    }

    fn announce_wait(&self, site: Site) {
        if let Some(key) = self.key {
            hook::parked(HookWait {
                operation: "select",
                object: self.shared.id,
                key: key.index(),
                site,
            });
        }
    }

    fn no_memory(&self) -> ! {
        no_memory(self.shared.state.lock().len())
    }
}

impl<'a, T, O: Operation<'a, T>> fmt::Debug for ChannelCase<'a, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(O::NAME)
            .field("channel", &self.shared.chan_id())
            .field("on", &self.on)
            .finish_non_exhaustive()
    }
}

/// A case that is any other future.
#[derive(Debug)]
pub struct ForeignCase<'p, F: Future> {
    /// `None` once it has ended.
    future: Option<Pin<&'p mut F>>,
    output: Option<F::Output>,
}

impl<'p, F: Future> ForeignCase<'p, F> {
    pub(crate) fn new(future: Pin<&'p mut F>) -> Self {
        Self {
            future: Some(future),
            output: None,
        }
    }

    pub(crate) fn take_output(&mut self) -> Option<F::Output> {
        self.output.take()
    }
}

impl<F: Future> Foreign for ForeignCase<'_, F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(future) = &mut self.future else {
            return false;
        };
        let Poll::Ready(output) = future.as_mut().poll(cx) else {
            return false;
        };
        self.future = None;
        self.output = Some(output);
        true
    }
}

impl<'a, F: Future> Case<'a> for ForeignCase<'_, F> {
    fn kind(&mut self) -> Kind<'_, 'a> {
        Kind::Foreign(self)
    }
}

/// A case that its guard or a `None` operand may switch off.
impl<'a, C: Case<'a>> Case<'a> for Option<C> {
    fn kind(&mut self) -> Kind<'_, 'a> {
        match self {
            Some(case) => case.kind(),
            None => Kind::Off,
        }
    }
}
