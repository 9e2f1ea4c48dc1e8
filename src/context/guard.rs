//! [`CancelGuard`]: the right to cancel a context, and the duty.

use std::error::Error;
use std::fmt;
use std::panic::Location;

use gorin_base::hook::{Access, Site};
use gorin_base::primitive::{AtomicBool, Ordering, PlainArc, unwinding};

use super::error::{CtxError, cause};
use super::node::{Node, Reason};

/// Cancels a [`Context`](super::Context), and all that come from it, when it is dropped: Go's
/// `defer cancel()`.
///
/// Whoever has it decides when the context ends: a block that it lives in, a goroutine that it was sent to,
/// several that share it in an `Arc`. Bind it to a name; `let (ctx, _) = …` drops it, and so cancels, at once.
///
/// ```
/// use gorin::prelude::*;
///
/// let (ctx, guard) = Context::background().with_cancel();
/// let (child, _guard) = ctx.with_cancel();
/// drop(guard);
/// assert!(ctx.err().is_some() && child.err().is_some());
/// ```
///
/// When it has cancelled, all below have ended, also those that others have cancelled meanwhile; who waits
/// there has been woken, but need not have run. Cancelling needs no runtime and does not wait: any thread may
/// do it. A second cancel changes nothing.
#[must_use = "dropped at once it cancels at once: bind it to a name, or disarm it"]
pub struct CancelGuard {
    /// `None` once it is disarmed.
    node: Option<PlainArc<Node>>,
    /// Nothing is left to be done by the destructor: written by a cancel, read by it. Relaxed, for it has the
    /// guard to itself.
    has_cancelled: AtomicBool,
    /// Where the context was made.
    site: Site,
}

impl CancelGuard {
    pub(super) fn new(node: PlainArc<Node>, site: Site) -> CancelGuard {
        CancelGuard {
            node: Some(node),
            has_cancelled: AtomicBool::new(false),
            site,
        }
    }

    /// Cancels now, and not only when the guard is dropped.
    #[track_caller]
    pub fn cancel(&self) {
        self.cancel_for(None, Location::caller());
    }

    /// Cancels and says why: an error, or a text. [`Context::cause`](super::Context::cause) gives it to whoever
    /// asks, unless the context has ended before.
    ///
    /// ```
    /// use gorin::prelude::*;
    /// use std::io;
    ///
    /// let (ctx, guard) = Context::background().with_cancel();
    /// guard.cancel_with(io::Error::other("the disk is full"));
    /// guard.cancel_with("too late to be a cause");
    /// assert_eq!(ctx.cause().unwrap().to_string(), "the disk is full");
    /// ```
    #[track_caller]
    pub fn cancel_with(&self, why: impl Into<Box<dyn Error + Send + Sync>>) {
        self.cancel_for(Some(why.into()), Location::caller());
    }

    /// Drops the guard without cancelling: the context ends by its deadline, if it has one, and with those that
    /// it comes from. (What nobody has any more leaves nothing behind, so there is nothing to clean up.)
    ///
    /// ```
    /// use gorin::prelude::*;
    ///
    /// let (server, guard) = Context::background().with_cancel();
    /// let (ctx, own) = server.with_cancel();
    /// own.disarm();
    /// assert_eq!(ctx.err(), None);
    /// drop(guard);
    /// assert!(ctx.err().is_some());
    /// ```
    pub fn disarm(mut self) {
        self.node = None;
    }

    fn cancel_for(&self, why: Option<Box<dyn Error + Send + Sync>>, site: Site) {
        let Some(node) = &self.node else { return };
        node.announce("context cancel", Access::Write, site);
        node.cancel(&Reason {
            error: CtxError::Canceled,
            cause: why.map(cause),
        });
        self.has_cancelled.store(true, Ordering::Relaxed);
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if !unwinding() && !self.has_cancelled.load(Ordering::Relaxed) {
            self.cancel_for(None, self.site);
        }
    }
}

impl fmt::Debug for CancelGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelGuard").finish_non_exhaustive()
    }
}
