//! What a receive got whose future was dropped: the bytes that came too early for the next reader.
//!
//! A receive that owns its buffer is an operation of the ring. When its future is dropped it is
//! cancelled, but it may have taken bytes from the socket by then, or take them before the kernel
//! sees the cancellation. They belong to the stream, before everything that is still in the socket.
//!
//! # Invariants
//!
//! 1. *Order.* From the moment when such a future is dropped until its operation has ended, no read
//!    touches the socket; afterwards reads get what it left, before the socket is asked. So the
//!    orphan is announced ([`Early::expect`]) before its operation is abandoned.
//! 2. *No reader is forgotten.* A reader that finds an orphan, or nothing to read, lists itself with
//!    those who wait for the socket and looks here again ([`Early::is_news`], by way of
//!    `list_then_look` in `deadline.rs`); the orphan's end is noted before the list is woken.
//! 3. *Old news wake nobody.* What was here before the reader's call ([`Early::observe`]) that call has taken,
//!    or does not want (a user's own looks at the socket alone): else it would be tried again and again.
//!
//! This file must not wake: the list is its caller's.

#[cfg(test)]
mod models;

use std::collections::VecDeque;
use std::io;

use gorin_base::primitive::{AtomicBool, AtomicU32, Mutex, Ordering};
use gorin_base::seeded;

/// The leavings of one socket. See the module text.
#[derive(Debug)]
pub(crate) struct Early {
    /// Whether there is anything in `state`: what all reads look at. Written under its lock.
    /// Relaxed: who drops a receive and reads afterwards is ordered by itself, and readers that wait
    /// are ordered by the lock of their list.
    present: AtomicBool,
    /// How often something was added. Written by who adds, after `present`, which it releases to who observes
    /// it, and before the list is woken.
    additions: AtomicU32,
    state: Mutex<State>,
}

/// What had been added at some moment; by default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Additions(u32);

#[derive(Debug, Default)]
struct State {
    /// Operations in flight whose futures are gone.
    orphans: usize,
    bytes: VecDeque<u8>,
    /// The error that ended an orphan, for after the bytes.
    error: Option<i32>,
}

impl Early {
    pub(crate) fn new() -> Self {
        Self {
            present: AtomicBool::new(false),
            additions: AtomicU32::new(0),
            state: Mutex::new(State::default()),
        }
    }

    /// As [`with`](Self::with), for what may add something.
    fn add(&self, f: impl FnOnce(&mut State)) {
        self.with(f);
        self.additions.fetch_add(1, Ordering::Release);
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        let result = f(&mut state);
        let present = state.orphans > 0 || !state.bytes.is_empty() || state.error.is_some();
        self.present.store(present, Ordering::Relaxed);
        result
    }

    /// The future of a receive is about to abandon its operation.
    pub(crate) fn expect(&self) {
        self.with(|state| state.orphans += 1);
    }

    /// An orphan has ended, with these bytes or this error. The caller wakes all who read.
    pub(crate) fn deposit(&self, result: Result<&[u8], i32>) {
        self.add(|state| {
            state.orphans -= 1;
            match result {
                Ok(bytes) => state.bytes.extend(bytes),
                Err(libc::ECANCELED) => {}
                Err(error) => state.error = Some(error),
            }
        });
    }

    /// True if reads have to look here first.
    pub(crate) fn is_present(&self) -> bool {
        self.present.load(Ordering::Relaxed)
    }

    /// True if reads have to wait for an orphan.
    pub(crate) fn is_awaited(&self) -> bool {
        if seeded::bug("early.read_past_orphan") {
            return false;
        }
        self.is_present() && self.state.lock().orphans > 0
    }

    /// What has been added so far: to be called before a read that may have to wait.
    pub(crate) fn observe(&self) -> Additions {
        let order = if seeded::bug("early.observe_relaxed") {
            Ordering::Relaxed
        } else {
            // Pairs with the release in `add`: what is counted here is found by the read.
            Ordering::Acquire
        };
        Additions(self.additions.load(order))
    }

    /// For a read that has just listed itself, and had `seen` what was added before its call: true if it must
    /// try again, since nobody will wake it. `awaited`: it has listed itself to wait for an orphan, rather
    /// than for the socket.
    pub(crate) fn is_news(&self, seen: Additions, awaited: bool) -> bool {
        if awaited {
            return !self.is_awaited();
        }
        // Relaxed: what was added before the list was woken is ordered by its lock.
        let additions = Additions(self.additions.load(Ordering::Relaxed));
        additions != seen && !seeded::bug("early.deposit_unseen")
    }

    /// Returns bytes that were read, to the front.
    pub(crate) fn put_back(&self, bytes: &[u8]) {
        self.add(|state| {
            for &byte in bytes.iter().rev() {
                state.bytes.push_front(byte);
            }
        });
    }

    /// Moves what was left to `buf`, or copies it if `keep`; `None` if there is nothing and the
    /// socket is to be asked. (It gives nothing to who wants nothing, as the kernel does.)
    pub(crate) fn read(&self, buf: &mut [u8], keep: bool) -> Option<io::Result<usize>> {
        if !self.is_present() {
            return None;
        }
        self.with(|state| {
            if state.bytes.is_empty() {
                let error = if keep {
                    state.error
                } else {
                    state.error.take()
                };
                return Some(Err(io::Error::from_raw_os_error(error?)));
            }
            let len = buf.len().min(state.bytes.len());
            for (to, from) in buf.iter_mut().zip(&state.bytes) {
                *to = *from;
            }
            if !keep {
                state.bytes.drain(..len);
            }
            Some(Ok(len))
        })
    }
}
