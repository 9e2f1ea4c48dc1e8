//! The future of an operation: submits it, waits for it, and orphans it when dropped early.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gorin_base::coop;
use gorin_base::primitive::{PlainArc, unwinding};

use crate::error;
use crate::local::{self, Owner};
use crate::op::{End, Op, Opcode, decode};

/// The future of one operation. It is submitted when it is polled first.
///
/// Dropped earlier, it does nothing; dropped later, it orphans the operation and cancels it.
#[derive(Debug)]
pub(crate) struct Run<C: Opcode> {
    stage: Stage<C>,
}

enum Stage<C: Opcode> {
    New(C),
    InFlight { op: PlainArc<Op<C>>, owner: Owner },
    Ended,
}

impl<C: Opcode> Run<C> {
    pub(crate) fn new(code: C) -> Self {
        Self {
            stage: Stage::New(code),
        }
    }

    /// Submits what has not been submitted; the output if that is not possible.
    fn submit(&mut self) -> Result<(), C::Output> {
        let Stage::New(code) = std::mem::replace(&mut self.stage, Stage::Ended) else {
            unreachable!("called for new operations only");
        };
        let op = PlainArc::new(Op::new(code));
        match local::submit(op.clone()) {
            Ok(owner) => {
                self.stage = Stage::InFlight { op, owner };
                Ok(())
            }
            // Nobody else has seen the cell: its code was never taken.
            Err(error) => Err(op.take_code().finish(Err(error))),
        }
    }
}

// Nothing is pinned in the future itself: what the kernel uses lives in the cell.
impl<C: Opcode> Unpin for Run<C> {}

impl<C: Opcode> Future for Run<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        ready!(coop::poll_ready(cx));
        if let Stage::New(_) = self.stage
            && let Err(output) = self.submit()
        {
            return Poll::Ready(output);
        }
        let Stage::InFlight { op, .. } = &self.stage else {
            panic!("an operation was polled after it had ended");
        };
        let end = ready!(op.poll(cx.waker()));
        let Stage::InFlight { op, .. } = std::mem::replace(&mut self.stage, Stage::Ended) else {
            unreachable!("checked above");
        };
        coop::spend();
        Poll::Ready(match end {
            End::Done(result) => op.take_code().finish(decode(result)),
            End::Lost => C::lost(error::shut_down("operation")),
        })
    }
}

impl<C: Opcode> Drop for Run<C> {
    fn drop(&mut self) {
        if unwinding() {
            return;
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        if let Stage::InFlight { op, owner } = stage
            && op.abandon()
            && C::CANCEL
        {
            owner.cancel(op);
        }
    }
}

impl<C: Opcode> fmt::Debug for Stage<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New(_) => f.write_str("New"),
            Self::InFlight { op, .. } => op.fmt(f),
            Self::Ended => f.write_str("Ended"),
        }
    }
}
