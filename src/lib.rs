//! Goroutines, channels and `select!` for Rust, on work-stealing workers that sleep in io_uring.
//!
//! This crate is the only one that sees all three members (executor, channel, reactor) and joins
//! them in [`runtime`]; it holds no `unsafe`. Under `--cfg loom` what needs a kernel (`runtime`,
//! `fs`, `net`, `process`, `time`, `signal`) is absent and the rest compiles on loom's primitives.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod blocking;
mod bounded;
pub mod channel;
pub mod context;
#[cfg(not(loom))]
pub mod fs;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod goroutine;
#[cfg(all(feature = "hyper", not(loom)))]
pub mod hyper;
pub mod io;
mod later;
pub mod model;
#[cfg(not(loom))]
pub mod net;
pub mod prelude;
#[cfg(not(loom))]
pub mod process;
#[cfg(not(loom))]
pub mod runtime;
mod scope;
#[cfg(not(loom))]
pub mod signal;
pub mod stream;
pub mod sync;
#[cfg(not(loom))]
pub mod time;

pub use blocking::{block_in_place, unblock, unblock_with};
#[doc(inline)]
pub use channel::{chan, select};
pub use gorin_macros::{main, test};
pub use goroutine::{
    AbortHandle, JoinError, JoinHandle, PanicPayload, PanicPolicy, Spec, TaskId, TaskInfo,
    TaskKind, go, go_local, go_local_with, go_with, goroutines, num_goroutines, num_workers,
    yield_now,
};
#[doc(inline)]
pub use model::model;
#[cfg(not(loom))]
#[doc(inline)]
pub use runtime::{Runtime, run};
pub use scope::{Scope, scope};
