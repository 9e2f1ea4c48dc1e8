//! Contexts: one word to all who work on something, that it is not wanted any more. Go's `context`.
//!
//! A [`Context`] goes from a function to those that it calls, and to the goroutines that it starts, as their
//! first argument. Who made it ends it, by a [`CancelGuard`] or by a deadline, and all that come from it end
//! with it; those that it comes from do not.
//!
//! ```
//! use gorin::context::CtxError;
//! use gorin::prelude::*;
//! use std::time::Duration;
//!
//! /// Gives what it has counted when it has to stop.
//! async fn count(ctx: Context, ticks: gorin::channel::Receiver<()>) -> (u32, CtxError) {
//!     let mut counted = 0;
//!     let mut done = ctx.done(); // one wait for the whole loop
//!     loop {
//!         select! {
//!             _ = ticks.recv() => counted += 1,
//!             why = &mut done => return (counted, why),
//!         }
//!     }
//! }
//!
//! gorin::run(async {
//!     let (ctx, guard) = Context::background().with_timeout(Duration::from_secs(60));
//!     let (tick, ticks) = chan(0);
//!     let counter = go(count(ctx.clone(), ticks));
//!     tick.send(()).await.unwrap();
//!     drop(guard); // before the minute is over
//!     assert_eq!(counter.await.unwrap(), (1, CtxError::Canceled));
//! });
//! ```
//!
//! # Dropped, or told
//!
//! In Go a callee must look at the context itself. A future can also be dropped, and most of gorin's may be at
//! any time: [`ctx.run(future)`](Context::run) gives it up when the context ends. So a function whose caller
//! uses `run` needs no context, unless it must clean up by awaiting something; that one has
//! [`done`](Context::done) as a case of its `select!`, and a loop that computes asks [`err`](Context::err).
//!
//! ```
//! use gorin::net;
//! use gorin::prelude::*;
//! use std::io;
//! use std::time::Duration;
//!
//! async fn greeting(ctx: &Context, server: &str) -> io::Result<String> {
//!     let stream = ctx.run(net::dial(server)).await??;
//!     let mut buf = [0; 64];
//!     let len = ctx.run(stream.read(&mut buf)).await??;
//!     Ok(String::from_utf8_lossy(&buf[..len]).into_owned())
//! }
//!
//! # fn main() -> io::Result<()> {
//! gorin::run(async {
//!     // Takes the connection, and says nothing.
//!     let silent = net::TcpListener::bind("127.0.0.1:0").await?;
//!     let address = silent.local_addr()?.to_string();
//!
//!     let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(5));
//!     let error = greeting(&ctx, &address).await.unwrap_err();
//!     assert_eq!(error.kind(), io::ErrorKind::TimedOut);
//!     Ok(())
//! })
//! # }
//! ```
//!
//! | Go | here |
//! |---|---|
//! | `context.Background()` | [`Context::background`] |
//! | `ctx, cancel := context.WithCancel(ctx)`, `defer cancel()` | `let (ctx, _guard) = ctx.with_cancel();` |
//! | `WithTimeout`, `WithDeadline` and with a `Cause` | [`with_timeout`](Context::with_timeout), [`with_deadline`](Context::with_deadline), `…_cause` |
//! | `WithCancelCause`, `cancel(err)` | [`CancelGuard::cancel_with`] |
//! | `<-ctx.Done()` | `ctx.done().await` |
//! | `ctx.Err()`, `context.Cause(ctx)`, `ctx.Deadline()` | [`err`](Context::err), [`cause`](Context::cause), [`deadline`](Context::deadline) |
//! | `WithValue(ctx, key, v)`, `ctx.Value(key)` | [`ctx.with(v)`](Context::with), [`ctx.get::<V>()`](Context::get) |
//! | `WithoutCancel`, `AfterFunc` | [`without_cancel`](Context::without_cancel), [`after_func`](Context::after_func) |
//!
//! # What holds
//!
//! * **Order.** Once a context has ended it stays so, for the same reason: the first, by time. Who is told of
//!   the end sees what was done before it. When a cancel returns, all below have ended.
//! * **Cost.** A clone counts references up. Making a context allocates once or twice; it has no goroutine, and
//!   no timer unless somebody waits. One that is dropped leaves nothing behind in those that it comes from,
//!   cancelled or not, and a cancel takes no stack, however deep the tree is.
//! * **Checking.** In [`gorin::model`](crate::model()) deadlines follow the virtual time, cancels come at
//!   every moment that makes a difference, and a report names who waits for which context.
//!
//! A time limit for one call needs no context: [`time::timeout`](crate::time::timeout()) is less to write. Nor
//! do goroutines that end together: a [`scope`](crate::scope()), also as what `ctx.run` runs.

mod after_func;
#[cfg(not(loom))]
mod deadline;
mod done;
mod error;
mod guard;
#[cfg(test)]
mod models;
mod node;
mod values;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Instant;

use gorin_base::hook::{Access, Site};
use gorin_base::primitive::PlainArc;

pub use after_func::AfterFunc;
pub use done::Done;
pub use error::{Cause, CtxError};
pub use guard::CancelGuard;

use crate::bounded::until;
use node::{Limit, Node, Reason};
use values::Values;

/// Tells those who work on something when to stop, and carries values to them. See the [module](self).
///
/// A clone is the same context. It is `Send` and `Sync`, and works on any executor and thread, but for waiting
/// for a deadline, which needs a runtime's timers.
#[derive(Clone)]
pub struct Context {
    /// `None`: never ends.
    node: Option<PlainArc<Node>>,
    values: Values,
}

impl Context {
    /// A context that never ends and has no values, for `main`, tests, and whatever begins by itself.
    pub fn background() -> Context {
        Context {
            node: None,
            values: Values::default(),
        }
    }

    /// A child, and a guard that cancels it when it is dropped. It also ends with this one; has this one ended
    /// already, so has the child.
    ///
    /// ```
    /// use gorin::context::CtxError;
    /// use gorin::prelude::*;
    ///
    /// let (ctx, guard) = Context::background().with_cancel();
    /// assert_eq!(ctx.err(), None);
    /// guard.cancel();
    /// assert_eq!(ctx.err(), Some(CtxError::Canceled));
    /// let (late, _guard) = ctx.with_cancel();
    /// assert_eq!(late.err(), Some(CtxError::Canceled));
    /// ```
    #[track_caller]
    pub fn with_cancel(&self) -> (Context, CancelGuard) {
        self.child(None, Location::caller())
    }

    /// How many children are in the tree.
    #[cfg(test)]
    fn children(&self) -> usize {
        self.node.as_ref().map_or(0, |node| node.children())
    }

    fn child(&self, limit: Option<Limit>, site: Site) -> (Context, CancelGuard) {
        let node = match &self.node {
            Some(parent) => Node::child(parent, limit, site),
            None => Node::root(limit, site),
        };
        let child = Context {
            node: Some(node.clone()),
            values: self.values.clone(),
        };
        (child, CancelGuard::new(node, site))
    }

    /// The same values in a context that does not end with this one, and has no deadline: for what must be done
    /// all the same, such as taking something back. Go's `WithoutCancel`.
    ///
    /// ```
    /// use gorin::prelude::*;
    ///
    /// let (ctx, guard) = Context::background().with(7_u8).with_cancel();
    /// guard.cancel();
    /// let cleanup = ctx.without_cancel();
    /// assert_eq!((cleanup.err(), cleanup.get()), (None, Some(&7_u8)));
    /// ```
    #[must_use]
    pub fn without_cancel(&self) -> Context {
        Context {
            node: None,
            values: self.values.clone(),
        }
    }

    /// The same context with `value` beside its other values, in the place of the one of its type, if it had
    /// one; this one keeps that. A type of your own is the key that nobody else has. Go's `WithValue`.
    ///
    /// ```
    /// use gorin::prelude::*;
    ///
    /// #[derive(Debug, PartialEq)]
    /// struct RequestId(u64);
    ///
    /// let outer = Context::background().with(RequestId(1)).with("a text");
    /// let inner = outer.with(RequestId(2));
    /// assert_eq!(inner.get(), Some(&RequestId(2)));
    /// assert_eq!(inner.get(), Some(&"a text"));
    /// assert_eq!(outer.get(), Some(&RequestId(1)));
    /// ```
    ///
    /// For what belongs to a request and goes through code that does not know it, not for arguments. It costs
    /// a copy of the list of values, and asking a look along it.
    #[must_use]
    pub fn with<V: Any + Send + Sync>(&self, value: V) -> Context {
        Context {
            node: self.node.clone(),
            values: self.values.with(value),
        }
    }

    /// The value of type `V`, if there is one: see [`with`](Self::with).
    pub fn get<V: Any + Send + Sync>(&self) -> Option<&V> {
        self.values.get()
    }

    /// When it ends by itself, if nothing ends it before: the earliest deadline of its own and of those that it
    /// comes from.
    pub fn deadline(&self) -> Option<Instant> {
        self.node.as_ref()?.limit()
    }

    /// Why it has ended; `None` if it has not.
    ///
    /// Cheap enough to be asked in each round of a loop that computes: a load, and a look at the clock if there
    /// is a deadline.
    ///
    /// ```
    /// use gorin::context::CtxError;
    /// use gorin::prelude::*;
    ///
    /// /// The sum of all numbers below `end`.
    /// fn sum(ctx: &Context, end: u64) -> Result<u64, CtxError> {
    ///     let mut sum = 0;
    ///     for number in 0..end {
    ///         if number % 1024 == 0 && let Some(why) = ctx.err() {
    ///             return Err(why);
    ///         }
    ///         sum += number;
    ///     }
    ///     Ok(sum)
    /// }
    ///
    /// let (ctx, guard) = Context::background().with_cancel();
    /// assert_eq!(sum(&ctx, 5), Ok(10));
    /// guard.cancel();
    /// assert_eq!(sum(&ctx, u64::MAX), Err(CtxError::Canceled));
    /// ```
    #[track_caller]
    pub fn err(&self) -> Option<CtxError> {
        let node = self.node.as_ref()?;
        node.announce("context err", Access::Read, Location::caller());
        node.err()
    }

    /// What it has ended for: what was given to [`CancelGuard::cancel_with`] or
    /// [`with_timeout_cause`](Self::with_timeout_cause), here or in one that it comes from, whichever was first;
    /// else the [`CtxError`]. `None` if it has not ended.
    ///
    /// ```
    /// use gorin::context::CtxError;
    /// use gorin::prelude::*;
    ///
    /// let (ctx, guard) = Context::background().with_cancel();
    /// let (child, child_guard) = ctx.with_cancel();
    /// assert!(child.cause().is_none());
    ///
    /// child_guard.cancel_with("not needed");
    /// guard.cancel();
    /// assert_eq!(child.cause().unwrap().to_string(), "not needed");
    /// assert!(ctx.cause().unwrap().is::<CtxError>());
    /// ```
    #[track_caller]
    pub fn cause(&self) -> Option<Cause> {
        let node = self.node.as_ref()?;
        node.announce("context cause", Access::Read, Location::caller());
        let Reason { error, cause } = node.reason()?;
        Some(cause.unwrap_or_else(|| Arc::new(error)))
    }

    /// Waits for its end, and says why: a case of `select!` beside the work. The future owns what it needs;
    /// in a loop keep one, as in the [module's example](self).
    ///
    /// # Cancel safety
    /// A wait that is dropped leaves nothing behind.
    ///
    /// # Panics
    /// If it has to wait and there is a deadline, on a thread that belongs to no runtime, or to one that has
    /// stopped; the text says what to do.
    #[track_caller]
    pub fn done(&self) -> Done {
        Done::new(self.node.as_ref(), Location::caller())
    }

    /// Runs `future` until it is ready or the context ends, whichever is first.
    ///
    /// Has the context ended when this is first polled, `future` is not: a loop over what is always ready ends,
    /// too. Does it end later, `future` is polled once more and then dropped: what it has finished by then is
    /// returned, never lost. A loop that tries again what the context has ended lets others run.
    ///
    /// ```
    /// use gorin::context::CtxError;
    /// use gorin::prelude::*;
    ///
    /// gorin::run(async {
    ///     let (ctx, guard) = Context::background().with_cancel();
    ///     let (tx, rx) = chan(1);
    ///     tx.send(7).await.unwrap();
    ///     assert_eq!(ctx.run(rx.recv()).await, Ok(Some(7)));
    ///     go(async move { drop(guard) });
    ///     assert_eq!(ctx.run(rx.recv()).await, Err(CtxError::Canceled));
    /// });
    /// ```
    ///
    /// The returned future owns what it needs of the context: `go(ctx.run(work()))` is a goroutine that ends
    /// with it.
    ///
    /// # Errors
    /// The [`CtxError`], if the context has ended first. With `io::Error` as the error of both,
    /// `ctx.run(stream.read(buf)).await??`.
    ///
    /// # Cancel safety
    /// That of `future`, which is dropped with the returned one.
    ///
    /// # Panics
    /// As [`done`](Self::done).
    #[track_caller]
    pub fn run<F: Future>(
        &self,
        future: F,
    ) -> impl Future<Output = Result<F::Output, CtxError>> + use<F> {
        let done = self.done();
        async move {
            match done.err() {
                // Ready, unless it is time to let others run.
                Some(_) => Err(done.await),
                None => until(done, future).await,
            }
        }
    }

    /// Runs `future` in a goroutine of its own when the context has ended, at once if it has: Go's `AfterFunc`.
    ///
    /// ```
    /// use gorin::prelude::*;
    ///
    /// gorin::run(async {
    ///     let (ctx, guard) = Context::background().with_cancel();
    ///     let (tx, rx) = chan::<u8>(0);
    ///     let closing = ctx.after_func(async move { tx.close() });
    ///     let mut never = ctx.after_func(async { unreachable!("it is stopped before") });
    ///     assert!(never.stop());
    ///     guard.cancel();
    ///     assert_eq!(rx.recv().await, None);
    ///     assert_eq!(closing.await.unwrap(), Some(true));
    ///     assert_eq!(never.await.unwrap(), None::<()>);
    /// });
    /// ```
    ///
    /// Until then the goroutine waits, and counts as one that lives. Dropping what is returned changes nothing.
    ///
    /// # Panics
    /// On a thread that belongs to no runtime; the text says what to do.
    #[track_caller]
    pub fn after_func<F>(&self, future: F) -> AfterFunc<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        AfterFunc::start(self.done(), future)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not by `err`, which may be a step of a program that is checked.
        let ended = self.node.as_ref().and_then(|node| node.err());
        f.debug_struct("Context")
            .field("deadline", &self.deadline())
            .field("ended", &ended)
            .finish_non_exhaustive()
    }
}
