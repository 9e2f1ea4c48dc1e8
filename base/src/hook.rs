//! Where a checker takes control: every operation that goroutines communicate by announces itself.
//!
//! `gorin::model` explores the interleavings of a goroutine program one *step* at a time. A step is
//! one announced operation and the code after it, up to the goroutine's next announced operation.
//! Channels, select, sync, contexts, timers and join handles announce themselves here; they know nothing
//! of the checker, and the checker nothing of them. In production no checker is installed, and each
//! call is a thread-local load and a branch that is never taken.
//!
//! # What an operation does
//!
//! | when | call |
//! |---|---|
//! | an object (channel, wait group, …) was made | [`created`] |
//! | before an operation looks at the object the first time, holding no lock | [`step`]; [`waiting_step`] if it will wait until it can be done; [`step_all`] if it decides over several objects at once (select) |
//! | before it looks again, if it has polled futures of the user's meanwhile and there are more [`steps`] | the same |
//! | the operation did not succeed and is now queued | [`parked`], after the locks are released |
//! | the queued operation was completed and its future has seen it | [`unparked`] |
//! | the future of a queued operation is dropped | [`step`] with what it withdraws, before it locks; then [`unparked`] |
//! | a send or a reservation ended because the object is closed | [`refused`] |
//! | the last receiver was dropped with values left in the queue | [`lost`] |
//! | a choice among `n` that production makes at random | [`choose`] (done by [`rng::below`](crate::rng::below)) |
//!
//! * A poll that finds its operation already queued is **not** a step, whether it finds it completed
//!   or not: the party that completed it took the step. One that was only *called*, to race with
//!   whoever comes (a mutex), looks anew: that is a step.
//! * `step` may run other goroutines before it returns. What was read before it is stale: announce
//!   first, then lock and look.
//! * Operations that do not wait (`try_send`, `len`, `close`) are steps too. What no other goroutine
//!   can tell apart is none: cloning a handle, and dropping one that is not the last of its kind, unless
//!   the checker has seen somebody look at the end of a channel ([`leaves`]): who comes late
//!   with such a drop has dropped the last one. With each drop a step, five philosophers had a million
//!   executions instead of some thousand.
//! * A select draws *once*, among the cases that are ready: each possible answer of [`choose`] is
//!   explored, so a shuffle of `n` cases would cost `n!` executions and find no more.
//!
//! # Invariants
//!
//! * No call allocates, locks or wakes unless a checker is installed on this very thread.
//! * Object ids are unique in the process ([`id::next`](crate::id::next)); that of a task comes from
//!   [`task`]. They need not be equal in two executions of a model: the checker names objects by the
//!   order in which each goroutine made them.
//! * Nothing here but the notes ([`created`], [`refused`]) is called under a lock of the caller: a
//!   checker that suspended its goroutine there would block all others.

mod timer;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

pub use timer::VirtualTimer;

/// How an operation uses an object; decides which orders of two steps have to be told apart.
///
/// Two steps commute unless they use one object in ways that [conflict](Access::conflicts).
///
/// `Give` and `Take` are what makes models of pipelines small. The k-th value received is the k-th
/// value sent, whichever of the two operations comes first, so their order need not be explored:
/// with `Write` in their place a pipeline of three stages and three values had 65,536 executions,
/// now it has one. It holds only while both sides *wait* for each other: what can see that it came
/// too early (`try_recv`, a select, a length) must say `Write` or `Read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// Only looks: `len`, `is_closed`, waiting for a wait group.
    Read,
    /// Changes the object, and two of a kind in either order leave the same state and results: `done`
    /// of a wait group, a reader that comes to a reader-writer lock or leaves it.
    Commute,
    /// Commutes with its kind only: an `add`. A `done` that comes before it may be the one that ends a
    /// wait, and the same `done` after it not. As long as nobody has waited it is as `Commute`; the
    /// checker finds that out by itself.
    Raise,
    /// Puts into a queue: a send that waits for its place, the close by the last sender. Commutes
    /// with `Take` only.
    Give,
    /// Takes from a queue: a receive that waits for its value. Commutes with `Give` only.
    Take,
    /// Drops a handle of several: who finds the object open does so before and after it. A step only
    /// where [`leaves`] says so, or if it is the last, which [`was_last`] says then.
    Leave,
    /// Anything else: `try_recv`, a close that others see, withdrawing a queued operation.
    Write,
}

impl Access {
    /// True if the order of two accesses to one object can matter.
    ///
    /// ```
    /// # use gorin_base::hook::Access;
    /// assert!(Access::Read.conflicts(Access::Write));
    /// assert!(!Access::Commute.conflicts(Access::Commute));
    /// ```
    pub fn conflicts(self, other: Access) -> bool {
        use Access::{Commute, Give, Leave, Raise, Read, Take};
        !matches!(
            (self, other),
            (Read, Read)
                | (Commute, Commute)
                | (Raise, Raise)
                | (Leave, Leave)
                | (Give, Take)
                | (Take, Give)
        )
    }
}

/// The line in the user's program that an announcement belongs to.
pub type Site = &'static Location<'static>;

/// An operation that waits in a queue: what a report says of a blocked goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// In Go's words: `"chan receive"`, `"chan send"`, `"select"`, `"WaitGroup wait"`.
    pub operation: &'static str,
    /// The object it waits for; a select has one `Wait` for each of its cases.
    pub object: u64,
    /// Tells the waiters of one object apart while they are queued (the slot of the waiter).
    pub key: usize,
    /// Where the operation was called.
    pub site: Site,
}

/// A checker of goroutine programs. It is called on the one thread that all goroutines of the model
/// share, and must allow for being called again while a `step` is suspended.
pub trait Checker {
    /// See [`created`] and [`created_queue`].
    fn created(&self, object: u64, kind: &'static str, capacity: Option<usize>, site: Site);
    /// See [`step`] and [`step_all`]; returns when the calling goroutine may go on.
    fn step(&self, operation: &'static str, objects: &[(u64, Access)], site: Site);
    /// See [`waiting_step`].
    fn waiting_step(&self, operation: &'static str, object: u64, access: Access, site: Site);
    /// See [`parked`].
    fn parked(&self, wait: Wait);
    /// See [`unparked`].
    fn unparked(&self, object: u64, key: usize);
    /// See [`refused`].
    fn refused(&self, object: u64, at_once: bool);
    /// See [`lost`].
    fn lost(&self, object: u64, values: usize);
    /// See [`leaves`].
    fn leaves(&self, object: u64) -> bool;
    /// See [`was_last`].
    fn was_last(&self, access: Access);
    /// See [`steps`].
    fn steps(&self) -> usize;
    /// See [`choose`].
    fn choose(&self, n: usize) -> Option<usize>;
    /// See [`now`].
    fn now(&self) -> Option<Instant>;
    /// Wakes `waker` when the virtual time, which moves only when every goroutine waits, has come to
    /// `deadline`. Called by the running goroutine.
    fn set_timer(&self, deadline: Instant, waker: &Waker) -> TimerKey;
    /// Gives a timer that has not fired another deadline.
    fn move_timer(&self, key: TimerKey, deadline: Instant);
    /// Forgets a timer; one that has fired is forgotten already.
    fn cancel_timer(&self, key: TimerKey);
}

/// The object that a task is for those who wait for its end: ids of tasks are counted apart from
/// those of other objects.
pub const fn task(id: u64) -> u64 {
    id | 1 << 63
}

/// Names a timer of the checker's virtual time; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerKey(pub NonZeroU64);

// std's thread-locals under loom too: loom runs all threads of an execution on one OS thread, and
// the checker belongs to the execution, not to a loom thread.
std::thread_local! {
    /// Written by `install` and by its guard, on this thread only; true while `CHECKER` is set and
    /// takes control. Kept apart because a `Cell<bool>` needs no lazy initialization and no
    /// destructor: one load.
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
    /// As `ACTIVE`, but also true while `CHECKER` only takes notes.
    static OBSERVED: Cell<bool> = const { Cell::new(false) };
    static CHECKER: RefCell<Option<Rc<dyn Checker>>> = const { RefCell::new(None) };
}

/// True while a checker that takes control is installed on this thread.
#[inline(always)]
pub fn is_active() -> bool {
    ACTIVE.get()
}

/// True while a checker is installed on this thread, in control or taking notes: whether [`parked`]
/// and [`unparked`] do anything.
#[inline(always)]
pub fn is_observed() -> bool {
    OBSERVED.get()
}

/// The installed checker. Cold and apart, so that a caller's fast path carries nothing but the
/// branch; the borrow has ended before the checker is called, because it may suspend.
#[cold]
#[inline(never)]
fn checker() -> Option<Rc<dyn Checker>> {
    CHECKER.try_with(|slot| slot.borrow().clone()).ok()?
}

/// Calls `f` with the installed checker.
#[cold]
#[inline(never)]
fn with_checker<R>(f: impl FnOnce(&dyn Checker) -> R) -> Option<R> {
    checker().map(|checker| f(&*checker))
}

/// The slow path of [`step`] and [`waiting_step`]: by value and out of line, so that no argument is
/// put into memory before the branch.
#[cold]
#[inline(never)]
fn announce(operation: &'static str, object: u64, access: Access, site: Site, waits: bool) {
    if let Some(checker) = checker() {
        match waits {
            true => checker.waiting_step(operation, object, access, site),
            false => checker.step(operation, &[(object, access)], site),
        }
    }
}

/// Uninstalls the checker when dropped.
#[must_use = "the checker is uninstalled when this is dropped"]
pub struct Installed {
    /// A checker belongs to one thread, and so does its guard.
    _not_send: std::marker::PhantomData<Rc<()>>,
}

impl fmt::Debug for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Installed")
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        ACTIVE.set(false);
        OBSERVED.set(false);
        let checker = CHECKER.try_with(|slot| slot.borrow_mut().take());
        drop(checker);
    }
}

/// Makes `checker` the one that this thread's operations announce themselves to.
///
/// # Panics
/// If this thread has a checker already: a model cannot run inside a model.
pub fn install(checker: Rc<dyn Checker>) -> Installed {
    let installed = observe(checker);
    ACTIVE.set(true);
    installed
}

/// As [`install`] for a checker that is told of [`created`], [`parked`] and [`unparked`] only: it
/// takes notes for its reports, and something else, such as loom, is in control.
///
/// # Panics
/// As [`install`].
pub fn observe(checker: Rc<dyn Checker>) -> Installed {
    assert!(
        !OBSERVED.get(),
        "this thread already runs a model: a model cannot be started inside another one"
    );
    CHECKER.with(|slot| *slot.borrow_mut() = Some(checker));
    OBSERVED.set(true);
    Installed {
        _not_send: std::marker::PhantomData,
    }
}

/// An object that goroutines communicate by was made. `kind` is what a report calls it
/// (`"channel"`), `site` where the user made it.
#[inline]
pub fn created(object: u64, kind: &'static str, site: Site) {
    if OBSERVED.get() {
        with_checker(|checker| checker.created(object, kind, None, site));
    }
}

/// As [`created`], for a queue that holds `capacity` values beside those whose senders wait.
///
/// Its `Give`s and `Take`s are served in the order of their steps, so that only the n-th `Give` and
/// the n-th `Take`, or the one that makes room for it, can find each other missing.
#[inline]
pub fn created_queue(object: u64, kind: &'static str, capacity: usize, site: Site) {
    if OBSERVED.get() {
        with_checker(|checker| checker.created(object, kind, Some(capacity), site));
    }
}

/// One operation on one object is about to happen. Other goroutines may run before this returns.
///
/// ```
/// # use gorin_base::hook::{self, Access};
/// # struct Channel { id: u64 }
/// impl Channel {
///     #[track_caller]
///     fn close(&self) {
///         hook::step("chan close", self.id, Access::Write, std::panic::Location::caller());
///         // … lock, close, unlock, wake
///     }
/// }
/// # Channel { id: 1 }.close();
/// ```
#[inline]
pub fn step(operation: &'static str, object: u64, access: Access, site: Site) {
    if is_active() {
        announce(operation, object, access, site, false);
    }
}

/// As [`step`] for an operation that waits until it can be done, as long as its future is not
/// dropped. Of an operation that may have to wait, only such a one may say `Give` or `Take`.
///
/// Whoever polls the future may do something else while it waits (a time limit does); then the
/// order matters after all. The checker finds that out by itself.
#[inline]
pub fn waiting_step(operation: &'static str, object: u64, access: Access, site: Site) {
    if is_active() {
        announce(operation, object, access, site, true);
    }
}

/// As [`step`] for an operation that decides over several objects at once. The iterator is used
/// only if a checker is installed.
#[inline]
pub fn step_all<I>(operation: &'static str, objects: impl FnOnce() -> I, site: Site)
where
    I: IntoIterator<Item = (u64, Access)>,
{
    if is_active() {
        let objects: Vec<_> = objects().into_iter().collect();
        with_checker(|checker| checker.step(operation, &objects, site));
    }
}

/// The operation announced last by this goroutine is queued and waits.
#[inline]
pub fn parked(wait: Wait) {
    if OBSERVED.get() {
        with_checker(|checker| checker.parked(wait));
    }
}

/// The operation that was [`parked`] under (`object`, `key`) is no longer queued: its future has
/// taken the result, or was dropped.
#[inline]
pub fn unparked(object: u64, key: usize) {
    if OBSERVED.get() {
        announce_unparked(object, key);
    }
}

/// As [`announce`], of [`unparked`].
#[cold]
#[inline(never)]
fn announce_unparked(object: u64, key: usize) {
    if let Some(checker) = checker() {
        checker.unparked(object, key);
    }
}

/// A send or a reservation of the running goroutine failed for good: `object` is closed. `at_once`
/// if it never waited, so that it was begun after all that the goroutine had been told before.
///
/// Only a note, which suspends nobody: unlike a step it may be given under a lock.
#[inline]
pub fn refused(object: u64, at_once: bool) {
    if is_active() {
        with_checker(|checker| checker.refused(object, at_once));
    }
}

/// The running goroutine has dropped the last receiver of `object` with so many values in it that
/// their senders were told are sent. Only a note.
#[inline]
pub fn lost(object: u64, values: usize) {
    if values > 0 && is_active() {
        with_checker(|checker| checker.lost(object, values));
    }
}

/// A handle of `object` is about to be dropped that is not the last one; true if that is a step.
#[inline]
pub fn leaves(object: u64) -> bool {
    is_active() && with_checker(|checker| checker.leaves(object)).unwrap_or(false)
}

/// The drop that was announced as [`Access::Leave`] was that of the last handle of its kind, and uses
/// the object as `access` says. Only a note.
#[inline]
pub fn was_last(access: Access) {
    if is_active() {
        with_checker(|checker| checker.was_last(access));
    }
}

/// How many steps were taken so far. An operation that polls futures of the user's between its step and
/// its look at the objects announces itself again if there were more meanwhile; 0 without a checker.
#[inline]
pub fn steps() -> usize {
    if is_active() {
        with_checker(|checker| checker.steps()).unwrap_or(0)
    } else {
        0
    }
}

/// A number in `0..n` that the checker wants to see explored; `None` without a checker, or if it
/// leaves choices to the caller.
#[inline]
pub fn choose(n: usize) -> Option<usize> {
    if is_active() {
        with_checker(|checker| checker.choose(n)).flatten()
    } else {
        None
    }
}

/// The checker's virtual time; `None` without a checker.
#[inline]
pub fn now() -> Option<Instant> {
    if is_active() {
        with_checker(|checker| checker.now()).flatten()
    } else {
        None
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::task::Poll;

    use super::*;

    #[derive(Default)]
    struct Recorder(RefCell<Vec<String>>);

    impl Recorder {
        fn note(&self, line: String) {
            self.0.borrow_mut().push(line);
        }
    }

    impl Checker for Recorder {
        fn created(&self, object: u64, kind: &'static str, capacity: Option<usize>, _site: Site) {
            self.note(format!("created {kind} {object} {capacity:?}"));
        }
        fn step(&self, operation: &'static str, objects: &[(u64, Access)], _site: Site) {
            self.note(format!("{operation} {objects:?}"));
        }
        fn waiting_step(&self, operation: &'static str, object: u64, access: Access, site: Site) {
            self.step(operation, &[(object, access)], site);
        }
        fn parked(&self, wait: Wait) {
            self.note(format!("parked {} {}", wait.object, wait.key));
        }
        fn unparked(&self, object: u64, key: usize) {
            self.note(format!("unparked {object} {key}"));
        }
        fn refused(&self, object: u64, at_once: bool) {
            self.note(format!("refused by {object} {at_once}"));
        }
        fn lost(&self, object: u64, values: usize) {
            self.note(format!("lost {values} in {object}"));
        }
        fn leaves(&self, object: u64) -> bool {
            self.note(format!("leaves {object}"));
            true
        }
        fn was_last(&self, access: Access) {
            self.note(format!("was last as {access:?}"));
        }
        fn steps(&self) -> usize {
            self.0.borrow().len()
        }
        fn choose(&self, n: usize) -> Option<usize> {
            Some(n - 1)
        }
        fn now(&self) -> Option<Instant> {
            None
        }
        fn set_timer(&self, _deadline: Instant, _waker: &Waker) -> TimerKey {
            TimerKey(NonZeroU64::MIN)
        }
        fn move_timer(&self, key: TimerKey, _deadline: Instant) {
            self.note(format!("moved {}", key.0));
        }
        fn cancel_timer(&self, key: TimerKey) {
            self.note(format!("cancelled {}", key.0));
        }
    }

    #[track_caller]
    fn announce_everything() -> (Option<usize>, Option<Poll<()>>) {
        let site = Location::caller();
        created(1, "wait group", site);
        created_queue(2, "channel", 5, site);
        step("chan send", 1, Access::Write, site);
        waiting_step("chan receive", 2, Access::Take, site);
        step_all("select", || [(1, Access::Write), (2, Access::Write)], site);
        parked(Wait {
            operation: "select",
            object: 1,
            key: 3,
            site,
        });
        unparked(1, 3);
        refused(2, true);
        lost(2, 4);
        lost(2, 0);
        leaves(2);
        was_last(Access::Give);
        let mut timer = VirtualTimer::new();
        let polled = timer.poll(crate::clock::now(), Waker::noop());
        timer.reset(crate::clock::now());
        (choose(4), polled)
    }

    #[test]
    fn announcements_reach_the_installed_checker_and_nobody_afterwards() {
        assert_eq!(announce_everything(), (None, None));
        let recorder = Rc::new(Recorder::default());
        let installed = install(recorder.clone());
        assert_eq!(announce_everything(), (Some(3), Some(Poll::Pending)));
        drop(installed);
        assert_eq!(announce_everything(), (None, None));
        let seen = recorder.0.borrow();
        let expected = [
            "created wait group 1 None",
            "created channel 2 Some(5)",
            "chan send [(1, Write)]",
            "chan receive [(2, Take)]",
            "select [(1, Write), (2, Write)]",
            "parked 1 3",
            "unparked 1 3",
            "refused by 2 true",
            "lost 4 in 2",
            "leaves 2",
            "was last as Give",
            "moved 1",
            "cancelled 1",
        ];
        assert_eq!(*seen, expected);
    }

    #[test]
    #[should_panic(expected = "a model cannot be started inside another one")]
    fn a_second_checker_is_refused() {
        let _first = install(Rc::new(Recorder::default()));
        let _second = install(Rc::new(Recorder::default()));
    }

    #[test]
    fn conflicts_are_symmetric_and_only_these_pairs_commute() {
        use Access::{Commute, Give, Leave, Raise, Read, Take, Write};
        let all = [Read, Commute, Raise, Give, Take, Leave, Write];
        let pairs = all.iter().flat_map(|&a| all.iter().map(move |&b| (a, b)));
        let commuting: Vec<_> = pairs.filter(|(a, b)| !a.conflicts(*b)).collect();
        let expected = [
            (Read, Read),
            (Commute, Commute),
            (Raise, Raise),
            (Give, Take),
            (Take, Give),
            (Leave, Leave),
        ];
        assert_eq!(commuting, expected);
    }
}
