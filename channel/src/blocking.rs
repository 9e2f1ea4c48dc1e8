//! Waiting for a future on a thread that runs no goroutines.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};

use gorin_base::primitive::PlainArc;
use gorin_base::primitive::thread::{self, Thread};
use gorin_base::{coop, hook};

/// Wakes a thread that sleeps in [`block_on`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: PlainArc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &PlainArc<Self>) {
        self.0.unpark();
    }
}

/// Runs `future` on this thread, which sleeps while it is pending.
///
/// Without a budget: there is nobody here to give way to. In a closure of `block_in_place` this thread has that of
/// a goroutine, which is not polled anew meanwhile, so that it would be used up for ever.
///
/// # Panics
/// If it would sleep in a model: the goroutines that could end that are on this thread, too.
#[track_caller]
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(PlainArc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        let polled = coop::unlimited(|| future.as_mut().poll(&mut context));
        if let Poll::Ready(output) = polled {
            return output;
        }
        assert!(
            !hook::is_active(),
            "a blocking channel operation would have to wait in a model, whose goroutines take turns on \
             one thread: await the operation of the same name without `_blocking`"
        );
        // A wake-up between the poll and this call makes it return at once.
        thread::park();
    }
}
