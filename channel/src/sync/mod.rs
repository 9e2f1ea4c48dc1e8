//! Waiting for goroutines rather than for values, and what they have one at a time.
//!
//! A wait that has been polled stands in its line, and has what it is given there, until it is polled again or
//! dropped. So one that is kept aside, by `&mut` in a `select!`, while its goroutine awaits something else keeps
//! those behind it waiting: for ever, if what is awaited needs the same lock.

mod barrier;
mod cond;
mod line;
mod mutex;
mod notify;
mod once_cell;
mod permits;
mod rwlock;
mod semaphore;
mod single_flight;
mod wait_group;

pub use barrier::{Barrier, BarrierWaitFut, BarrierWaitResult};
pub use cond::{Cond, CondWait};
pub use mutex::{LockFut, LockOwnedFut, Mutex, MutexGuard, OwnedMutexGuard};
pub use notify::{Notified, Notify};
pub use once_cell::OnceCell;
pub use rwlock::{
    OwnedRwLockReadFut, OwnedRwLockReadGuard, OwnedRwLockWriteFut, OwnedRwLockWriteGuard, RwLock,
    RwLockReadFut, RwLockReadGuard, RwLockWriteFut, RwLockWriteGuard,
};
pub use semaphore::{Acquire, Semaphore, SemaphorePermit};
pub use single_flight::SingleFlight;
pub use wait_group::{Token, WaitFut, WaitGroup};
