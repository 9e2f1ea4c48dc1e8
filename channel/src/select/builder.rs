//! A select over a number of cases that is known only at run time.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use gorin_base::hook::Site;

use super::case::{Case, ChannelCase, Kind};
use super::engine::{Cases, Chosen, Engine, Options};
use crate::error::SendError;
use crate::receiver::Receiver;
use crate::recv::RecvOp;
use crate::send::SendOp;
use crate::sender::Sender;

/// What a case of a [`Select`] did.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// A receive: the value, or `None` if the channel is closed and drained.
    Received(Option<T>),
    /// A send.
    Sent(Result<(), SendError<T>>),
}

/// A select whose cases are put together at run time, all on channels of `T`; otherwise as
/// [`select!`](crate::select!).
///
/// It can wait again and again, and then allocates nothing. A send that has happened is off until
/// [`set_value`](Self::set_value) gives it another value; the values of other sends stay in place.
///
/// ```
/// use gorin_channel::{Outcome, Select, chan};
/// # futures::executor::block_on(async {
/// let channels: Vec<_> = (0..3).map(|_| chan(1)).collect();
/// let mut select = Select::new();
/// for (_, rx) in &channels {
///     select = select.recv(rx);
/// }
/// channels[2].0.send("two").await.unwrap();
/// assert_eq!(select.wait().await, (2, Outcome::Received(Some("two"))));
/// assert_eq!(select.try_wait(), None);
/// # });
/// ```
pub struct Select<'a, T> {
    cases: Vec<AnyCase<'a, T>>,
    biased: bool,
}

enum AnyCase<'a, T> {
    Recv(ChannelCase<'a, T, RecvOp>),
    Send(SendCase<'a, T>),
}

struct SendCase<'a, T> {
    case: ChannelCase<'a, T, SendOp<T>>,
    /// It has returned what became of its value, and was given no other: there is nothing to send.
    is_spent: bool,
}

impl<'a, T> Select<'a, T> {
    /// A select without cases; it would wait for ever.
    pub fn new() -> Self {
        Self {
            cases: Vec::new(),
            biased: false,
        }
    }

    /// Chooses the first ready case instead of any ready one.
    #[must_use]
    pub fn biased(mut self) -> Self {
        self.biased = true;
        self
    }

    /// Adds a receive; cases are numbered from 0 in the order in which they are added.
    #[must_use]
    pub fn recv(mut self, from: &'a Receiver<T>) -> Self {
        from.recall();
        let case = ChannelCase::new(&from.shared, RecvOp);
        self.cases.push(AnyCase::Recv(case));
        self
    }

    /// Adds a send of `value`.
    #[must_use]
    pub fn send(mut self, to: &'a Sender<T>, value: T) -> Self {
        let case = ChannelCase::new(&to.shared, SendOp::new(value));
        self.cases.push(AnyCase::Send(SendCase {
            case,
            is_spent: false,
        }));
        self
    }

    /// Gives the send with this index a value, in place of the one that it returns.
    ///
    /// # Panics
    /// If the case is not a send.
    #[track_caller]
    pub fn set_value(&mut self, index: usize, value: T) -> Option<T> {
        match &mut self.cases[index] {
            AnyCase::Send(send) => {
                send.is_spent = false;
                send.case.set_value(value)
            }
            AnyCase::Recv(_) => panic!("case {index} of the select is a receive, not a send"),
        }
    }

    /// Switches a case on or off. A send without a value stays off.
    pub fn set_enabled(&mut self, index: usize, enabled: bool) {
        match &mut self.cases[index] {
            AnyCase::Recv(case) => case.set_on(enabled),
            AnyCase::Send(send) => send.case.set_on(enabled && !send.is_spent),
        }
    }

    /// Waits until one case has happened: its index and what it did.
    ///
    /// # Panics
    /// As [`Sender::send`].
    ///
    /// # Cancel safety
    /// As [`select!`](crate::select!). The value of a send that has not happened stays in the
    /// select.
    #[track_caller]
    pub fn wait(&mut self) -> SelectWait<'_, 'a, T> {
        let engine = Engine::new(self.options(false, Location::caller()));
        SelectWait {
            select: self,
            engine,
        }
    }

    /// Does one of the cases if one is ready, as with a `default`.
    #[track_caller]
    pub fn try_wait(&mut self) -> Option<(usize, Outcome<T>)> {
        let mut engine = Engine::new(self.options(true, Location::caller()));
        let mut cx = Context::from_waker(Waker::noop());
        match gorin_base::coop::unlimited(|| engine.poll(self, &mut cx)) {
            Poll::Ready(Chosen::Case(index)) => Some((index, self.take(index))),
            Poll::Ready(Chosen::Default) | Poll::Pending => None,
        }
    }

    fn options(&self, default: bool, site: Site) -> Options {
        Options {
            biased: self.biased,
            default,
            site,
        }
    }

    fn take(&mut self, index: usize) -> Outcome<T> {
        const ENDED: &str = "the chosen case has ended";
        match &mut self.cases[index] {
            AnyCase::Recv(case) => Outcome::Received(case.take_output().expect(ENDED)),
            AnyCase::Send(send) => {
                send.is_spent = true;
                send.case.set_on(false);
                Outcome::Sent(send.case.take_output().expect(ENDED))
            }
        }
    }
}

impl<T> Default for Select<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, T> Cases<'a> for Select<'a, T> {
    fn len(&self) -> usize {
        self.cases.len()
    }

    fn kind(&mut self, index: usize) -> Kind<'_, 'a> {
        match &mut self.cases[index] {
            AnyCase::Recv(case) => case.kind(),
            AnyCase::Send(send) => send.case.kind(),
        }
    }
}

impl<T> fmt::Debug for Select<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select")
            .field("cases", &self.cases.len())
            .field("biased", &self.biased)
            .finish_non_exhaustive()
    }
}

/// The future of [`Select::wait`].
#[must_use = "futures do nothing unless polled"]
pub struct SelectWait<'s, 'a, T> {
    select: &'s mut Select<'a, T>,
    engine: Engine,
}

impl<T> Future for SelectWait<'_, '_, T> {
    type Output = (usize, Outcome<T>);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match std::task::ready!(this.engine.poll(this.select, cx)) {
            Chosen::Case(index) => Poll::Ready((index, this.select.take(index))),
            Chosen::Default => unreachable!("a waiting select has no default"),
        }
    }
}

impl<T> Drop for SelectWait<'_, '_, T> {
    fn drop(&mut self) {
        self.engine.cancel(self.select);
    }
}

impl<T> fmt::Debug for SelectWait<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelectWait")
            .field("select", &self.select)
            .finish_non_exhaustive()
    }
}
