//! The life of one completion operation, shared by the future that waits for it and the ring that
//! runs it.
//!
//! # The state word
//!
//! | word | meaning | who moves it on |
//! |---|---|---|
//! | `PENDING` | not ended; nobody waits | future: to `WAITING`, `ORPHANED` · owner: to `DONE`, `LOST` |
//! | `WAITING` | not ended; `waker` is the owner's to take | future: to `PENDING`, `ORPHANED` · owner: to `DONE`, `LOST` |
//! | `DONE` + result | ended; `code` is the future's | nobody |
//! | `ORPHANED` | the future is gone; `code` is the owner's, to its end | nobody |
//! | `LOST` | the ring was given up with the operation in flight; `code` is the kernel's for good | nobody |
//!
//! ```text
//!           poll ────────────┐
//!  PENDING ──────► WAITING   │       complete: DONE and the result in one compare-and-swap,
//!     ▲  ◄──────────┘ │      │                 then wake
//!     └── poll, to ───┘      ▼       drop:     ORPHANED, then cancel on the ring; or, if DONE came
//!         change the waker  DONE               first, dispose of the result
//! ```
//!
//! # Invariants
//!
//! 1. `waker` is touched by the future's side in every state but `WAITING` and `DONE`, and by the
//!    owner's side only after it has moved `WAITING` on. (After `WAITING` → `ORPHANED` it is the
//!    future's again, which moved it.)
//! 2. `code` (buffer, descriptor, address: what the kernel uses) is touched by the owner's side
//!    until `DONE`, by the future's side afterwards; an orphan's stays with the owner's side.
//! 3. What the kernel uses dies with the last reference, and the owner's table holds one until the
//!    last completion: never freed before.
//! 4. A result is disposed of exactly once: [`Opcode::finish`] for a future, [`Opcode::orphan`] for
//!    an orphan.
//!
//! An orphan's cancellation is best effort; its completion comes in any case.
//!
//! Why not the operation's address in `user_data`: saves a table lookup (20 ns beside an operation
//! of 340 ns or more), but a cancellation posted from another thread could then name a freed and
//! reused address. Why the result in the state word: a result in a cell of its own must not be
//! written before the word is won, nor published before it is written.
//!
//! This file must not know opcodes, nor enter the kernel.

use std::fmt;
use std::io;
use std::task::{Poll, Waker};

use gorin_base::mishap::wake;
use gorin_base::primitive::{AtomicU64, Ordering, PlainArc, UnsafeCell};
use gorin_base::seeded;

use crate::driver::Request;
use crate::key::Key;
use crate::mailbox::Operation;

#[cfg(test)]
mod models;

/// The word is a tag and, for `DONE`, the kernel's result in the lower half.
const TAG: u64 = 0xffff_ffff << 32;
const PENDING: u64 = 0;
const WAITING: u64 = 1 << 32;
const DONE: u64 = 2 << 32;
const ORPHANED: u64 = 3 << 32;
const LOST: u64 = 4 << 32;

/// One kind of operation: what the kernel needs, and what its result means.
///
/// Values are moved until [`request`](Opcode::request) is called and not afterwards, until the
/// kernel has finished: pointers to fields are valid for the request.
pub(crate) trait Opcode: Send + 'static {
    /// What the future gives.
    type Output;

    /// Whether the operation is cancelled when its future is dropped. If not, it just ends
    /// unobserved.
    const CANCEL: bool = true;

    /// What to submit.
    fn request(&mut self) -> Request;

    /// The output, from the kernel's result or the reason why it was never submitted.
    fn finish(self, result: io::Result<u32>) -> Self::Output;

    /// Disposes of the result of an operation whose future was dropped: closes a descriptor that
    /// the kernel has made, for example.
    fn orphan(self, result: io::Result<u32>)
    where
        Self: Sized,
    {
        drop((self, result));
    }

    /// The output if the runtime was torn down while the kernel still worked, so that `self` is
    /// lost.
    fn lost(error: io::Error) -> Self::Output;
}

/// The kernel's result as Rust has it.
pub(crate) fn decode(result: i32) -> io::Result<u32> {
    u32::try_from(result).map_err(|_negative| io::Error::from_raw_os_error(result.wrapping_neg()))
}

/// How an operation ended, for its future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With this result of the kernel.
    Done(i32),
    /// Not at all; see `LOST`.
    Lost,
}

impl End {
    /// The end that `state` tells of, if it does.
    fn of(state: u64) -> Option<Self> {
        match state & TAG {
            DONE => Some(Self::Done(state as u32 as i32)),
            LOST => Some(Self::Lost),
            _ => None,
        }
    }
}

/// Whom the end of an operation concerns.
enum Heir {
    /// The future, which waits by this waker.
    Waits(Waker),
    /// The future, which will look by itself.
    Looks,
    /// The owner: the future is gone.
    Nobody,
}

/// The cell of one operation. See the module text.
pub(crate) struct Op<C> {
    /// Whether an orphan that was not yet submitted is submitted all the same.
    goes_on: bool,
    /// Written by the future's side (poll, orphan) and the owner's (complete, lose), read by both.
    ///
    /// - Release, `PENDING` → `WAITING` (publishes `waker`), pairs with Acquire in `settle`.
    /// - Release, → `DONE` (publishes `code`: the owner's accesses, the kernel's writes, which the
    ///   ring's head and tail have made visible to the owner), pairs with the Acquire of every load
    ///   and failed exchange on the future's side.
    /// - Everything else is relaxed: the side that moves the word away from its own state
    ///   reads only what it wrote itself.
    state: AtomicU64,
    /// The key under which the owner has submitted, or 0 (no operation has that key). Written and
    /// read by the owner's thread only, hence relaxed; atomic because the cell is shared.
    key: AtomicU64,
    /// Invariant 1.
    waker: UnsafeCell<Option<Waker>>,
    /// Invariant 2; `None` once taken.
    code: UnsafeCell<Option<C>>,
}

// SAFETY: `waker` and `code` are the only parts that are not Sync; invariants 1 and 2 give each of
// them one user at a time, and the orderings at `state` order these users. Wakers and opcodes are
// Send.
unsafe impl<C: Send> Sync for Op<C> {}

impl<C: Opcode> Op<C> {
    pub(crate) fn new(code: C) -> Self {
        Self::with(Some(code))
    }

    fn with(code: Option<C>) -> Self {
        Self {
            goes_on: false,
            state: AtomicU64::new(PENDING),
            key: AtomicU64::new(0),
            waker: UnsafeCell::new(None),
            code: UnsafeCell::new(code),
        }
    }

    /// An operation that is submitted also if its future is gone by then.
    pub(crate) fn that_goes_on(code: C) -> Self {
        Self {
            goes_on: !seeded::bug("op.unsubmitted_orphan_is_dropped"),
            ..Self::new(code)
        }
    }

    /// Drops what is left in the cell of an operation that has ended, so that it can wait for
    /// another one (`cells.rs`). To be called by its only owner.
    pub(crate) fn empty(&mut self) {
        *self = Self::with(None);
    }

    /// The future's side: how it ended, or `waker` is woken when it does.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<End> {
        let state = self.state.load(Ordering::Acquire);
        if let Some(end) = End::of(state) {
            return Poll::Ready(end);
        }
        if state == WAITING {
            if seeded::bug("op.waker_not_replaced") {
                return Poll::Pending;
            }
            // Take the waker back before looking at it (invariant 1).
            if let Err(now) = self.exchange(WAITING, PENDING, Ordering::Relaxed) {
                return Poll::Ready(End::of(now).expect("only an end interrupts waiting"));
            }
        }
        self.store_waker(waker);
        if seeded::bug("op.waiting_overwrites_done") {
            self.state.store(WAITING, Ordering::Release);
            return Poll::Pending;
        }
        let order = if seeded::bug("op.waker_published_relaxed") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        match self.exchange(PENDING, WAITING, order) {
            Ok(()) => Poll::Pending,
            Err(now) => Poll::Ready(End::of(now).expect("only an end interrupts polling")),
        }
    }

    /// The future's side, in `PENDING`.
    fn store_waker(&self, waker: &Waker) {
        let same = self.waker.with(|stored| {
            // SAFETY: in PENDING the waker is this side's (invariant 1); nothing writes to it
            // meanwhile.
            unsafe { &*stored }
                .as_ref()
                .is_some_and(|stored| stored.will_wake(waker))
        });
        if same {
            return;
        }
        let new = Some(waker.clone());
        let old = self.waker.with_mut(|stored| {
            // SAFETY: as above.
            unsafe { stored.replace(new) }
        });
        drop(old);
    }

    /// The future's side, for good: true if the operation is still in flight (it is an orphan now),
    /// false if it has ended and its result has been disposed of.
    pub(crate) fn abandon(&self) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            match End::of(state) {
                Some(End::Done(_)) if seeded::bug("op.done_result_leaks") => return false,
                Some(End::Done(result)) => {
                    self.take_code().orphan(decode(result));
                    return false;
                }
                Some(End::Lost) => return false,
                None => {}
            }
            if seeded::bug("op.orphan_overwrites_done") {
                self.state.store(ORPHANED, Ordering::Relaxed);
                return true;
            }
            match self.exchange(state, ORPHANED, Ordering::Relaxed) {
                Ok(()) => break,
                Err(now) => state = now,
            }
        }
        // Nobody waits any more, so the owner leaves the waker alone (invariant 1).
        drop(self.take_waker());
        if seeded::bug("op.orphan_frees_buffer") {
            drop(self.take_code());
        }
        true
    }

    /// The owner's side: moves the word to its end, and says whom that concerns.
    fn settle(&self, end: u64) -> Heir {
        let order = if seeded::bug("op.result_published_relaxed") {
            Ordering::Relaxed
        } else {
            // Acquire for the waker, Release for the code.
            Ordering::AcqRel
        };
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state == ORPHANED {
                return Heir::Nobody;
            }
            match self.exchange(state, end, order) {
                Ok(()) => break,
                Err(now) => state = now,
            }
        }
        if state == WAITING && !seeded::bug("op.completion_wakes_nobody") {
            return Heir::Waits(self.take_waker().expect("somebody waits"));
        }
        Heir::Looks
    }

    /// A compare-and-swap of the state that acquires when it fails: the word then tells of the
    /// other side.
    fn exchange(&self, from: u64, to: u64, success: Ordering) -> Result<(), u64> {
        self.state
            .compare_exchange(from, to, success, Ordering::Acquire)
            .map(|_| ())
    }

    /// For the side that has the waker by invariant 1.
    fn take_waker(&self) -> Option<Waker> {
        self.waker.with_mut(|stored| {
            // SAFETY: the callers have just moved the state away from WAITING (invariant 1).
            unsafe { &mut *stored }.take()
        })
    }

    /// For the side that has the code by invariant 2, once.
    pub(crate) fn take_code(&self) -> C {
        let code = self.code.with_mut(|code| {
            // SAFETY: the callers are the future after DONE and the owner of an orphan (invariant
            // 2).
            unsafe { &mut *code }.take()
        });
        code.expect("an operation ends once")
    }
}

impl<C: Opcode> Operation for Op<C> {
    fn start(&self, key: Key) -> Option<Request> {
        if self.state.load(Ordering::Relaxed) == ORPHANED && !self.goes_on {
            return None;
        }
        self.key.store(key.raw(), Ordering::Relaxed);
        self.code.with_mut(|code| {
            // SAFETY: before the end the code is the owner's (invariant 2).
            let code = unsafe { &mut *code };
            code.as_mut().map(Opcode::request)
        })
    }

    fn key(&self) -> Option<Key> {
        let raw = self.key.load(Ordering::Relaxed);
        (raw != 0).then(|| Key::from_raw(raw))
    }

    fn complete(self: PlainArc<Self>, result: i32) {
        match self.settle(DONE | u64::from(result as u32)) {
            Heir::Waits(waker) => {
                // First: who is woken, perhaps on another thread, is to find itself the only owner
                // of the cell, and keeps it for the next operation.
                drop(self);
                wake(waker);
            }
            Heir::Looks => {}
            Heir::Nobody if seeded::bug("op.orphan_result_leaks") => {}
            Heir::Nobody => self.take_code().orphan(decode(result)),
        }
    }

    fn lose(&self) {
        if let Heir::Waits(waker) = self.settle(LOST) {
            wake(waker);
        }
    }
}

impl<C> fmt::Debug for Op<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.load(Ordering::Relaxed);
        let name = match state & TAG {
            PENDING => "pending",
            WAITING => "waiting",
            DONE => "done",
            ORPHANED => "orphaned",
            _ => "lost",
        };
        f.debug_struct("Op")
            .field("state", &name)
            .finish_non_exhaustive()
    }
}
