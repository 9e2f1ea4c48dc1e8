//! Waiting for goroutines rather than for values, and what they have one at a time.

mod cond;
mod mutex;
mod barrier;
mod line;
mod notify;
mod rwlock;
mod semaphore;
mod wait_group;

pub use cond::{Cond, CondWait};
pub use mutex::{LockFut, LockOwnedFut, Mutex, MutexGuard, OwnedMutexGuard};
pub use barrier::{Barrier, BarrierWaitFut, BarrierWaitResult};
pub use notify::{Notified, Notify};
pub use rwlock::{
    OwnedRwLockReadFut, OwnedRwLockReadGuard, OwnedRwLockWriteFut, OwnedRwLockWriteGuard, RwLock,
    RwLockReadFut, RwLockReadGuard, RwLockWriteFut, RwLockWriteGuard,
};
pub use semaphore::{Acquire, Semaphore, SemaphorePermit};
pub use wait_group::{Token, WaitFut, WaitGroup};
