//! Goroutines of a model as stackful coroutines of one thread.
//!
//! A checker must be able to stop a goroutine before *any* operation, also before one that is no
//! await point (`try_send`, `close`, the drop of a sender): the stack must survive, so a future
//! that returns `Pending` is not enough.
//!
//! Rejected: one thread per goroutine, handing a baton on. It needs no dependency, but there and back
//! costs 1.6–6.4 µs and a start 17 µs, where a coroutine's costs 9 ns and nothing; a model may make
//! millions of switches. The crate `generator` is what loom uses; its unsafe code stays there.
//!
//! Invariants: a coroutine runs one job after another and never unwinds; stacks are used again by
//! the executions that follow. Must not move to another thread.

use std::cell::RefCell;

use generator::{Generator, Gn};

/// Words of stack of each goroutine: 1 MiB. Pages that are never touched cost nothing, and a panic
/// that prints a backtrace needs some hundred KiB.
const STACK_WORDS: usize = (1 << 20) / size_of::<usize>();

type Job = Box<dyn FnOnce()>;

std::thread_local! {
    /// The job that the coroutine resumed next is to run.
    static NEXT_JOB: RefCell<Option<Job>> = const { RefCell::new(None) };
    /// Coroutines that have run a job to its end.
    static IDLE: RefCell<Vec<Coroutine>> = const { RefCell::new(Vec::new()) };
}

/// Why a coroutine handed control back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Yield {
    /// It called [`suspend`].
    Suspended,
    /// Its job has ended.
    Finished,
}

/// One stack.
#[derive(Debug)]
struct Coroutine(Generator<'static, (), Yield>);

impl Coroutine {
    fn with_new_stack() -> Self {
        Self(Gn::new_opt(STACK_WORDS, || {
            loop {
                let job = NEXT_JOB.take().expect("resumed with a job");
                job();
                switch_out(Yield::Finished);
            }
        }))
    }
}

/// A coroutine with a job.
pub(super) struct Started {
    coroutine: Coroutine,
    /// The job until it has begun.
    job: Option<Job>,
}

impl Started {
    /// A coroutine that is about to run `job`, which must not unwind.
    pub(super) fn new(job: impl FnOnce() + 'static) -> Self {
        let idle = IDLE.with_borrow_mut(Vec::pop);
        Self {
            coroutine: idle.unwrap_or_else(Coroutine::with_new_stack),
            job: Some(Box::new(job)),
        }
    }

    /// Runs the job until it suspends or ends; gives the stack back in the latter case.
    pub(super) fn resume(mut self) -> Option<Started> {
        if let Some(job) = self.job.take() {
            NEXT_JOB.set(Some(job));
        }
        match self.coroutine.0.resume() {
            Some(Yield::Suspended) => Some(self),
            Some(Yield::Finished) => {
                IDLE.with_borrow_mut(|idle| idle.push(self.coroutine));
                None
            }
            None => unreachable!("a coroutine's loop does not end"),
        }
    }
}

/// Hands control back to the caller of [`Started::resume`] until it is called again.
pub(super) fn suspend() {
    switch_out(Yield::Suspended);
}

#[expect(
    deprecated,
    reason = "the scoped form would have to be handed through the user's frames down to each step"
)]
fn switch_out(what: Yield) {
    generator::yield_with(what);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn a_job_is_suspended_and_resumed_and_its_stack_is_used_again() {
        let progress = Rc::new(Cell::new(0));
        for _ in 0..3 {
            let seen = progress.clone();
            let start = progress.get();
            let job = Started::new(move || {
                seen.set(seen.get() + 1);
                suspend();
                seen.set(seen.get() + 1);
            });
            assert_eq!(progress.get(), start);
            let job = job.resume().expect("suspended");
            assert_eq!(progress.get(), start + 1);
            assert!(job.resume().is_none());
            assert_eq!(progress.get(), start + 2);
        }
        assert_eq!(IDLE.with_borrow(Vec::len), 1);
    }
}
