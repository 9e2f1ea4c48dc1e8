//! A worker's own queue: a bounded ring that others steal half of, and the LIFO slot beside it.
//!
//! ```text
//! ring   head ──► oldest … newest ◄── tail      head: owner and thieves, by compare-exchange
//!                                                tail: the owner alone
//! LIFO slot      null, or the task woken last    filled by the owner alone, emptied by anyone
//! ```
//!
//! Invariants:
//! 1. `tail - head` (wrapping) is the number of tasks, at most [`CAPACITY`].
//! 2. A slot in `head..tail` holds an owned task; whoever moves `head` over it owns the task.
//! 3. The owner writes a slot only after it has seen `head` beyond its last use, and no thief uses
//!    what it read from a slot before its compare-exchange of `head` has succeeded. So a thief that
//!    reads a slot while it is being overwritten fails its exchange: the counters wrap only after
//!    2³² tasks.
//! 4. Only the owner makes the LIFO slot non-null, so it may fill an empty one by a plain store.
//!
//! Rejected: tokio's head with two halves ("stealing", "stolen"), which lets a thief copy after its
//! claim but makes an overflow wait for the thief; Chase–Lev, whose pop needs a full fence and whose
//! growth needs garbage collection; an unbounded queue, twice as slow, seven times under a thief.
//!
//! Must not: wake anybody, or know of the injector (what overflows is given to a closure).

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

#[cfg(not(any(loom, miri)))]
use gorin_base::prefetch::prefetch;
use gorin_base::primitive::{AtomicPtr, AtomicU32, Ordering, PlainArc, unwinding};
use gorin_base::seeded;

use crate::task::{Header, Runnable};

/// Tasks that the ring holds; a power of two. Go's and tokio's hold 256: with 1,000 busy connections
/// most tasks would go through the injector, which took 3 % of the CPU time with one worker, more with
/// two.
pub(crate) const CAPACITY: usize = if cfg!(loom) { 4 } else { 1024 };

const MASK: u32 = CAPACITY as u32 - 1;

/// Cache lines at the head of a task that are fetched while the one before is polled. With 1,000 busy
/// connections this took 7 % off the CPU time per request (7 interleaved rounds), with 50 nothing.
#[cfg(not(any(loom, miri)))]
const HEAD_LINES: usize = 4;

/// What owner and thieves share.
struct RunQueue {
    /// The oldest task. Moved by a compare-exchange that releases (the slots were read) and that
    /// `push` acquires before it writes them anew.
    head: AtomicU32,
    /// Behind the newest task. Stored by the owner, releasing the slots; thieves acquire it.
    tail: AtomicU32,
    /// Written by the owner, read by all, relaxed: `tail` and `head` order them.
    slots: Box<[AtomicPtr<Header>]>,
    /// Filled by the owner with release, emptied by a swap that acquires.
    lifo: AtomicPtr<Header>,
}

/// The owner's side: there is one, and it stays on one thread at a time.
pub(crate) struct Owner {
    queue: PlainArc<RunQueue>,
    not_sync: PhantomData<Cell<()>>,
}

/// The side of everybody else.
#[derive(Clone)]
pub(crate) struct Stealer {
    queue: PlainArc<RunQueue>,
}

/// An empty queue.
pub(crate) fn new() -> (Owner, Stealer) {
    new_at(0)
}

/// An empty queue whose counters start at `start`.
pub(crate) fn new_at(start: u32) -> (Owner, Stealer) {
    let queue = PlainArc::new(RunQueue {
        head: AtomicU32::new(start),
        tail: AtomicU32::new(start),
        slots: (0..CAPACITY)
            .map(|_| AtomicPtr::new(ptr::null_mut()))
            .collect(),
        lifo: AtomicPtr::new(ptr::null_mut()),
    });
    let stealer = Stealer {
        queue: queue.clone(),
    };
    (
        Owner {
            queue,
            not_sync: PhantomData,
        },
        stealer,
    )
}

impl RunQueue {
    #[inline]
    fn slot(&self, position: u32) -> &AtomicPtr<Header> {
        &self.slots[(position & MASK) as usize]
    }

    /// Moves `head` over `count` tasks; false if somebody else moved it first.
    #[inline]
    fn claim(&self, head: u32, count: u32) -> bool {
        if seeded::bug("run_queue.claim_by_store") {
            self.head.store(head.wrapping_add(count), Ordering::Release);
            return true;
        }
        // Release: our reads of the slots are over. Acquire is not needed: what the slots hold came
        // with `tail`, or is our own.
        self.head
            .compare_exchange(
                head,
                head.wrapping_add(count),
                Ordering::Release,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    #[inline]
    fn len(&self) -> usize {
        // Relaxed: a hint.
        let head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        (tail.wrapping_sub(head) as usize).min(CAPACITY)
    }

    /// Empties the LIFO slot.
    #[inline]
    fn take_lifo(&self) -> Option<Runnable> {
        if self.lifo.load(Ordering::Relaxed).is_null() {
            return None;
        }
        let task = if seeded::bug("run_queue.lifo_taken_twice") {
            let task = self.lifo.load(Ordering::Acquire);
            self.lifo.store(ptr::null_mut(), Ordering::Relaxed);
            task
        } else {
            self.lifo.swap(ptr::null_mut(), Ordering::Acquire)
        };
        NonNull::new(task).map(owned)
    }
}

/// The task of a pointer that was just claimed.
#[inline]
fn owned(task: NonNull<Header>) -> Runnable {
    // SAFETY: each pointer in the queue came from `into_raw`, and is claimed once (invariant 2).
    unsafe { Runnable::from_raw(task) }
}

/// As [`owned`], for what a slot held.
#[inline]
fn claimed(task: *mut Header) -> Runnable {
    owned(NonNull::new(task).expect("a slot between head and tail holds a task"))
}

impl Owner {
    /// Adds a task at the back. If the ring is full, its older half and then `task` go to
    /// `overflow`.
    #[inline]
    pub(crate) fn push(&self, task: Runnable, overflow: impl FnOnce(Vec<Runnable>)) {
        let queue = &*self.queue;
        // Relaxed: our own.
        let tail = queue.tail.load(Ordering::Relaxed);
        loop {
            let head = queue.head.load(Ordering::Acquire);
            if (tail.wrapping_sub(head) as usize) < CAPACITY {
                queue
                    .slot(tail)
                    .store(task.into_raw().as_ptr(), Ordering::Relaxed);
                let publish = if seeded::bug("run_queue.tail_relaxed") {
                    Ordering::Relaxed
                } else {
                    Ordering::Release
                };
                queue.tail.store(tail.wrapping_add(1), publish);
                return;
            }
            let half = CAPACITY as u32 / 2;
            if queue.claim(head, half) {
                let mut older = Vec::with_capacity(CAPACITY / 2 + 1);
                older.extend((0..half).map(|position| {
                    let slot = queue.slot(head.wrapping_add(position));
                    claimed(slot.load(Ordering::Relaxed))
                }));
                older.push(task);
                return overflow(older);
            }
        }
    }

    /// Takes the oldest task.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Runnable> {
        let queue = &*self.queue;
        // Relaxed: our own.
        let tail = queue.tail.load(Ordering::Relaxed);
        loop {
            let head = queue.head.load(Ordering::Relaxed);
            if head == tail {
                return None;
            }
            let task = queue.slot(head).load(Ordering::Relaxed);
            if queue.claim(head, 1) {
                #[cfg(not(any(loom, miri)))]
                prefetch(
                    queue.slot(head.wrapping_add(1)).load(Ordering::Relaxed),
                    HEAD_LINES,
                );
                return Some(claimed(task));
            }
        }
    }

    /// Puts `task` into the LIFO slot and returns the one it displaced. No read-modify-write if the
    /// slot was empty.
    #[inline]
    pub(crate) fn put_lifo(&self, task: Runnable) -> Option<Runnable> {
        let lifo = &self.queue.lifo;
        let task = task.into_raw().as_ptr();
        if lifo.load(Ordering::Relaxed).is_null() {
            lifo.store(task, Ordering::Release);
            return None;
        }
        if seeded::bug("run_queue.lifo_overwritten") {
            let previous = lifo.load(Ordering::Relaxed);
            lifo.store(task, Ordering::Release);
            return NonNull::new(previous).map(owned);
        }
        NonNull::new(lifo.swap(task, Ordering::AcqRel)).map(owned)
    }

    /// Takes the task from the LIFO slot.
    #[inline]
    pub(crate) fn take_lifo(&self) -> Option<Runnable> {
        self.queue.take_lifo()
    }

    /// How many tasks the ring holds; the LIFO slot does not count.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// True if the LIFO slot holds a task.
    #[inline]
    pub(crate) fn has_lifo(&self) -> bool {
        // Relaxed: a hint.
        !self.queue.lifo.load(Ordering::Relaxed).is_null()
    }

    /// True if the ring holds no task; the LIFO slot does not count.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Stealer {
    /// How many tasks wait here, in the LIFO slot too. They may be others when this returns.
    pub(crate) fn len(&self) -> usize {
        let queue = &*self.queue;
        // Acquire: a tail older than the head would make the ring look full.
        let head = queue.head.load(Ordering::Acquire);
        let tail = queue.tail.load(Ordering::Relaxed);
        let ring = (tail.wrapping_sub(head) as usize).min(CAPACITY);
        // Relaxed: nothing depends on it.
        ring + usize::from(!queue.lifo.load(Ordering::Relaxed).is_null())
    }

    /// Moves the older half of the ring to `thief`'s ring, which must be empty, and returns one of
    /// the stolen tasks.
    pub(crate) fn steal_into(&self, thief: &Owner) -> Option<Runnable> {
        debug_assert!(thief.is_empty(), "a worker steals only when it has run dry");
        let victim = &*self.queue;
        let own = &*thief.queue;
        // Relaxed: the thief's own.
        let own_tail = own.tail.load(Ordering::Relaxed);
        loop {
            // Acquire for the order of the two loads: a tail older than the head looks empty.
            let head = victim.head.load(Ordering::Acquire);
            let tail = victim.tail.load(Ordering::Acquire);
            let len = tail.wrapping_sub(head);
            if len as i32 <= 0 {
                return None;
            }
            if len as usize > CAPACITY {
                // The owner and other thieves have been over this since: look again.
                continue;
            }
            let count = len - len / 2;
            for position in 0..count {
                let task = victim
                    .slot(head.wrapping_add(position))
                    .load(Ordering::Relaxed);
                own.slot(own_tail.wrapping_add(position))
                    .store(task, Ordering::Relaxed);
            }
            if victim.claim(head, count) {
                let last = own_tail.wrapping_add(count - 1);
                let task = own.slot(last).load(Ordering::Relaxed);
                own.tail.store(last, Ordering::Release);
                return Some(claimed(task));
            }
        }
    }

    /// Takes the task from the LIFO slot: to be tried last, since the owner runs it next.
    pub(crate) fn steal_lifo(&self) -> Option<Runnable> {
        self.queue.take_lifo()
    }

    /// True if the LIFO slot holds a task; a hint.
    #[inline]
    pub(crate) fn has_lifo(&self) -> bool {
        !self.queue.lifo.load(Ordering::Relaxed).is_null()
    }

    /// True if the ring holds a task. Sees each push that is ordered before it by a fence.
    pub(crate) fn has_tasks(&self) -> bool {
        self.queue.len() > 0
    }
}

impl Drop for RunQueue {
    /// Drops what is left, which cancels it.
    fn drop(&mut self) {
        if unwinding() {
            return;
        }
        drop(self.take_lifo());
        let tail = self.tail.load(Ordering::Relaxed);
        let mut head = self.head.load(Ordering::Relaxed);
        while head != tail {
            drop(claimed(self.slot(head).load(Ordering::Relaxed)));
            head = head.wrapping_add(1);
        }
    }
}

impl fmt::Debug for Stealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunQueue")
            .field("len", &self.queue.len())
            .field("lifo", &self.has_lifo())
            .finish()
    }
}
