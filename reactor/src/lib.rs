//! One io_uring per worker: readiness, operations, timers, parking.
#![expect(dead_code, reason = "the parts are being joined")]

mod driver;
mod key;
mod mailbox;
mod op;
mod park;
mod readiness;
mod table;
mod timer;
mod waiters;

pub use driver::Direction;
