//! The future of an operation: submits it, waits for it, and orphans it when dropped early.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gorin_base::coop;
use gorin_base::primitive::{PlainArc, unwinding};

use crate::error;
use crate::local::{self, Owner};
use crate::op::{End, Op, Opcode, decode};

/// The future of one operation. It is submitted when it is polled first, or started.
///
/// Dropped earlier, it does nothing; dropped later, it orphans the operation and cancels it.
pub(crate) struct Run<C: Opcode> {
    stage: Stage<C>,
    /// Whether dropping it cancels the operation.
    cancel: bool,
}

enum Stage<C: Opcode> {
    New(C),
    InFlight {
        op: PlainArc<Op<C>>,
        owner: Owner,
    },
    /// Never submitted: what the future gives.
    Settled(C::Output),
    Ended,
}

impl<C: Opcode> Run<C> {
    pub(crate) fn new(code: C) -> Self {
        Self::at(Stage::New(code))
    }

    /// An operation that is not to be submitted because its outcome is known.
    pub(crate) fn settled(output: C::Output) -> Self {
        Self::at(Stage::Settled(output))
    }

    /// An operation whose arguments may have been refused before.
    pub(crate) fn of(code: io::Result<C>) -> Self {
        match code {
            Ok(code) => Self::new(code),
            Err(error) => Self::settled(C::lost(error)),
        }
    }

    fn at(stage: Stage<C>) -> Self {
        Self {
            stage,
            cancel: C::CANCEL,
        }
    }

    /// Lets the operation go on unobserved if the future is dropped. To be called before it is
    /// submitted.
    pub(crate) fn never_cancel(&mut self) {
        self.cancel = false;
    }

    /// Submits the operation if it has not been submitted.
    pub(crate) fn start(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::New(code) => self.stage = self.submit(code),
            other => self.stage = other,
        }
    }

    /// Asks the kernel to end the operation, if it is in flight; its completion comes in any case.
    pub(crate) fn cancel(&self) {
        if let Stage::InFlight { op, owner } = &self.stage {
            owner.cancel(op.clone());
        }
    }

    /// Lets the operation end as cancelled, if it has not been submitted.
    pub(crate) fn never_submit(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::New(code) => {
                let cancelled = io::Error::from_raw_os_error(libc::ECANCELED);
                Stage::Settled(code.finish(Err(cancelled)))
            }
            other => other,
        };
    }

    pub(crate) fn is_in_flight(&self) -> bool {
        matches!(self.stage, Stage::InFlight { .. })
    }

    fn submit(&self, code: C) -> Stage<C> {
        let op = local::cell(match self.cancel {
            true => Op::new(code),
            false => Op::that_goes_on(code),
        });
        match local::submit(op.clone()) {
            Ok(owner) => Stage::InFlight { op, owner },
            // Nobody else has seen the cell: its code was never taken.
            Err(error) => Stage::Settled(op.take_code().finish(Err(error))),
        }
    }
}

/// What the kernel says. Cancelled without being asked to, while its ring is there, means that the thread which
/// was to do it could not be started.
fn outcome(result: i32, owner: &Owner) -> io::Result<u32> {
    if result == -libc::ECANCELED && owner.is_there() {
        return Err(error::no_thread());
    }
    decode(result)
}

// Nothing is pinned in the future itself: what the kernel uses lives in the cell.
impl<C: Opcode> Unpin for Run<C> {}

impl<C: Opcode> Future for Run<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        ready!(coop::poll_ready(cx));
        self.start();
        let end = match &self.stage {
            Stage::InFlight { op, .. } => Some(ready!(op.poll(cx.waker()))),
            _ => None,
        };
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        let output = match (stage, end) {
            (Stage::InFlight { op, owner }, Some(End::Done(result))) => {
                let output = op.take_code().finish(outcome(result, &owner));
                local::keep(op);
                output
            }
            (_, Some(End::Lost)) => C::lost(error::shut_down("operation")),
            (Stage::Settled(output), _) => output,
            _ => panic!("an operation was polled after it had ended"),
        };
        coop::spend();
        Poll::Ready(output)
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
            && self.cancel
        {
            owner.cancel(op);
        }
    }
}

impl<C: Opcode> fmt::Debug for Run<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stage {
            Stage::New(_) => f.write_str("New"),
            Stage::InFlight { op, .. } => op.fmt(f),
            Stage::Settled(_) => f.write_str("Settled"),
            Stage::Ended => f.write_str("Ended"),
        }
    }
}
