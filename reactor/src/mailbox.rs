//! Messages from other threads to the worker that owns a ring.
//!
//! Only a ring's own thread may touch it. A thread that is no worker, or a worker that drops
//! something which is in flight on another one's ring, posts a message and ends the owner's sleep;
//! the owner serves its mailbox before it sleeps and at least every tick. Messages of one sender
//! are served in the order in which they were posted.

use gorin_base::primitive::PlainArc;

use crate::driver::Request;
use crate::key::Key;

/// A completion operation, as the ring that runs it sees it. Implemented by the op cell.
///
/// Between [`start`](Operation::start) and the last [`complete`](Operation::complete) the owner's
/// table holds a reference: the memory that the request names lives as long.
pub(crate) trait Operation: Send + Sync {
    /// Called once, by the owner, which queues the request under `key`. The operation remembers
    /// the key for [`key`](Operation::key). `None`: dropped meanwhile, nothing is submitted.
    fn start(&self, key: Key) -> Option<Request>;

    /// The key given to [`start`](Operation::start); `None` before. Called by the owner only.
    fn key(&self) -> Option<Key>;

    /// Takes a completion and wakes who waits; called by the owner, who holds no lock or borrow.
    fn complete(&self, result: i32, more: bool);
}

/// What one thread asks of the owner of a ring.
pub(crate) enum Message {
    /// Submit this operation.
    Submit(PlainArc<dyn Operation>),
    /// Cancel this operation, which was submitted before.
    Cancel(PlainArc<dyn Operation>),
}
