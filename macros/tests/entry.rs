//! The entry macros as a user meets them, compiled and run.
//!
//! `crate = "…"` points them at [`fake`], which has the two functions that the expansion may use;
//! so this file also fails if the expansion begins to name anything else of the root package. One
//! test runs on the real one.

use std::io;

/// Stands in for the root package and records how many workers were asked for.
mod fake {
    use std::cell::Cell;
    use std::future::Future;
    use std::io;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    thread_local! {
        /// `None`: the last future ran by [`run`]; else by [`Builder::run`] on so many workers.
        pub(crate) static WORKERS: Cell<Option<usize>> = const { Cell::new(None) };
    }

    fn poll<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("these futures do not wait"),
        }
    }

    pub(crate) fn run<F: Future>(future: F) -> F::Output {
        WORKERS.set(None);
        poll(future)
    }

    pub(crate) struct Runtime;

    impl Runtime {
        pub(crate) fn builder() -> Builder {
            Builder { workers: 0 }
        }
    }

    pub(crate) struct Builder {
        workers: usize,
    }

    impl Builder {
        pub(crate) fn workers(self, workers: usize) -> Builder {
            Builder { workers }
        }

        pub(crate) fn run<F: Future>(self, future: F) -> io::Result<F::Output> {
            if self.workers > 64 {
                return Err(io::Error::other("no such machine"));
            }
            WORKERS.set(Some(self.workers));
            Ok(poll(future))
        }
    }
}

const PAIR: usize = 2;

#[gorin_macros::main(crate = "crate::fake", workers = PAIR * 2)]
async fn four_workers() -> Option<usize> {
    fake::WORKERS.get()
}

#[gorin_macros::main(crate = "fake", workers = 1000)]
async fn too_many() {}

#[test]
fn main_passes_the_number_of_workers_and_returns_the_output() {
    assert_eq!(four_workers(), Some(4));
}

#[test]
#[should_panic(expected = "no such machine")]
fn a_runtime_that_cannot_start_panics_with_the_text_of_its_error() {
    too_many();
}

#[gorin_macros::test(crate = "fake")]
async fn a_test_may_return_a_result() -> io::Result<()> {
    let seven: u8 = "7".parse().map_err(io::Error::other)?;
    assert_eq!((seven, fake::WORKERS.get()), (7, None));
    Ok(())
}

#[gorin_macros::test(crate = "fake", workers = 3)]
#[should_panic(expected = "on 3 workers")]
async fn a_test_runs_its_body_and_keeps_should_panic() {
    panic!("on {} workers", fake::WORKERS.get().unwrap_or_default());
}

/// The real root package; under loom it has no runtime.
#[cfg(not(loom))]
#[gorin::test(workers = 2)]
async fn a_test_runs_on_the_real_runtime() {
    assert_eq!(gorin::go(async { 7 }).await.ok(), Some(7));
    assert_eq!(gorin::num_workers(), 2);
}
