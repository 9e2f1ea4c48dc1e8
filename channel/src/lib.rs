//! Channels with the semantics of Go, for any executor.

#![deny(unsafe_code)]

mod blocking;
mod both;
mod chan;
mod claim;
mod error;
mod few;
mod hint;
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
