//! The state word of a task: every transition of its life, each one a function that returns what
//! the caller must do next.
//!
//! | bit | name | meaning |
//! |---|---|---|
//! | 0 | `OWNED` | one [`Runnable`](super::Runnable) exists: in a queue, or in the hands of a worker that polls it |
//! | 1 | `NOTIFIED` | woken since the owner last looked: the owner polls it (again) |
//! | 2 | `COMPLETE` | the future is gone and the output stored; set once, never cleared |
//! | 3 | `ABORTED` | the owner is to drop the future instead of polling it |
//! | 4 | `JOINABLE` | the [`JoinHandle`](super::JoinHandle) exists; it takes the output |
//! | 5 | `JOIN_WAKER` | the join waker's field is filled and belongs to whoever completes the task |
//! | 6… | references | wakers + join handle (1) + registration with the scheduler (0 or 1) |
//!
//! Invariants:
//! 1. Only the owner touches the future; there is one owner at most (`OWNED`).
//! 2. The cell is freed when no reference is left *and* `OWNED` is clear. The owner needs no
//!    reference of its own, so that becoming owner and giving up cost no counting.
//! 3. The join waker's field belongs to the join handle while `JOIN_WAKER` is clear, and to the
//!    completer once `COMPLETE` was set with `JOIN_WAKER` on. The handle clears `JOIN_WAKER` before
//!    it touches the field again; it cannot once `COMPLETE` is set.
//! 4. The output belongs to the join handle once `COMPLETE` was set with `JOINABLE` on; otherwise
//!    to the owner, who drops it.
//! 5. A wake is never lost: it either makes the task `OWNED` (the waker queues it) or leaves
//!    `NOTIFIED` for the owner, who clears it only before a poll.
//!
//! Read-modify-writes per scheduled poll: wake 1, start 0, going idle 1; a task that wakes itself:
//! wake 1, start 1, no going idle. Spawn to completion: 1 beside those of the queues (2 if somebody
//! awaits it meanwhile). tokio's counterpart needs 3, 3 and 2–3: it marks the start of each poll,
//! and counts a reference for each queue entry.
//!
//! Must not: touch any field but the word itself, or know about schedulers.

use std::fmt;

use gorin_base::primitive::{AtomicUsize, Ordering};
use gorin_base::seeded;

const OWNED: usize = 1;
const NOTIFIED: usize = 1 << 1;
const COMPLETE: usize = 1 << 2;
const ABORTED: usize = 1 << 3;
const JOINABLE: usize = 1 << 4;
const JOIN_WAKER: usize = 1 << 5;
const REFERENCE: usize = 1 << 6;

/// Written by everyone who holds a reference, and by the owner.
///
/// Orderings: giving the task up (`pause`, `complete`) releases what the owner wrote into the cell;
/// becoming owner (`wake`, `abort`, `drop_reference`, `detach`) acquires it. A wake of an owned task
/// releases what the waking thread wrote before, and `start` acquires it when it clears `NOTIFIED`.
/// Freeing needs everybody else's last access to be over: each decrement releases, the last one
/// acquires.
pub(super) struct State(AtomicUsize);

/// What follows a wake or an abort.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum OnWake {
    /// Nothing: it is owned and will be polled again, or complete.
    Nothing,
    /// The caller became the owner and must queue it.
    Schedule,
    /// The consumed reference was the last one of a complete task: free the cell.
    Free,
}

/// What the owner does with a task it took from a queue.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum OnStart {
    /// Poll the future.
    Poll,
    /// Drop the future: the task was aborted.
    Cancel,
}

/// What the owner does after a poll that returned `Pending`.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum OnPause {
    /// Nothing: ownership is given up and the cell must not be touched any more.
    Idle,
    /// Queue it again: it was woken meanwhile. The caller is still the owner.
    Again,
    /// Drop the future: it was aborted, or nobody is left who could wake it. Still the owner.
    Cancel,
}

/// What the owner does once the output is stored.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum OnComplete {
    /// Nothing happened yet: no handle takes the output; drop it and complete again.
    Unclaimed,
    /// Wake the joiner, then call [`State::release_completed`].
    WakeJoiner,
    /// Nothing: others hold references. The cell must not be touched any more.
    Released,
    /// Free the cell.
    Free,
}

/// What follows the loss of a reference.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum OnDrop {
    /// Nothing: others, or the owner, keep the cell alive.
    Alive,
    /// Nobody is left who could wake it: the caller became the owner of the now aborted task and
    /// must queue it, so that the future is dropped.
    Schedule,
    /// Free the cell.
    Free,
}

/// What the join handle does when it is dropped.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum OnDetach {
    /// Its reference is gone too; as [`OnDrop`] says.
    Detached(OnDrop),
    /// Drop the join waker, then the reference.
    DropWaker,
    /// Drop the output if it was not taken, then the reference.
    DropOutput,
}

impl State {
    /// A task with a join handle and an owner, and with one more reference if it is `registered`.
    pub(super) fn new(registered: bool) -> State {
        let references = 1 + usize::from(registered);
        State(AtomicUsize::new(
            OWNED | JOINABLE | (references * REFERENCE),
        ))
    }

    /// Applies `next` until it wins; `Err` ends it without a change.
    fn update<R>(&self, next: impl Fn(usize) -> Result<(usize, R), R>) -> R {
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            let (new, outcome) = match next(seen) {
                Ok(change) => change,
                Err(outcome) => return outcome,
            };
            match self
                .0
                .compare_exchange_weak(seen, new, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return outcome,
                Err(now) => seen = now,
            }
        }
    }

    /// A wake through a reference that stays.
    ///
    /// An owned task gets `NOTIFIED` by a read-modify-write even if the bit is set already: the
    /// owner's clearing of it must see what was written before *this* wake.
    #[inline]
    pub(super) fn wake_by_ref(&self) -> OnWake {
        self.update(|state| {
            if state & COMPLETE != 0 {
                Err(OnWake::Nothing)
            } else if state & OWNED != 0 {
                let known = state & NOTIFIED != 0 && seeded::bug("task.second_wake_skipped");
                if known || seeded::bug("task.lost_wake") {
                    return Err(OnWake::Nothing);
                }
                Ok((state | NOTIFIED, OnWake::Nothing))
            } else {
                Ok((state | OWNED, OnWake::Schedule))
            }
        })
    }

    /// A wake that consumes its reference; one read-modify-write does both.
    #[inline]
    pub(super) fn wake_by_value(&self) -> OnWake {
        self.update(|state| {
            let left = state - REFERENCE;
            Ok(if state & COMPLETE != 0 {
                let last = left < REFERENCE && state & OWNED == 0;
                (left, if last { OnWake::Free } else { OnWake::Nothing })
            } else if state & OWNED != 0 {
                (left | NOTIFIED, OnWake::Nothing)
            } else {
                (left | OWNED, OnWake::Schedule)
            })
        })
    }

    /// Asks the owner to drop the future; makes the caller the owner if there is none.
    ///
    /// An owner needs no `NOTIFIED` for it: it looks at `ABORTED` before and after each poll.
    pub(super) fn abort(&self) -> OnWake {
        self.update(|state| {
            if state & (COMPLETE | ABORTED) != 0 {
                Err(OnWake::Nothing)
            } else if state & OWNED != 0 {
                if seeded::bug("task.abort_unnoticed") {
                    return Err(OnWake::Nothing);
                }
                Ok((state | ABORTED, OnWake::Nothing))
            } else {
                Ok((state | ABORTED | OWNED, OnWake::Schedule))
            }
        })
    }

    /// The owner is about to poll.
    ///
    /// Without `NOTIFIED` no read-modify-write is needed: the queue's own synchronization has
    /// brought what the wake that queued it published, and a wake that this load misses is found by
    /// [`pause`](Self::pause).
    #[inline]
    pub(super) fn start(&self) -> OnStart {
        let mut state = self.0.load(Ordering::Relaxed);
        debug_assert!(state & OWNED != 0 && state & COMPLETE == 0, "{self:?}");
        if state & NOTIFIED != 0 {
            state = self.0.fetch_and(!NOTIFIED, Ordering::Acquire);
        }
        if state & ABORTED != 0 {
            OnStart::Cancel
        } else {
            OnStart::Poll
        }
    }

    /// The poll returned `Pending`: gives ownership up unless something happened meanwhile.
    #[inline]
    pub(super) fn pause(&self) -> OnPause {
        let mut state = self.0.load(Ordering::Relaxed);
        loop {
            if state & ABORTED != 0 {
                return OnPause::Cancel;
            }
            if state & NOTIFIED != 0 {
                return OnPause::Again;
            }
            if state < REFERENCE && !seeded::bug("task.orphan_kept") {
                return OnPause::Cancel;
            }
            let release = if seeded::bug("task.pause_relaxed") {
                Ordering::Relaxed
            } else {
                Ordering::Release
            };
            if seeded::bug("task.pause_store") {
                self.0.fetch_and(!(OWNED | NOTIFIED), release);
                return OnPause::Idle;
            }
            match self
                .0
                .compare_exchange_weak(state, state & !OWNED, release, Ordering::Relaxed)
            {
                Ok(_) => return OnPause::Idle,
                Err(now) => state = now,
            }
        }
    }

    /// The output is stored. Gives up ownership and, if there is one, the registration's reference
    /// in the same step; `dropped` says that the output is gone already.
    pub(super) fn complete(&self, registered: bool, dropped: bool) -> OnComplete {
        let registration = usize::from(registered) * REFERENCE;
        self.update(|state| {
            debug_assert!(state & OWNED != 0 && state & COMPLETE == 0, "{state:#x}");
            if state & JOINABLE == 0 && !dropped && !seeded::bug("task.detach_unseen") {
                return Err(OnComplete::Unclaimed);
            }
            let complete = (state & !NOTIFIED) | COMPLETE;
            if state & JOIN_WAKER != 0 {
                // The owner bit keeps the cell alive until the joiner is woken.
                return Ok((complete, OnComplete::WakeJoiner));
            }
            let left = (complete & !OWNED) - registration;
            let last = left < REFERENCE;
            Ok((
                left,
                if last {
                    OnComplete::Free
                } else {
                    OnComplete::Released
                },
            ))
        })
    }

    /// Gives up what [`complete`](Self::complete) kept while the joiner was woken; true if the cell
    /// must be freed.
    #[must_use]
    pub(super) fn release_completed(&self, registered: bool) -> bool {
        let given = OWNED + usize::from(registered) * REFERENCE;
        self.0.fetch_sub(given, Ordering::AcqRel) - given < REFERENCE
    }

    /// True once the output is stored; acquires it.
    pub(super) fn is_complete(&self) -> bool {
        self.0.load(Ordering::Acquire) & COMPLETE != 0
    }

    /// False once the join handle is gone; it never comes back.
    pub(super) fn is_joinable(&self) -> bool {
        // Acquire: what the handle did before it went is over.
        self.0.load(Ordering::Acquire) & JOINABLE != 0
    }

    /// Publishes the join waker's field; false if the task completed first, and then the field is
    /// still the handle's.
    #[must_use]
    pub(super) fn publish_join_waker(&self) -> bool {
        self.update(|state| {
            if state & COMPLETE != 0 {
                return Err(false);
            }
            Ok((state | JOIN_WAKER, true))
        })
    }

    /// Takes the join waker's field back; false if it is the completer's for good.
    #[must_use]
    pub(super) fn reclaim_join_waker(&self) -> bool {
        if seeded::bug("task.join_waker_shared") {
            return true;
        }
        self.update(|state| {
            if state & COMPLETE != 0 {
                return Err(false);
            }
            Ok((state & !JOIN_WAKER, true))
        })
    }

    /// The join handle goes.
    pub(super) fn detach(&self) -> OnDetach {
        self.update(|state| {
            if state & COMPLETE != 0 {
                return Err(OnDetach::DropOutput);
            }
            if state & JOIN_WAKER != 0 {
                return Ok((state & !(JOINABLE | JOIN_WAKER), OnDetach::DropWaker));
            }
            let (left, outcome) = orphaned((state & !JOINABLE) - REFERENCE);
            Ok((left, OnDetach::Detached(outcome)))
        })
    }

    /// One more reference.
    #[inline]
    pub(super) fn add_reference(&self) {
        // Relaxed: the caller has a reference already, and passes the new one on by other means.
        let before = self.0.fetch_add(REFERENCE, Ordering::Relaxed);
        if before > usize::MAX / 2 {
            // As std's Arc: a count that wraps would free what is in use.
            std::process::abort();
        }
    }

    /// One reference less. The last one of a complete task is found by a plain load: nobody else
    /// can make new ones.
    pub(super) fn drop_reference(&self) -> OnDrop {
        // Acquire, as the subtraction: everybody else's last access is over.
        let state = self.0.load(Ordering::Acquire);
        if state & COMPLETE != 0 && state & OWNED == 0 && state / REFERENCE == 1 {
            return OnDrop::Free;
        }
        let order = if seeded::bug("task.free_unordered") {
            Ordering::Relaxed
        } else {
            Ordering::AcqRel
        };
        let left = self.0.fetch_sub(REFERENCE, order) - REFERENCE;
        let (next, outcome) = orphaned(left);
        if outcome == OnDrop::Schedule {
            // Idle and without references: nobody else can reach the word any more.
            self.0.store(next, Ordering::Relaxed);
        }
        outcome
    }
}

/// What follows when the word became `left` by the loss of a reference, and the word then.
fn orphaned(left: usize) -> (usize, OnDrop) {
    let owned = left & OWNED != 0 && !seeded::bug("task.owner_ignored");
    if left >= REFERENCE || owned {
        (left, OnDrop::Alive)
    } else if left & COMPLETE != 0 {
        (left, OnDrop::Free)
    } else {
        (left | OWNED | ABORTED, OnDrop::Schedule)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a snapshot for people.
        let state = self.0.load(Ordering::Relaxed);
        let names = [
            (OWNED, "owned"),
            (NOTIFIED, "notified"),
            (COMPLETE, "complete"),
            (ABORTED, "aborted"),
            (JOINABLE, "joinable"),
            (JOIN_WAKER, "join waker"),
        ];
        let mut list = f.debug_list();
        for (_, name) in names.iter().filter(|(bit, _)| state & bit != 0) {
            list.entry(name);
        }
        list.entry(&format_args!("{} references", state / REFERENCE));
        list.finish()
    }
}
