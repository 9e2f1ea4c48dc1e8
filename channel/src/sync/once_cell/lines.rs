//! Who waits at a cell: for the turn to make its value, or for the value alone.
//!
//! Must not: know the value.

use std::mem;

use gorin_base::hook::{self, Access, Site};
use gorin_base::primitive::unwinding;
use gorin_base::seeded;

use crate::sync::permits::Permits;

/// What reports call a cell, and a wait for the turn to fill it.
#[derive(Clone, Copy)]
pub(in crate::sync) struct Names {
    pub(in crate::sync) kind: &'static str,
    pub(in crate::sync) operation: &'static str,
}

pub(super) struct Lines {
    /// One permit: whose turn it is to make the value.
    turn: Permits,
    /// No permit before there is a value.
    filled: Permits,
}

impl Lines {
    /// Of a cell that was made at `site`.
    pub(super) fn new(kind: &'static str, site: Site) -> Self {
        let id = gorin_base::id::next();
        hook::created(id, kind, site);
        Self {
            turn: Permits::new(id, 0, 1),
            filled: Permits::new(id, 1, 0),
        }
    }

    /// The cell.
    pub(super) fn id(&self) -> u64 {
        self.turn.id()
    }

    /// Waits for the turn to make the value. There may be one by then.
    pub(super) async fn turn(&self, operation: &'static str, site: Site) -> Turn<'_> {
        let at_once = self.turn.wait(1, operation, site).await;
        let turn = Turn {
            lines: self,
            operation,
            site,
        };
        if !at_once {
            // Somebody may have set a value since its step.
            hook::step(operation, self.id(), Access::Read, site);
        }
        turn
    }

    /// Waits until there is a value.
    pub(super) async fn filled(&self, operation: &'static str, site: Site) {
        self.filled.wait(1, operation, site).await;
    }

    /// There is a value: everybody goes on, and nobody waits again.
    pub(super) fn open(&self) {
        let served = self.turn.put(usize::MAX);
        if seeded::bug("once_cell.who_waits_is_not_told") {
            return served.wake();
        }
        served.and(self.filled.put(usize::MAX)).wake();
    }
}

/// The turn to make the value. If it is dropped it goes to the next in line.
pub(super) struct Turn<'a> {
    lines: &'a Lines,
    operation: &'static str,
    site: Site,
}

impl Turn<'_> {
    /// There is a value, and so are turns for all.
    pub(super) fn end(self) {
        mem::forget(self);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if unwinding() || seeded::bug("once_cell.turn_is_kept") {
            return;
        }
        // Without a look whether there is a value by now: that the maker has given up is news to who waits.
        let id = self.lines.id();
        hook::step(self.operation, id, Access::Write, self.site);
        self.lines.turn.put(1).wake();
    }
}
