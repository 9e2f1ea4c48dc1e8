//! What most programs need: `use gorin::prelude::*;`
//!
//! Functions with common names (`sleep`, `run`) and types that one program in ten needs stay out.

pub use crate::channel::{Receiver, Sender, chan, select};
#[cfg(not(loom))]
pub use crate::channel::{ReceiverExt, SenderExt};
pub use crate::context::Context;
pub use crate::goroutine::{JoinHandle, go, go_with, yield_now};
pub use crate::sync::WaitGroupExt;
