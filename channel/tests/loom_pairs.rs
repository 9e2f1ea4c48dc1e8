//! Models: every pairing of two parties that meet on one channel, for capacity 0, 1 and 2, with its
//! buffer empty or full.
//!
//! A party is an operation that is started, polled again on another thread while it is in line, or
//! dropped while it is in line; a permit that is used or dropped; a close; or the drop of a handle.
//! No party blocks: it is polled once on its thread, and who was not served is polled by hand
//! afterwards. So the models are small, a lost wake-up is seen without a deadlock, and one property
//! serves all of them:
//!
//! - whoever can go on has been woken, by the waker of its last poll;
//! - nobody waits for a partner that waits or is gone for good, for a place that is free, for a value
//!   that is there, or for a channel that is closed;
//! - no place is lost, and of two that close one is the first;
//! - every value is received, given back, or still there, once; it is dropped with a send that was
//!   dropped in line, and with the last receiver, but then at once.
//!
//! Pairs of which one waits to send and the other to receive cannot both stand in line.

mod common;
#[path = "common/party.rs"]
mod party;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

use common::*;
use gorin_channel::{Receiver, chan};
use party::*;

/// Two parties, the capacity, and whether the buffer is full when they meet, but for places that
/// permits hold.
#[derive(Clone, Copy)]
struct Meeting {
    parties: [Party; 2],
    capacity: usize,
    full: bool,
}

impl Meeting {
    fn is_possible(self) -> bool {
        let [one, other] = self.parties.map(Party::in_line);
        let fits = |operation: Option<Operation>| match operation {
            Some(operation) if self.capacity > 0 => operation.receives() != self.full,
            _ => true,
        };
        let together = match (one, other) {
            (Some(one), Some(other)) => one.receives() == other.receives(),
            _ => true,
        };
        let reserves = |party: Party| party.operation() == Some(Reserve);
        let has_places = self.capacity > 0 || !self.parties.into_iter().any(reserves);
        let has_places = has_places && self.permits() <= self.capacity;
        // Of a channel without places it is one and the same.
        let is_new = self.capacity > 0 || !self.full;
        fits(one) && fits(other) && together && has_places && is_new
    }

    fn permits(self) -> usize {
        let operations = self.parties.into_iter().filter_map(Party::operation);
        operations.filter(|it| it.has_permit()).count()
    }

    /// Values in the buffer when the model begins.
    fn filled(self) -> usize {
        match self.full {
            true => self.capacity - self.permits(),
            false => 0,
        }
    }

    fn name(self) -> String {
        let [one, other] = self.parties;
        let filling = if self.full { ", full" } else { "" };
        format!("pair {one} × {other}, capacity {}{filling}", self.capacity)
    }

    fn has(self, party: Party) -> bool {
        self.parties.contains(&party)
    }
}

/// Everything that is left when both parties have acted.
#[derive(Default)]
struct Rest {
    refused: Vec<Counted>,
    received: Vec<Counted>,
    handles: Handles,
    waiting: Vec<Task>,
    /// Parties that were the first to close.
    first_closes: usize,
}

impl Rest {
    fn told(&mut self, told: Told, handles: Handles) {
        match told {
            Told::Sent | Told::Received(None) => {}
            Told::Refused(value) => self.refused.push(value),
            Told::Received(Some(value)) => self.received.push(value),
        }
        self.keep(handles);
    }

    fn keep(&mut self, (senders, receivers): Handles) {
        self.handles.0.extend(senders);
        self.handles.1.extend(receivers);
    }

    /// Polls who was woken until all that can go on has ended.
    fn settle(&mut self) {
        let mut tasks = std::mem::take(&mut self.waiting);
        while !tasks.is_empty() {
            let before = tasks.len();
            for mut task in std::mem::take(&mut tasks) {
                let woken = task.was_woken();
                match task.poll_as_before() {
                    Poll::Ready((told, handles)) => {
                        assert!(woken, "{:?} could go on and was not woken", task.operation);
                        self.told(told, handles);
                    }
                    Poll::Pending => tasks.push(task),
                }
            }
            if tasks.len() == before {
                break;
            }
        }
        self.waiting = tasks;
    }

    fn len(&self) -> Option<usize> {
        match &self.handles {
            (senders, _) if !senders.is_empty() => Some(senders[0].len()),
            (_, receivers) => receivers.first().map(Receiver::len),
        }
    }

    /// Nobody waits for what is there.
    fn check_who_waits(&self, capacity: usize) {
        let (receive, send): (Vec<_>, Vec<_>) = self
            .waiting
            .iter()
            .partition(|task| task.operation.receives());
        assert!(
            receive.is_empty() || send.is_empty(),
            "two wait for each other"
        );
        let (senders, receivers) = &self.handles;
        let alone = |waiting: &[&Task], partners: bool| !waiting.is_empty() && !partners;
        assert!(
            !alone(&receive, !senders.is_empty()) && !alone(&send, !receivers.is_empty()),
            "waits for who is gone"
        );
        if let Some(len) = self.len() {
            assert!(send.is_empty() || len >= capacity, "a place is free");
            assert!(receive.is_empty() || len == 0, "a value is there");
        }
    }

    /// What is not taken by values can be taken.
    fn check_places(&self, capacity: usize) {
        let Some(tx) = self.handles.0.first().filter(|tx| !tx.is_closed()) else {
            return;
        };
        if capacity > 0 {
            let free = capacity.saturating_sub(tx.len());
            let permits: Vec<_> = std::iter::from_fn(|| tx.try_reserve().ok()).collect();
            // Values that were put back take none.
            let possible = free..=capacity;
            assert!(
                possible.contains(&permits.len()),
                "places are lost, or there are more"
            );
        }
    }

    /// Closes the channel by a handle that is left; then nobody waits.
    fn close(&mut self) {
        match &self.handles {
            (senders, _) if !senders.is_empty() => drop(senders[0].close()),
            (_, receivers) if !receivers.is_empty() => drop(receivers[0].close()),
            _ => {}
        }
        self.settle();
        assert!(self.waiting.is_empty(), "closed, and somebody waits");
    }

    fn drain(&mut self) {
        if let Some(rx) = self.handles.1.first() {
            self.received
                .extend(std::iter::from_fn(|| rx.try_recv().ok()));
        }
    }
}

fn meet(meeting: Meeting) {
    let alive = PlainArc::new(AtomicUsize::new(0));
    let (tx, rx) = chan(meeting.capacity);
    for n in 0..meeting.filled() {
        assert!(tx.try_send(Counted::new(&alive, n)).is_ok());
    }
    let [one, other] = meeting.parties;
    let prepare = |party, n| Prepared::new(party, &tx, &rx, Counted::new(&alive, n));
    let parties = [prepare(one, 10), prepare(other, 11)];
    // Whoever drops a handle drops the last one, but for those of the other party.
    let mut rest = Rest::default();
    if !meeting.has(DropSender) {
        rest.handles.0.push(tx);
    } else {
        drop(tx);
    }
    if !meeting.has(DropReceiver) {
        rest.handles.1.push(rx);
    } else {
        drop(rx);
    }
    let threads = parties.map(|party| thread::spawn(move || party.act()));
    for left in threads.map(|thread| thread.join().unwrap()) {
        match left {
            Left::Ended(told, handles) => rest.told(told, handles),
            Left::Waiting(task) => rest.waiting.push(task),
            Left::Closed(first, handles) => {
                rest.first_closes += usize::from(first);
                rest.keep(handles);
            }
            Left::Handles(handles) => rest.keep(handles),
        }
    }
    rest.settle();
    rest.check_who_waits(meeting.capacity);
    rest.check_places(meeting.capacity);
    if meeting.parties == [Close, Close] {
        assert_eq!(rest.first_closes, 1, "of two");
    }
    rest.close();
    rest.drain();
    check_values(meeting, &rest);
    drop(rest);
    assert_eq!(alive.load(Relaxed), 0, "a value was kept");
}

/// Each value is where it can be, and once.
fn check_values(meeting: Meeting, rest: &Rest) {
    let values = || rest.received.iter().chain(&rest.refused);
    let mut found: Vec<usize> = values().map(|value| value.1).collect();
    found.sort_unstable();
    let sends = |party: Party| party.operation().is_some_and(|it| !it.receives());
    let offered = [10, 11]
        .into_iter()
        .zip(meeting.parties)
        .filter_map(|(n, party)| sends(party).then_some(n));
    let offered: Vec<usize> = (0..meeting.filled()).chain(offered).collect();
    let may_be_gone = |n: &usize| match n {
        10 => matches!(meeting.parties[0], Drop(_)),
        11 => matches!(meeting.parties[1], Drop(_)),
        _ => false,
    };
    let without_receiver = rest.handles.1.is_empty();
    let missing = offered.iter().filter(|n| !found.contains(n));
    let lost: Vec<&usize> = missing
        .filter(|n| !may_be_gone(n) && !without_receiver)
        .collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(found.iter().all(|n| offered.contains(n)) && found.windows(2).all(|n| n[0] != n[1]));
    if without_receiver && let Some(sender) = rest.handles.0.first() {
        assert_eq!(sender.len(), 0, "kept for nobody");
    }
}

const OPERATIONS: [Operation; 5] = [Send, Receive, SelectToSend, SelectToReceive, Reserve];

fn parties() -> Vec<Party> {
    // Permits first: they are there before anybody stands in line.
    let mut parties = vec![PollAgain(UsePermit), PollAgain(DropPermit)];
    parties.extend([Close, DropSender, DropReceiver]);
    for operation in OPERATIONS {
        parties.extend([Start(operation), PollAgain(operation), Drop(operation)]);
    }
    parties
}

/// All that are possible, each pair once.
fn meetings(capacity: usize) -> Vec<Meeting> {
    let parties = parties();
    let mut meetings = Vec::new();
    for (index, &one) in parties.iter().enumerate() {
        for &other in &parties[index..] {
            for full in [false, true] {
                let meeting = Meeting {
                    parties: [one, other],
                    capacity,
                    full,
                };
                meetings.extend(meeting.is_possible().then_some(meeting));
            }
        }
    }
    meetings
}

/// Under loom each meeting is a model; elsewhere there is one that takes a meeting at random in each
/// round.
fn all_meetings(capacity: usize) {
    let meetings = meetings(capacity);
    assert!(meetings.len() > 50, "only {} of them", meetings.len());
    #[cfg(loom)]
    for meeting in meetings {
        let choices = if meeting.parties.into_iter().any(Party::is_select) {
            2
        } else {
            1
        };
        model_with_choices(&meeting.name(), choices, move || meet(meeting));
    }
    #[cfg(not(loom))]
    model(&format!("pairs, capacity {capacity}"), move || {
        let meeting = meetings[gorin_base::rng::below(meetings.len())];
        println!("{}", meeting.name());
        meet(meeting);
    });
}

#[test]
fn every_pair_0() {
    all_meetings(0);
}

#[test]
fn every_pair_1() {
    all_meetings(1);
}

#[test]
fn every_pair_2() {
    all_meetings(2);
}
