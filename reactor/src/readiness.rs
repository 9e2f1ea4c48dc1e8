//! Who waits for a socket, and on which ring: the readiness words.
//!
//! A socket has a slot with one word per direction. Whoever finds that a call would block adds its
//! waker to the direction's waiters and arms a one-shot poll, on its own ring if it is a worker. The
//! poll checks at submission, so nothing is missed between the call and the poll.
//!
//! # The word
//!
//! ```text
//! 63 ............ 32 | 31 ........ 16 | 15 ... 4 |    3    |   2    |   1    |   0
//!     generation     |     owner      |    0     | HUNG_UP | WAITED | CLOSED | ARMED
//! ```
//!
//! | transition | by | what moves |
//! |---|---|---|
//! | idle → armed | a waiter ([`Table::arm`]) | generation + 1, owner |
//! | armed → idle ("ready") | the owner, for a completion of this generation ([`Table::complete`]) | |
//! | armed → armed elsewhere | a ring that rescues a hogged one's sockets ([`Table::evacuate`]) | generation + 1, owner |
//! | → closed | the socket's user ([`Table::close`]) | |
//! | closed → idle | the slot's next socket ([`Table::insert`]) | generation + 1 |
//!
//! Ready and idle are one state: waiters try their call before they arm, so that a bit which says
//! "ready" would be read by nobody. Drivers that share an epoll set arm nothing and use the word in
//! another way: `readiness/edges.rs`.
//!
//! # Invariants
//!
//! 1. *A completion counts only if its generation is armed.* The generation moves with every arm
//!    and evacuation and is never reset, not even when the slot is used for another socket: a stale
//!    completion finds another generation, or nothing armed.
//! 2. *The file is open as long as a poll may name it.* `pins` counts the socket itself and every
//!    poll that was armed and has not completed, whether stale, unsubmitted or still in a mailbox.
//!    Who arms pins first; the last completion, not the first, closes.
//! 3. *No waiter is forgotten.* A waiter is in the list before it looks at the word. If it finds
//!    the word armed, the completion that will take the list comes later; if not, it arms.
//! 4. No waker is cloned, woken or dropped under a lock; nor is a file closed.
//! 5. *One standing poll per socket* (`standing.rs`): `stands_on` names its ring, which whoever closes
//!    asks to cancel it. It has a pin of its own.
//! 6. Slots live as long as their table, which every ring of the reactor holds.
//!
//! This file knows neither descriptors nor rings: a socket's file is an `R`, a ring is a number.

use std::sync::OnceLock;
use std::task::Waker;

use gorin_base::primitive::{AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering, PlainArc};
use gorin_base::seeded;

use crate::driver::Direction;
use crate::key::{Key, Kind};
use crate::waiters::Waiters;

const ARMED: u64 = 1;
const CLOSED: u64 = 1 << 1;
const WAITED: u64 = 1 << 2;
const HUNG_UP: u64 = 1 << 3;
const OWNER_SHIFT: u32 = 16;
const GENERATION_SHIFT: u32 = 32;

/// Rings of one reactor that the word can tell apart.
pub(crate) const MAX_OWNERS: usize = 1 << 16;

/// The word of one direction, as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

impl Word {
    fn generation(self) -> u32 {
        (self.0 >> GENERATION_SHIFT) as u32
    }

    fn owner(self) -> usize {
        usize::from((self.0 >> OWNER_SHIFT) as u16)
    }

    fn is_armed(self) -> bool {
        self.0 & ARMED != 0
    }

    fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// Armed on ring `owner`, and open.
    fn is_armed_on(self, owner: usize) -> bool {
        self.is_armed() && !self.is_closed() && self.owner() == owner
    }

    fn is_waited(self) -> bool {
        self.0 & WAITED != 0
    }

    /// Idle and open.
    fn idle(generation: u32) -> Word {
        Word(u64::from(generation) << GENERATION_SHIFT)
    }

    /// Armed on ring `owner`.
    fn armed(generation: u32, owner: usize) -> Word {
        debug_assert!(
            owner < MAX_OWNERS,
            "workers are counted when the reactor is made"
        );
        Word(Word::idle(generation).0 | (owner as u64) << OWNER_SHIFT | ARMED)
    }

    fn next_generation(self) -> u32 {
        self.generation().wrapping_add(1)
    }
}

/// One direction of one slot.
#[derive(Debug)]
struct Side {
    /// A [`Word`]. Written by waiters, the owner of the armed poll, rescuers and the closer, read by
    /// them. Its changes carry no data, and the list of waiters has its own lock, so most accesses
    /// are relaxed; the lock also makes invariant 3 hold (see `Table::arm`).
    word: AtomicU64,
    waiters: Mutex<Waiters>,
}

impl Side {
    fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            waiters: Mutex::new(Waiters::default()),
        }
    }

    fn load(&self) -> Word {
        Word(self.word.load(Ordering::Relaxed))
    }

    fn exchange(&self, from: Word, to: Word) -> Result<(), Word> {
        self.word
            .compare_exchange_weak(from.0, to.0, Ordering::Relaxed, Ordering::Relaxed)
            .map(|_| ())
            .map_err(Word)
    }

    /// Makes the word that of a new socket: idle, in a generation of its own.
    fn reopen(&self) {
        // Relaxed, but no mere store: a read-modify-write passes on what the last worker has released
        // (invariant 4 of `readiness/edges.rs`).
        let order = Ordering::Relaxed;
        let mut word = self.load();
        if seeded::bug("edges.reopened_by_store") {
            let open = Word::idle(word.next_generation());
            self.word.store(open.0, order);
            return;
        }
        loop {
            let open = Word::idle(word.next_generation());
            let exchanged =
                self.word
                    .compare_exchange_weak(word.0, open.0, order, Ordering::Relaxed);
            match exchanged {
                Ok(_) => return,
                Err(now) => word = Word(now),
            }
        }
    }

    /// Wakes all waiters, in their order.
    fn wake(&self) {
        let mut waiters = self.waiters.lock();
        let taken = waiters.take();
        if seeded::bug("readiness.wake_under_lock") {
            taken.wake();
            return;
        }
        drop(waiters);
        taken.wake();
    }
}

/// What one socket waits by.
#[derive(Debug)]
pub(crate) struct Slot<R> {
    sides: [Side; 2],
    /// Invariant 2. Written by whoever arms, completes or drops. The decrement releases what its
    /// thread did with the file, and the last one acquires it before it closes.
    pins: AtomicU32,
    /// `Some` while pinned.
    file: Mutex<Option<PlainArc<R>>>,
    /// The ring with a standing poll (`standing.rs`) of this socket, plus one; or 0. Taken by a ring
    /// that submits one, given back by the same with its last completion, read by who closes;
    /// relaxed: an exchange decides who, and who closes comes after everybody who could submit one.
    stands_on: AtomicU32,
}

impl<R> Slot<R> {
    fn new() -> Self {
        Self {
            sides: [Side::new(), Side::new()],
            pins: AtomicU32::new(0),
            file: Mutex::new(None),
            stands_on: AtomicU32::new(0),
        }
    }

    fn side(&self, direction: Direction) -> &Side {
        &self.sides[direction as usize]
    }

    /// Adds a pin for who has none; fails if the slot is being freed.
    fn try_pin(&self) -> bool {
        let mut pins = self.pins.load(Ordering::Relaxed);
        while pins > 0 {
            match self.pins.compare_exchange_weak(
                pins,
                pins + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => pins = now,
            }
        }
        false
    }
}

/// What [`Table::arm`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arm {
    /// A poll with this key is to be submitted, or [`Table::complete`] to be called.
    Submit(Key),
    /// A poll is armed already; its completion wakes all waiters.
    Already,
    /// The socket has been closed.
    Closed,
}

/// A poll that has changed its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    /// What the old ring knows it by: to be cancelled there.
    pub(crate) stale: Key,
    /// To be submitted on the new ring.
    pub(crate) armed: Key,
}

/// Chunk `k` holds `FIRST_CHUNK << k` slots, so that slots never move and the table grows as needed.
const FIRST_CHUNK: usize = if cfg!(loom) { 2 } else { 64 };
const CHUNKS: usize = 24;

/// The slots of one reactor's sockets. See the module text.
#[derive(Debug)]
pub(crate) struct Table<R> {
    chunks: [OnceLock<Box<[Slot<R>]>>; CHUNKS],
    free: Mutex<Free>,
    /// No worker is left; see `readiness/edges.rs`, which writes and reads it.
    ended: AtomicBool,
}

/// Indices without a socket.
#[derive(Debug, Default)]
struct Free {
    /// Freed, to be used again: the last one first, whose cache lines are warm.
    indices: Vec<u32>,
    /// All indices from here on were never used.
    fresh: u32,
}

/// The chunk of slot `index`, and its place there.
fn locate(index: usize) -> (usize, usize) {
    let shifted = index + FIRST_CHUNK;
    let chunk = (shifted.ilog2() - FIRST_CHUNK.ilog2()) as usize;
    (chunk, shifted - (FIRST_CHUNK << chunk))
}

impl<R> Table<R> {
    pub(crate) fn new() -> Self {
        Self {
            chunks: [const { OnceLock::new() }; CHUNKS],
            free: Mutex::new(Free::default()),
            ended: AtomicBool::new(false),
        }
    }

    /// The slots of chunk `chunk`, which are made if need be.
    fn chunk(&self, chunk: usize) -> &[Slot<R>] {
        self.chunks[chunk].get_or_init(|| {
            let len = FIRST_CHUNK << chunk;
            (0..len).map(|_| Slot::new()).collect()
        })
    }

    fn slot(&self, index: usize) -> &Slot<R> {
        self.existing(index).expect("an index that was given out")
    }

    /// `None` for an index that was given out a moment ago and may not have its chunk yet.
    fn existing(&self, index: usize) -> Option<&Slot<R>> {
        let (chunk, place) = locate(index);
        self.chunks[chunk].get().map(|chunk| &chunk[place])
    }

    /// A slot for `file`, pinned once for the socket: to be given back by [`release`](Self::release).
    pub(crate) fn insert(&self, file: PlainArc<R>) -> usize {
        let index = {
            let mut free = self.free.lock();
            free.indices.pop().unwrap_or_else(|| {
                let index = free.fresh;
                free.fresh += 1;
                index
            })
        } as usize;
        let (chunk, place) = locate(index);
        let slot = &self.chunk(chunk)[place];
        for side in &slot.sides {
            side.reopen();
        }
        *slot.file.lock() = Some(file);
        // Release: a rescuer that pins afterwards sees the open words.
        slot.pins.store(1, Ordering::Release);
        index
    }

    /// Takes away one pin of slot `index`: the socket's, or that of a poll that was never submitted.
    /// The last one closes the file and frees the slot.
    pub(crate) fn release(&self, index: usize) {
        let slot = self.slot(index);
        let before = slot.pins.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "a pin was taken away twice");
        let last = if seeded::bug("readiness.close_at_first_completion") {
            before == 2 || before == 1
        } else {
            before == 1
        };
        if last {
            self.free(index, slot);
        }
    }

    fn free(&self, index: usize, slot: &Slot<R>) {
        let file = slot.file.lock().take();
        // Wakers of futures that are gone; after this nobody reaches the list.
        let waiters = slot
            .sides
            .each_ref()
            .map(|side| std::mem::take(&mut *side.waiters.lock()));
        drop(waiters);
        drop(file);
        self.free.lock().indices.push(index as u32);
    }

    /// Waits for `direction` of a socket: adds `waker` to the waiters as number `id` (see
    /// [`Waiters::add`]), then arms a poll on ring `owner` unless one is armed. To be called by a
    /// holder of the socket's pin, after a call that would have blocked.
    pub(crate) fn wait(
        &self,
        index: usize,
        direction: Direction,
        id: usize,
        waker: &Waker,
        owner: usize,
    ) -> Arm {
        if seeded::bug("readiness.arm_before_register") {
            let found = self.arm(index, direction, owner);
            self.register(index, direction, id, waker);
            return found;
        }
        self.register(index, direction, id, waker);
        self.arm(index, direction, owner)
    }

    /// Adds a waiter, as [`wait`](Self::wait) does, for what comes by [`wake`](Self::wake) alone: no
    /// poll is armed.
    pub(crate) fn list(&self, index: usize, direction: Direction, id: usize, waker: &Waker) {
        self.register(index, direction, id, waker);
    }

    /// Adds a pin, for a holder of the socket's own: the file stays open, and the slot used, until
    /// [`release`](Self::release).
    pub(crate) fn pin(&self, index: usize) {
        // Relaxed: the socket's pin holds until this one is taken.
        self.slot(index).pins.fetch_add(1, Ordering::Relaxed);
    }

    fn register(&self, index: usize, direction: Direction, id: usize, waker: &Waker) {
        let waker = waker.clone();
        let replaced = {
            let mut waiters = self.slot(index).side(direction).waiters.lock();
            waiters.add(id, waker)
        };
        drop(replaced);
    }

    /// Takes waiter `id` out of the list, if it still is there.
    pub(crate) fn unregister(&self, index: usize, direction: Direction, id: usize) {
        let removed = self.slot(index).side(direction).waiters.lock().remove(id);
        drop(removed);
    }

    /// Why no waiter is forgotten (invariant 3): if this call finds the word armed, the exchange
    /// that ends that arming comes later in the word's order, and the completion takes the list's
    /// lock after it. Had its critical section come before our registration's, the lock would have
    /// made the exchange visible to our load.
    fn arm(&self, index: usize, direction: Direction, owner: usize) -> Arm {
        let slot = self.slot(index);
        let side = slot.side(direction);
        let mut word = side.load();
        loop {
            if word.is_closed() && !seeded::bug("readiness.arm_after_close") {
                return Arm::Closed;
            }
            if word.is_armed() {
                return Arm::Already;
            }
            let armed = Word::armed(word.next_generation(), owner);
            match side.exchange(word, armed) {
                Ok(()) => {
                    // The socket's own pin holds until this one is taken, and nobody completes the
                    // poll before it is submitted.
                    if !seeded::bug("readiness.no_pin") {
                        slot.pins.fetch_add(1, Ordering::Relaxed);
                    }
                    return Arm::Submit(key(index, direction, armed));
                }
                Err(now) => word = now,
            }
        }
    }

    /// The owner's look before it submits the poll of a message: false if it is closed, stale or evacuated
    /// already. The caller then calls [`release`](Self::release) instead of submitting.
    pub(crate) fn is_wanted(&self, key: Key) -> bool {
        let (index, direction) = place(key);
        let word = self.slot(index).side(direction).load();
        word.is_armed() && !word.is_closed() && word.generation() == key.generation()
    }

    /// The file of a pinned slot.
    pub(crate) fn file(&self, index: usize) -> PlainArc<R> {
        let file = self.slot(index).file.lock().clone();
        file.expect("the slot is pinned")
    }

    /// Takes note that the poll of `key` has completed, successfully or not: if it is the armed one,
    /// wakes all waiters, who try again. Takes the poll's pin away. True if it was the armed one.
    pub(crate) fn complete(&self, key: Key) -> bool {
        let (index, direction) = place(key);
        let side = self.slot(index).side(direction);
        let counts = disarm(side, key.generation());
        if counts {
            side.wake();
        }
        self.release(index);
        counts
    }

    /// Lets ring `owner` have the socket's one standing poll, if no other ring has it: to be submitted
    /// under [`standing_key`]. By a worker that has just armed a poll of this socket.
    pub(crate) fn start_standing(&self, index: usize, owner: usize) -> bool {
        let slot = self.slot(index);
        let taken = if seeded::bug("readiness.two_standing") {
            let free = slot.stands_on.load(Ordering::Relaxed) == 0;
            if free {
                slot.stands_on.store(owner as u32 + 1, Ordering::Relaxed);
            }
            free
        } else {
            slot.stands_on
                .compare_exchange(0, owner as u32 + 1, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        };
        // The armed poll's pin holds until this one is taken.
        if taken && !seeded::bug("readiness.standing_unpinned") {
            slot.pins.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// The last completion of a standing poll, on the ring that had it.
    pub(crate) fn end_standing(&self, index: usize) {
        self.slot(index).stands_on.store(0, Ordering::Relaxed);
        self.release(index);
    }

    /// The ring that has a standing poll of the socket, and the poll's key.
    pub(crate) fn standing(&self, index: usize) -> Option<(usize, Key)> {
        let owner = self.slot(index).stands_on.load(Ordering::Relaxed);
        let owner = owner.checked_sub(1)?;
        Some((owner as usize, standing_key(index)))
    }

    /// Wakes all who wait for `direction`: they try again, and look whether they may still wait.
    pub(crate) fn wake(&self, index: usize, direction: Direction) {
        self.slot(index).side(direction).wake();
    }

    /// Closes both directions for good and wakes all waiters. Returns the polls that are armed, with
    /// the rings that own them: their completions are still to come.
    pub(crate) fn close(&self, index: usize) -> [Option<(usize, Key)>; 2] {
        let slot = self.slot(index);
        [Direction::Read, Direction::Write].map(|direction| {
            let side = slot.side(direction);
            let word = Word(side.word.fetch_or(CLOSED, Ordering::Relaxed));
            side.wake();
            word.is_armed()
                .then(|| (word.owner(), key(index, direction, word)))
        })
    }

    /// True if polls of this socket have not completed.
    pub(crate) fn has_polls(&self, index: usize) -> bool {
        self.slot(index).pins.load(Ordering::Relaxed) > 1
    }

    pub(crate) fn is_closed(&self, index: usize) -> bool {
        self.slot(index).side(Direction::Read).load().is_closed()
    }

    /// Moves an armed poll of ring `from` to ring `to`. The poll on `from` becomes stale: its
    /// completion will only take its pin away.
    ///
    /// For the rescuer of a hog: `from` cannot act, and a poll submitted on `to` completes at once
    /// if the socket is ready.
    pub(crate) fn evacuate(
        &self,
        index: usize,
        direction: Direction,
        from: usize,
        to: usize,
    ) -> Option<Moved> {
        self.evacuate_side(index, self.slot(index), direction, from, to)
    }

    fn evacuate_side(
        &self,
        index: usize,
        slot: &Slot<R>,
        direction: Direction,
        from: usize,
        to: usize,
    ) -> Option<Moved> {
        let side = slot.side(direction);
        // The rescuer has no socket, hence no pin that would protect it while it looks.
        if !side.load().is_armed_on(from) || !slot.try_pin() {
            return None;
        }
        let mut word = side.load();
        while word.is_armed_on(from) {
            let generation = if seeded::bug("readiness.generation_not_moved") {
                word.generation()
            } else {
                word.next_generation()
            };
            let moved = Word::armed(generation, to);
            match side.exchange(word, moved) {
                Ok(()) => {
                    return Some(Moved {
                        stale: key(index, direction, word),
                        armed: key(index, direction, moved),
                    });
                }
                Err(now) => word = now,
            }
        }
        self.release(index);
        None
    }

    /// [Evacuates](Self::evacuate) the slots from `first` on, `count` of them at most, and calls
    /// `moved` for each poll. Gives the slot to go on with, or `None` if there are no more.
    pub(crate) fn evacuate_from(
        &self,
        first: usize,
        count: usize,
        from: usize,
        to: usize,
        mut moved: impl FnMut(Moved),
    ) -> Option<usize> {
        let used = self.free.lock().fresh as usize;
        let end = used.min(first + count);
        for index in first..end {
            let Some(slot) = self.existing(index) else {
                continue;
            };
            for direction in [Direction::Read, Direction::Write] {
                if let Some(poll) = self.evacuate_side(index, slot, direction, from, to) {
                    moved(poll);
                }
            }
        }
        (end < used).then_some(end)
    }

    /// Calls `f` with the polls that are armed on ring `owner`.
    pub(crate) fn armed_on(&self, owner: usize, mut f: impl FnMut(Key)) {
        let used = self.free.lock().fresh as usize;
        for index in 0..used {
            let Some(slot) = self.existing(index) else {
                continue;
            };
            for direction in [Direction::Read, Direction::Write] {
                let word = slot.side(direction).load();
                if word.is_armed_on(owner) {
                    f(key(index, direction, word));
                }
            }
        }
    }

    /// For a ring that ends with polls in flight: wakes who waits for them. The pins stay, since the
    /// kernel may still look at the files.
    pub(crate) fn abandon(&self, owner: usize) {
        let used = self.free.lock().fresh as usize;
        for slot in (0..used).filter_map(|index| self.existing(index)) {
            for side in &slot.sides {
                let word = side.load();
                if word.is_armed() && word.owner() == owner && disarm(side, word.generation()) {
                    side.wake();
                }
            }
        }
    }
}

/// Armed → idle, if `generation` is the armed one.
fn disarm(side: &Side, generation: u32) -> bool {
    let mut word = side.load();
    let any = seeded::bug("readiness.stale_counts");
    while word.is_armed() && (word.generation() == generation || any) {
        match side.exchange(word, Word(word.0 & !ARMED)) {
            Ok(()) => return true,
            Err(now) => word = now,
        }
    }
    false
}

fn key(index: usize, direction: Direction, word: Word) -> Key {
    key_of(index, direction, word.generation())
}

/// The key of the poll of slot `index` that was armed in generation `generation`.
pub(crate) fn key_of(index: usize, direction: Direction, generation: u32) -> Key {
    Key::new(Kind::Readiness, index << 1 | direction as usize, generation)
}

/// The key of the standing poll of slot `index`.
pub(crate) fn standing_key(index: usize) -> Key {
    Key::new(Kind::Standing, index, 0)
}

/// The slot and direction that a readiness key names.
pub(crate) fn place(key: Key) -> (usize, Direction) {
    let direction = if key.index() & 1 == 0 {
        Direction::Read
    } else {
        Direction::Write
    };
    (key.index() >> 1, direction)
}

pub(crate) mod edges;
#[cfg(test)]
mod models;
