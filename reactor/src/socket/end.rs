//! How a [`Socket`] ends: one direction, all calls, or for good.

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::task::Poll;
use std::time::Duration;

use gorin_base::primitive::Ordering;
use socket2::SockRef;

use super::Socket;
use crate::deadline::list_then_look;
use crate::driver::Direction;
use crate::error;
use crate::key::Key;
use crate::local;
use crate::mailbox::Message;

impl Socket {
    /// Ends one or both directions: `shutdown(2)`. Calls that wait see the end.
    ///
    /// Of the reading direction the kernel tells whoever waits. Of the other one it does not if that is full
    /// and the socket a Unix one: those are woken here, and who comes to wait afterwards is told.
    ///
    /// # Errors
    /// Those of `shutdown(2)`: `NotConnected` if there is no peer.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        SockRef::from(self).shutdown(how)?;
        if how != Shutdown::Read {
            let wake = || self.shared.sockets.wake(self.slot, Direction::Write);
            self.special.end_writing(wake);
        }
        Ok(())
    }

    /// Waits until calls of `direction` are not allowed any more, and gives the error that they get: for who
    /// waits for something else on their behalf, better times say.
    ///
    /// # Cancel safety
    /// Has no effect that could be lost.
    pub async fn ended(&self, direction: Direction) -> io::Error {
        let mut waiter = self.waiter(direction);
        poll_fn(|cx| {
            let list = || waiter.list(cx.waker());
            match list_then_look(list, || self.verdict(direction)).1 {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(error),
            }
        })
        .await
    }

    /// Ends all calls that wait, of this and other goroutines, and refuses later ones, with an
    /// error. A connection is shut down at once in both directions, unless it
    /// [has duplicates](Socket::set_duplicated); it is reset if it is to linger for no time. The descriptor
    /// is closed when the socket is dropped.
    pub fn close(&self) {
        let close = || self.shared.sockets.close(self.slot);
        let armed = self.special.announce(close);
        self.end();
        self.cancel(armed);
    }

    /// What a read that has come to the end of a stream gives: 0, or the error of a socket that was
    /// [closed](Self::close) after the read had begun. The shutdown that closing is looks like the peer's end,
    /// and half an answer would look like a whole one.
    ///
    /// # Errors
    /// `NotConnected` if the socket has been closed.
    #[cold]
    pub fn end_of_stream(&self) -> io::Result<usize> {
        // Relaxed inside: the kernel's lock of the socket orders the read behind the shutdown.
        match self.shared.sockets.is_closed(self.slot) {
            true => Err(error::closed()),
            false => Ok(0),
        }
    }

    /// Asks the rings that own these polls, and the standing one if there is any, to cancel them.
    fn cancel(&self, armed: [Option<(usize, Key)>; 2]) {
        let standing = self.shared.sockets.standing(self.slot);
        for (owner, key) in armed.into_iter().flatten().chain(standing) {
            let here = local::with_worker(&self.shared, |worker| {
                let own = worker.index() == owner;
                if own {
                    worker.disarm(key);
                }
                own
            });
            if here != Some(true) {
                // A ring that is gone has cancelled everything.
                let _ = self.shared.posts[owner].send(Message::Disarm(key));
            }
        }
    }

    fn end(&self) {
        if self.duplicated.load(Ordering::Relaxed) || self.reset() {
            return;
        }
        // SAFETY: a call on an open descriptor; what is not connected, or no socket, is an error
        // that changes nothing.
        unsafe { libc::shutdown(self.file.as_raw_fd(), libc::SHUT_RDWR) };
    }

    /// Resets the connection if its user has asked for that (`SO_LINGER` of zero), as closing its last
    /// descriptor would, for which its polls may keep it waiting. A peer that found an orderly end instead
    /// would take half an answer for a whole one.
    fn reset(&self) -> bool {
        let socket = SockRef::from(&*self.file);
        if !matches!(socket.linger(), Ok(Some(Duration::ZERO))) {
            return false;
        }
        // SAFETY: all zeroes is an address of the family `AF_UNSPEC`, which stands for no peer.
        let nobody: libc::sockaddr = unsafe { std::mem::zeroed() };
        let len = size_of::<libc::sockaddr>() as libc::socklen_t;
        // SAFETY: an open descriptor, and an address of `len` bytes that lives through the call.
        unsafe { libc::connect(self.file.as_raw_fd(), &raw const nobody, len) == 0 }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let armed = self.shared.sockets.close(self.slot);
        if self.shared.sockets.has_polls(self.slot) {
            if !self.adopted.load(Ordering::Relaxed) {
                self.end();
            }
            self.cancel(armed);
        }
        self.unwatch();
        if self.pipe.load(Ordering::Relaxed) {
            self.shared.pipes.remove(self.slot);
        }
        self.shared.sockets.release(self.slot);
    }
}
