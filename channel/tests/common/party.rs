//! The parties of `loom_pairs.rs`: what each brings to a meeting, does there, and leaves.

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use gorin_channel::{Receiver, SendError, Sender, chan, select};

use crate::common::*;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operation {
    Send,
    Receive,
    SelectToSend,
    SelectToReceive,
    Reserve,
    /// Has a permit when the model begins, and sends by it.
    UsePermit,
    /// Has one, and drops it.
    DropPermit,
}

pub(crate) use Operation::*;

impl Operation {
    pub(crate) fn receives(self) -> bool {
        matches!(self, Receive | SelectToReceive)
    }

    pub(crate) fn has_permit(self) -> bool {
        matches!(self, UsePermit | DropPermit)
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Party {
    /// Polled for the first time.
    Start(Operation),
    /// In line already, and polled with another waker.
    PollAgain(Operation),
    /// In line already, and dropped.
    Drop(Operation),
    Close,
    DropSender,
    DropReceiver,
}

pub(crate) use Party::{Close, Drop, DropReceiver, DropSender, PollAgain, Start};

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Start(operation) => write!(f, "{operation:?}"),
            PollAgain(operation) => write!(f, "{operation:?} polled again"),
            Drop(operation) => write!(f, "{operation:?} dropped"),
            Close => f.write_str("Close"),
            DropSender => f.write_str("drop of a sender"),
            DropReceiver => f.write_str("drop of a receiver"),
        }
    }
}

impl Party {
    pub(crate) fn operation(self) -> Option<Operation> {
        match self {
            Start(operation) | PollAgain(operation) | Drop(operation) => Some(operation),
            Close | DropSender | DropReceiver => None,
        }
    }

    /// Only loom explores the answers of its choice one after the other.
    #[cfg(loom)]
    pub(crate) fn is_select(self) -> bool {
        matches!(self.operation(), Some(SelectToSend | SelectToReceive))
    }

    /// The operation that was begun before.
    pub(crate) fn begun(self) -> Option<Operation> {
        match self {
            PollAgain(operation) | Drop(operation) => Some(operation),
            _ => None,
        }
    }

    /// The operation that stands in line when the model begins.
    pub(crate) fn in_line(self) -> Option<Operation> {
        self.begun().filter(|operation| !operation.has_permit())
    }
}

/// How an operation ended.
pub(crate) enum Told {
    Sent,
    Refused(Counted),
    Received(Option<Counted>),
}

/// Handles that outlive their use. A handle's drop takes the lock and would multiply the executions,
/// so no thread drops one unless that is its part.
pub(crate) type Handles = (Vec<Sender<Counted>>, Vec<Receiver<Counted>>);

type Future = Boxed<(Told, Handles)>;

fn sent(result: Result<(), SendError<Counted>>) -> Told {
    match result {
        Ok(()) => Told::Sent,
        Err(SendError(value)) => Told::Refused(value),
    }
}

/// Ready when it is polled again.
async fn another_poll() {
    let mut polled = false;
    poll_fn(|_| match std::mem::replace(&mut polled, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

fn sending(operation: Operation, tx: Sender<Counted>, value: Counted) -> Future {
    boxed(async move {
        let told = match operation {
            SelectToSend => {
                let (_quiet, never_said) = chan::<u8>(0);
                select! {
                    result = tx.send(value) => sent(result),
                    said = never_said.recv() => unreachable!("nobody says {said:?}"),
                }
            }
            Reserve => match tx.reserve().await {
                Ok(permit) => sent(permit.send(value)),
                Err(SendError(())) => Told::Refused(value),
            },
            UsePermit | DropPermit => {
                let permit = tx.try_reserve().expect("there is a place");
                another_poll().await;
                match operation {
                    UsePermit => sent(permit.send(value)),
                    _ => {
                        drop(permit);
                        Told::Refused(value)
                    }
                }
            }
            _ => sent(tx.send(value).await),
        };
        (told, (vec![tx], Vec::new()))
    })
}

fn receiving(operation: Operation, rx: Receiver<Counted>) -> Future {
    boxed(async move {
        let told = match operation {
            SelectToReceive => {
                let (_quiet, never_said) = chan::<u8>(0);
                select! {
                    value = rx.recv() => Told::Received(value),
                    said = never_said.recv() => unreachable!("nobody says {said:?}"),
                }
            }
            _ => Told::Received(rx.recv().await),
        };
        (told, (Vec::new(), vec![rx]))
    })
}

/// Whether a task was woken. std's atomic: it must not order anything for loom.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: PlainArc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// An operation, and the waker of its last poll.
pub(crate) struct Task {
    pub(crate) operation: Operation,
    future: Future,
    flag: PlainArc<Flag>,
}

impl Task {
    /// Polls with a new waker.
    pub(crate) fn poll(&mut self) -> Poll<(Told, Handles)> {
        self.flag = PlainArc::default();
        self.poll_as_before()
    }

    pub(crate) fn poll_as_before(&mut self) -> Poll<(Told, Handles)> {
        let waker = Waker::from(self.flag.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    pub(crate) fn was_woken(&self) -> bool {
        self.flag.0.load(Relaxed)
    }
}

/// What a party brings to the meeting.
pub(crate) struct Prepared {
    party: Party,
    task: Option<Task>,
    handles: Handles,
}

/// What is there of it afterwards.
pub(crate) enum Left {
    Ended(Told, Handles),
    Waiting(Task),
    Closed(bool, Handles),
    Handles(Handles),
}

impl Prepared {
    pub(crate) fn new(
        party: Party,
        tx: &Sender<Counted>,
        rx: &Receiver<Counted>,
        value: Counted,
    ) -> Self {
        let mut handles = Handles::default();
        match party {
            Close | DropSender => handles.0.push(tx.clone()),
            DropReceiver => handles.1.push(rx.clone()),
            _ => {}
        }
        let task = party.operation().map(|operation| Task {
            operation,
            future: match operation {
                Receive | SelectToReceive => receiving(operation, rx.clone()),
                _ => sending(operation, tx.clone(), value),
            },
            flag: PlainArc::default(),
        });
        let mut prepared = Self {
            party,
            task,
            handles,
        };
        if party.begun().is_some()
            && let Some(task) = &mut prepared.task
        {
            assert!(task.poll().is_pending(), "it has to wait");
        }
        prepared
    }

    pub(crate) fn act(mut self) -> Left {
        match self.party {
            Start(_) | PollAgain(_) => {
                let mut task = self.task.take().expect("it has an operation");
                match task.poll() {
                    Poll::Ready((told, handles)) => return Left::Ended(told, handles),
                    Poll::Pending => return Left::Waiting(task),
                }
            }
            Drop(_) => drop(self.task),
            Close => return Left::Closed(self.handles.0[0].close(), self.handles),
            DropSender => self.handles.0.clear(),
            DropReceiver => self.handles.1.clear(),
        }
        Left::Handles(self.handles)
    }
}
