//! [`Done`]: waiting for the end of a context.
//!
//! A cancel wakes it through the line of its node; of a deadline it learns by a timer of its own, so that
//! contexts of which nobody waits have none. Must not keep a place in the line when it is dropped.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gorin_base::coop;
use gorin_base::hook::{self, Access, Site, Wait};
use gorin_base::primitive::{PlainArc, unwinding};
#[cfg(not(loom))]
use gorin_reactor::Sleep;

use super::error::CtxError;
use super::node::Node;

/// What reports call it.
const OPERATION: &str = "context done";

/// The future that [`Context::done`](super::Context::done) returns: ready when the context has ended, with
/// the reason, and from then on. It may be kept and sent anywhere.
#[must_use = "it waits only when it is awaited or used as a case of select!"]
pub struct Done {
    /// `None`: never.
    node: Option<PlainArc<Node>>,
    waiting: Waiting,
}

/// What a wait has beside its node.
struct Waiting {
    /// In the line of the node.
    place: Option<usize>,
    /// Set when it first waits.
    #[cfg(not(loom))]
    limit: Option<Sleep>,
    site: Site,
}

impl Done {
    pub(super) fn new(node: Option<&PlainArc<Node>>, site: Site) -> Done {
        // Who waits for what never ends is to be found in a checker's report, too.
        let never = || hook::is_observed().then(|| Node::root(None, site));
        Done {
            node: node.cloned().or_else(never),
            waiting: Waiting {
                place: None,
                #[cfg(not(loom))]
                limit: None,
                site,
            },
        }
    }

    /// How the context has ended, if it has; waits for nothing.
    pub(super) fn err(&self) -> Option<CtxError> {
        let node = self.node.as_ref()?;
        node.announce("context err", Access::Read, self.waiting.site);
        node.err()
    }
}

impl Waiting {
    /// Stands in line, or finds that it need not.
    fn poll(&mut self, node: &Node, cx: &mut Context<'_>) -> Poll<CtxError> {
        let is_new = self.place.is_none();
        if is_new {
            node.announce(OPERATION, Access::Read, self.site);
        }
        loop {
            if let Some(error) = node.err() {
                return Poll::Ready(error);
            }
            if !node.enter(&mut self.place, cx.waker()) {
                continue;
            }
            if is_new && let Some(key) = self.place {
                hook::parked(Wait {
                    operation: OPERATION,
                    object: node.id(),
                    key,
                    site: self.site,
                });
            }
            ready!(self.poll_limit(node, cx));
        }
    }

    /// Whether the deadline has come.
    #[cfg(not(loom))]
    fn poll_limit(&mut self, node: &Node, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = node.limit() else {
            return Poll::Pending;
        };
        let limit = self.limit.get_or_insert_with(|| Sleep::until(at));
        // The budget is asked when there is something to tell.
        coop::unlimited(|| Pin::new(limit).poll(cx))
    }

    /// There is no time.
    #[cfg(loom)]
    fn poll_limit(&mut self, _node: &Node, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Leaves the line. For a checker that is no step: nobody else can tell.
    fn leave(&mut self, node: &Node) {
        if let Some(place) = self.place.take() {
            node.leave(place);
            hook::unparked(node.id(), place);
        }
    }
}

impl Future for Done {
    type Output = CtxError;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CtxError> {
        let Done { node, waiting } = &mut *self;
        let Some(node) = node else {
            return Poll::Pending;
        };
        let error = ready!(waiting.poll(node, cx));
        // Who asks again and again for what has come lets others run, too.
        ready!(coop::poll_ready(cx));
        coop::spend();
        waiting.leave(node);
        Poll::Ready(error)
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(node) = &self.node
            && !unwinding()
        {
            self.waiting.leave(node);
        }
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Done")
            .field("waits", &self.waiting.place.is_some())
            .finish_non_exhaustive()
    }
}
