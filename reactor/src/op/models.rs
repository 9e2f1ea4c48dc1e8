//! Models of the op cell and its table: a future on one thread, the ring's owner on another.
//!
//! The owner plays the kernel too: it writes to the buffer before it completes. The buffer is the
//! opcode's own memory, so loom sees a write that races with the future's reading, and a buffer
//! that is gone when the kernel writes fails the model.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};

use gorin_base::check::{block_on, model};
use gorin_base::primitive::{Mutex, thread};

use super::*;
use crate::key::Kind;
use crate::table::Table;

/// What became of one operation. std's atomics: they count, and must not order anything for loom.
#[derive(Default)]
struct Fate {
    /// Results disposed of because the future was gone.
    orphaned: AtomicUsize,
    /// Buffers freed.
    freed: AtomicUsize,
}

impl Fate {
    fn orphaned(&self) -> usize {
        self.orphaned.load(Ordering::SeqCst)
    }

    fn freed(&self) -> usize {
        self.freed.load(Ordering::SeqCst)
    }
}

/// An opcode whose result is a resource that must be disposed of once, like a descriptor.
struct Probe {
    buffer: i32,
    fate: PlainArc<Fate>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.fate.freed.fetch_add(1, Ordering::SeqCst);
    }
}

impl Opcode for Probe {
    type Output = (Option<u32>, i32);

    fn request(&mut self) -> Request {
        Request::Nop
    }

    fn finish(self, result: io::Result<u32>) -> Self::Output {
        (result.ok(), self.buffer)
    }

    fn orphan(self, result: io::Result<u32>) {
        if result.is_ok() {
            self.fate.orphaned.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn lost(_error: io::Error) -> Self::Output {
        (None, -1)
    }
}

fn probe() -> (PlainArc<Op<Probe>>, PlainArc<Fate>) {
    let fate = PlainArc::new(Fate::default());
    let op = Op::new(Probe {
        buffer: 0,
        fate: fate.clone(),
    });
    (PlainArc::new(op), fate)
}

impl Op<Probe> {
    /// The kernel, with the operation in flight.
    fn write_buffer(&self, value: i32) {
        self.code.with_mut(|code| {
            // SAFETY: as for the owner: the operation has not ended (invariant 2).
            let code = unsafe { &mut *code };
            code.as_mut().expect("the kernel's buffer was freed").buffer = value;
        });
    }
}

/// Waits for the end as `Run` does.
fn wait(op: &Op<Probe>) -> (Option<u32>, i32) {
    match block_on(poll_fn(|cx| op.poll(cx.waker()))) {
        End::Done(result) => op.take_code().finish(decode(result)),
        End::Lost => Probe::lost(io::Error::other("lost")),
    }
}

/// Bugs: a completion that comes between the poll and the sleep is missed; result or buffer is read
/// before it is written.
#[test]
fn complete_while_polled() {
    model("op: complete while polled", || {
        let (op, fate) = probe();
        let owned = op.clone();
        let owner = thread::spawn(move || {
            owned.write_buffer(7);
            owned.complete(7);
        });
        assert_eq!(wait(&op), (Some(7), 7));
        owner.join().expect("the owner ends");
        assert_eq!((fate.orphaned(), fate.freed()), (0, 1));
    });
}

/// Bug: the future moves to another thread and is polled there with another waker, and the
/// completion wakes the one that nobody waits on.
#[test]
fn complete_while_the_future_migrates() {
    model("op: complete while the future migrates", || {
        let (op, _fate) = probe();
        let owned = op.clone();
        let owner = thread::spawn(move || {
            owned.write_buffer(7);
            owned.complete(7);
        });
        if op.poll(Waker::noop()).is_pending() {
            let moved = op.clone();
            let other = thread::spawn(move || assert_eq!(wait(&moved), (Some(7), 7)));
            other.join().expect("the future ends");
        }
        owner.join().expect("the owner ends");
    });
}

/// Bugs: the descriptor that the kernel made is closed by nobody, or by both; the buffer is freed
/// while the kernel can write to it.
#[test]
fn complete_while_dropped() {
    model("op: complete while dropped", || {
        let (op, fate) = probe();
        let owned = op.clone();
        let owner = thread::spawn(move || {
            owned.write_buffer(7);
            owned.complete(7);
        });
        let waiting = op.poll(Waker::noop()).is_pending();
        let in_flight = op.abandon();
        assert!(waiting || !in_flight);
        drop(op);
        owner.join().expect("the owner ends");
        assert_eq!((fate.orphaned(), fate.freed()), (1, 1));
    });
}

/// Bug: a cancellation posted while the operation completes hits the operation that got its slot.
#[test]
fn stale_cancel_and_reused_slot() {
    model("op: stale cancel and a reused slot", || {
        let ((first, fate), (second, _)) = (probe(), probe());
        let posted: PlainArc<Mutex<Option<PlainArc<dyn Operation>>>> = PlainArc::default();
        let (mailbox, op) = (posted.clone(), first.clone());
        let owner = thread::spawn(move || {
            let mut table = Table::default();
            let (key, _request) = table.insert(op).expect("nobody has dropped it yet");
            table.complete(key, 7, false).expect("in flight").complete();
            let (reused, _request) = table.insert(second).expect("alive");
            assert_eq!(
                (reused.kind(), reused.index()),
                (Kind::Operation, key.index())
            );
            if let Some(cancelled) = mailbox.lock().take() {
                let hit = table.cancel(&*cancelled);
                assert!(hit.is_none(), "cancelled a stranger");
            }
            table
                .complete(reused, 0, false)
                .expect("in flight")
                .complete();
            assert!(table.is_empty());
        });
        // The owner may have submitted it or not; `abandon` is only for what was submitted.
        while first.key().is_none() {
            thread::yield_now();
        }
        if first.abandon() {
            *posted.lock() = Some(first.clone());
        }
        drop(first);
        owner.join().expect("the owner ends");
        drop(posted);
        assert_eq!((fate.orphaned(), fate.freed()), (1, 1));
    });
}

/// Bug: an operation that a foreign thread has sent to the owner and dropped is submitted and
/// forgotten.
#[test]
fn start_while_dropped() {
    model("op: start while dropped", || {
        let (op, fate) = probe();
        let sent = op.clone();
        let owner = thread::spawn(move || {
            let mut table = Table::default();
            let Some((key, _request)) = table.insert(sent) else {
                assert!(table.is_empty());
                return false;
            };
            table.complete(key, 7, false).expect("in flight").complete();
            true
        });
        op.abandon();
        drop(op);
        let submitted = owner.join().expect("the owner ends");
        assert_eq!((fate.orphaned(), fate.freed()), (usize::from(submitted), 1));
    });
}

/// Bug: a write that was sent to the owner by a foreign thread, and is to go on without its future,
/// is never submitted because the future was dropped first.
#[test]
fn what_goes_on_is_submitted_without_its_future() {
    model("op: what goes on is submitted without its future", || {
        let fate = PlainArc::new(Fate::default());
        let op = PlainArc::new(Op::that_goes_on(Probe {
            buffer: 0,
            fate: fate.clone(),
        }));
        let sent = op.clone();
        let owner = thread::spawn(move || {
            let mut table = Table::default();
            let (key, _request) = table.insert(sent).expect("it is submitted");
            table.complete(key, 7, false).expect("in flight").complete();
        });
        op.abandon();
        drop(op);
        owner.join().expect("the owner ends");
        assert_eq!((fate.orphaned(), fate.freed()), (1, 1));
    });
}

/// Bug: when the ring is given up, the waiting future sleeps for ever, or the kernel's buffer is
/// freed.
#[test]
fn lose_while_polled() {
    model("op: lose while polled", || {
        let (op, fate) = probe();
        let owned = op.clone();
        let owner = thread::spawn(move || {
            let mut table = Table::default();
            table.insert(owned).expect("nobody drops it");
            table.leak();
        });
        assert_eq!(wait(&op), (None, -1));
        owner.join().expect("the owner ends");
        assert_eq!((fate.orphaned(), fate.freed()), (0, 0));
        // SAFETY: the reference that the table has leaked; the kernel of this model is done.
        unsafe { PlainArc::decrement_strong_count(PlainArc::as_ptr(&op)) };
        drop(op);
        assert_eq!(fate.freed(), 1, "nobody else had a reference");
    });
}

/// Bug: what the cell remembers of its first operation ends the second one, or the first one's owner
/// still has a hand in it.
#[test]
fn a_cell_is_used_again() {
    model("op: a cell is used again", || {
        let (mut op, first) = probe();
        let owned = op.clone();
        let owner = thread::spawn(move || {
            owned.write_buffer(7);
            owned.complete(7);
        });
        assert_eq!(wait(&op), (Some(7), 7));
        // Only if the owner has let go already: else the cell is not kept.
        let free = PlainArc::get_mut(&mut op).map(Op::empty).is_some();
        if free {
            let second = PlainArc::new(Fate::default());
            let fate = second.clone();
            *PlainArc::get_mut(&mut op).expect("as above") = Op::new(Probe { buffer: 0, fate });
            let owned = op.clone();
            let next = thread::spawn(move || {
                owned.write_buffer(8);
                owned.complete(8);
            });
            assert_eq!(wait(&op), (Some(8), 8));
            next.join().expect("the owner ends");
            assert_eq!((second.orphaned(), second.freed()), (0, 1));
        }
        owner.join().expect("the owner ends");
        assert_eq!((first.orphaned(), first.freed()), (0, 1));
    });
}

#[cfg(not(loom))]
mod tests {
    use super::*;
    use std::task::Wake;

    #[test]
    fn results_are_counts_or_errors() {
        assert_eq!(decode(0).ok(), Some(0));
        assert_eq!(decode(i32::MAX).ok(), Some(i32::MAX as u32));
        let error = decode(-libc::ECANCELED).expect_err("an errno");
        assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
        assert!(decode(i32::MIN).is_err());
    }

    #[test]
    fn an_operation_with_more_completions_keeps_its_entry_and_its_first_result() {
        let (op, fate) = probe();
        let mut table = Table::default();
        let (key, _request) = table.insert(op.clone()).expect("alive");
        assert!(table.complete(key, 5, true).is_none());
        assert_eq!(table.len(), 1);
        table
            .complete(key, 0, false)
            .expect("the last one")
            .complete();
        assert!(table.is_empty() && table.complete(key, 9, false).is_none());
        assert_eq!(wait(&op), (Some(5), 0));
        assert_eq!(fate.orphaned(), 0);
    }

    #[test]
    fn an_operation_is_cancelled_by_the_key_of_its_submission_only_while_in_flight() {
        let (op, _fate) = probe();
        let mut table = Table::default();
        assert_eq!(table.cancel(&*op), None, "not submitted");
        let (key, _request) = table.insert(op.clone()).expect("alive");
        assert_eq!(table.cancel(&*op), Some(key));
        table
            .complete(key, -libc::ECANCELED, false)
            .expect("in flight")
            .complete();
        assert_eq!(table.cancel(&*op), None, "ended");
    }

    /// A task that counts the owners of the cell when it is woken.
    struct Counting {
        cell: Mutex<Option<PlainArc<Op<Probe>>>>,
        owners: AtomicUsize,
    }

    impl Wake for Counting {
        fn wake(self: PlainArc<Self>) {
            let cell = self.cell.lock().take().expect("woken once");
            let others = PlainArc::strong_count(&cell) - 1;
            self.owners.store(others, Ordering::SeqCst);
        }
    }

    /// For: a wake before the owner has let go: the task may run at once elsewhere, and the cell could
    /// not be kept for the next operation.
    #[test]
    fn who_is_woken_is_the_only_owner() {
        let (op, _fate) = probe();
        let task = PlainArc::new(Counting {
            cell: Mutex::new(Some(op.clone())),
            owners: AtomicUsize::new(0),
        });
        assert!(op.poll(&Waker::from(task.clone())).is_pending());
        op.clone().complete(7);
        assert_eq!(task.owners.load(Ordering::SeqCst), 1);
    }

    /// For: a goroutine whose memory stays until the kernel is done with what it has given up.
    #[test]
    fn an_orphan_keeps_no_waker() {
        let (op, _fate) = probe();
        let task = PlainArc::new(Counting {
            cell: Mutex::new(None),
            owners: AtomicUsize::new(0),
        });
        assert!(op.poll(&Waker::from(task.clone())).is_pending());
        assert_eq!(PlainArc::strong_count(&task), 2);
        assert!(op.abandon());
        assert_eq!(PlainArc::strong_count(&task), 1);
    }
}
