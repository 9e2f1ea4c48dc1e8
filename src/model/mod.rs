//! Checking goroutine programs: every interleaving, or a seeded sample of them.
//!
//! See [`model`](model()).

mod builder;
mod report;

#[cfg(not(loom))]
mod checker;
#[cfg(not(loom))]
mod coroutine;
#[cfg(not(loom))]
mod execution;
#[cfg(not(loom))]
mod explore;
#[cfg(not(loom))]
mod footprint;
#[cfg(not(loom))]
mod order;
#[cfg(not(loom))]
mod schedule;
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

/// Checks the goroutine program that `main` starts in every interleaving.
#[track_caller]
pub fn model<F, M>(main: M)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = ()> + 'static,
{
    Builder::new().check(main);
}
