//! Letting others run.
//!
//! Must not: reach into the executor; a task that wakes itself while it is polled goes to the back
//! of its worker's queue, and that is all this needs.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Puts the goroutine at the back of its worker's queue, behind all that is ready there, and lets them
/// run: Go's `runtime.Gosched`.
///
/// On a foreign executor the effect is that of a wake and a `Pending`.
///
/// # Cancel safety
/// Nothing is lost when it is dropped.
///
/// ```
/// # use gorin_executor::{Config, Executor, Spec, yield_now};
/// # let executor = Executor::new(Config::default());
/// # let mut worker = executor.worker(0);
/// # futures::executor::block_on(worker.run_until(async {
/// yield_now().await;
/// # }));
/// ```
pub fn yield_now() -> impl Future<Output = ()> {
    Yield { yielded: false }
}

struct Yield {
    yielded: bool,
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
