//! Channels with the semantics of Go, for any executor.

#![deny(unsafe_code)]

mod blocking;
mod chan;
mod claim;
mod error;
#[expect(
    unsafe_code,
    reason = "the lock and its data are apart; see the text of the file"
)]
mod lock;
mod receiver;
mod recv;
mod send;
mod sender;
#[cfg_attr(
    loom,
    allow(dead_code, reason = "under loom the channels use loom's mutex")
)]
mod spin;
mod state;
mod waiter;

pub use chan::{ChanId, chan, unbounded};
pub use error::{SendError, TryRecvError, TryReserveError, TrySendError};
pub use receiver::Receiver;
pub use recv::RecvFut;
pub use send::SendFut;
pub use sender::Sender;
