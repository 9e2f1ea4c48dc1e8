//! Checking goroutine programs: every interleaving, or a seeded sample of them.
//!
//! [`model`](model()) and [`Builder`] are all of the interface; [`Report`] says what was covered, and
//! [`Failure`] what was found. How it works, from the outside in:
//!
//! | file | holds |
//! |---|---|
//! | `builder.rs` | limits and modes |
//! | `explore.rs` | one execution after another |
//! | `execution.rs`, `state.rs`, `usage.rs`, `member.rs`, `timers.rs`, `checker.rs` | one execution: steps, what they use, waits, wake-ups, virtual time |
//! | `spawn.rs`, `coroutine.rs` | goroutines as tasks, each on a stack of its own |
//! | `strategy.rs`, `search.rs`, `order.rs`, `footprint.rs` | who runs next, and which orders matter |
//! | `soundness.rs` | the reduction held against the search without it |
//! | `report.rs`, `schedule.rs` | what a person reads |
//! | `threads.rs` | all of this under loom |
//!
//! Must not be named by anything that runs in production but by `go`, which asks whether a model
//! runs on its thread.
#![doc = ""]
#![doc = include_str!("../../docs/model.md")]

mod builder;
mod report;

#[cfg(not(loom))]
mod checker;
#[cfg(not(loom))]
mod coroutine;
#[cfg(not(loom))]
mod execution;
#[cfg(not(loom))]
pub(crate) mod explore;
#[cfg(not(loom))]
mod footprint;
#[cfg(not(loom))]
mod member;
#[cfg(not(loom))]
mod order;
#[cfg(not(loom))]
pub(crate) mod schedule;
#[cfg(not(loom))]
mod search;
#[cfg(all(test, not(loom)))]
mod soundness;
#[cfg(not(loom))]
mod spawn;
#[cfg(not(loom))]
mod state;
#[cfg(not(loom))]
mod strategy;
#[cfg(not(loom))]
mod timers;
#[cfg(not(loom))]
mod usage;

#[cfg(loom)]
mod threads;

use std::future::Future;

pub use builder::Builder;
pub use report::{Coverage, Failure, Report};

#[cfg(not(loom))]
pub(crate) use spawn::{is_running, spawn};
#[cfg(loom)]
pub(crate) use threads::{is_running, spawn};

/// Number of a goroutine, the same in all executions of a model; `main` is 0.
type Goroutine = usize;

/// Number of an object that goroutines communicate by.
type Object = usize;

/// Checks the goroutine program that `main` starts, in every interleaving: [`Builder::check`] with
/// the default limits.
///
/// Prints one line with the number of executions, and whether they are all there are.
///
/// ```
/// use gorin::prelude::*;
/// use gorin::sync::WaitGroup;
///
/// gorin::model(|| async {
///     let all = WaitGroup::new();
///     let (tx, rx) = chan(2);
///     for n in 0..2 {
///         let (tx, token) = (tx.clone(), all.add());
///         go(async move {
///             tx.send(n).await.unwrap();
///             drop(token);
///         });
///     }
///     all.wait().await;
///     assert_eq!(rx.len(), 2);
/// });
/// ```
///
/// # Panics
/// If an execution deadlocks, panics, leaves a goroutine behind, loses a value, sends on although it
/// was told that the channel is closed, or never ends; the text says how.
#[track_caller]
pub fn model<F, M>(main: M)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = ()> + 'static,
{
    Builder::new().check(main);
}
