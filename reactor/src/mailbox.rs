//! Messages from other threads to the worker that owns a ring.
//!
//! Only a ring's own thread may touch it. A thread that is no worker, or a worker that drops
//! something which is in flight on another one's ring, posts a message and ends the owner's sleep;
//! the owner serves its mailbox before it sleeps and at least every tick. Messages of one sender
//! are served in the order in which they were posted.

use std::collections::VecDeque;
use std::fmt;

use gorin_base::primitive::{Mutex, PlainArc};
use gorin_base::seeded;

use crate::driver::Request;
use crate::key::Key;

/// A completion operation, as the ring that runs it sees it. Implemented by the op cell.
///
/// Between [`start`](Operation::start) and [`complete`](Operation::complete) the owner's table
/// holds a reference: the memory that the request names lives as long.
pub(crate) trait Operation: Send + Sync {
    /// Called once, by the owner, which queues the request under `key`. The operation remembers
    /// the key for [`key`](Operation::key). `None`: dropped meanwhile, nothing is submitted.
    fn start(&self, key: Key) -> Option<Request>;

    /// The key given to [`start`](Operation::start); `None` before. Called by the owner only.
    fn key(&self) -> Option<Key>;

    /// Takes the result of the last completion, lets go of the operation and wakes who waits; called
    /// by the owner, who holds no lock or borrow. Also without [`start`](Operation::start), for an
    /// operation whose ring shut down before it was submitted.
    fn complete(self: PlainArc<Self>, result: i32);

    /// Ends the operation without a result, because its ring was given up with the operation in
    /// flight: who waits gets an error, the memory stays with the kernel. The caller leaks its
    /// reference. Holds no lock or borrow.
    fn lose(&self);
}

/// What one thread asks of the owner of a ring.
pub(crate) enum Message {
    /// Queue the poll of this key, which its sender has armed and pinned.
    Arm(Key),
    /// Cancel the poll of this key.
    Disarm(Key),
    /// Submit this operation.
    Submit(PlainArc<dyn Operation>),
    /// Cancel this operation, which was submitted before.
    Cancel(PlainArc<dyn Operation>),
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Arm(key) => f.debug_tuple("Arm").field(key).finish(),
            Message::Disarm(key) => f.debug_tuple("Disarm").field(key).finish(),
            Message::Submit(_) => f.write_str("Submit"),
            Message::Cancel(_) => f.write_str("Cancel"),
        }
    }
}

/// The messages to one worker. Posting is rare (nothing that a worker does on its own ring comes
/// here), so a mutex serves.
#[derive(Debug)]
pub(crate) struct Mailbox<M> {
    queue: Mutex<Queue<M>>,
}

#[derive(Debug)]
struct Queue<M> {
    messages: VecDeque<M>,
    closed: bool,
}

impl<M> Mailbox<M> {
    pub(crate) fn new() -> Self {
        Self {
            queue: Mutex::new(Queue {
                messages: VecDeque::new(),
                closed: false,
            }),
        }
    }

    /// Leaves `message` and then calls `notify`; gives the message back if the owner is gone.
    pub(crate) fn post(&self, message: M, notify: impl Fn()) -> Result<(), M> {
        if seeded::bug("mailbox.notify_first") {
            notify();
        }
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(message);
        }
        queue.messages.push_back(message);
        drop(queue);
        if !seeded::bug("mailbox.notify_first") {
            notify();
        }
        Ok(())
    }

    /// Owner: exchanges the messages for `empty`, an empty queue whose memory is used again.
    pub(crate) fn take(&self, empty: &mut VecDeque<M>) {
        debug_assert!(empty.is_empty(), "messages would be lost");
        std::mem::swap(&mut self.queue.lock().messages, empty);
    }

    /// Anybody: calls `f` with the messages that were not yet taken, and leaves them. `f` runs under
    /// the lock: it must be short, and call nothing that is not ours.
    pub(crate) fn peek(&self, f: impl FnMut(&M)) {
        self.queue.lock().messages.iter().for_each(f);
    }

    /// Owner: takes no more messages; returns those that were not yet taken.
    pub(crate) fn close(&self) -> VecDeque<M> {
        let mut queue = self.queue.lock();
        queue.closed = !seeded::bug("mailbox.stays_open");
        std::mem::take(&mut queue.messages)
    }

    /// False once the owner is gone.
    pub(crate) fn is_open(&self) -> bool {
        !self.queue.lock().closed
    }
}
