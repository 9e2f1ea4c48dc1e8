//! Operations that the kernel completes: files and their names; and connecting a socket.
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
//! Besides those of the system call: `InvalidInput`, if a path contains a zero byte; `NotConnected`, if the future is polled without a runtime,
//! with a text that says what to do; `ECANCELED`, if the runtime shuts down meanwhile. And if there can be no
//! thread for what blocks, one that names the limit.
//!
//! A new opcode is a struct that implements `Opcode` (`op.rs`) and a variant of the driver's
//! `Request`; one that only succeeds or fails is a variant of `Call` (`call.rs`).

mod cached;
mod call;
mod connect;
mod file;
mod owned;
mod path;
mod run;

pub use cached::{is_cached, read_cached, uses_cache};
pub use connect::connect;
pub use file::{Transfer, close, fdatasync, fsync, open, read, read_at, truncate, write, write_at};
pub use owned::{recv_owned, send_owned, send_zero_copy};
pub use path::{link, mkdir, rename, rmdir, stat, stat_file, symlink, unlink};

use std::ffi::CString;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use call::Call;
use run::Run;

/// A file that an operation keeps open.
type Descriptor = Arc<dyn AsFd + Send + Sync>;

/// A path in the kernel's form.
type PathString = CString;

fn path_string(path: impl AsRef<Path>) -> io::Result<PathString> {
    CString::new(path.as_ref().as_os_str().as_bytes()).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "file name contained an unexpected NUL byte",
        )
    })
}

/// Does nothing, by way of the kernel: what any operation costs at least.
pub fn nop() -> impl Future<Output = io::Result<()>> + Send + 'static {
    Run::new(Call::Nop)
}
