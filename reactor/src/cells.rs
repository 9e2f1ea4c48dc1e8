//! Op cells that have ended, kept for the next operations of their kind: an operation in the steady
//! state allocates nothing.
//!
//! Each worker has its own, since an operation is made and taken notice of on workers' threads; a
//! cell that ended where its future was polled stays there.
//!
//! # Invariants
//!
//! 1. A kept cell has one owner, which is this: the table has dropped its reference.
//! 2. It holds nothing of a user, neither buffer nor waker: dropping it runs no code of others.
//! 3. What is kept is bounded, by kinds and by cells of a kind.
//!
//! Rejected: memory by size instead of cells by type, which would save the search for the kind (a
//! handful of comparisons) and need an `Arc` of our own. One cell in each socket: files have no such
//! place, and two goroutines that use one socket would take turns in allocating.

use std::any::{Any, TypeId};
use std::fmt;

use gorin_base::primitive::PlainArc;

use crate::op::{Op, Opcode};

/// Cells of one kind that are kept at most: what a worker has in flight, if it is not a burst.
const CELLS: usize = 128;
/// Kinds at most: by opcode and type of the buffer.
const KINDS: usize = 16;

/// See the module text.
#[derive(Default)]
pub(crate) struct Cells {
    kinds: Vec<Kind>,
}

struct Kind {
    opcode: TypeId,
    /// A `Vec` of cells with that opcode.
    cells: Box<dyn Any>,
}

impl Cells {
    /// A cell that was kept, for a new operation.
    pub(crate) fn take<C: Opcode>(&mut self) -> Option<PlainArc<Op<C>>> {
        self.of_kind::<C>()?.pop()
    }

    /// Keeps a cell that was [emptied](Op::empty).
    pub(crate) fn keep<C: Opcode>(&mut self, cell: PlainArc<Op<C>>) {
        if self.of_kind::<C>().is_none() {
            if self.kinds.len() == KINDS {
                return;
            }
            self.kinds.push(Kind {
                opcode: TypeId::of::<C>(),
                cells: Box::new(Vec::<PlainArc<Op<C>>>::new()),
            });
        }
        if let Some(cells) = self.of_kind::<C>()
            && cells.len() < CELLS
        {
            cells.push(cell);
        }
    }

    fn of_kind<C: Opcode>(&mut self) -> Option<&mut Vec<PlainArc<Op<C>>>> {
        let opcode = TypeId::of::<C>();
        let kind = self.kinds.iter_mut().find(|kind| kind.opcode == opcode)?;
        kind.cells.downcast_mut()
    }
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells")
            .field("kinds", &self.kinds.len())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io;

    use super::*;
    use crate::driver::Request;

    struct Number<const KIND: usize>;

    impl<const KIND: usize> Opcode for Number<KIND> {
        type Output = ();

        fn request(&mut self) -> Request {
            Request::Nop
        }

        fn finish(self, _result: io::Result<u32>) {}

        fn lost(_error: io::Error) {}
    }

    fn cell<const KIND: usize>() -> PlainArc<Op<Number<KIND>>> {
        PlainArc::new(Op::new(Number))
    }

    #[test]
    fn a_cell_is_found_by_its_kind() {
        let mut cells = Cells::default();
        assert!(cells.take::<Number<0>>().is_none());
        let (one, other) = (cell::<0>(), cell::<1>());
        let address = PlainArc::as_ptr(&one);
        cells.keep(one);
        cells.keep(other);
        assert_eq!(PlainArc::as_ptr(&cells.take().unwrap()), address);
        assert!(cells.take::<Number<0>>().is_none());
        assert!(cells.take::<Number<1>>().is_some());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut cells = Cells::default();
        (0..CELLS + 10).for_each(|_| cells.keep(cell::<0>()));
        let kept = std::iter::from_fn(|| cells.take::<Number<0>>());
        assert_eq!(kept.count(), CELLS);
        macro_rules! keep {
            ($($kind:literal)*) => {$(cells.keep(cell::<$kind>());)*};
        }
        keep!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17);
        assert_eq!(cells.kinds.len(), KINDS);
        assert!(cells.take::<Number<16>>().is_none());
    }
}
