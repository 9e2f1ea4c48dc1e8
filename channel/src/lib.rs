//! Channels and select with the semantics of Go, for any executor.
//!
//! ```
//! use gorin_channel::{chan, select};
//! # futures::executor::block_on(async {
//! let (tx, rx) = chan(1);
//! let (quit_tx, quit) = chan::<()>(0);
//! tx.send("job").await.unwrap();
//! drop(tx);
//! loop {
//!     select! {
//!         job = rx.recv() => match job {
//!             Some(job) => assert_eq!(job, "job"),
//!             None => break,
//!         },
//!         _ = quit.recv() => break,
//!     }
//! }
//! # drop(quit_tx);
//! # });
//! ```
//!
//! # What happens when
//!
//! | | open, room or partner | open, full or empty | closed | [`never`](Sender::never), Go's nil |
//! |---|---|---|---|---|
//! | [`send`](Sender::send) | `Ok(())` | waits in line | `Err`, with the value | waits for ever |
//! | [`try_send`](Sender::try_send) | `Ok(())` | `Full`, with the value | `Closed`, with the value | `Full` |
//! | [`reserve`](Sender::reserve) | a [`Permit`] | waits in line | `Err` | panics: no places |
//! | [`recv`](Receiver::recv) | `Some(value)` | waits in line | the rest of the buffer, then `None` | waits for ever |
//! | [`try_recv`](Receiver::try_recv) | `Ok(value)` | `Empty` | the rest of the buffer, then `Closed` | `Empty` |
//! | [`close`](Sender::close) | `true`; wakes all who wait | `true`; wakes all who wait | `false` | `false`, has no effect |
//! | [`closed`](Sender::closed) | waits in line | waits in line | `()` | waits for ever |
//! | last sender dropped | closes | closes | – | – |
//! | last receiver dropped | closes; the buffer is dropped at once | closes | the buffer is dropped at once | – |
//!
//! * **Order.** Values arrive in the order in which their sends took effect. Who waits is served in
//!   the order in which they came, by direct hand-over: nobody overtakes.
//! * **Cancellation.** Every operation takes effect at one instant, or not at all; dropping its
//!   future never loses a value. A value that was handed to a receive which is dropped unseen goes to
//!   the next receiver or back to the front of the channel, before all values that nobody was given.
//!   It may then exceed the capacity, and on a rendezvous channel the receive no longer happens
//!   before the end of its send. A future that is leaked (`mem::forget`) keeps its place in line.
//! * **Memory.** A send happens before the end of its receive; close, before a receive that ends
//!   because of it; on a channel of capacity C the k-th receive, before the end of the (k+C)-th send.
//! * **[`select!`]** is one operation: exactly one case takes effect, chosen evenly among those that
//!   are ready at one instant.
//! * **Budget.** Inside gorin's executor every operation spends one unit of its goroutine's time
//!   slice, so that an always ready channel starves nobody. On other executors there is no limit.
//!
//! # How it is made
//!
//! One lock per channel around a buffer and two lists of waiters, as in Go's runtime.
//!
//! | file | holds |
//! |---|---|
//! | `state.rs` | the protocol, one step per operation, and its invariants: read this first |
//! | `waiter.rs`, `line.rs`, `claim.rs` | operations in line; one of them polled; which case of a select has been served |
//! | `operation.rs` | from a poll to a step: what sends, receives and reservations have in common |
//! | `send.rs`, `recv.rs`, `reserve.rs`, `closed.rs`, `stream.rs`, `sink.rs` | the futures |
//! | `select/` | the engine of select, the macro, the run-time form |
//! | `lock.rs`, `spin.rs`, `hint.rs` | the lock, its set for selects; the guess whether to wait |
//! | `chan.rs`, `sender.rs`, `receiver.rs`, `both.rs` | making channels, the handles |
//! | [`sync`] | what goroutines need beside channels: wait groups, semaphores, locks, … |
//!
//! Absent on purpose: this crate starts no task, knows no executor, reads no clock. No waker is
//! cloned, woken or dropped, and no value is dropped, while a channel is locked. The only unsafe
//! code is in `lock.rs`, `sync/mutex/guard.rs` and `sync/rwlock/cell.rs`. Every protocol has loom models
//! (`tests/loom_*.rs`), and every model a seeded bug that it finds (`tests/mutants.txt`).

#![deny(unsafe_code)]

mod blocking;
mod both;
mod chan;
mod claim;
mod closed;
mod error;
mod few;
mod hint;
mod line;
#[expect(
    unsafe_code,
    reason = "the lock and its data are apart; see the text of the file"
)]
mod lock;
#[cfg(test)]
mod models;
mod operation;
mod receiver;
mod recv;
mod reserve;
mod select;
mod send;
mod sender;
mod sink;
#[cfg_attr(
    loom,
    allow(dead_code, reason = "under loom the channels use loom's mutex")
)]
mod spin;
mod state;
mod stream;
pub mod sync;
mod waiter;

pub use both::Chan;
pub use chan::{ChanId, chan, unbounded};
pub use closed::ClosedFut;
pub use error::{SendError, TryRecvError, TryReserveError, TrySendError};
pub use receiver::Receiver;
pub use recv::RecvFut;
pub use reserve::{Permit, ReserveFut};
#[doc(hidden)]
pub use select::support as select_support;
pub use select::{Outcome, Select, SelectWait};
pub use send::SendFut;
pub use sender::Sender;
pub use sink::SenderSink;
pub use stream::Iter;
