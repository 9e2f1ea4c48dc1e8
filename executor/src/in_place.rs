//! Blocking where one stands: a worker that is about to block gives away what it holds.
//!
//! Invariants: while a worker is *blocked*, nothing lies in its LIFO slot or ring, and what its
//! closure readies goes through the injector, so that no task waits for the closure's end; except
//! local tasks, which nobody else may run, and the main future of `run_until`.
//!
//! While all workers are blocked the spare one ([`Config::spare`](crate::Config::spare)) runs the others'
//! goroutines. If it blocks as well, or there is none, no goroutine runs; the public documentation says so.
//!
//! Rejected for that case:
//! - Moving the worker to another thread, as tokio moves its core: the worker's ring serves the thread
//!   that made it and no other.
//! - A spare thread that runs goroutines without a ring: channels would go on, but sockets, files and
//!   timers are served by the workers, all of which are blocked; what such a program waits for is
//!   mostly a socket. That it helps sometimes is worse than a limit that is known.
//! - More spare workers, made when they are needed: the reactor counts its workers when it is made (who
//!   is the last to end, whose epoll set, who keeps the time), so each of these protocols would get workers
//!   that come late or never. Who blocks so much has [`unblock`](crate::Executor::unblock), or takes more
//!   workers: they are threads that sleep.
//!
//! Must not: wait for anything itself.

use std::iter;

use gorin_base::{coop, seeded};

use crate::context::{self, Context};

/// Runs `run`, which may block this thread; on a worker, gives the goroutines in its queue to the
/// others before, and those that `run` readies meanwhile too.
///
/// Elsewhere it only runs `run`. Calls may be nested.
///
/// `run` has no budget: futures that it blocks on are polled again and again within one poll of the goroutine, and
/// could not go on once that one's is used up.
pub fn block_in_place<R>(run: impl FnOnce() -> R) -> R {
    let context = context::top().filter(|context| context.is_worker());
    let _blocked = context.as_ref().map(|context| Blocked::new(context));
    coop::unlimited(run)
}

/// The worker is blocked until this goes, also by a panic.
struct Blocked<'a> {
    context: &'a Context,
    /// An outer call has done it.
    before: bool,
}

impl Blocked<'_> {
    fn new(context: &Context) -> Blocked<'_> {
        let before = context.desk().blocked.replace(true);
        if !before {
            context.hand_over();
        }
        Blocked { context, before }
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.context.desk().blocked.set(self.before);
    }
}

impl Context {
    /// Gives what is queued on this worker to all; calls one of them, who calls the next if there is
    /// more.
    pub(crate) fn hand_over(&self) {
        let queue = &self.desk().queue;
        let all: Vec<_> = iter::from_fn(|| queue.pop().or_else(|| queue.take_lifo())).collect();
        if all.is_empty() {
            return;
        }
        self.shared().injector.append(all);
        if !seeded::bug("in_place.nobody_called") {
            self.shared().idle.call_one();
        }
    }
}
