//! Where the slots are, and how long a slot and its file belong to one socket.
//!
//! The table grows by chunks and gives nothing back: slots never move (invariant 6 of `readiness.rs`),
//! and an index that was given out once may be looked at by anybody, whatever has become of its
//! socket. A slot is free, and its file closed, when its last pin goes (invariant 2).

use std::sync::OnceLock;

use gorin_base::prefetch::prefetch;
use gorin_base::primitive::{AtomicBool, Mutex, Ordering, PlainArc};
use gorin_base::seeded;

use super::slot::Slot;

/// Chunk `k` holds `FIRST_CHUNK << k` slots, so that slots never move and the table grows as needed.
const FIRST_CHUNK: usize = if cfg!(loom) { 2 } else { 64 };
const CHUNKS: usize = 24;

/// The slots of one reactor's sockets. See the module text.
#[derive(Debug)]
pub(crate) struct Table<R> {
    chunks: [OnceLock<Box<[Slot<R>]>>; CHUNKS],
    pub(super) free: Mutex<Free>,
    /// No worker is left; see `readiness/edges.rs`, which writes and reads it.
    pub(super) ended: AtomicBool,
}

/// Indices without a socket.
#[derive(Debug, Default)]
pub(super) struct Free {
    /// Freed, to be used again: the last one first, whose cache lines are warm.
    indices: Vec<u32>,
    /// All indices from here on were never used.
    pub(super) fresh: u32,
}

/// The chunk of slot `index`, and its place there.
#[inline]
pub(super) fn locate(index: usize) -> (usize, usize) {
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
    pub(super) fn chunk(&self, chunk: usize) -> &[Slot<R>] {
        self.chunks[chunk].get_or_init(|| {
            let len = FIRST_CHUNK << chunk;
            (0..len).map(|_| Slot::new()).collect()
        })
    }

    #[inline]
    pub(super) fn slot(&self, index: usize) -> &Slot<R> {
        self.existing(index).expect("an index that was given out")
    }

    /// `None` for an index that was given out a moment ago and may not have its chunk yet.
    #[inline]
    pub(super) fn existing(&self, index: usize) -> Option<&Slot<R>> {
        let (chunk, place) = locate(index);
        self.chunks[chunk].get().map(|chunk| &chunk[place])
    }

    /// Has the processor fetch what a completion of slot `index` will need.
    #[inline]
    pub(crate) fn prefetch(&self, index: usize) {
        if let Some(slot) = self.existing(index) {
            prefetch(slot, 1);
        }
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
        for side in slot.sides() {
            side.reopen();
        }
        *slot.file.lock() = Some(file);
        // Release: a rescuer that pins afterwards sees the open words.
        slot.pins.store(1, Ordering::Release);
        index
    }

    /// Adds a pin, for a holder of the socket's own: the file stays open, and the slot used, until
    /// [`release`](Self::release).
    pub(crate) fn pin(&self, index: usize) {
        // Relaxed: the socket's pin holds until this one is taken.
        self.slot(index).pins.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes away one pin of slot `index`: the socket's, or that of a poll that was never submitted.
    /// The last one closes the file and frees the slot.
    pub(crate) fn release(&self, index: usize) {
        self.release_slot(index, self.slot(index));
    }

    /// As [`release`](Self::release), of a slot that was looked up already.
    #[inline]
    pub(super) fn release_slot(&self, index: usize, slot: &Slot<R>) {
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
            .sides()
            .map(|side| std::mem::take(&mut *side.waiters.lock()));
        drop(waiters);
        drop(file);
        self.free.lock().indices.push(index as u32);
    }

    /// The file of a pinned slot.
    pub(crate) fn file(&self, index: usize) -> PlainArc<R> {
        let file = self.slot(index).file.lock().clone();
        file.expect("the slot is pinned")
    }

    /// True if polls of this socket have not completed.
    pub(crate) fn has_polls(&self, index: usize) -> bool {
        self.slot(index).pins.load(Ordering::Relaxed) > 1
    }
}
