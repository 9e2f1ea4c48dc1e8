//! Contexts that end by themselves. Under loom there is no time, and this file is absent.

use std::error::Error;
use std::panic::Location;
use std::time::{Duration, Instant};

use gorin_base::clock;
use gorin_base::hook::Site;

use super::error::{Cause, cause};
use super::node::Limit;
use super::{CancelGuard, Context};

impl Context {
    /// A child that ends `limit` from now, if not before; and a guard that cancels it when it is dropped: Go's
    /// `WithTimeout`. The deadline is at most its parent's. A limit too long for the clock is none.
    ///
    /// ```
    /// use gorin::context::CtxError;
    /// use gorin::prelude::*;
    /// use std::time::Duration;
    ///
    /// gorin::run(async {
    ///     let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(2));
    ///     assert_eq!(ctx.done().await, CtxError::DeadlineExceeded);
    /// });
    /// ```
    ///
    /// Costs no timer as long as nobody waits: [`err`](Self::err) looks at the clock.
    #[track_caller]
    pub fn with_timeout(&self, limit: Duration) -> (Context, CancelGuard) {
        self.limited(clock::now().checked_add(limit), None, Location::caller())
    }

    /// As [`with_timeout`](Self::with_timeout), with an error or a text that is the [`cause`](Self::cause) if this
    /// limit is what ends it.
    ///
    /// ```
    /// use gorin::prelude::*;
    /// use std::time::Duration;
    ///
    /// gorin::run(async {
    ///     let limit = Duration::from_millis(2);
    ///     let (ctx, _guard) = Context::background().with_timeout_cause(limit, "the resolver is slow");
    ///     ctx.done().await;
    ///     assert_eq!(ctx.cause().unwrap().to_string(), "the resolver is slow");
    /// });
    /// ```
    #[track_caller]
    pub fn with_timeout_cause(
        &self,
        limit: Duration,
        why: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> (Context, CancelGuard) {
        let at = clock::now().checked_add(limit);
        self.limited(at, Some(cause(why)), Location::caller())
    }

    /// A child that ends at `deadline`, if not before; one in the past has ended. Otherwise as
    /// [`with_timeout`](Self::with_timeout).
    ///
    /// ```
    /// use gorin::prelude::*;
    /// use std::time::{Duration, Instant};
    ///
    /// let soon = Instant::now() + Duration::from_secs(1);
    /// let (ctx, _guard) = Context::background().with_deadline(soon);
    /// let (child, _later) = ctx.with_timeout(Duration::from_secs(60));
    /// assert_eq!(child.deadline(), Some(soon));
    /// ```
    #[track_caller]
    pub fn with_deadline(&self, deadline: Instant) -> (Context, CancelGuard) {
        self.limited(Some(deadline), None, Location::caller())
    }

    /// As [`with_deadline`](Self::with_deadline), with a cause as for
    /// [`with_timeout_cause`](Self::with_timeout_cause).
    #[track_caller]
    pub fn with_deadline_cause(
        &self,
        deadline: Instant,
        why: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> (Context, CancelGuard) {
        self.limited(Some(deadline), Some(cause(why)), Location::caller())
    }

    fn limited(
        &self,
        at: Option<Instant>,
        cause: Option<Cause>,
        site: Site,
    ) -> (Context, CancelGuard) {
        self.child(at.map(|at| Limit { at, cause }), site)
    }
}
