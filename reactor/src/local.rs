//! The reactor of the calling thread, and the two ways to a ring: directly for its owner, through a
//! mailbox for everybody else.
//!
//! A thread is a worker, or has entered a reactor, or neither. This file holds that in a
//! thread-local and nothing else; no user code runs while it is borrowed.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::rc::Rc;

use gorin_base::hook;
use gorin_base::primitive::PlainArc;

use crate::error;
use crate::mailbox::{Message, Operation};
use crate::op::{Op, Opcode};
use crate::reactor::Shared;
use crate::timer::Timers;
use crate::worker::Worker;

#[derive(Clone)]
enum Current {
    Worker(Rc<Worker>),
    Entered(PlainArc<Shared>),
}

impl Current {
    fn shared(&self) -> &PlainArc<Shared> {
        match self {
            Current::Worker(worker) => worker.shared(),
            Current::Entered(shared) => shared,
        }
    }
}

std::thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    /// The moment of the worker in `CURRENT`, or 0: in a cell of its own, which is read without more ado.
    static MOMENT: Cell<u64> = const { Cell::new(0) };
}

/// Calls `f` with what this thread is. `None` while its thread-locals are being destroyed.
#[inline]
fn with<R>(f: impl FnOnce(&Current) -> R) -> Option<R> {
    CURRENT
        .try_with(|current| current.borrow().as_ref().map(f))
        .ok()
        .flatten()
}

fn exchange(new: Option<Current>) -> Option<Current> {
    set_moment(match &new {
        Some(Current::Worker(worker)) => worker.moment(),
        _ => 0,
    });
    CURRENT
        .try_with(|current| current.replace(new))
        .ok()
        .flatten()
}

/// Ends the effect of [`Reactor::enter`](crate::Reactor::enter) when dropped. Guards of one thread
/// are to be dropped in the reverse order of their making.
#[must_use = "dropping the guard leaves the reactor at once"]
pub struct EnterGuard {
    before: Option<Current>,
    /// It belongs to its thread.
    not_send: PhantomData<*mut ()>,
}

impl Drop for EnterGuard {
    fn drop(&mut self) {
        drop(exchange(self.before.take()));
    }
}

impl fmt::Debug for EnterGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnterGuard")
    }
}

fn set(current: Current) -> EnterGuard {
    EnterGuard {
        before: exchange(Some(current)),
        not_send: PhantomData,
    }
}

pub(crate) fn enter(shared: PlainArc<Shared>) -> EnterGuard {
    set(Current::Entered(shared))
}

pub(crate) fn enter_worker(worker: Rc<Worker>) -> EnterGuard {
    set(Current::Worker(worker))
}

pub(crate) fn is_worker() -> bool {
    with(|current| matches!(current, Current::Worker(_))).unwrap_or(false)
}

pub(crate) fn current() -> Option<PlainArc<Shared>> {
    with(|current| current.shared().clone())
}

/// The moment of the worker that this thread is (`Worker::moment`), or 0.
#[inline]
pub(crate) fn moment() -> u64 {
    MOMENT.get()
}

/// To be called by the current worker when its moment has changed.
#[inline]
pub(crate) fn set_moment(moment: u64) {
    MOMENT.set(moment);
}

/// Calls `f` if this thread is a worker of `shared`. `f` must run no user code.
#[inline]
pub(crate) fn with_worker<R>(
    shared: &PlainArc<Shared>,
    f: impl FnOnce(&Rc<Worker>) -> R,
) -> Option<R> {
    with(|current| match current {
        Current::Worker(worker) if PlainArc::ptr_eq(worker.shared(), shared) => Some(f(worker)),
        _ => None,
    })
    .flatten()
}

/// This thread's worker, if it is one of `shared`.
#[inline]
pub(crate) fn worker(shared: &PlainArc<Shared>) -> Option<Rc<Worker>> {
    with_worker(shared, Rc::clone)
}

/// Calls `f` with the timers of this thread's reactor, and the worker's index if it is one. `f` must
/// run no user code.
pub(crate) fn with_timers<R>(f: impl FnOnce(&Timers, Option<usize>) -> R) -> Option<R> {
    with(|current| {
        let worker = match current {
            Current::Worker(worker) if !worker.is_spare() => Some(worker.index()),
            Current::Worker(_) | Current::Entered(_) => None,
        };
        f(&current.shared().timers, worker)
    })
}

/// Says that the code which runs now, polled by a worker of a reactor, will compute or block for
/// long: other workers then take over this worker's sockets, timers and goroutines at once, instead
/// of after the 300 µs in which they find out by themselves. It holds until the poll returns. (In a
/// reactor with one worker there is nobody to do that.)
///
/// What was asked of this worker before is submitted, and what has completed is told. So what was dropped
/// while somebody waited for it is closed: the code that blocks may wait for who reads the other end.
///
/// On other threads it does nothing.
pub fn expect_block() {
    let worker = with(|current| match current {
        Current::Worker(worker) => Some(worker.clone()),
        Current::Entered(_) => None,
    });
    if let Some(worker) = worker.flatten() {
        worker.expect_block();
    }
}

/// Which ring runs an operation.
pub(crate) struct Owner {
    shared: PlainArc<Shared>,
    index: usize,
}

impl Owner {
    /// Whether the ring's worker has not begun to end.
    pub(crate) fn is_there(&self) -> bool {
        self.shared.posts[self.index].mailbox().is_open()
    }

    /// Asks that ring to cancel `operation`.
    pub(crate) fn cancel(&self, operation: PlainArc<dyn Operation>) {
        let here = with_worker(&self.shared, |worker| {
            let own = worker.index() == self.index;
            if own {
                worker.cancel_operation(&*operation);
            }
            own
        });
        if here != Some(true) {
            // A ring that is gone has cancelled everything.
            let _ = self.shared.posts[self.index].send(Message::Cancel(operation));
        }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owner").field(&self.index).finish()
    }
}

/// A cell with `op` in it: one that this worker has kept, or a new one.
pub(crate) fn cell<C: Opcode>(op: Op<C>) -> PlainArc<Op<C>> {
    let kept = with(|current| match current {
        Current::Worker(worker) => worker.take_cell(),
        Current::Entered(_) => None,
    });
    let Some(mut cell) = kept.flatten() else {
        return PlainArc::new(op);
    };
    *PlainArc::get_mut(&mut cell).expect("a kept cell has one owner") = op;
    cell
}

/// Keeps the cell of an operation that has ended, and whose code was taken, for another one.
pub(crate) fn keep<C: Opcode>(mut cell: PlainArc<Op<C>>) {
    // A future that looks by itself, without being woken, may be faster than the table, which has not
    // let go of the cell yet.
    let Some(op) = PlainArc::get_mut(&mut cell) else {
        return;
    };
    op.empty();
    with(|current| {
        if let Current::Worker(worker) = current {
            worker.keep_cell(cell);
        }
    });
}

/// Submits `operation` to this worker's ring, or to a worker of the reactor that this thread has
/// entered.
pub(crate) fn submit(operation: PlainArc<dyn Operation>) -> io::Result<Owner> {
    // A model on a worker's thread: what the kernel answers is no step of it.
    if hook::is_active() {
        return Err(error::no_runtime("this operation"));
    }
    let (shared, index) = with(|current| match current {
        Current::Worker(worker) => {
            worker.submit(operation.clone());
            (worker.shared().clone(), Some(worker.index()))
        }
        Current::Entered(shared) => (shared.clone(), None),
    })
    .ok_or_else(|| error::no_runtime("this operation"))?;
    if let Some(index) = index {
        return Ok(Owner { shared, index });
    }
    while let Some(index) = shared.home(0) {
        if shared.posts[index]
            .send(Message::Submit(operation.clone()))
            .is_ok()
        {
            return Ok(Owner { shared, index });
        }
    }
    Err(shut_down())
}

/// The error of an operation whose reactor is gone.
pub(crate) fn shut_down() -> io::Error {
    error::shut_down("operation")
}
