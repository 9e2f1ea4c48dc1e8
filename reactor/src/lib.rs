//! The reactor of gorin: one io_uring per worker, and all that waits in it; or epoll, where there is
//! none.
//!
//! A [`Reactor`] is the shared side of one runtime. Each worker [attaches](Reactor::attach) on its
//! own thread and runs its future by [`Local::block_on`], which sleeps in the worker's ring when
//! there is nothing to do. Sockets wait by readiness ([`Socket`]), files by completion ([`ops`]),
//! time in a wheel in user space ([`Sleep`]). What is woken is a std `Waker`; who polls the tasks is
//! not this crate's business.
//!
//! | read | for |
//! |---|---|
//! | `worker.rs`, `worker/` | the loop, and how a worker ends |
//! | `park.rs`, `mailbox.rs` | sleeping and waking, what other threads ask of a ring |
//! | `worker/rest.rs`, `polling.rs` | when a worker looks for completions before it sleeps |
//! | `rescue.rs`, `watch.rs`, `pulse.rs`, `arms.rs`, `alarm.rs` | what becomes of the sockets of a worker that computes |
//! | `crowd.rs` | fewer workers where CPUs are contended |
//! | `readiness.rs`, `waiters.rs`, `socket.rs` | who waits for a socket, on which ring |
//! | `deadline.rs` | until when |
//! | `early.rs` | what a dropped receive has taken from a socket |
//! | `calls.rs` | system calls on sockets, with safe signatures |
//! | `op.rs`, `table.rs`, `ops/`, `buffer.rs` | completion operations, and the buffers they own |
//! | `timer/` | timers and the timekeeper |
//! | `driver.rs`, `ring.rs`, `entry.rs`, `bell.rs`, `key.rs` | the kernel: a trait, io_uring, wakes, `user_data` |
//! | `features.rs` | what of io_uring can be switched off |
//! | `choice.rs`, `epoll.rs`, `hybrid.rs`, `offload.rs`, `perform.rs` | the other drivers |
//! | `simulated.rs` | a driver for tests, unkind by seed |
//! | `poller.rs`, `lookout.rs`, `readiness/edges.rs` | sockets that workers share |
//! | `counters.rs` | statistics |
//! | `local.rs`, `reactor.rs`, `error.rs` | the thread's reactor, the shared side, texts with a cure |
//!
//! What this crate must not do: poll a task (only the future given to `block_on`), know channels or
//! the executor, wake under a lock.
//!
//! Under `--cfg loom` there is no kernel: the protocols are compiled with their models, and what
//! enters the kernel is left out.

#![cfg_attr(
    loom,
    allow(dead_code, reason = "what only the kernel's side calls has no caller")
)]

mod arms;
mod deadline;
mod driver;
mod early;
mod key;
mod lookout;
mod mailbox;
mod op;
mod park;
mod pulse;
mod readiness;
mod spare;
mod special;
mod standing;
mod table;
mod timer;
mod waiters;
mod watch;

#[cfg(not(loom))]
mod alarm;
#[cfg(not(loom))]
mod bell;
#[cfg(not(loom))]
mod buffer;
#[cfg(not(loom))]
pub mod calls;
#[cfg(not(loom))]
mod cells;
#[cfg(not(loom))]
mod choice;
#[cfg(not(loom))]
mod counters;
#[cfg(not(loom))]
mod crowd;
#[cfg(not(loom))]
mod entry;
#[cfg(not(loom))]
mod epoll;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod features;
#[cfg(not(loom))]
mod hybrid;
#[cfg(not(loom))]
mod local;
#[cfg(not(loom))]
mod offload;
#[cfg(not(loom))]
pub mod ops;
#[cfg(not(loom))]
mod perform;
#[cfg(not(loom))]
mod pipes;
#[cfg(not(loom))]
mod poller;
#[cfg(not(loom))]
mod polling;
#[cfg(not(loom))]
mod reactor;
#[cfg(not(loom))]
mod rescue;
#[cfg(not(loom))]
mod ring;
#[cfg(not(loom))]
mod simulated;
#[cfg(not(loom))]
mod socket;
#[cfg(not(loom))]
mod worker;

#[cfg(not(loom))]
pub use buffer::{IoBuf, IoBufMut};
#[cfg(not(loom))]
pub use choice::DriverKind;
pub use driver::Direction;
#[cfg(not(loom))]
pub use error::no_runtime;
#[cfg(not(loom))]
pub use features::{Feature, Features};
#[cfg(not(loom))]
pub use local::{EnterGuard, expect_block};
#[cfg(not(loom))]
pub use offload::Offload;
#[cfg(not(loom))]
pub use reactor::{Config, Reactor, Stats};
#[cfg(not(loom))]
pub use rescue::{Hog, OnHog};
#[cfg(not(loom))]
pub use socket::{Io, Socket};
#[cfg(not(loom))]
pub use timer::Sleep;
#[cfg(not(loom))]
pub use worker::{Drained, Local};
