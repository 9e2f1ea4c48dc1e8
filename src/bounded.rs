//! [`until`]: an operation that something else may end, as a time limit or a cancel does.
//!
//! Must not lose what the operation has finished: it is polled once more before it is given up.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use gorin_base::coop;

/// Awaits `future`, or gives it up when `end` is ready, and says how that was.
pub(crate) async fn until<E, F>(mut end: E, future: F) -> Result<F::Output, E::Output>
where
    E: Future + Unpin,
    F: Future,
{
    let mut future = pin!(future);
    let mut over = None;
    poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        if over.is_none() {
            // The end is asked outside of the goroutine's budget, and the last chance has one of
            // its own: a future that uses up its budget in each poll is found late all the same.
            over = Some(ready!(coop::unlimited(|| Pin::new(&mut end).poll(cx))));
            // Yet a limit that is over counts as an operation, or a loop over such would keep
            // its worker for ever. Once is enough: the budget may be used up each time.
            ready!(coop::poll_ready(cx));
        }
        let last_chance = coop::with_budget(|| future.as_mut().poll(cx));
        Poll::Ready(match last_chance {
            Poll::Ready(value) => Ok(value),
            Poll::Pending => {
                coop::spend();
                Err(over.take().expect("the end is what brought us here"))
            }
        })
    })
    .await
}
