//! Waiting for goroutines rather than for values.

mod notify;
mod wait_group;

pub use notify::{Notified, Notify};
pub use wait_group::{Token, WaitFut, WaitGroup};
