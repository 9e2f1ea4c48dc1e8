//! The rows over channels: streams of messages, ping-pong, select, the prime sieve.
//!
//! Every row checks that each message arrived once: a channel that loses some is not fast.

use super::channel::{Capacity, Channel};
use super::{Failure, Outcome, Setup, measure, unsupported};
use crate::rt;
use gorin_bench::args::Args;
use gorin_bench::wire;
use std::time::{Duration, Instant};

/// Which row, with how many senders and receivers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// `senders` to `receivers` over one channel.
    Stream {
        capacity: Capacity,
        senders: usize,
        receivers: usize,
    },
    /// There and back over two channels.
    PingPong { capacity: Capacity },
    /// As many senders as channels, one receiver that takes from whichever is ready.
    Select { capacity: Capacity, channels: usize },
    /// A chain of filters, one goroutine per prime.
    Sieve { capacity: Capacity },
}

impl Shape {
    pub(crate) fn take(row: &str, args: &mut Args) -> Result<Shape, String> {
        let capacity = match args.take("capacity", "0".to_owned())?.as_str() {
            "unb" => Capacity::Unbounded,
            number => Capacity::Bounded(
                number
                    .parse()
                    .map_err(|_| format!("--capacity: cannot understand `{number}`"))?,
            ),
        };
        Ok(match row {
            "chan" => Shape::Stream {
                capacity,
                senders: args.take("senders", 1)?,
                receivers: args.take("receivers", 1)?,
            },
            "pingpong" => Shape::PingPong { capacity },
            "select" => Shape::Select {
                capacity,
                channels: args.take("channels", 2)?,
            },
            _ => Shape::Sieve { capacity },
        })
    }
}

/// A row that is to be run on some channel.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) setup: Setup,
    pub(crate) shape: Shape,
}

impl Rows {
    pub(crate) fn run<C: Channel>(&self) -> Outcome {
        let setup = &self.setup;
        match self.shape {
            Shape::Stream {
                capacity,
                senders,
                receivers,
            } => {
                let (_tx, rx) = open_at::<C>(capacity)?;
                if receivers > 1 {
                    C::share(&rx)?;
                }
                measure(setup, "msg", 2000, move |count| {
                    stream::<C>(capacity, senders, receivers, count)
                });
            }
            Shape::PingPong { capacity } => {
                let capacity = smallest::<C>(capacity);
                measure(setup, "trip", 500, move |count| {
                    ping_pong::<C>(capacity, count)
                });
            }
            Shape::Select { capacity, channels } => {
                if let Some(reason) = C::NO_SELECT {
                    return unsupported(reason);
                }
                open_at::<C>(capacity)?;
                if !matches!(channels, 2 | 8) {
                    return Err(Failure::Broken(
                        "select is measured over 2 and 8".to_owned(),
                    ));
                }
                measure(setup, "msg", 2000, move |count| {
                    select::<C>(capacity, channels, count)
                });
            }
            Shape::Sieve { capacity } => {
                let capacity = smallest::<C>(capacity);
                let nth = setup.count;
                let elapsed = rt::run(setup.workers, sieve::<C>(capacity, nth));
                wire::metric("time", elapsed.as_secs_f64() * 1e3);
            }
        }
        Ok(())
    }
}

/// Opens a channel of just this capacity, if it can be had.
fn open_at<C: Channel>(capacity: Capacity) -> Result<(C::Tx, C::Rx), Failure> {
    match capacity {
        Capacity::Bounded(0) if C::SMALLEST > 0 => unsupported("it has no rendezvous channel"),
        _ => C::open(capacity),
    }
}

/// `capacity`, or 1 where the channel has no rendezvous, for rows that are about latency.
fn smallest<C: Channel>(capacity: Capacity) -> Capacity {
    match capacity {
        Capacity::Bounded(capacity) => Capacity::Bounded(capacity.max(C::SMALLEST)),
        Capacity::Unbounded => Capacity::Unbounded,
    }
}

/// Opens a channel that was opened before: it cannot fail for a reason of capability.
fn open<C: Channel>(capacity: Capacity) -> (C::Tx, C::Rx) {
    match C::open(capacity) {
        Ok(ends) => ends,
        Err(failure) => panic!("the channel could be opened before: {failure:?}"),
    }
}

/// Sends the numbers `from..to` and gives the sender back. Ends early if nobody receives; the
/// receivers' sum tells.
async fn send_range<C: Channel>(mut tx: C::Tx, from: u64, to: u64) -> C::Tx {
    for value in from..to {
        if !C::send(&mut tx, value).await {
            break;
        }
    }
    tx
}

/// The sum of `0..count`, which is what all receivers together must have received.
fn sum_below(count: u64) -> u64 {
    (0..count).fold(0, u64::wrapping_add)
}

async fn stream<C: Channel>(
    capacity: Capacity,
    senders: usize,
    receivers: usize,
    count: u64,
) -> Duration {
    let (tx, rx) = open::<C>(capacity);
    let mut rxs = Vec::new();
    for _ in 1..receivers {
        match C::share(&rx) {
            Ok(rx) => rxs.push(rx),
            Err(failure) => panic!("the receiver could be shared before: {failure:?}"),
        }
    }
    rxs.push(rx);
    let start = Instant::now();
    let mut tasks = Vec::new();
    for mut rx in rxs {
        tasks.push(rt::spawn(async move {
            let mut sum = 0u64;
            while let Some(value) = C::recv(&mut rx).await {
                sum = sum.wrapping_add(value);
            }
            sum
        }));
    }
    let senders = senders as u64;
    for sender in 0..senders {
        let range = (count * sender / senders, count * (sender + 1) / senders);
        rt::detach(rt::spawn(send_range::<C>(tx.clone(), range.0, range.1)));
    }
    drop(tx);
    let mut sum = 0u64;
    for task in tasks {
        sum = sum.wrapping_add(rt::join(task).await);
    }
    let elapsed = start.elapsed();
    assert_eq!(sum, sum_below(count), "messages were lost or repeated");
    elapsed
}

async fn ping_pong<C: Channel>(capacity: Capacity, count: u64) -> Duration {
    let (mut ping_tx, mut ping_rx) = open::<C>(capacity);
    let (mut pong_tx, mut pong_rx) = open::<C>(capacity);
    let start = Instant::now();
    rt::detach(rt::spawn(async move {
        while let Some(value) = C::recv(&mut ping_rx).await {
            C::send(&mut pong_tx, value + 1).await;
        }
    }));
    for value in 0..count {
        C::send(&mut ping_tx, value).await;
        assert_eq!(
            C::recv(&mut pong_rx).await,
            Some(value + 1),
            "the answer to another message"
        );
    }
    start.elapsed()
}

/// The receivers of a select row. The branch per message is predictable.
enum Receivers<C: Channel> {
    Two([C::Rx; 2]),
    Eight([C::Rx; 8]),
}

impl<C: Channel> Receivers<C> {
    fn new(rxs: Vec<C::Rx>) -> Receivers<C> {
        match rxs.try_into() {
            Ok(two) => Receivers::Two(two),
            Err(rxs) => match rxs.try_into() {
                Ok(eight) => Receivers::Eight(eight),
                Err(_) => unreachable!("the row was checked to have 2 or 8 channels"),
            },
        }
    }

    async fn recv(&mut self) -> Option<u64> {
        match self {
            Receivers::Two(rxs) => C::recv_of_2(rxs).await,
            Receivers::Eight(rxs) => C::recv_of_8(rxs).await,
        }
    }
}

async fn select<C: Channel>(capacity: Capacity, channels: usize, count: u64) -> Duration {
    let (txs, rxs): (Vec<_>, Vec<_>) = (0..channels).map(|_| open::<C>(capacity)).unzip();
    let mut rxs = Receivers::<C>::new(rxs);
    let channels = channels as u64;
    let start = Instant::now();
    let mut senders = Vec::new();
    for (channel, tx) in (0..channels).zip(txs) {
        let range = (count * channel / channels, count * (channel + 1) / channels);
        senders.push(rt::spawn(send_range::<C>(tx, range.0, range.1)));
    }
    let mut sum = 0u64;
    for _ in 0..count {
        sum = sum.wrapping_add(rxs.recv().await.unwrap_or(0));
    }
    let elapsed = start.elapsed();
    assert_eq!(sum, sum_below(count), "messages were lost or repeated");
    // Until here each sender lived on in its task's output: a closed channel is always ready.
    for sender in senders {
        drop(rt::join(sender).await);
    }
    elapsed
}

/// The `nth` prime by a chain of filters, and how long it took to find.
async fn sieve<C: Channel>(capacity: Capacity, nth: usize) -> Duration {
    let start = Instant::now();
    let (mut tx, mut rx) = open::<C>(capacity);
    rt::detach(rt::spawn(async move {
        let mut number = 2;
        while C::send(&mut tx, number).await {
            number += 1;
        }
    }));
    let mut prime = 0;
    for _ in 0..nth {
        prime = C::recv(&mut rx).await.unwrap_or(0);
        let (mut next_tx, next_rx) = open::<C>(capacity);
        let mut numbers = std::mem::replace(&mut rx, next_rx);
        let divisor = prime.max(1);
        rt::detach(rt::spawn(async move {
            while let Some(number) = C::recv(&mut numbers).await {
                if number % divisor != 0 && !C::send(&mut next_tx, number).await {
                    break;
                }
            }
        }));
    }
    let elapsed = start.elapsed();
    assert_eq!(prime, nth_prime(nth), "the sieve found another number");
    elapsed
}

/// The `nth` prime, by division.
fn nth_prime(nth: usize) -> u64 {
    (2u64..)
        .filter(|&n| (2..).take_while(|d| d * d <= n).all(|d| n % d != 0))
        .nth(nth.saturating_sub(1))
        .unwrap_or(0)
}
