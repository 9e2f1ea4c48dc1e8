//! Waiting for goroutines rather than for values, and what they have one at a time.

mod cond;
mod mutex;
mod notify;
mod semaphore;
mod wait_group;

pub use cond::{Cond, CondWait};
pub use mutex::{LockFut, LockOwnedFut, Mutex, MutexGuard, OwnedMutexGuard};
pub use notify::{Notified, Notify};
pub use semaphore::{Acquire, Semaphore, SemaphorePermit};
pub use wait_group::{Token, WaitFut, WaitGroup};
