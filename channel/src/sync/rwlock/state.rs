//! Who holds a reader-writer lock and who waits for it, under a lock of its own, and the steps between.
//!
//! | step | what happens |
//! |---|---|
//! | read | in, unless a writer is in or waits; else waits |
//! | write | in, if nobody is; else waits |
//! | a reader leaves | if it was the last one, the writer that has waited longest is let in |
//! | the writer leaves | all readers that wait are let in; if there are none, the writer that has waited longest |
//! | the writer becomes a reader | all readers that wait are let in beside it |
//! | a waiting writer gives up | if no other one waits and readers are in, all readers that wait are let in |
//! | one that was let in gives up before it saw that | it leaves |
//!
//! So neither side starves: a reader waits for one writer at most, which was there before it or came
//! while others read; a writer waits for those readers only that came before it, or that waited for the
//! writer before it.
//!
//! Invariants:
//!
//! 1. a writer is in ⇒ no reader is;
//! 2. a writer waits ⇒ somebody is in;
//! 3. a reader waits ⇒ a writer is in or waits.
//!
//! Whoever is let in is in from then on, also if its goroutine has not seen it yet. Readers are counted
//! in 64 bits, which nobody can exhaust, not even with guards that are forgotten.
//!
//! The lines are those of a channel: readers stand where receivers do, writers where senders do.
//!
//! Rejected: one line for both, as of a semaphore with many permits of which a writer takes all. Readers
//! that come between two writers would be let in between them, in their turn; here they go with those
//! that came earlier, as in Go, so that writers wait for fewer batches of readers.
//!
//! Must not: run user code.

use gorin_base::hook::Access;
use gorin_base::seeded;

use crate::line::Line;
use crate::sync::line::{Rule, Woken};
use crate::waiter::{Phase, Side, Waiters, Wakeup, Wants};

const READERS: Side = Side::Receive;
const WRITERS: Side = Side::Send;

/// See the module text.
pub(super) struct State {
    /// Readers that are in.
    readers: u64,
    /// A writer is in.
    writing: bool,
    waiters: Waiters<()>,
}

impl Line for State {
    type Value = ();

    fn waiters(&mut self) -> &mut Waiters<()> {
        &mut self.waiters
    }
}

impl State {
    /// Nobody is in, nobody waits.
    pub(super) fn new() -> Self {
        Self {
            readers: 0,
            writing: false,
            waiters: Waiters::new(),
        }
    }

    fn writer_waits(&self) -> bool {
        !self.waiters.is_empty(WRITERS)
    }

    /// Lets a reader in, if it need not wait.
    #[inline]
    fn read(&mut self) -> bool {
        let overtakes = seeded::bug("rwlock.reader_overtakes_writer");
        let in_turn = !self.writer_waits() || overtakes;
        let free = !self.writing || seeded::bug("rwlock.reader_beside_writer");
        if free && in_turn {
            self.readers += 1;
        }
        free && in_turn
    }

    /// Lets a writer in, if it need not wait.
    #[inline]
    fn write(&mut self) -> bool {
        let free = self.readers == 0 || seeded::bug("rwlock.writer_beside_readers");
        let free = free && !self.writing;
        self.writing |= free;
        free
    }

    /// A reader leaves.
    #[inline]
    pub(super) fn leave_reading(&mut self) -> Woken {
        self.readers -= 1;
        self.let_writer_in()
    }

    /// The writer leaves.
    #[inline]
    pub(super) fn leave_writing(&mut self) -> Woken {
        self.writing = false;
        if seeded::bug("rwlock.next_writer_first") && self.writer_waits() {
            return self.let_writer_in();
        }
        let woken = self.let_readers_in();
        if self.readers == 0 {
            return self.let_writer_in();
        }
        woken
    }

    /// The writer becomes a reader.
    pub(super) fn downgrade(&mut self) -> Woken {
        self.writing = false;
        if seeded::bug("rwlock.downgrade_lets_writer_in") && self.writer_waits() {
            let woken = self.let_writer_in();
            self.readers = 1;
            return woken;
        }
        self.readers = 1;
        if seeded::bug("rwlock.downgrade_forgets_readers") {
            return Woken::default();
        }
        self.let_readers_in()
    }

    /// Lets the first writer in, if nobody is.
    #[inline]
    fn let_writer_in(&mut self) -> Woken {
        let in_turn = self.readers == 0 || seeded::bug("rwlock.first_reader_lets_writer_in");
        if !in_turn || seeded::bug("rwlock.writer_forgotten") {
            return Woken::default();
        }
        let first = self.waiters.dequeue(WRITERS, |_| true);
        let woken = first.map(|writer| writer.complete(Phase::Done));
        self.writing = woken.is_some();
        woken.into_iter().collect()
    }

    /// Lets all readers in that wait; no writer is in.
    #[inline]
    fn let_readers_in(&mut self) -> Woken {
        if self.waiters.is_empty(READERS) || seeded::bug("rwlock.readers_forgotten") {
            return Woken::default();
        }
        let readers = &mut self.readers;
        let waiters = &mut self.waiters;
        std::iter::from_fn(|| -> Option<Wakeup> {
            let reader = waiters.dequeue(READERS, |_| true)?;
            *readers += 1;
            Some(reader.complete(Phase::Done))
        })
        .collect()
    }
}

/// To read.
pub(super) struct Read;

impl Rule for Read {
    type State = State;
    type Output = ();
    /// Two readers that come or go find the same in either order, and leave the same: whether they have
    /// to wait depends on writers alone, and the last to leave lets a writer in, whoever that is.
    const ACCESS: Access = Access::Commute;
    const WANTS: Wants = Wants::Value;

    fn name(&self) -> &'static str {
        "RwLock read"
    }

    #[inline]
    fn now(&self, state: &mut State) -> Option<((), Woken)> {
        state.read().then(|| ((), Woken::default()))
    }

    fn completed(&self) {}

    fn undo(&self, state: &mut State, phase: Phase) -> Woken {
        match phase {
            Phase::Done if !seeded::bug("rwlock.dropped_read_stays_in") => state.leave_reading(),
            _ => Woken::default(),
        }
    }
}

/// To write.
pub(super) struct Write;

impl Rule for Write {
    type State = State;
    type Output = ();
    const ACCESS: Access = Access::Write;
    const WANTS: Wants = Wants::Taker;

    fn name(&self) -> &'static str {
        "RwLock write"
    }

    #[inline]
    fn now(&self, state: &mut State) -> Option<((), Woken)> {
        state.write().then(|| ((), Woken::default()))
    }

    fn completed(&self) {}

    fn undo(&self, state: &mut State, phase: Phase) -> Woken {
        match phase {
            Phase::Done if !seeded::bug("rwlock.dropped_write_stays_in") => state.leave_writing(),
            Phase::Queued if !state.writing && !state.writer_waits() => {
                if seeded::bug("rwlock.dropped_writer_blocks_readers") {
                    return Woken::default();
                }
                state.let_readers_in()
            }
            _ => Woken::default(),
        }
    }
}
