//! The reduction against the search without it: random programs must end in the same ways.
//!
//! What an end is: what each goroutine saw, in its own order, and how the execution ended. The
//! programs mix operations that wait with such as look, give up, race and choose, on channels that
//! are full, empty, closed and shared.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use gorin_base::clock;
use gorin_base::hook::VirtualTimer;
use gorin_base::rng;
use gorin_channel::{Receiver, Sender, chan, select};
use gorin_executor::Spec;

use super::execution::{End, Execution, Limits, Session};
use super::report::Cause;
use super::search::{Reduction, Search};
use super::spawn::{run_main, spawn};

/// What a goroutine of a random program does; numbers are channels.
#[derive(Clone, Copy, Debug)]
enum Op {
    Send(usize),
    Recv(usize),
    TrySend(usize),
    TryRecv(usize),
    Close(usize),
    Len(usize),
    /// Begins to receive, looks once, and gives up.
    Peek(usize),
    /// Begins to send, looks once, and gives up.
    Offer(usize),
    /// Receives from whichever of two comes first, as a foreign combinator does.
    Race(usize, usize),
    /// Sends to one or receives from the other, as a foreign combinator does.
    Either(usize, usize),
    /// Receives, but not longer than so many milliseconds.
    RecvFor(usize, u64),
    /// Receives from the first, alone if there is something in the second, else for a millisecond:
    /// one line of the program that waits alone or not, as it happens.
    RecvIf(usize, usize),
    /// Receives from the first, alone if there is something in the second, else from whichever of the
    /// two comes first.
    RaceIf(usize, usize),
    /// As it chooses: receives from the first, alone; or, after the second, looks once whether there is
    /// something in the first.
    GetOrPeek(usize, usize),
    Yield,
    SelectRecv(usize, usize),
    SelectSend(usize, usize),
    Drop(usize),
    /// Drops the sender only, so that the channel may be closed while somebody receives.
    DropSender(usize),
}

type Ends = Vec<(Option<Sender<u8>>, Option<Receiver<u8>>)>;
type Log = Arc<Mutex<Vec<String>>>;

/// What `main` does once all goroutines are started.
#[derive(Clone, Copy, Debug)]
enum Finale {
    Nothing,
    Join,
    Abort(usize),
    AbortAndJoin(usize),
    /// Aborts one, and looks whether it has ended.
    AbortAndLook(usize),
    /// Receives from a channel, and then aborts a goroutine that may have gone far by then.
    RecvAndAbort(usize, usize),
    /// Looks whether there is something in a channel.
    Look(usize),
}

#[derive(Clone, Debug)]
struct Program {
    capacities: Vec<usize>,
    goroutines: Vec<Vec<Op>>,
    finale: Finale,
}

impl Program {
    fn random(rng: &mut fastrand::Rng) -> Self {
        let channels = rng.usize(1..=2);
        let goroutines = rng.usize(2..=3);
        let longest = if goroutines == 2 { 4 } else { 3 };
        let ops = |rng: &mut fastrand::Rng| {
            let length = rng.usize(1..=longest);
            (0..length).map(|_| random_op(rng, channels)).collect()
        };
        Self {
            capacities: (0..channels).map(|_| rng.usize(0..=2)).collect(),
            goroutines: (0..goroutines).map(|_| ops(rng)).collect(),
            finale: match rng.u8(0..10) {
                9 => Finale::Look(rng.usize(..channels)),
                8 => Finale::RecvAndAbort(rng.usize(..channels), rng.usize(..goroutines)),
                0..=3 => Finale::Nothing,
                4 => Finale::Join,
                5 => Finale::AbortAndLook(rng.usize(..goroutines)),
                6 => Finale::Abort(rng.usize(..goroutines)),
                _ => Finale::AbortAndJoin(rng.usize(..goroutines)),
            },
        }
    }

    /// Starts the goroutines; `log` gets a line for each thing that one of them sees.
    async fn run(self, logs: Vec<Log>) {
        let channels: Vec<_> = self.capacities.iter().map(|&n| chan::<u8>(n)).collect();
        let both = |(tx, rx): &(Sender<u8>, Receiver<u8>)| (Some(tx.clone()), Some(rx.clone()));
        let mut handles = Vec::new();
        for (number, ops) in self.goroutines.into_iter().enumerate() {
            let ends: Ends = channels.iter().map(both).collect();
            let log = logs[number].clone();
            handles.push(spawn(Spec::new(), goroutine(number, ops, ends, log)));
        }
        if let Finale::RecvAndAbort(channel, number) = self.finale {
            let rx = channels[channel].1.clone();
            drop(channels);
            rx.recv().await;
            handles[number].abort();
            return;
        }
        if let Finale::Look(channel) = self.finale {
            let found = channels[channel].1.try_recv();
            let log = logs.last().expect("the last is of main");
            log.lock().unwrap().push(format!("{found:?}"));
        }
        drop(channels);
        if let Finale::Abort(number) | Finale::AbortAndJoin(number) | Finale::AbortAndLook(number) =
            self.finale
        {
            handles[number].abort();
        }
        if let Finale::AbortAndLook(number) = self.finale {
            let over = handles[number].is_finished();
            let log = logs.last().expect("the last is of main");
            log.lock().unwrap().push(format!("over={over}"));
        }
        if let Finale::Join | Finale::AbortAndJoin(_) = self.finale {
            for (number, handle) in handles.into_iter().enumerate() {
                let ended = handle.await;
                logs[number].lock().unwrap().push(format!("{ended:?}"));
            }
        }
    }
}

fn random_op(rng: &mut fastrand::Rng, channels: usize) -> Op {
    let (one, other) = (rng.usize(..channels), rng.usize(..channels));
    match rng.u8(0..28) {
        0..=5 => Op::Send(one),
        6..=11 => Op::Recv(one),
        12 => Op::TrySend(one),
        13 => Op::TryRecv(one),
        14 => Op::Close(one),
        15 => Op::Len(one),
        16 => Op::Peek(one),
        17 => Op::Race(one, other),
        19 => Op::Offer(one),
        20 => Op::Either(one, other),
        21 => Op::RecvFor(one, rng.u64(1..3)),
        22 => Op::Yield,
        23 | 24 => Op::DropSender(one),
        25 => match rng.bool() {
            true => Op::RecvIf(one, other),
            false => Op::RaceIf(one, other),
        },
        18 => match rng.bool() {
            true => Op::SelectRecv(one, other),
            false => Op::SelectSend(one, other),
        },
        _ => Op::Drop(one),
    }
}

async fn goroutine(number: usize, ops: Vec<Op>, mut ends: Ends, log: Log) {
    for (index, op) in ops.into_iter().enumerate() {
        let value = (number * 10 + index) as u8;
        let seen = perform(op, &mut ends, value).await;
        log.lock().unwrap().push(format!("{op:?}={seen}"));
    }
}

async fn perform(op: Op, ends: &mut Ends, value: u8) -> String {
    if let Op::Drop(n) = op {
        ends[n] = (None, None);
        return String::new();
    }
    if let Op::DropSender(n) = op {
        ends[n].0 = None;
        return String::new();
    }
    let tx = |n: usize| ends[n].0.as_ref();
    let rx = |n: usize| ends[n].1.as_ref();
    let seen = async {
        Some(match op {
            Op::Send(n) => format!("{:?}", tx(n)?.send(value).await),
            Op::Recv(n) => format!("{:?}", rx(n)?.recv().await),
            Op::TrySend(n) => format!("{:?}", tx(n)?.try_send(value)),
            Op::TryRecv(n) => format!("{:?}", rx(n)?.try_recv()),
            Op::Close(n) => format!("{:?}", tx(n)?.close()),
            Op::Len(n) => format!("{:?}", rx(n)?.len()),
            Op::Peek(n) => {
                let mut recv = pin!(rx(n)?.recv());
                format!(
                    "{:?}",
                    recv.as_mut().poll(&mut Context::from_waker(Waker::noop()))
                )
            }
            Op::Offer(n) => {
                let mut send = pin!(tx(n)?.send(value));
                let polled = send.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                format!("{polled:?}")
            }
            Op::Race(a, b) => {
                let (a, b) = (rx(a)?, rx(b)?);
                first(async { a.recv().await }, async { b.recv().await }).await
            }
            Op::Either(a, b) => {
                let (a, b) = (tx(a)?, rx(b)?);
                let sent = async { a.send(value).await.ok().map(|()| value) };
                first(sent, async { b.recv().await }).await
            }
            Op::RecvFor(n, limit) => {
                let rx = rx(n)?;
                first(async { rx.recv().await }, elapsed(limit)).await
            }
            Op::RecvIf(a, b) => {
                let (a, b) = (rx(a)?, rx(b)?);
                if b.try_recv().is_ok() {
                    format!("{:?}", get(a).await)
                } else {
                    first(get(a), elapsed(1)).await
                }
            }
            Op::RaceIf(a, b) => {
                let (a, b) = (rx(a)?, rx(b)?);
                if b.try_recv().is_ok() {
                    format!("{:?}", get(a).await)
                } else {
                    first(get(a), get(b)).await
                }
            }
            Op::GetOrPeek(a, b) => {
                let (a, b) = (rx(a)?, rx(b)?);
                if rng::below(2) == 0 {
                    format!("{:?}", get(a).await)
                } else {
                    let _ = b.recv().await;
                    first(get(a), async { None }).await
                }
            }
            Op::Yield => {
                yield_once().await;
                String::new()
            }
            Op::SelectRecv(a, b) => {
                let (a, b) = (rx(a)?, rx(b)?);
                select! {
                    v = a.recv() => format!("first {v:?}"),
                    v = b.recv() => format!("second {v:?}"),
                }
            }
            Op::SelectSend(a, b) => {
                let (a, b) = (tx(a)?, rx(b)?);
                select! {
                    r = a.send(value) => format!("sent {r:?}"),
                    v = b.recv() => format!("received {v:?}"),
                }
            }
            Op::Drop(_) | Op::DropSender(_) => unreachable!("done above"),
        })
    };
    seen.await.unwrap_or_else(|| "dropped".to_owned())
}

/// Receives, at one line of the program for all who do.
async fn get(rx: &Receiver<u8>) -> Option<u8> {
    rx.recv().await
}

/// Whichever of two is ready first; the other one is dropped.
async fn first(a: impl Future<Output = Option<u8>>, b: impl Future<Output = Option<u8>>) -> String {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| {
        if let Poll::Ready(value) = a.as_mut().poll(cx) {
            return Poll::Ready(format!("first {value:?}"));
        }
        b.as_mut().poll(cx).map(|value| format!("second {value:?}"))
    })
    .await
}

/// Ready after so many milliseconds of virtual time.
async fn elapsed(limit: u64) -> Option<u8> {
    let deadline = clock::now() + Duration::from_millis(limit);
    let mut timer = VirtualTimer::new();
    poll_fn(|cx| timer.poll(deadline, cx.waker()).expect("a checker runs")).await;
    None
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Executions, and the ends that were seen.
type Explored = (usize, BTreeSet<String>);

/// All ends of `program`; `None` if there are too many executions.
fn ends(program: &Program, unreduced: bool, most: usize, leaks: bool) -> Option<Explored> {
    let limits = Limits {
        steps: 1000,
        leaks,
        panics: false,
        lost_values: true,
        ignored_sends: true,
    };
    let search = Box::new(Search::new(Reduction {
        none: unreduced,
        preemption_bound: None,
    }));
    let session = Rc::new(Session::new(limits, search, clock::now()));
    let mut ends = BTreeSet::new();
    for executions in 1..=most {
        // One for each goroutine, and one for `main`.
        let logs: Vec<Log> = (0..=program.goroutines.len())
            .map(|_| Log::default())
            .collect();
        let (program, theirs) = (program.clone(), logs.clone());
        let result = Execution::run(&session, Box::new(move || run_main(|| program.run(theirs))));
        let how = match result {
            Ok(End::Misled) => {
                session.strategy.borrow_mut().restart();
                continue;
            }
            Ok(end) => (end == End::Finished).then_some("ended"),
            Err(failure) if matches!(failure.cause, Cause::Leak | Cause::Deadlock) => Some("stuck"),
            Err(failure) => panic!("{failure}"),
        };
        if let Some(how) = how {
            // Where goroutines may be left, what they see after the end of main is nobody's.
            let ours = if leaks {
                &logs[logs.len() - 1..]
            } else {
                &logs[..]
            };
            let seen: Vec<_> = ours
                .iter()
                .map(|log| log.lock().unwrap().join(" "))
                .collect();
            ends.insert(format!("{how}: {}", seen.join(" | ")));
        }
        if !session.strategy.borrow_mut().next() {
            return Some((executions, ends));
        }
    }
    None
}

/// Compares the searches; `None` if `program` is too large for the one without reduction, else how
/// many executions each took.
fn compare(program: &Program, most: usize, leaks: bool) -> Option<(usize, usize)> {
    let (full, expected) = ends(program, true, most, leaks)?;
    let (reduced, found) =
        ends(program, false, most, leaks).expect("the reduction makes no search longer");
    let missing: Vec<_> = expected.difference(&found).collect();
    let extra: Vec<_> = found.difference(&expected).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{program:?}: missing {missing:#?}, extra {extra:#?}"
    );
    Some((reduced, full))
}

/// The programs to compare: `usual`, or as many as `GORIN_PROGRAMS` says.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let asked = std::env::var("GORIN_PROGRAMS").ok();
    0..asked.and_then(|n| n.parse().ok()).unwrap_or(usual)
}

#[test]
fn the_reduction_loses_no_end_of_any_program() {
    let (mut compared, mut reduced_total, mut full_total) = (0, 0, 0);
    for seed in seeds(40) {
        let program = Program::random(&mut fastrand::Rng::with_seed(seed));
        if let Some((reduced, full)) = compare(&program, 2_000, false) {
            compared += 1;
            reduced_total += reduced;
            full_total += full;
        }
    }
    println!("{compared} programs: {reduced_total} executions instead of {full_total}");
    assert!(compared > 20);
}

/// Whatever `main` can see before it ends is found also if it leaves the others behind.
#[test]
fn nothing_that_main_sees_is_lost_with_whom_it_leaves() {
    let mut compared = 0;
    for seed in seeds(40) {
        let rng = &mut fastrand::Rng::with_seed(seed);
        let program = Program::random(rng);
        let finale = Finale::Look(rng.usize(..program.capacities.len()));
        let program = Program { finale, ..program };
        compared += usize::from(compare(&program, 500, true).is_some());
    }
    assert!(compared > 20, "{compared}");
}

/// Capacities of the channels, what each goroutine does, and how main ends.
type Script<'a> = (&'a [usize], &'a [&'a [Op]], Finale);

/// Programs that lost an end while a rule of the reduction was missing.
#[test]
fn no_end_is_lost_where_one_was_lost_once() {
    use Op::*;
    let programs: [Script<'_>; 13] = [
        // A goroutine that is aborted sees it when it stops to wait.
        (
            &[2],
            &[&[Recv(0)], &[TrySend(0), Yield, Yield]],
            Finale::Abort(1),
        ),
        // The first execution shows that there are aborts when the other has taken its steps.
        (
            &[0, 0],
            &[&[Len(1), Recv(1)], &[Send(0)]],
            Finale::RecvAndAbort(0, 0),
        ),
        // Whether a goroutine that yielded can go on depends on the steps of all others.
        (
            &[2],
            &[&[Send(0)], &[Either(0, 0), Yield, SelectRecv(0, 0)]],
            Finale::AbortAndJoin(1),
        ),
        // Either of two others may have woken it.
        (
            &[0],
            &[&[Send(0), Len(0), Send(0)], &[TryRecv(0)]],
            Finale::Abort(0),
        ),
        // Who waits for two things sees both, if it looks late enough.
        (
            &[0, 0],
            &[&[Race(0, 1)], &[Send(1)], &[Send(0)]],
            Finale::Nothing,
        ),
        // The same line waits alone in one execution and not in another.
        (
            &[0, 1],
            &[&[Send(1)], &[RecvIf(0, 1), Len(1)], &[Send(0)]],
            Finale::Nothing,
        ),
        // Who had to wait can be aborted before it sees the end of its wait.
        (
            &[2, 0],
            &[
                &[Recv(1), SelectSend(0, 0), Offer(0), Recv(1)],
                &[Send(1), Drop(0), Recv(0), DropSender(0)],
            ],
            Finale::RecvAndAbort(1, 1),
        ),
        // What comes first may have to be one that the later step of a race depends on.
        (
            &[1],
            &[&[Yield, Either(0, 0)], &[Send(0), Close(0)], &[Drop(0)]],
            Finale::Nothing,
        ),
        // A place that becomes free is news for a sender that does not wait alone.
        (
            &[1, 0],
            &[
                &[Send(0)],
                &[Recv(0), Send(1), DropSender(1)],
                &[Either(0, 0)],
            ],
            Finale::Nothing,
        ),
        // Who gives up at once has not waited alone.
        (
            &[0],
            &[
                &[Peek(0)],
                &[Send(0), Drop(0), SelectRecv(0, 0)],
                &[Offer(0), SelectSend(0, 0)],
            ],
            Finale::Nothing,
        ),
        // After a send that was withdrawn nobody knows how many values went in.
        (
            &[1],
            &[&[Send(0), Offer(0), Either(0, 0), Either(0, 0)], &[Recv(0)]],
            Finale::Join,
        ),
        // What has waited alone may be raced elsewhere, at the same line, as its goroutine chooses.
        (
            &[2, 0],
            &[&[GetOrPeek(1, 0)], &[Send(1)], &[Send(0)]],
            Finale::Nothing,
        ),
        // A conflict in between makes of a race a consequence.
        (
            &[0, 1],
            &[
                &[RecvIf(0, 1), Close(0), Offer(0)],
                &[TrySend(0), Send(1)],
                &[Send(1)],
            ],
            Finale::Nothing,
        ),
    ];
    for (capacities, goroutines, finale) in programs {
        let program = Program {
            capacities: capacities.to_vec(),
            goroutines: goroutines.iter().map(|ops| ops.to_vec()).collect(),
            finale,
        };
        assert!(
            compare(&program, 20_000, false).is_some(),
            "{program:?} is small"
        );
    }
}
