//! Waiting, with a lock given up meanwhile, until another goroutine says that something has changed.
//!
//! A line of waiters under a lock of its own. Who waits first stands in line and then unlocks the mutex, so
//! whoever changes the value under the mutex afterwards finds it there. A waiter that is notified is
//! out of the line, and then wants the mutex like anybody else.
//!
//! A notification for one that is given to a wait which is then dropped, before it has the mutex again, is
//! the next one's. One for all is nobody's else: all have theirs. So a waiter notes which of the two it got:
//! [`Phase::Done`] is one by itself, [`Phase::Closed`] one for all.
//!
//! Like [`Notify`](crate::sync::Notify) a wait does not ask for the budget before it stands in line; the lock that
//! it takes at its end does.
//!
//! Rejected: the channel of `Notify`, with room for none. Its receives cannot tell whether they were
//! notified alone, so a wait that is dropped after a `notify_all` would wake somebody who has begun to
//! wait since.
//!
//! Must not: clone, wake or drop a waker under its lock.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use gorin_base::hook::{self, Access, Site, Wait as HookWait};
use gorin_base::primitive::unwinding;
use gorin_base::{id, seeded};

use super::mutex::{LockFut, Mutex, MutexGuard};
use crate::line::{self, Line};
use crate::lock;
use crate::waiter::{Key, Phase, Side, Waiters, Wakeup, Wants};

/// Lets goroutines wait until what a [`Mutex`] protects has changed: Go's `sync.Cond`.
///
/// Often a channel or [`Notify`](crate::sync::Notify) is simpler, and can be a case of a `select!` with less
/// thought.
///
/// ```
/// use gorin_channel::sync::{Cond, Mutex};
/// # futures::executor::block_on(async {
/// let (queue, more) = (Mutex::new(Vec::new()), Cond::new());
/// let consumer = async {
///     let guard = queue.lock().await;
///     let mut guard = more.wait_while(guard, |queue| queue.is_empty()).await;
///     guard.pop()
/// };
/// let producer = async {
///     queue.lock().await.push("job");
///     more.notify_one();
/// };
/// let (job, ()) = futures::join!(consumer, producer);
/// assert_eq!(job, Some("job"));
/// # });
/// ```
///
/// Those who wait together use the same mutex. A wait ends only by a notification; but the lock may have
/// been had by others since, so look at the condition again, or let
/// [`wait_while`](Self::wait_while) do it.
pub struct Cond {
    id: id::Lazy,
    /// All on the side of receivers; what they wait for has no value.
    line: lock::Lock<Waiters<()>>,
}

impl Line for Waiters<()> {
    type Value = ();

    #[inline]
    fn waiters(&mut self) -> &mut Waiters<()> {
        self
    }
}

impl Cond {
    /// Nobody waits.
    #[track_caller]
    pub fn new() -> Self {
        let id = id::Lazy::drawn();
        hook::created(id.get(), "cond", Location::caller());
        Self {
            id,
            line: lock::Lock::new(Waiters::new()),
        }
    }

    /// One for a static, as [`Mutex::const_new`].
    #[cfg(not(loom))]
    pub const fn const_new() -> Self {
        Self {
            id: id::Lazy::new(),
            line: lock::Lock::new(Waiters::new()),
        }
    }

    /// Notifies the goroutine that has waited longest, if one waits. The mutex may be locked meanwhile, or not.
    #[track_caller]
    pub fn notify_one(&self) {
        self.announce("Cond notify_one", Location::caller());
        self.notify(Phase::Done);
    }

    /// Notifies all who wait now.
    #[track_caller]
    pub fn notify_all(&self) {
        self.announce("Cond notify_all", Location::caller());
        let mut line = self.line.lock();
        let phase = if seeded::bug("cond.all_are_passed_on") {
            Phase::Done
        } else {
            Phase::Closed
        };
        let all = std::iter::from_fn(|| {
            let first = line.dequeue(Side::Receive, |_| true)?;
            Some(first.complete(phase))
        });
        let most = match seeded::bug("cond.notify_all_forgets_others") {
            true => 1,
            false => usize::MAX,
        };
        let wakeups: Vec<Wakeup> = all.take(most).collect();
        drop(line);
        Wakeup::wake_all(wakeups);
    }

    /// Ends the wait of the first in line.
    fn notify(&self, phase: Phase) {
        let mut line = self.line.lock();
        let first = line.dequeue(Side::Receive, |_| true);
        let wakeup = first.map(|first| first.complete(phase));
        drop(line);
        Wakeup::wake_any(wakeup);
    }

    /// Unlocks the mutex of `guard`, waits for a notification, and locks it again. Nothing happens before
    /// the future is polled; from the first poll on it waits.
    ///
    /// A notification that comes after the mutex was unlocked is not missed.
    ///
    /// # Cancel safety
    /// A dropped wait leaves the mutex unlocked, if it was polled. If it was notified by
    /// [`notify_one`](Self::notify_one), the next who waits is notified instead.
    #[track_caller]
    pub fn wait<'c, 'a, T: ?Sized>(&'c self, guard: MutexGuard<'a, T>) -> CondWait<'c, 'a, T> {
        self.wait_at(guard, Location::caller())
    }

    fn wait_at<'c, 'a, T: ?Sized>(
        &'c self,
        guard: MutexGuard<'a, T>,
        site: Site,
    ) -> CondWait<'c, 'a, T> {
        CondWait {
            cond: self,
            mutex: MutexGuard::mutex(&guard),
            stage: Stage::Fresh(guard),
            site,
        }
    }

    /// [Waits](Self::wait) as long as `condition` is true of the value. It is asked first before
    /// anything is unlocked, and always with the lock.
    ///
    /// # Cancel safety
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_while<'c, 'a, T, F>(
        &'c self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> impl Future<Output = MutexGuard<'a, T>> + use<'c, 'a, T, F>
    where
        T: ?Sized,
        F: FnMut(&mut T) -> bool,
    {
        let site = Location::caller();
        async move {
            while condition(&mut guard) {
                guard = self.wait_at(guard, site).await;
            }
            guard
        }
    }

    #[inline]
    fn announce(&self, operation: &'static str, site: Site) {
        if hook::is_active() {
            hook::step(operation, self.id.get(), Access::Write, site);
        }
    }

    /// Stands in line.
    fn enter(&self, waker: &Waker, site: Site) -> Key {
        self.announce("Cond wait", site);
        let waker = Some(waker.clone());
        let key = self.line.lock().push(Wants::Value, None, waker);
        if hook::is_observed() {
            hook::parked(HookWait {
                operation: "Cond wait",
                object: self.id.get(),
                key: key.index(),
                site,
            });
        }
        key
    }

    /// How the waiter was notified; else `waker` will be woken.
    fn poll_waiter(&self, key: Key, waker: &Waker) -> Poll<Phase> {
        let polled = line::poll_waiter(&self.line, key, (self.id.get(), key.index()), waker);
        polled.map(|outcome| outcome.phase)
    }

    /// A waiter gives up.
    #[cold]
    fn withdraw(&self, key: Key, site: Site) {
        self.announce("withdrawal", site);
        let removed = self.line.lock().remove(key);
        hook::unparked(self.id.get(), key.index());
        if removed.phase == Phase::Done && !seeded::bug("cond.notified_and_dropped") {
            self.notify(Phase::Done);
        }
    }
}

impl Default for Cond {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Cond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cond").finish_non_exhaustive()
    }
}

/// The future of [`Cond::wait`].
#[must_use = "futures do nothing unless polled"]
pub struct CondWait<'c, 'a, T: ?Sized> {
    cond: &'c Cond,
    mutex: &'a Mutex<T>,
    stage: Stage<'a, T>,
    site: Site,
}

/// How far a wait has come.
enum Stage<'a, T: ?Sized> {
    /// Not polled yet.
    Fresh(MutexGuard<'a, T>),
    InLine(Key),
    /// Notified; it wants the mutex back.
    Notified {
        phase: Phase,
        lock: LockFut<'a, T>,
    },
    Ended,
}

impl<'a, T: ?Sized> Future for CondWait<'_, 'a, T> {
    type Output = MutexGuard<'a, T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            match &mut this.stage {
                Stage::Fresh(_) => {
                    this.begin(cx.waker());
                    return Poll::Pending;
                }
                Stage::InLine(key) => {
                    let phase = ready!(this.cond.poll_waiter(*key, cx.waker()));
                    let lock = this.mutex.lock_at(this.site);
                    this.stage = Stage::Notified { phase, lock };
                }
                Stage::Notified { lock, .. } => {
                    let guard = ready!(Pin::new(lock).poll(cx));
                    this.stage = Stage::Ended;
                    return Poll::Ready(guard);
                }
                Stage::Ended => panic!("a Cond wait was polled after it had ended"),
            }
        }
    }
}

impl<T: ?Sized> CondWait<'_, '_, T> {
    /// Stands in line, and unlocks the mutex then.
    fn begin(&mut self, waker: &Waker) {
        if seeded::bug("cond.unlocks_before_it_waits") {
            self.stage = Stage::Ended;
        }
        let key = self.cond.enter(waker, self.site);
        let before = std::mem::replace(&mut self.stage, Stage::InLine(key));
        drop(before);
    }
}

impl<T: ?Sized> Drop for CondWait<'_, '_, T> {
    fn drop(&mut self) {
        if unwinding() {
            return;
        }
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::InLine(key) => self.cond.withdraw(key, self.site),
            Stage::Notified { phase, lock } => {
                // Before the lock is given up, which wakes somebody whose waker may panic.
                if phase == Phase::Done && !seeded::bug("cond.notified_and_dropped_late") {
                    self.cond.announce("withdrawal", self.site);
                    self.cond.notify(Phase::Done);
                }
                drop(lock);
            }
            Stage::Fresh(_) | Stage::Ended => {}
        }
    }
}

impl<T: ?Sized> fmt::Debug for CondWait<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CondWait")
            .field("mutex", &(&raw const *self.mutex).cast::<()>())
            .finish_non_exhaustive()
    }
}
