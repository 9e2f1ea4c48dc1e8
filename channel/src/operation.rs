//! What a send, a receive and a reservation have in common: they happen at once or stand in line.
//!
//! [`Operation`] is the difference between the three; [`Wait`] is one of them on its way, polled by
//! a future or a stream. A select uses the same operations with waiters that share one claim.
//!
//! ```text
//!   Wait   fresh --poll: now() does it-------------------> ended
//!          fresh --poll: now() would wait, push waiter---> in line (key)
//!          in line --poll: a partner completed the waiter-> ended
//!          in line --cancel-----------------------------> fresh; what a partner did is undone
//! ```
//!
//! Must not: hold the lock while a waker is cloned, woken or dropped, or a value is dropped.

use std::task::{Context, Poll, ready};

use gorin_base::hook::{self, Access, Site, Wait as HookWait};
use gorin_base::{coop, primitive, seeded};

use crate::chan::{Shared, no_memory};
use crate::hint;
use crate::lock::Guard;
use crate::state::State;
use crate::waiter::{Key, Outcome, Phase, Removed, Wakeup, Wants};

/// The outcome of an operation that does not wait.
#[derive(Debug)]
pub enum Now<O> {
    /// It has happened, or failed for good.
    Done(O, Option<Wakeup>),
    /// Nothing has changed: it has to stand in line.
    Wait,
    /// Nothing has changed: there is no memory for a longer buffer.
    NoMemory,
}

/// A send, a receive or a reservation on a channel of `T`. All but `NAME` and `WANTS` run under the
/// channel's lock.
pub trait Operation<'a, T> {
    /// What the operation gives its caller.
    type Output;

    /// What a report calls it.
    const NAME: &'static str;

    /// How it uses the channel, for a model checker.
    const ACCESS: Access;

    /// What its waiter waits for.
    const WANTS: Wants;

    /// True if [`now`](Self::now) would do something, as far as can be seen without doing it.
    fn is_ready(&self, state: &State<T>) -> bool;

    /// True if [`now`](Self::now) would certainly do nothing.
    fn must_wait(&self, state: &State<T>) -> bool;

    /// Does it if that needs no waiting.
    fn now(&mut self, shared: &'a Shared<T>, state: &mut State<T>) -> Now<Self::Output>;

    /// Does it if that takes nothing but the buffer: the commonest case of [`now`](Self::now), kept
    /// so small that it becomes part of the caller. Returns what the next operations will find, too.
    fn by_buffer(&mut self, state: &mut State<T>) -> Option<(Self::Output, u8)>;

    /// The value that goes into the waiter.
    fn give_up_value(&mut self) -> Option<T>;

    /// Takes back what [`give_up_value`](Self::give_up_value) gave.
    fn take_value_back(&mut self, value: Option<T>);

    /// The result, out of a waiter that a partner or close has completed.
    fn completed(&mut self, shared: &'a Shared<T>, outcome: Outcome<T>) -> Self::Output;

    /// Undoes what a partner did to the waiter. What is left in `removed` is dropped unlocked.
    fn undo(&mut self, state: &mut State<T>, removed: &mut Removed<T>) -> Option<Wakeup>;
}

/// One operation that is being polled. Whoever owns it calls [`cancel`](Self::cancel) before
/// dropping it.
#[derive(Debug)]
pub(crate) struct Wait<O> {
    pub(crate) operation: O,
    /// In one word, so that a poll writes and a drop reads little.
    place: Place,
    pub(crate) site: Site,
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug)]
struct Place(u32);

impl Place {
    const ENDED: Place = Place(Key::NONE);
    const FRESH: Place = Place(Key::NONE - 1);

    #[inline(always)]
    fn is(self, place: Place) -> bool {
        self.0 == place.0
    }

    /// The waiter, while the operation stands in line.
    #[inline(always)]
    fn key(self) -> Option<Key> {
        (self.0 < Place::FRESH.0).then_some(Key(self.0))
    }
}

impl<O> Wait<O> {
    #[inline(always)]
    pub(crate) fn new(operation: O, site: Site) -> Self {
        Self {
            operation,
            place: Place::FRESH,
            site,
        }
    }

    /// The waiter, while the operation stands in line.
    #[inline(always)]
    pub(crate) fn key(&self) -> Option<Key> {
        self.place.key()
    }

    /// It must not be polled any more.
    #[inline(always)]
    pub(crate) fn end(&mut self) {
        self.place = Place::ENDED;
    }

    /// Polls an operation that nobody will poll after it has ended: the body of a future.
    ///
    /// # Panics
    /// If it has ended.
    #[inline(always)]
    pub(crate) fn poll_once<'a, T>(
        &mut self,
        shared: &'a Shared<T>,
        cx: &mut Context<'_>,
    ) -> Poll<O::Output>
    where
        O: Operation<'a, T>,
    {
        let output = ready!(self.poll(shared, cx));
        self.end();
        Poll::Ready(output)
    }

    /// Polls it; when it has ended it can begin anew.
    #[inline(always)]
    pub(crate) fn poll<'a, T>(
        &mut self,
        shared: &'a Shared<T>,
        cx: &mut Context<'_>,
    ) -> Poll<O::Output>
    where
        O: Operation<'a, T>,
    {
        ready!(coop::poll_ready(cx));
        if !self.place.is(Place::FRESH) {
            return self.resume(shared, cx);
        }
        if hook::is_active() {
            announce_step(O::NAME, shared.id, O::ACCESS, self.site);
        }
        self.start(shared, cx)
    }

    /// The first poll: happens at once, or stands in line.
    #[inline(always)]
    fn start<'a, T>(&mut self, shared: &'a Shared<T>, cx: &mut Context<'_>) -> Poll<O::Output>
    where
        O: Operation<'a, T>,
    {
        if shared.hint.will_wait(O::WANTS) {
            return self.enter(shared, cx);
        }
        let mut state = shared.state.lock();
        if let Some((output, waits)) = self.operation.by_buffer(&mut state) {
            shared.hint.set(waits);
            drop(state);
            if waits & hint::BACKLOG == 0 {
                coop::spend();
            } else {
                coop::spend_on_backlog();
            }
            return Poll::Ready(output);
        }
        self.start_with_partner(shared, state, cx)
    }

    /// The first poll, if more is needed than the buffer.
    #[inline(never)]
    fn start_with_partner<'a, T>(
        &mut self,
        shared: &'a Shared<T>,
        mut state: Guard<'_, State<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<O::Output>
    where
        O: Operation<'a, T>,
    {
        let now = self.operation.now(shared, &mut state);
        drop(state);
        if matches!(now, Now::Wait) {
            return self.enter(shared, cx);
        }
        coop::spend();
        Poll::Ready(settle(shared, now))
    }

    /// A later poll: has a partner completed the operation?
    #[inline(never)]
    fn resume<'a, T>(&mut self, shared: &'a Shared<T>, cx: &mut Context<'_>) -> Poll<O::Output>
    where
        O: Operation<'a, T>,
    {
        let Some(key) = self.key() else {
            panic!("a {} was polled after it had ended", O::NAME);
        };
        let outcome = ready!(shared.poll_waiter(key, cx.waker()));
        self.place = Place::FRESH;
        if outcome.phase == Phase::Dead {
            // Recalled: it starts anew.
            return self.poll(shared, cx);
        }
        coop::spend();
        Poll::Ready(self.operation.completed(shared, outcome))
    }

    /// Stands in line, unless it turns out that it need not.
    #[inline(never)]
    fn enter<'a, T>(&mut self, shared: &'a Shared<T>, cx: &mut Context<'_>) -> Poll<O::Output>
    where
        O: Operation<'a, T>,
    {
        // Cloned before the look that decides: a waker must not be cloned under the lock.
        let waker = cx.waker().clone();
        let mut state = shared.state.lock();
        let must_wait = self.operation.must_wait(&state);
        let now = if must_wait || seeded::bug("operation.no_look_before_waiting") {
            Now::Wait
        } else {
            self.operation.now(shared, &mut state)
        };
        if !matches!(now, Now::Wait) {
            drop(state);
            drop(waker);
            coop::spend();
            return Poll::Ready(settle(shared, now));
        }
        let value = self.operation.give_up_value();
        let key = state.enter(O::WANTS, value, waker);
        // The next one would wait too, and a partner would not.
        shared.hint.set(hint::waits(O::WANTS));
        drop(state);
        self.place = Place(key.0);
        if hook::is_observed() {
            self.announce_wait(O::NAME, shared.id, key);
        }
        Poll::Pending
    }

    #[cold]
    fn announce_wait(&self, operation: &'static str, object: u64, key: Key) {
        hook::parked(HookWait {
            operation,
            object,
            key: key.index(),
            site: self.site,
        });
    }

    /// Leaves the line and undoes what a partner did meanwhile.
    #[inline]
    pub(crate) fn cancel<'a, T>(&mut self, shared: &'a Shared<T>)
    where
        O: Operation<'a, T>,
    {
        if let Some(key) = self.key()
            && !primitive::unwinding()
        {
            self.place = Place::FRESH;
            withdraw(&mut self.operation, shared, key, self.site);
        }
    }
}

/// Out of line, so that the arguments are not put together when nobody listens.
#[cold]
fn announce_step(operation: &'static str, object: u64, access: Access, site: Site) {
    hook::waiting_step(operation, object, access, site);
}

/// Ends an operation that need not wait.
#[inline]
pub(crate) fn settle<T, O>(shared: &Shared<T>, now: Now<O>) -> O {
    match now {
        Now::Done(output, wakeup) => {
            Wakeup::wake_any(wakeup);
            output
        }
        Now::NoMemory => no_memory(shared.state.lock().len()),
        Now::Wait => unreachable!("the caller has seen that it need not wait"),
    }
}

#[cold]
fn withdraw<'a, T, O>(operation: &mut O, shared: &'a Shared<T>, key: Key, site: Site)
where
    O: Operation<'a, T>,
{
    hook::step("withdrawal", shared.id, Access::Write, site);
    let mut state = shared.state.lock();
    if seeded::bug("operation.dropped_waiter_stays_in_line")
        && state.waiters.get_mut(key).phase == Phase::Queued
    {
        return;
    }
    let mut removed = state.waiters.remove(key);
    let wakeup = operation.undo(&mut state, &mut removed);
    state.check();
    drop(state);
    hook::unparked(shared.id, key.index());
    Wakeup::wake_any(wakeup);
}
