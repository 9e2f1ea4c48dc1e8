//! Waiting until a number of goroutines are done.
//!
//! A counter and an event list. The counter falls to zero by exactly one token's drop, which then
//! notifies all; a waiter first enters the list and then looks at the counter, so either it sees the
//! zero or the notification finds it. Both sides have a full fence between their write and their
//! look: `listen` and `notify` contain it.
//!
//! A notification comes later than its zero. In between the group may be used again, and who waits then must
//! not be ended by it; so zeros are counted together with the members, and a wait ends when there has been one
//! since it began.
//!
//! event-listener wakes under a lock of its own, so a waker that comes back to its group hangs. Rejected, as
//! long as nobody has such wakers: a list of our own, under a lock of ours.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use event_listener::{Event, EventListener};
use gorin_base::hook::{self, Access, Site, Wait as HookWait};
use gorin_base::primitive::{self, Arc, AtomicU64, Ordering};
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
    /// [`State`]. Members are added by `add` and by a token's clone, and leave by a token's drop (Release, so
    /// that what its goroutine did is seen), which counts a zero with the last one; read by waiters (Acquire).
    state: AtomicU64,
    zero: Event,
}

/// The members that are not done, in the lower half, and how often there were none left, in the upper one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State(u64);

impl State {
    /// A member more.
    const MEMBER: u64 = 1;

    fn members(self) -> u32 {
        self.0 as u32
    }

    fn zeros(self) -> u32 {
        (self.0 >> u32::BITS) as u32
    }

    /// With a member less; the last one makes a zero.
    fn without_member(self) -> State {
        let zero = u64::from(self.members() == 1) << u32::BITS;
        State((self.0 - State::MEMBER).wrapping_add(zero))
    }
}

impl Inner {
    fn load(&self, order: Ordering) -> State {
        State(self.state.load(order))
    }

    /// A member is done; true if it was the last one.
    fn leave(&self) -> bool {
        // Release publishes what this member did to the waiter's Acquire load; Acquire passes on
        // what earlier members published, because the last one's notification speaks for all.
        let order = if seeded::bug("wait_group.relaxed_done") {
            Ordering::Relaxed
        } else {
            Ordering::AcqRel
        };
        // Relaxed, also if the exchange fails: a guess, which the next exchange confirms or not.
        let mut now = self.load(Ordering::Relaxed);
        loop {
            let then = now.without_member();
            let left = self
                .state
                .compare_exchange(now.0, then.0, order, Ordering::Relaxed);
            match left {
                Ok(_) => return then.members() == 0,
                Err(other) => now = State(other),
            }
        }
    }

    /// Begins a wait, or goes on with it, unless there has been a zero more than `zeros`.
    fn listen(&self, zeros: u32) -> Option<Waiting> {
        let listener = self.zero.listen();
        let waits = !self.is_over(zeros) || seeded::bug("wait_group.no_second_look");
        waits.then_some(Waiting { zeros, listener })
    }

    /// Whether a wait is over that began when there had been `zeros`.
    fn is_over(&self, zeros: u32) -> bool {
        // Acquire: pairs with the exchange in `leave`.
        self.load(Ordering::Acquire).zeros() != zeros
    }
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
                state: AtomicU64::new(0),
                zero: Event::new(),
            }),
        }
    }

    /// Adds one member, until the token is dropped.
    #[track_caller]
    pub fn add(&self) -> Token {
        Token::new(&self.inner, Access::Raise, Location::caller())
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
        // Acquire: pairs with the exchange in `leave`, for callers that act on a zero.
        self.inner.load(Ordering::Acquire).members() as usize
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
            waiting: None,
            over: false,
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
    fn new(inner: &Arc<Inner>, access: Access, site: Site) -> Self {
        hook::step("WaitGroup add", inner.id, access, site);
        // Relaxed: nothing is published; whoever lets a member go on to another thread orders that.
        let before = State(inner.state.fetch_add(State::MEMBER, Ordering::Relaxed));
        assert!(
            before.members() < u32::MAX,
            "a wait group has room for 2^32 - 1 members"
        );
        Self {
            inner: inner.clone(),
        }
    }
}

impl Clone for Token {
    #[track_caller]
    fn clone(&self) -> Self {
        // Neither before nor after it is another member the last one.
        Self::new(&self.inner, Access::Commute, Location::caller())
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
        if self.inner.leave() && !seeded::bug("wait_group.nobody_notified") {
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
    /// Present while this waits.
    waiting: Option<Waiting>,
    /// There was no member; its goroutine lets others run before it is told.
    over: bool,
    site: Site,
}

/// A wait in the event list.
struct Waiting {
    /// The zeros that there had been when it began.
    zeros: u32,
    listener: EventListener,
}

/// A wait group has one kind of waiter, which a checker need not tell apart.
const HOOK_KEY: usize = 0;

impl WaitFut<'_> {
    /// Waits, from the first poll on.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting.is_none() {
            hook::step("WaitGroup wait", self.inner.id, Access::Read, self.site);
            // Acquire: as in `is_over`.
            let state = self.inner.load(Ordering::Acquire);
            if state.members() == 0 {
                return Poll::Ready(());
            }
            self.waiting = self.inner.listen(state.zeros());
            if self.waiting.is_none() {
                return Poll::Ready(());
            }
            hook::parked(HookWait {
                operation: "WaitGroup wait",
                object: self.inner.id,
                key: HOOK_KEY,
                site: self.site,
            });
        }
        while let Some(Waiting { zeros, listener }) = &mut self.waiting {
            ready!(Pin::new(listener).poll(cx));
            // Of a zero since the wait began, or late of one before that.
            let over = self.inner.is_over(*zeros) || seeded::bug("wait_group.any_notification");
            let next = if over {
                None
            } else {
                self.inner.listen(*zeros)
            };
            self.waiting = next;
        }
        hook::unparked(self.inner.id, HOOK_KEY);
        Poll::Ready(())
    }
}

impl Future for WaitFut<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !this.over {
            ready!(this.poll_over(cx));
            this.over = true;
        }
        // After the wait: one that was begun must not miss a zero for want of budget.
        ready!(coop::poll_ready(cx));
        coop::spend();
        this.over = false;
        Poll::Ready(())
    }
}

impl Drop for WaitFut<'_> {
    fn drop(&mut self) {
        if primitive::unwinding() {
            // A failed model unwinds: the listener's destructor would touch loom's objects.
            std::mem::forget(self.waiting.take());
        } else if self.waiting.take().is_some() {
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
