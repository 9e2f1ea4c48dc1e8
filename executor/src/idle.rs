//! Who sleeps, who searches, and whom to wake: no task is left behind, and no worker is woken for
//! nothing.
//!
//! A worker is *running* (it has tasks), *searching* (it has none and looks at the others' queues)
//! or *idle* (its waker lies here and it may sleep). Waking a sleeping thread costs the waker about
//! 12 µs, some 500 channel operations, so:
//! - at most one worker is called while none searches: a searcher finds whatever is pushed;
//! - a call takes the worker off the list, so that each idle → called transition has one wake.
//!
//! The rules:
//! - **Push**: after a task was put where others can take it, `fence`, then [`Idle::call_one`],
//!   which does nothing if nobody is idle or somebody searches. A worker that pushes into its own ring
//!   may put the call off while it runs (`Worker::keep_quiet`): it never sits beside a task of its own.
//! - **Sit**: a worker that found nothing puts itself on the list, giving up the search in the same
//!   step, then `fence`, then it looks at all queues once more. If there is work it stands up.
//! - **Found**: a searcher that found work stops searching; if it was the last one, it looks once
//!   more, after a `fence`, whether there is more, and if so calls the next.
//!
//! Why no task is left behind: suppose a task is pushed and all workers end up idle. The pusher
//! called nobody, so it read counts with (a) nobody idle, or (b) somebody searching. Of the steps
//! that change the counts, consider the last one, by worker W, that ended (a) or (b) after that
//! read: in (a) W sat down, in (b) W, the last searcher, sat down or found work. W's step is a
//! read-modify-write that the pusher's read did not see, so by the two `SeqCst` fences (the pusher's
//! between push and read, W's between step and look) W's look sees the push. W then stands up, or
//! calls the next worker, and so on; the chain ends only when the task is taken.
//!
//! The spare worker, if there is one, sits without being on the list. It is a searcher like others while it
//! is on duty (`worker.rs`), and may leave the last look to the next one who comes: that is itself, as long
//! as all others are stuck, and else they.
//!
//! The LIFO slot is outside of this: its owner takes it next, so filling it calls nobody.
//!
//! Must not: hold its lock while a waker is cloned, woken or dropped, or know what a queue is.

use std::task::Waker;

use gorin_base::primitive::{AtomicUsize, Mutex, Ordering, fence};
use gorin_base::seeded;

const IDLE: usize = 1;
const SEARCHING: usize = 1 << 16;
const IDLE_MASK: usize = SEARCHING - 1;

/// The idle workers of one executor.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Idle workers (bits 0–15), searching workers (16…). Idle changes only under the lock, so that
    /// it is the length of the list; searching changes by anyone. All changes are
    /// read-modify-writes; the fences of the rules above order them against the queues.
    counts: AtomicUsize,
    /// Without the spare one.
    workers: usize,
    list: Mutex<List>,
}

#[derive(Debug)]
struct List {
    /// The idle workers, the one that sat down last at the end: its caches are warmest.
    idle: Vec<usize>,
    seats: Vec<Seat>,
    /// Workers that were taken off the list by others, or by their own thread's wakes.
    calls: u64,
}

#[derive(Debug)]
enum Seat {
    /// The worker is running or searching.
    Up,
    /// The worker is on the list; waking this gets it going.
    Idle(Waker),
    /// The worker was taken off the list and has not noticed yet.
    Called {
        /// It was counted as searching.
        search: bool,
    },
}

/// How a worker got up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Stood {
    /// Without being counted as a searcher.
    Running,
    /// Counted as a searcher: it owes [`Idle::stop_search`] or [`Idle::sit`].
    Searching,
}

impl Idle {
    /// All of `workers` are up, and the spare one, if there is one.
    pub(crate) fn new(workers: usize, spare: bool) -> Idle {
        assert!(
            workers <= IDLE_MASK,
            "at most {IDLE_MASK} workers, not {workers}"
        );
        Idle {
            counts: AtomicUsize::new(0),
            workers,
            list: Mutex::new(List {
                idle: Vec::with_capacity(workers),
                seats: (0..workers + usize::from(spare))
                    .map(|_| Seat::Up)
                    .collect(),
                calls: 0,
            }),
        }
    }

    /// Makes the calling worker a searcher, unless half of the workers search already.
    pub(crate) fn try_search(&self) -> bool {
        // Relaxed: only the number matters here.
        let counts = self.counts.load(Ordering::Relaxed);
        if 2 * (counts / SEARCHING) >= self.workers {
            return false;
        }
        // A few more searchers than wanted do no harm.
        self.start_search();
        true
    }

    /// Makes the calling worker a searcher: it has seen work.
    pub(crate) fn start_search(&self) {
        self.counts.fetch_add(SEARCHING, Ordering::AcqRel);
    }

    /// The calling searcher stops; true if it was the last one and must look whether there is more
    /// work, and call the next worker then. Contains the fence before that look.
    #[must_use]
    pub(crate) fn stop_search(&self) -> bool {
        let before = self.counts.fetch_sub(SEARCHING, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        before / SEARCHING == 1 && !seeded::bug("idle.last_searcher_keeps_quiet")
    }

    /// Puts worker `index` on the list. Contains the fence before the last look at the queues.
    pub(crate) fn sit(&self, index: usize, waker: Waker, searching: bool) {
        let previous = {
            let mut list = self.list.lock();
            let mut change = if searching {
                0_usize.wrapping_sub(SEARCHING)
            } else {
                0
            };
            if !self.is_spare(index) {
                list.idle.push(index);
                change = change.wrapping_add(IDLE);
            }
            self.counts.fetch_add(change, Ordering::AcqRel);
            std::mem::replace(&mut list.seats[index], Seat::Idle(waker))
        };
        debug_assert!(
            matches!(previous, Seat::Up),
            "worker {index} sat down twice"
        );
        if !seeded::bug("idle.no_fence_after_sitting") {
            fence(Ordering::SeqCst);
        }
    }

    /// Lets the spare worker `index` sit. What was pushed while it searched, and called nobody, is the
    /// others': one who is idle is called for it. If nobody is, all others are up, and look before they
    /// sit; or they are stuck, and the spare will be asked to come back.
    pub(crate) fn sit_as_spare(
        &self,
        index: usize,
        waker: Waker,
        searching: bool,
        has_work: impl FnOnce() -> bool,
    ) {
        debug_assert!(self.is_spare(index));
        self.sit(index, waker, searching);
        if has_work() && !seeded::bug("idle.spare_leaves_work") {
            self.call_one();
        }
    }

    /// Takes worker `index` off the list, by itself: it saw work, or was polled for another reason.
    pub(crate) fn stand(&self, index: usize) -> Stood {
        let seat = {
            let mut list = self.list.lock();
            if matches!(list.seats[index], Seat::Idle(_)) {
                self.remove(&mut list, index);
            }
            std::mem::replace(&mut list.seats[index], Seat::Up)
        };
        match seat {
            Seat::Called { search: true } => Stood::Searching,
            _ => Stood::Running,
        }
    }

    /// The spare worker has a seat, but is never on the list: only its own thread calls it.
    fn is_spare(&self, index: usize) -> bool {
        index == self.workers
    }

    /// Takes an idle worker off the list, under the lock.
    fn remove(&self, list: &mut List, index: usize) {
        if self.is_spare(index) {
            return;
        }
        let place = list.idle.iter().rposition(|&idle| idle == index);
        list.idle
            .remove(place.expect("an idle worker is on the list"));
        self.counts.fetch_sub(IDLE, Ordering::AcqRel);
    }

    /// Something was put where others can take it: wakes an idle worker to search for it, unless
    /// one searches already.
    pub(crate) fn call_one(&self) {
        if !seeded::bug("idle.no_fence_after_push") {
            fence(Ordering::SeqCst);
        }
        // Relaxed: the fence orders it behind the push.
        let counts = self.counts.load(Ordering::Relaxed);
        if counts & IDLE_MASK == 0 || counts >= SEARCHING {
            return;
        }
        self.call_idle();
    }

    #[cold]
    fn call_idle(&self) {
        let seat = {
            let mut list = self.list.lock();
            // Others may have called meanwhile. Relaxed: the lock orders calls, and a searcher that
            // starts by itself right now is one more, no less.
            if self.counts.load(Ordering::Relaxed) >= SEARCHING {
                return;
            }
            let Some(index) = list.idle.pop() else { return };
            self.counts
                .fetch_add(SEARCHING.wrapping_sub(IDLE), Ordering::AcqRel);
            list.calls += 1;
            std::mem::replace(&mut list.seats[index], Seat::Called { search: true })
        };
        seat.wake();
    }

    /// Wakes worker `index` if it is idle: there is something for it alone.
    pub(crate) fn call(&self, index: usize) {
        let seat = {
            let mut list = self.list.lock();
            if !matches!(list.seats[index], Seat::Idle(_)) {
                return;
            }
            self.remove(&mut list, index);
            list.calls += 1;
            std::mem::replace(&mut list.seats[index], Seat::Called { search: false })
        };
        seat.wake();
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> u64 {
        self.list.lock().calls
    }

    /// Wakes all idle workers.
    pub(crate) fn call_all(&self) {
        let seats = self.list.lock().seats.len();
        for index in 0..seats {
            self.call(index);
        }
    }
}

impl Seat {
    /// Wakes the worker that sat here.
    fn wake(self) {
        if let Seat::Idle(waker) = self {
            waker.wake();
        }
    }
}
