//! The loops of the load client.

use super::connection::{Connection, Payload, Progress};
use gorin_bench::wire::{self, Line};
use hdrhistogram::Histogram;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What the client is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) addr: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) message_bytes: usize,
    /// Whether messages are datagrams.
    pub(crate) udp: bool,
    /// Not counted, but for `requests`, by which the runner divides the server's CPU time.
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    /// Time between the messages of a connection; zero for a closed loop.
    pub(crate) every: Duration,
}

/// Longest sleep: an unresponsive server must not hold the client past its end.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// The most that one read takes.
const SCRATCH_BYTES: usize = 64 << 10;

/// How long a closed loop goes on past its end until there are as many answers as connections:
/// fewer say nothing about any of them.
const GRACE: Duration = Duration::from_secs(5);

/// How long an answer may take in a closed loop over datagrams.
const LOST_AFTER: Duration = Duration::from_millis(50);

/// Connections, the queue of their events, and what they measured.
struct Load {
    options: Options,
    epoll: Epoll,
    connections: Vec<Connection>,
    payload: Payload,
    scratch: Vec<u8>,
    latency: Histogram<u64>,
    requests: u64,
    measured: u64,
    /// From when on answers are measured.
    measure_from: Instant,
    /// When idle connections send next, soonest first.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
}

impl Load {
    fn new(options: &Options) -> io::Result<Load> {
        Ok(Load {
            options: *options,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            connections: Vec::with_capacity(options.connections),
            payload: Payload::new(options.message_bytes),
            scratch: vec![0; SCRATCH_BYTES],
            latency: Histogram::new_with_max(60_000_000_000, 3).map_err(io::Error::other)?,
            requests: 0,
            measured: 0,
            measure_from: Instant::now(),
            due: BinaryHeap::new(),
        })
    }

    fn open(&mut self, index: usize) -> io::Result<()> {
        let connection = Connection::open(self.options.addr, self.options.udp, index)?;
        self.epoll
            .add(&connection, interest(Progress::Answer, index))?;
        if index < self.connections.len() {
            self.connections[index] = connection;
        } else {
            self.connections.push(connection);
        }
        Ok(())
    }

    fn begin(&mut self, index: usize, start: Instant) -> io::Result<Progress> {
        let connection = &mut self.connections[index];
        let progress = connection.begin(start, &self.payload, &mut self.scratch)?;
        self.ask(index, progress)
    }

    fn advance(&mut self, index: usize) -> io::Result<Progress> {
        let connection = &mut self.connections[index];
        let progress = connection.advance(&self.payload, &mut self.scratch)?;
        self.ask(index, progress)
    }

    /// Has the event queue report what the connection waits for.
    fn ask(&mut self, index: usize, progress: Progress) -> io::Result<Progress> {
        let connection = &mut self.connections[index];
        // Answers are reported anyway; only the wish for room comes and goes.
        if (progress == Progress::Room) != (connection.asked == Progress::Room) {
            self.epoll
                .modify(&*connection, &mut interest(progress, index))?;
            connection.asked = progress;
        }
        Ok(progress)
    }

    /// Notes an answer at `now`.
    fn record(&mut self, index: usize, now: Instant) {
        self.requests += 1;
        let start = self.connections[index].start;
        if start >= self.measure_from {
            self.measured += 1;
            self.latency
                .saturating_record((now - start).as_nanos() as u64);
        }
    }

    /// Whether there is enough to report. A load at fixed times counts what is not answered too.
    fn is_enough(&self) -> bool {
        !self.options.every.is_zero() || self.measured >= self.options.connections as u64
    }

    /// Runs until `end`; `answered` says what a connection does next.
    fn run(
        &mut self,
        end: Instant,
        mut answered: impl FnMut(&mut Load, usize, Instant) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut events = vec![EpollEvent::empty(); 1024];
        loop {
            let now = Instant::now();
            if now >= end && (self.is_enough() || now >= end + GRACE) {
                return Ok(());
            }
            self.begin_due(now)?;
            let next = self.due.peek().map(|Reverse((at, _))| *at);
            let wait = match next.or((now < end).then_some(end)) {
                Some(at) => at.saturating_duration_since(now).min(LONGEST_WAIT),
                None => LONGEST_WAIT,
            };
            let count = match self.epoll.wait(&mut events, timeout(wait)) {
                Err(nix::errno::Errno::EINTR) => continue,
                count => count?,
            };
            for event in &events[..count] {
                let index = event.data() as usize;
                if self.advance(index)? == Progress::Done {
                    let now = Instant::now();
                    self.record(index, now);
                    answered(self, index, now)?;
                }
            }
        }
    }

    /// Begins the messages that are due. The client's own oversleeping is not the server's latency.
    fn begin_due(&mut self, now: Instant) -> io::Result<()> {
        while let Some(&Reverse((at, index))) = self.due.peek() {
            if at > now {
                break;
            }
            self.due.pop();
            self.begin(index, Instant::now())?;
        }
        Ok(())
    }

    /// Counts the messages that should have been answered before the next one was due with the
    /// time they have waited so far: who answers nothing has no latency otherwise.
    fn record_unanswered(&mut self, now: Instant) {
        let idle: HashSet<_> = self.due.drain().map(|Reverse((_, index))| index).collect();
        for (index, connection) in self.connections.iter().enumerate() {
            let late = now.saturating_duration_since(connection.start);
            if late > self.options.every && !idle.contains(&index) {
                self.measured += 1;
                self.latency.saturating_record(late.as_nanos() as u64);
            }
        }
    }

    /// Nobody sends a lost datagram again: its connection would be silent from then on, and the load
    /// smaller than it says.
    fn check_that_none_is_lost(&self, now: Instant) -> io::Result<()> {
        let lost = |connection: &Connection| now.duration_since(connection.start) > LOST_AFTER;
        match self.connections.iter().filter(|c| lost(c)).count() {
            0 => Ok(()),
            lost => Err(io::Error::other(format!("{lost} datagrams were lost"))),
        }
    }

    fn report(&self) -> io::Result<()> {
        if self.measured == 0 {
            return Err(io::Error::other("the server answered nothing in time"));
        }
        let elapsed = self.measure_from.elapsed();
        let us = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1e3;
        wire::metric("requests", self.requests as f64);
        wire::metric("rate", self.measured as f64 / elapsed.as_secs_f64());
        wire::metric("p50", us(0.50));
        wire::metric("p99", us(0.99));
        wire::metric("p999", us(0.999));
        wire::metric("max", self.latency.max() as f64 / 1e3);
        Ok(())
    }
}

fn interest(progress: Progress, index: usize) -> EpollEvent {
    let room = match progress {
        Progress::Room => EpollFlags::EPOLLOUT,
        _ => EpollFlags::empty(),
    };
    EpollEvent::new(EpollFlags::EPOLLIN | room, index as u64)
}

/// `wait` in whole milliseconds: rounded up, but nothing stays nothing.
fn timeout(wait: Duration) -> EpollTimeout {
    EpollTimeout::try_from(wait.as_micros().div_ceil(1000) as i32).unwrap_or(EpollTimeout::ZERO)
}

/// Exchanges messages on all connections, and reports.
pub(crate) fn echo(options: &Options) -> io::Result<()> {
    let mut load = Load::new(options)?;
    for index in 0..options.connections {
        load.open(index)?;
    }
    let begin = Instant::now();
    load.measure_from = begin + options.warmup;
    let every = options.every;
    for index in 0..options.connections {
        if every.is_zero() {
            load.begin(index, begin)?;
        } else {
            // Spread over one period.
            let at = begin + every.mul_f64(index as f64 / options.connections as f64);
            load.due.push(Reverse((at, index)));
        }
    }
    let end = load.measure_from + options.duration;
    load.run(end, |load, index, now| {
        if every.is_zero() {
            return load.begin(index, now).map(drop);
        }
        let due = load.connections[index].start + every;
        if due > now {
            load.due.push(Reverse((due, index)));
            return Ok(());
        }
        // The answer came too late: the next message was due while the server kept us waiting.
        load.begin(index, due).map(drop)
    })?;
    if options.udp {
        load.check_that_none_is_lost(Instant::now())?;
    }
    if !every.is_zero() {
        load.record_unanswered(Instant::now());
    }
    load.report()
}

/// Connects, exchanges a byte and resets, on as many connections at a time as told.
pub(crate) fn accept(options: &Options) -> io::Result<()> {
    let mut load = Load::new(&Options {
        message_bytes: 1,
        ..*options
    })?;
    let begin = Instant::now();
    load.measure_from = begin + options.warmup;
    for index in 0..options.connections {
        load.open(index)?;
        load.begin(index, begin)?;
    }
    let end = load.measure_from + options.duration;
    load.run(end, |load, index, now| {
        let next = Connection::open(load.options.addr, false, index)?;
        let last = std::mem::replace(&mut load.connections[index], next);
        last.reset()?;
        let connection = &load.connections[index];
        load.epoll
            .add(connection, interest(Progress::Answer, index))?;
        // The time to connect is part of what is measured.
        load.begin(index, now).map(drop)
    })?;
    load.report()
}

/// Holds connections until stdin ends.
pub(crate) fn idle(options: &Options) -> io::Result<()> {
    let mut load = Load::new(options)?;
    for index in 0..options.connections {
        load.open(index)?;
        // One at a time: each is known to be accepted, and no backlog overflows.
        let mut progress = load.begin(index, Instant::now())?;
        let patience = Instant::now() + Duration::from_secs(10);
        let mut event = [EpollEvent::empty()];
        while progress != Progress::Done {
            if Instant::now() > patience {
                return Err(io::Error::other("the server does not answer"));
            }
            load.epoll.wait(&mut event, timeout(LONGEST_WAIT))?;
            progress = load.advance(index)?;
        }
    }
    wire::say(&Line::Ready);
    wire::wait_for_stdin();
    Ok(())
}
