//! The work-stealing executor of gorin.
//!
//! A *goroutine* ([`spawn`]) is one allocation: the task cell ([`task`]). A *worker* ([`Worker`]) is
//! a future that finds and polls goroutines; it is `Pending` when it finds none, and its waker then
//! lies in the idle list. So the executor needs no thread, no parker and no reactor of its own:
//!
//! ```text
//! waker ─► task/state.rs: who queues it ─► context.rs: where to ─► run_queue.rs │ injector
//!                                                                      │ idle.rs: whom to wake
//! worker.rs: LIFO slot → ring → injector → steal → sit down   ◄────────┘
//! ```
//!
//! Read in this order: `task/mod.rs`, `task/state.rs`, `context.rs`, `worker.rs`, `main_future.rs`,
//! `idle.rs`, `run_queue.rs`, `registry.rs`, `executor.rs`.
//!
//! | protocol | file | models |
//! |---|---|---|
//! | task state | `task/state.rs` | `task/models.rs` |
//! | ring and LIFO slot | `run_queue.rs` | `models/queue.rs` |
//! | idle, searching, called | `idle.rs` | `models/idle.rs` |
//! | worker, main future, stop, last handle | `worker.rs`, `main_future.rs`, `executor.rs`, `registry.rs` | `tests/loom_executor.rs` |
//!
//! What is not in here: file descriptors, timers, channels. They wake wakers, and that is all this
//! crate knows of them.

mod context;
mod executor;
mod idle;
mod main_future;
#[cfg(test)]
mod models;
mod registry;
mod report;
mod run_queue;
pub mod task;
mod worker;
mod yield_now;

pub use context::{EnterGuard, current, spawn};
pub use executor::{Config, Counters, Executor, PanicPolicy};
pub use task::{JoinError, JoinHandle, Spec, TaskId, TaskInfo};
pub use worker::Worker;
pub use yield_now::yield_now;
