//! Other programs: started, talked to, waited for.
//!
//! As `std::process`, with three differences: waiting suspends the goroutine and not its worker;
//! the pipes of a child are [`PipeReader`] and [`PipeWriter`]; and no child stays behind as a
//! zombie, also if nobody waits for it. (One that outlives its runtime may, until the next one is
//! started or dropped.)
//!
//! | file | holds |
//! |---|---|
//! | `command.rs` | [`Command`]: how a program is started |
//! | `child.rs` | [`Child`]: one that runs |
//! | `exit.rs` | waiting for the end of a process, and reaping those that nobody waits for |
//!
//! A child inherits no ring and no socket of the runtime: all are closed on exec.
//!
//! [`PipeReader`]: crate::io::PipeReader
//! [`PipeWriter`]: crate::io::PipeWriter

mod child;
mod command;
mod exit;

pub use child::Child;
pub use command::Command;
pub use std::process::{ExitStatus, Output, Stdio};
