//! The work-stealing executor of gorin.
//!
//! A *goroutine* ([`spawn`]) is one allocation: the task cell ([`task`]). A *worker* ([`Worker`]) is
//! a future that finds and polls goroutines; it is `Pending` when it finds none, and its waker then
//! lies in the idle list. So its workers need no thread, no parker and no reactor of their own:
//!
//! ```text
//! waker ─► task/state.rs: who queues it ─► context.rs: where to ─► run_queue.rs │ injector
//!                                                                      │ idle.rs: whom to wake
//! worker.rs: LIFO slot → ring → injector → steal → sit down   ◄────────┘
//! ```
//!
//! Read in this order: `task/mod.rs`, `task/state.rs`, `context.rs`, `worker.rs`, `main_future.rs`,
//! `idle.rs`, `run_queue.rs`, `injector.rs`, `registry.rs`, `executor.rs`. Beside them: `local.rs`, the goroutines
//! that stay on their worker; `blocking.rs` and `job.rs`, the threads for code that blocks; `in_place.rs`, workers that block.
//!
//! | protocol | file | models |
//! |---|---|---|
//! | task state | `task/state.rs` | `task/models.rs` |
//! | ring and LIFO slot | `run_queue.rs` | `models/queue.rs` |
//! | the common queue | `injector.rs` | `models/queue.rs` |
//! | idle, searching, called | `idle.rs` | `models/idle.rs` |
//! | waiting for the last task | `drained.rs` | `tests/loom_executor.rs` |
//! | a worker that blocks | `in_place.rs` | `tests/loom_executor.rs` |
//! | goroutines that stay on their worker | `local.rs` | `tests/loom_local.rs` |
//! | threads for blocking code | `blocking.rs` | `models/blocking.rs` |
//! | worker, main future, stop, last handle | `worker.rs`, `main_future.rs`, `executor.rs`, `registry.rs` | `tests/loom_executor.rs` |
//!
//! What is not in here: file descriptors, timers, channels. They wake wakers, and that is all this
//! crate knows of them.

mod blocking;
mod context;
mod crash;
mod drained;
mod executor;
mod idle;
mod in_place;
mod injector;
mod job;
mod local;
mod main_future;
#[cfg(test)]
mod models;
mod pace;
mod registry;
mod report;
mod run_queue;
pub mod task;
mod worker;
mod worth;
mod yield_now;

pub use blocking::BlockingConfig;
pub use context::{EnterGuard, current, is_ending, relieve, spawn};
pub use crash::OnCrash;
pub use executor::{Config, Counters, Executor, PanicPolicy};
pub use in_place::block_in_place;
pub use job::{Offload, unblock};
pub use local::spawn_local;
pub use task::{
    AbortHandle, JoinError, JoinHandle, PanicPayload, Spec, TaskId, TaskInfo, TaskKind,
};
pub use worker::Worker;
pub use yield_now::yield_now;
