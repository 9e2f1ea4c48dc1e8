//! Operations that the kernel completes: files, and connecting a socket.
//!
//! Each is a future that is submitted to the ring of the worker that polls it first (or, polled on
//! a thread that has only entered a runtime, to the ring of a worker of that runtime), and
//! completes there. All of them can be awaited on any thread.
//!
//! ```
//! use std::sync::Arc;
//! use gorin_reactor::{Config, Reactor, ops};
//!
//! # fn main() -> std::io::Result<()> {
//! let mut worker = Reactor::new(Config::default())?.attach(0)?;
//! worker.block_on(async {
//!     let file = Arc::new(ops::open("/proc/version", libc::O_RDONLY, 0).await?);
//!     let (count, buffer) = ops::read_at(&file, vec![0; 5], 0).await;
//!     assert_eq!(&buffer[..count?], b"Linux");
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Cancel safety
//! Buffers, paths and descriptors belong to the operation until the kernel has finished with it, so
//! dropping the future at any time is sound. Before its first poll that undoes it. Later it asks
//! the kernel to cancel, which may come too late: a dropped `write_at` may have written all, a part
//! or nothing, a dropped `read_at` has no effect but the loss of its buffer, the descriptor of a
//! dropped `open` is closed, a dropped `close` closes.
//!
//! # Errors
//! Besides those of the system call: `NotConnected`, if the future is polled without a runtime,
//! with a text that says what to do; `ECANCELED`, if the runtime shuts down meanwhile.
//!
//! A new opcode is a struct that implements `Opcode` (`op.rs`) and a variant of the driver's
//! `Request`.

mod connect;
mod file;
mod run;

pub use connect::connect;
pub use file::{close, fdatasync, fsync, open, read_at, write_at};

use std::future::Future;
use std::io;

use crate::driver::Request;
use crate::op::Opcode;
use run::Run;

/// Does nothing, by way of the kernel: what any operation costs at least.
pub fn nop() -> impl Future<Output = io::Result<()>> + Send + 'static {
    Run::new(Nop)
}

#[derive(Debug)]
struct Nop;

impl Opcode for Nop {
    type Output = io::Result<()>;

    fn request(&mut self) -> Request {
        Request::Nop
    }

    fn finish(self, result: io::Result<u32>) -> io::Result<()> {
        result.map(drop)
    }

    fn lost(error: io::Error) -> io::Result<()> {
        Err(error)
    }
}
