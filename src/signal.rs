//! Signals as futures.
//!
//! The handler itself comes from `signal-hook`: installing one is `unsafe`, must be shared with
//! other libraries of the process, and that crate is the one that most of them share. It writes a
//! byte into a socket pair, whose other end is awaited like any socket.
//! Rejected: `signalfd`, which needs the signal blocked in every thread, also in those that were
//! started before the runtime.

use std::future::Future;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use gorin_reactor::{Direction, Socket};
use signal_hook::SigId;
use signal_hook::consts::SIGINT;
use signal_hook::low_level::{pipe, unregister};
use socket2::SockRef;

/// Waits for Ctrl-C (`SIGINT`), counted from this call on, not from the first poll.
///
/// From the first call on the signal does not end the process any more; who wants that after a
/// second Ctrl-C waits for it in another call.
///
/// ```no_run
/// use gorin::prelude::*;
/// # async fn serve() {}
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     select! {
///         _ = serve() => {}
///         pressed = gorin::signal::ctrl_c() => pressed?,
///     }
///     println!("bye");
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// If no descriptors are left, or this thread belongs to no runtime.
///
/// # Cancel safety
/// Dropping the future stops the waiting; a Ctrl-C that it had seen is gone.
pub fn ctrl_c() -> impl Future<Output = io::Result<()>> + Send + 'static {
    let listener = Listener::new(SIGINT);
    async move { listener?.wait().await }
}

/// One registration of a signal.
struct Listener {
    socket: Socket,
    registration: SigId,
}

impl Listener {
    fn new(signal: i32) -> io::Result<Listener> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        let socket = Socket::new(OwnedFd::from(reader))?;
        let registration = pipe::register(signal, writer)?;
        Ok(Listener {
            socket,
            registration,
        })
    }

    /// Waits until the signal has come since the last call.
    async fn wait(&self) -> io::Result<()> {
        let read = |fd: std::os::fd::BorrowedFd<'_>| {
            let socket = SockRef::from(&fd);
            let mut socket: &socket2::Socket = &socket;
            socket.read(&mut [0; 64])
        };
        self.socket.io(Direction::Read, read).await.map(|_bytes| ())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        unregister(self.registration);
    }
}
