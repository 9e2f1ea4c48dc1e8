//! Who waits in [`Socket::io`], and its future.
//!
//! # Invariant
//!
//! A waiter's number in the list is its address: it does not move from the first poll on, and takes itself
//! out of the list when it is dropped.

use std::fmt;
use std::future::Future;
use std::io;
use std::marker::{PhantomData, PhantomPinned};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use gorin_base::coop;

use super::Socket;
use crate::driver::Direction;

/// One call of [`Socket::io`] that waits. Its number in the list is its address, which is no other's
/// while it lives: it does not move once its future is polled, and takes itself out when it ends.
pub(crate) struct Waiter<'a> {
    socket: &'a Socket,
    direction: Direction,
    listed: Listed,
    /// Its call has been made. (Here, because there is room.)
    ended: bool,
}

/// Whether a waiter may be in the list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    No,
    /// As long as a poll is armed.
    WithPoll,
    /// Whatever the word says.
    Alone,
}

impl<'a> Waiter<'a> {
    #[inline]
    pub(super) fn new(socket: &'a Socket, direction: Direction) -> Waiter<'a> {
        Waiter {
            socket,
            direction,
            listed: Listed::No,
            ended: false,
        }
    }

    #[inline]
    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Into the list, for what others do to the socket: no poll is armed.
    pub(crate) fn list(&mut self, waker: &Waker) {
        self.listed = Listed::Alone;
        let Socket { shared, slot, .. } = self.socket;
        shared.sockets.list(*slot, self.direction, self.id(), waker);
    }

    fn poll<R>(
        &mut self,
        waker: &Waker,
        call: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let id = self.id();
        let socket = self.socket;
        if socket.waits_by_edges() {
            // Who waits by edges may be listed and try again.
            self.listed = Listed::Alone;
        }
        let polled = socket.poll_call(self.direction, id, waker, call);
        // An error may come of the look after it was listed.
        let may_be_listed = !matches!(polled, Poll::Ready(Ok(_)));
        if may_be_listed && self.listed != Listed::Alone {
            // A dropped receive that is waited for arms no poll.
            self.listed = match socket.early() {
                None => Listed::WithPoll,
                Some(_) => Listed::Alone,
            };
        }
        polled
    }
}

impl Drop for Waiter<'_> {
    #[inline]
    fn drop(&mut self) {
        let Socket { shared, slot, .. } = self.socket;
        match self.listed {
            Listed::No => {}
            Listed::WithPoll => shared.sockets.leave(*slot, self.direction, self.id()),
            Listed::Alone => shared.sockets.unregister(*slot, self.direction, self.id()),
        }
    }
}

/// The future of [`Socket::io`].
///
/// By hand: of `async` blocks there would be two more below each read and write.
///
/// # Panics
/// If it is polled after it was ready, and not [to be made again](Io::again).
#[must_use = "a call is made when its future is polled"]
pub struct Io<'a, F, R> {
    waiter: Waiter<'a>,
    call: F,
    result: PhantomData<fn() -> R>,
    /// The waiter's address is its number.
    _pinned: PhantomPinned,
}

impl<'a, F, R> Io<'a, F, R> {
    #[inline]
    pub(super) fn new(waiter: Waiter<'a>, call: F) -> Self {
        Io {
            waiter,
            call,
            result: PhantomData,
            _pinned: PhantomPinned,
        }
    }

    /// To be polled once more, after it was ready: the call is repeated.
    #[inline]
    pub fn again(self: Pin<&mut Self>) {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        this.waiter.ended = false;
    }
}

impl<F, R> Future for Io<'_, F, R>
where
    F: FnMut(BorrowedFd<'_>) -> io::Result<R>,
{
    type Output = io::Result<R>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        ready!(coop::poll_ready(cx));
        // SAFETY: nothing is moved out; `call` is never pinned.
        let Io { waiter, call, .. } = unsafe { self.get_unchecked_mut() };
        assert!(!waiter.ended, "a call is polled after it was ready");
        let polled = waiter.poll(cx.waker(), call);
        waiter.ended = polled.is_ready();
        polled
    }
}

impl<F, R> fmt::Debug for Io<'_, F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io")
            .field("socket", self.waiter.socket)
            .finish_non_exhaustive()
    }
}
