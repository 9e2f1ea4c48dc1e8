//! Random programs of sends, receives, selects, closes, drops and cancellations, polled by hand and
//! compared step by step with an oracle: per channel a buffer, values put back, and two lists of
//! operations in line.
//!
//! Checked after every step: results, lengths, and that exactly the operations which the oracle says
//! have been served were woken. At the end every value must have been dropped. A failing program is
//! named by its seed: `GORIN_ORACLE_SEED=<seed> cargo test --test oracle`.
#![cfg(not(loom))]

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use gorin_channel::{Outcome, Receiver, Select, Sender, TryRecvError, TrySendError, chan, select};

/// A value with an identity, counted while it is alive.
#[derive(Debug)]
struct Value(u64, Rc<Cell<usize>>);

impl Drop for Value {
    fn drop(&mut self) {
        self.1.set(self.1.get() - 1);
    }
}

/// What an operation ended with, values by their number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcomes {
    Sent,
    Refused(u64),
    Received(Option<u64>),
}

/// One case of an operation: a channel, and a value if it sends.
#[derive(Clone, Copy, Debug)]
struct Case {
    channel: usize,
    send: Option<u64>,
}

/// How the oracle sees an operation that has not been picked up.
#[derive(Debug)]
struct Expected {
    cases: Vec<Case>,
    served: Option<(usize, Outcomes)>,
    ticket: u64,
}

/// How the oracle sees a channel. Operations are named by their number, with the index of the case.
#[derive(Default, Debug)]
struct Channel {
    capacity: usize,
    buffer: VecDeque<u64>,
    returned: Vec<(u64, u64)>,
    receivers: VecDeque<(usize, usize)>,
    senders: VecDeque<(usize, usize)>,
    closed: bool,
    abandoned: bool,
}

#[derive(Debug, Default)]
struct Oracle {
    channels: Vec<Channel>,
    operations: Vec<Option<Expected>>,
    tickets: u64,
}

impl Oracle {
    fn is_ready(&self, case: Case) -> bool {
        let channel = &self.channels[case.channel];
        let partner = match case.send {
            Some(_) => !channel.receivers.is_empty() || channel.buffer.len() < channel.capacity,
            None => {
                !channel.senders.is_empty()
                    || !channel.buffer.is_empty()
                    || !channel.returned.is_empty()
            }
        };
        channel.closed || partner
    }

    /// The operation ends by this case; it leaves all lines.
    fn serve(&mut self, (operation, case): (usize, usize), outcome: Outcomes, ticket: u64) {
        for channel in &mut self.channels {
            channel.receivers.retain(|entry| entry.0 != operation);
            channel.senders.retain(|entry| entry.0 != operation);
        }
        let expected = self.operations[operation].as_mut().unwrap();
        assert!(expected.served.is_none());
        expected.served = Some((case, outcome));
        expected.ticket = ticket;
    }

    fn value_of(&self, (operation, case): (usize, usize)) -> u64 {
        self.operations[operation].as_ref().unwrap().cases[case]
            .send
            .unwrap()
    }

    /// Does a case that is ready.
    fn perform(&mut self, case: Case) -> Outcomes {
        let index = case.channel;
        if let Some(value) = case.send {
            if self.channels[index].closed {
                return Outcomes::Refused(value);
            }
            if let Some(&receiver) = self.channels[index].receivers.front() {
                self.tickets += 1;
                self.serve(receiver, Outcomes::Received(Some(value)), self.tickets);
            } else {
                self.channels[index].buffer.push_back(value);
            }
            return Outcomes::Sent;
        }
        let channel = &mut self.channels[index];
        if !channel.returned.is_empty() {
            return Outcomes::Received(Some(channel.returned.remove(0).1));
        }
        if let Some(value) = channel.buffer.pop_front() {
            if let Some(&sender) = channel.senders.front() {
                let admitted = self.value_of(sender);
                self.channels[index].buffer.push_back(admitted);
                self.serve(sender, Outcomes::Sent, 0);
            }
            return Outcomes::Received(Some(value));
        }
        if let Some(&sender) = channel.senders.front() {
            let value = self.value_of(sender);
            self.serve(sender, Outcomes::Sent, 0);
            return Outcomes::Received(Some(value));
        }
        Outcomes::Received(None)
    }

    fn enter(&mut self, cases: Vec<Case>) {
        let operation = self.operations.len();
        for (index, case) in cases.iter().enumerate() {
            let channel = &mut self.channels[case.channel];
            match case.send {
                Some(_) => channel.senders.push_back((operation, index)),
                None => channel.receivers.push_back((operation, index)),
            }
        }
        self.operations.push(Some(Expected {
            cases,
            served: None,
            ticket: 0,
        }));
    }

    fn close(&mut self, index: usize) -> bool {
        let first = !self.channels[index].closed;
        self.channels[index].closed = true;
        while let Some(&receiver) = self.channels[index].receivers.front() {
            self.serve(receiver, Outcomes::Received(None), 0);
        }
        while let Some(&sender) = self.channels[index].senders.front() {
            let value = self.value_of(sender);
            self.serve(sender, Outcomes::Refused(value), 0);
        }
        first
    }

    /// The operation is dropped before it was picked up.
    fn cancel(&mut self, operation: usize) {
        for channel in &mut self.channels {
            channel.receivers.retain(|entry| entry.0 != operation);
            channel.senders.retain(|entry| entry.0 != operation);
        }
        let expected = self.operations[operation].take().unwrap();
        let Some((case, Outcomes::Received(Some(value)))) = expected.served else {
            return;
        };
        let index = expected.cases[case].channel;
        if let Some(&receiver) = self.channels[index].receivers.front() {
            self.serve(receiver, Outcomes::Received(Some(value)), expected.ticket);
        } else {
            let returned = &mut self.channels[index].returned;
            returned.push((expected.ticket, value));
            returned.sort_unstable();
        }
    }

    /// The last receiver is dropped.
    fn abandon(&mut self, index: usize) {
        self.close(index);
        let channel = &mut self.channels[index];
        channel.buffer.clear();
        channel.returned.clear();
        channel.abandoned = true;
    }
}

/// Notes that it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Running = Pin<Box<dyn Future<Output = (usize, Outcomes)>>>;

/// A sender and a receiver of one channel, as long as they live.
type Ends = (Option<Sender<Value>>, Option<Receiver<Value>>);

/// One program: the real channels beside the oracle.
struct Program {
    random: fastrand::Rng,
    oracle: Oracle,
    ends: Vec<Ends>,
    running: Vec<Option<(Running, Arc<Flag>)>>,
    alive: Rc<Cell<usize>>,
    values: u64,
}

fn sent(result: Result<(), gorin_channel::SendError<Value>>) -> Outcomes {
    match result {
        Ok(()) => Outcomes::Sent,
        Err(error) => Outcomes::Refused(error.into_inner().0),
    }
}

fn received(value: Option<Value>) -> Outcomes {
    Outcomes::Received(value.map(|value| value.0))
}

impl Program {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        gorin_base::rng::reseed(seed);
        let capacities = [0, 1, 3].map(|most| random.usize(0..=most));
        let mut oracle = Oracle::default();
        let ends = capacities.map(|capacity| {
            oracle.channels.push(Channel {
                capacity,
                ..Channel::default()
            });
            let (tx, rx) = chan(capacity);
            (Some(tx), Some(rx))
        });
        Self {
            random,
            oracle,
            ends: ends.into(),
            running: Vec::new(),
            alive: Rc::new(Cell::new(0)),
            values: 0,
        }
    }

    fn value(&mut self) -> Value {
        self.values += 1;
        self.alive.set(self.alive.get() + 1);
        Value(self.values, self.alive.clone())
    }

    /// A channel whose end for `send` is still there.
    fn some_channel(&mut self, send: bool) -> Option<usize> {
        let index = self.random.usize(0..self.ends.len());
        let (tx, rx) = &self.ends[index];
        let there = if send { tx.is_some() } else { rx.is_some() };
        there.then_some(index)
    }

    fn step(&mut self) {
        match self.random.u8(0..20) {
            0..=2 => self.start_single(true),
            3..=5 => self.start_single(false),
            6..=9 => self.start_select(),
            10..=12 => self.poll_one(),
            13..=14 => self.drop_one(),
            15..=16 => self.try_send(),
            17..=18 => self.try_recv(),
            _ if self.random.u8(0..4) == 0 => self.end_a_channel(),
            _ => self.clone_and_drop(),
        }
        self.check();
    }

    fn start_single(&mut self, send: bool) {
        let Some(channel) = self.some_channel(send) else {
            return;
        };
        if send {
            let value = self.value();
            let case = Case {
                channel,
                send: Some(value.0),
            };
            let tx = self.ends[channel].0.clone().unwrap();
            let future = async move { (0, sent(tx.send(value).await)) };
            self.start(vec![case], Box::pin(future));
        } else {
            let rx = self.ends[channel].1.clone().unwrap();
            let future = async move { (0, received(rx.recv().await)) };
            let case = Case {
                channel,
                send: None,
            };
            self.start(vec![case], Box::pin(future));
        }
    }

    fn start_select(&mut self) {
        if self.random.bool() {
            return self.start_select_of_two();
        }
        let mut cases = Vec::new();
        let mut handles = Vec::new();
        for _ in 0..self.random.usize(1..=4) {
            let send = self.random.bool();
            let Some(channel) = self.some_channel(send) else {
                continue;
            };
            let value = send.then(|| self.value());
            cases.push(Case {
                channel,
                send: value.as_ref().map(|value| value.0),
            });
            let (tx, rx) = &self.ends[channel];
            handles.push(match value {
                Some(value) => (tx.clone(), None, Some(value)),
                None => (None, rx.clone(), None),
            });
        }
        let future = async move {
            let mut select = Select::new();
            let mut values = Vec::new();
            for (_, _, value) in &mut handles {
                values.push(value.take());
            }
            for ((tx, rx, _), value) in handles.iter().zip(values) {
                select = match (tx, rx, value) {
                    (Some(tx), _, Some(value)) => select.send(tx, value),
                    (_, Some(rx), _) => select.recv(rx),
                    _ => unreachable!("a handle for each case"),
                };
            }
            match select.wait().await {
                (index, Outcome::Sent(result)) => (index, sent(result)),
                (index, Outcome::Received(value)) => (index, received(value)),
            }
        };
        self.start(cases, Box::pin(future));
    }

    /// By the macro, with a foreign case that is never ready, so that later polls close the claim.
    fn start_select_of_two(&mut self) {
        let (Some(to), Some(from)) = (self.some_channel(true), self.some_channel(false)) else {
            return;
        };
        let value = self.value();
        let cases = vec![
            Case {
                channel: to,
                send: Some(value.0),
            },
            Case {
                channel: from,
                send: None,
            },
        ];
        let tx = self.ends[to].0.clone().unwrap();
        let rx = self.ends[from].1.clone().unwrap();
        let future = async move {
            select! {
                result = tx.send(value) => (0, sent(result)),
                value = rx.recv() => (1, received(value)),
                () = pending() => unreachable!("it is never ready"),
            }
        };
        self.start(cases, Box::pin(future));
    }

    /// The first poll: if a case is ready, the real channels draw one of the ready ones.
    fn start(&mut self, cases: Vec<Case>, mut future: Running) {
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(flag.clone());
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let ready: Vec<_> = (0..cases.len())
            .filter(|&index| self.oracle.is_ready(cases[index]))
            .collect();
        match polled {
            Poll::Ready((index, outcome)) => {
                assert!(
                    ready.contains(&index),
                    "case {index} of {cases:?} was not ready"
                );
                assert_eq!(outcome, self.oracle.perform(cases[index]));
            }
            Poll::Pending => {
                assert_eq!(ready, [], "{cases:?} should not have waited");
                self.oracle.enter(cases);
                self.running.push(Some((future, flag)));
            }
        }
    }

    fn some_running(&mut self) -> Option<usize> {
        let waiting: Vec<_> = (0..self.running.len())
            .filter(|&index| self.running[index].is_some())
            .collect();
        self.random.choice(waiting)
    }

    fn poll_one(&mut self) {
        let Some(operation) = self.some_running() else {
            return;
        };
        let (future, flag) = self.running[operation].as_mut().unwrap();
        if self.random.bool() {
            // As if it had moved to another task: only the latest waker counts.
            *flag = Arc::new(Flag::default());
        }
        let waker = Waker::from(flag.clone());
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        match self.oracle.operations[operation].as_ref().unwrap().served {
            Some(served) => {
                assert_eq!(polled, Poll::Ready(served));
                self.oracle.operations[operation] = None;
                self.running[operation] = None;
            }
            None => assert!(
                polled.is_pending(),
                "{polled:?}, but it has not been served"
            ),
        }
    }

    fn drop_one(&mut self) {
        if let Some(operation) = self.some_running() {
            self.running[operation] = None;
            self.oracle.cancel(operation);
        }
    }

    fn try_send(&mut self) {
        let Some(channel) = self.some_channel(true) else {
            return;
        };
        let value = self.value();
        let case = Case {
            channel,
            send: Some(value.0),
        };
        let result = self.ends[channel].0.as_ref().unwrap().try_send(value);
        let outcome = match result {
            Ok(()) => Outcomes::Sent,
            Err(TrySendError::Closed(value)) => Outcomes::Refused(value.0),
            Err(TrySendError::Full(_)) => {
                assert!(!self.oracle.is_ready(case));
                return;
            }
        };
        assert!(self.oracle.is_ready(case));
        assert_eq!(outcome, self.oracle.perform(case));
    }

    fn try_recv(&mut self) {
        let Some(channel) = self.some_channel(false) else {
            return;
        };
        let case = Case {
            channel,
            send: None,
        };
        let outcome = match self.ends[channel].1.as_ref().unwrap().try_recv() {
            Ok(value) => Outcomes::Received(Some(value.0)),
            Err(TryRecvError::Closed) => Outcomes::Received(None),
            Err(TryRecvError::Empty) => {
                assert!(!self.oracle.is_ready(case));
                return;
            }
        };
        assert!(self.oracle.is_ready(case));
        assert_eq!(outcome, self.oracle.perform(case));
    }

    /// Closes a channel, by call or by dropping an end that no running operation holds.
    fn end_a_channel(&mut self) {
        let index = self.random.usize(0..self.ends.len());
        let held = |send: bool| {
            let mut cases = self
                .oracle
                .operations
                .iter()
                .flatten()
                .flat_map(|op| &op.cases);
            cases.any(|case| case.channel == index && case.send.is_some() == send)
        };
        let (senders_held, receivers_held) = (held(true), held(false));
        let (tx, rx) = &mut self.ends[index];
        match self.random.u8(0..4) {
            0 if !senders_held && tx.is_some() => {
                *tx = None;
                self.oracle.close(index);
            }
            1 if !receivers_held && rx.is_some() => {
                *rx = None;
                self.oracle.abandon(index);
            }
            2 if tx.is_some() => {
                assert_eq!(tx.as_ref().unwrap().close(), self.oracle.close(index));
            }
            _ => {
                if let Some(rx) = rx {
                    assert_eq!(rx.close(), self.oracle.close(index));
                }
            }
        }
    }

    /// A handle that is not the last one can come and go.
    fn clone_and_drop(&mut self) {
        let index = self.random.usize(0..self.ends.len());
        drop(self.ends[index].clone());
    }

    fn check(&self) {
        for (channel, (tx, rx)) in self.oracle.channels.iter().zip(&self.ends) {
            let len = channel.buffer.len() + channel.returned.len();
            if let Some(tx) = tx {
                assert_eq!((tx.len(), tx.is_closed()), (len, channel.closed));
            }
            if let Some(rx) = rx {
                assert_eq!((rx.len(), rx.is_closed()), (len, channel.closed));
            }
        }
        for (expected, running) in self.oracle.operations.iter().zip(&self.running) {
            let (Some(expected), Some((_, flag))) = (expected, running) else {
                continue;
            };
            let woken = flag.0.load(Ordering::Relaxed);
            assert_eq!(woken, expected.served.is_some(), "wake-ups: {expected:?}");
        }
    }
}

fn run(seed: u64) {
    let mut program = Program::new(seed);
    let alive = program.alive.clone();
    for _ in 0..80 {
        program.step();
    }
    drop(program);
    assert_eq!(alive.get(), 0, "values that were never dropped");
}

#[test]
fn random_programs_behave_like_the_oracle() {
    if let Some(seed) = std::env::var("GORIN_ORACLE_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
    {
        return run(seed);
    }
    let programs = if cfg!(miri) { 20 } else { 5000 };
    for seed in 0..programs {
        let ran = std::panic::catch_unwind(|| run(seed));
        assert!(
            ran.is_ok(),
            "program {seed} failed: GORIN_ORACLE_SEED={seed} repeats it"
        );
    }
}
