//! Waiting until a number of goroutines are done.
//!
//! A counter and an event list. The counter falls to zero by exactly one token's drop, which then
//! notifies all; a waiter first enters the list and then looks at the counter, so either it sees the
//! zero or the notification finds it. Both sides have a full fence between their write and their
//! look: `listen` and `notify` contain it.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use event_listener::{Event, EventListener};
use gorin_base::hook::{self, Access, Site, Wait as HookWait};
use gorin_base::primitive::{self, Arc, AtomicUsize, Ordering};
use gorin_base::{coop, seeded};

/// Waits for goroutines to finish: each holds a [`Token`], and dropping it is Go's `Done`.
///
/// Clones are handles of the same group. The group can be used again after it was waited for.
///
/// ```
/// use gorin_channel::sync::WaitGroup;
/// let group = WaitGroup::new();
/// let threads: Vec<_> = (0..3)
///     .map(|_| {
///         let token = group.add();
///         std::thread::spawn(move || drop(token))
///     })
///     .collect();
/// futures::executor::block_on(group.wait());
/// assert_eq!(group.count(), 0);
/// # threads.into_iter().for_each(|thread| thread.join().unwrap());
/// ```
///
/// Take the token before the goroutine starts, not inside it: otherwise `wait` may come first and
/// find nobody to wait for.
#[derive(Clone)]
pub struct WaitGroup {
    inner: Arc<Inner>,
}

struct Inner {
    id: u64,
    /// Tokens alive. Incremented by `add` and by a token's clone, decremented by a token's drop
    /// (Release, so that what its goroutine did is seen), read by waiters (Acquire).
    count: AtomicUsize,
    zero: Event,
}

impl WaitGroup {
    /// A group without members.
    #[track_caller]
    pub fn new() -> Self {
        let id = gorin_base::id::next();
        hook::created(id, "wait group", Location::caller());
        Self {
            inner: Arc::new(Inner {
                id,
                count: AtomicUsize::new(0),
                zero: Event::new(),
            }),
        }
    }

    /// Adds one member, until the token is dropped.
    #[track_caller]
    pub fn add(&self) -> Token {
        Token::new(&self.inner, Location::caller())
    }

    /// Members that are not done.
    #[track_caller]
    pub fn count(&self) -> usize {
        hook::step(
            "WaitGroup count",
            self.inner.id,
            Access::Read,
            Location::caller(),
        );
        // Acquire: pairs with the decrement of `Token::drop`, for callers that act on a zero.
        self.inner.count.load(Ordering::Acquire)
    }

    /// Waits until there is no member. What the members did before they dropped their tokens
    /// happens before the end of the wait.
    ///
    /// # Cancel safety
    /// A dropped wait has no effect.
    #[track_caller]
    pub fn wait(&self) -> WaitFut<'_> {
        WaitFut {
            inner: &self.inner,
            listener: None,
            site: Location::caller(),
        }
    }
}

impl Default for WaitGroup {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup")
            .field("id", &self.inner.id)
            .finish_non_exhaustive()
    }
}

/// One member of a [`WaitGroup`]; dropping it says that the member is done. A clone is a member of
/// its own.
#[must_use = "a token that is dropped at once counts for nothing"]
pub struct Token {
    inner: Arc<Inner>,
}

impl Token {
    #[track_caller]
    fn new(inner: &Arc<Inner>, site: Site) -> Self {
        hook::step("WaitGroup add", inner.id, Access::Commute, site);
        // Relaxed: nothing is published; whoever lets a member go on to another thread orders that.
        inner.count.fetch_add(1, Ordering::Relaxed);
        Self {
            inner: inner.clone(),
        }
    }
}

impl Clone for Token {
    #[track_caller]
    fn clone(&self) -> Self {
        Self::new(&self.inner, Location::caller())
    }
}

impl Drop for Token {
    #[track_caller]
    fn drop(&mut self) {
        if primitive::unwinding() {
            return;
        }
        hook::step(
            "WaitGroup done",
            self.inner.id,
            Access::Commute,
            Location::caller(),
        );
        // Release publishes what this member did to the waiter's Acquire load; Acquire passes on
        // what earlier members published, because the last one's notification speaks for all.
        let order = if seeded::bug("wait_group.relaxed_done") {
            Ordering::Relaxed
        } else {
            Ordering::AcqRel
        };
        if self.inner.count.fetch_sub(1, order) == 1 && !seeded::bug("wait_group.nobody_notified") {
            self.inner.zero.notify(usize::MAX);
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("group", &self.inner.id)
            .finish_non_exhaustive()
    }
}

/// The future of [`WaitGroup::wait`].
#[must_use = "futures do nothing unless polled"]
pub struct WaitFut<'a> {
    inner: &'a Inner,
    /// Present while this waits in the event list.
    listener: Option<EventListener>,
    site: Site,
}

/// A wait group has one kind of waiter, which a checker need not tell apart.
const HOOK_KEY: usize = 0;

impl Future for WaitFut<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(coop::poll_ready(cx));
        let this = self.get_mut();
        if this.listener.is_none() {
            hook::step("WaitGroup wait", this.inner.id, Access::Read, this.site);
            // Acquire, here and below: pairs with the decrement of `Token::drop`.
            if this.inner.count.load(Ordering::Acquire) == 0 {
                return Poll::Ready(());
            }
            let listener = this.inner.zero.listen();
            if !seeded::bug("wait_group.no_second_look")
                && this.inner.count.load(Ordering::Acquire) == 0
            {
                return Poll::Ready(());
            }
            this.listener = Some(listener);
            hook::parked(HookWait {
                operation: "WaitGroup wait",
                object: this.inner.id,
                key: HOOK_KEY,
                site: this.site,
            });
        }
        if let Some(listener) = &mut this.listener {
            // Notified only by a count of zero, so the count need not be looked at again: it may
            // have grown since, but it was zero.
            ready!(Pin::new(listener).poll(cx));
            // The notification is ordered after the decrement that caused it; this makes the
            // members' work visible also where the event list orders nothing.
            this.inner.count.load(Ordering::Acquire);
            this.listener = None;
            hook::unparked(this.inner.id, HOOK_KEY);
            coop::spend();
        }
        Poll::Ready(())
    }
}

impl Drop for WaitFut<'_> {
    fn drop(&mut self) {
        if primitive::unwinding() {
            // A failed model unwinds: the listener's destructor would touch loom's objects.
            std::mem::forget(self.listener.take());
        } else if self.listener.take().is_some() {
            hook::unparked(self.inner.id, HOOK_KEY);
        }
    }
}

impl fmt::Debug for WaitFut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitFut")
            .field("group", &self.inner.id)
            .finish_non_exhaustive()
    }
}
