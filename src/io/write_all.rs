//! [`WriteAll`]: writing a whole buffer, with nothing of other such calls in between.
//!
//! By hand: as an `async fn` it would keep the buffer and the call twice, which each connection has in
//! its goroutine.

use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gorin_reactor::Io;
use pin_project_lite::pin_project;

use super::turns::{Take, Turn, Turns};

pin_project! {
    /// The future. Not cancel-safe: dropped, it may have written a prefix.
    pub(crate) struct WriteAll<'a, F> {
        step: Step<'a>,
        // Gives how much is left.
        #[pin]
        io: Io<'a, F, usize>,
    }
}

/// What a [`WriteAll`] does.
enum Step<'a> {
    Waits(Take<'a>),
    /// `None` when it is done.
    Writes(#[expect(dead_code, reason = "dropping it ends the turn")] Option<Turn<'a>>),
}

/// A call for [`WriteAll`]: writes a part of what is left of `buf` by `write`. Where that takes nothing (a
/// device may say so), trying again would go on for ever: `WriteZero`, as std has it.
pub(crate) fn write_all(
    mut buf: &[u8],
    mut write: impl FnMut(BorrowedFd<'_>, &[u8]) -> io::Result<usize>,
) -> impl FnMut(BorrowedFd<'_>) -> io::Result<usize> {
    move |fd| {
        if !buf.is_empty() {
            match write(fd, buf)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => buf = &buf[written..],
            }
        }
        Ok(buf.len())
    }
}

impl<'a, F> WriteAll<'a, F> {
    /// Writes in its turn, by `io`, until that says that nothing is left.
    #[inline]
    pub(crate) fn new(turns: &'a Turns, io: Io<'a, F, usize>) -> Self {
        WriteAll {
            step: Step::Waits(turns.take()),
            io,
        }
    }
}

impl<F> Future for WriteAll<'_, F>
where
    F: FnMut(BorrowedFd<'_>) -> io::Result<usize>,
{
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.project();
        if let Step::Waits(take) = this.step {
            *this.step = Step::Writes(Some(ready!(Pin::new(take).poll(cx))));
        }
        let result = loop {
            match ready!(this.io.as_mut().poll(cx)) {
                Ok(0) => break Ok(()),
                Ok(_) => this.io.as_mut().again(),
                Err(error) => break Err(error),
            }
        };
        *this.step = Step::Writes(None);
        Poll::Ready(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn who_takes_nothing_is_not_asked_for_ever() {
        let stdin = io::stdin();
        let mut takes = [2, 0].into_iter();
        let mut call = write_all(b"five", |_, _| Ok(takes.next().expect("it was told")));
        assert_eq!(call(stdin.as_fd()).unwrap(), 2);
        let error = call(stdin.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
