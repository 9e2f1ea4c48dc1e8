//! Waiting for goroutines rather than for values.

mod notify;
mod semaphore;
mod wait_group;

pub use notify::{Notified, Notify};
pub use semaphore::{Acquire, Semaphore, SemaphorePermit};
pub use wait_group::{Token, WaitFut, WaitGroup};
