//! What is measured, and how much of it.

use crate::contender::{Board, Contender};
use crate::stats::Better;
use std::time::Duration;

/// A number that a row gives.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As the process calls it.
    pub name: &'static str,
    /// For the table.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
}

/// What the rows give.
mod metrics {
    use super::{Better, Metric};

    const fn lower(name: &'static str, unit: &'static str) -> Metric {
        Metric {
            name,
            unit,
            better: Better::Lower,
        }
    }

    const fn higher(name: &'static str, unit: &'static str) -> Metric {
        Metric {
            name,
            unit,
            better: Better::Higher,
        }
    }

    pub(super) const TASK: &[Metric] = &[lower("task", "ns/task"), lower("sleeps", "/task")];
    pub(super) const YIELD: &[Metric] = &[lower("yield", "ns/yield")];
    pub(super) const LOCK: &[Metric] = &[lower("lock", "ns/lock"), lower("sleeps", "/lock")];
    pub(super) const PARKED: &[Metric] = &[
        lower("mem", "B/task"),
        lower("create", "ns/task"),
        lower("wake", "ns/task"),
    ];
    pub(super) const IDEAL: &[Metric] = &[higher("ideal", "% of ideal")];
    pub(super) const TIMER: &[Metric] = &[lower("timer", "ns/timer")];
    pub(super) const TIMER_FIRE: &[Metric] = &[
        lower("p50", "us late"),
        lower("p99", "us late"),
        lower("cpu", "ns/timer"),
    ];
    pub(super) const READ: &[Metric] = &[lower("read", "ns/read"), lower("sleeps", "/read")];
    pub(super) const IDLE: &[Metric] = &[lower("cpu", "us/s")];
    pub(super) const TIME: &[Metric] = &[lower("time", "ms")];
    pub(super) const TRIP: &[Metric] = &[lower("trip", "ns/trip"), lower("sleeps", "/trip")];
    pub(super) const MESSAGE: &[Metric] = &[lower("msg", "ns/msg")];
    pub(super) const ECHO: &[Metric] = &[
        higher("rate", "req/s"),
        lower("p50", "us"),
        lower("p99", "us"),
        lower("cpu", "us/req"),
        lower("sleeps", "/req"),
    ];
    pub(super) const HOG: &[Metric] = &[
        lower("p50", "us"),
        lower("p99", "us"),
        lower("p999", "us"),
        lower("max", "us"),
    ];
    pub(super) const ACCEPT: &[Metric] = &[higher("rate", "conn/s"), lower("cpu", "us/conn")];
    pub(super) const CONNECTION: &[Metric] = &[lower("mem", "B/conn")];
}

/// What runs where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// The measured process alone on one CPU; a client on another.
    Apart,
    /// Everybody on the same two CPUs.
    Shared,
}

/// A server's part of a row.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// Workers, or threads with a ring each.
    pub workers: usize,
    /// Buffer per connection.
    pub buffer_bytes: usize,
    /// Tasks that compute 100 ms at a time.
    pub hogs: usize,
    /// Whether it echoes datagrams of one socket instead of connections.
    pub udp: bool,
}

/// How a row is run.
#[derive(Clone, Debug)]
pub enum Load {
    /// One process with these arguments, which measures itself.
    Work(Vec<String>),
    /// The life of a process that starts a runtime and ends it, so many times.
    ColdStart(usize),
    /// A server, and a client with these arguments, which measures.
    Client(Server, Vec<String>),
    /// A server, and as many connections that say nothing.
    Idle(Server, usize),
}

/// One thing to measure. Gives one line of a table per metric.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name in the table; with several metrics theirs is appended.
    pub id: String,
    /// Where it is shown.
    pub boards: &'static [Board],
    /// How it is run.
    pub load: Load,
    /// Where.
    pub cpus: Cpus,
    /// What comes out.
    pub metrics: &'static [Metric],
    /// Whether the contender's tasks must be shared by several workers.
    pub shared_tasks: bool,
    /// After this time a run has failed.
    pub limit: Duration,
}

impl Row {
    /// Whether `contender` takes part.
    pub fn takes(&self, contender: &Contender) -> bool {
        self.boards
            .iter()
            .any(|board| contender.boards.contains(board))
            && (contender.shares_tasks || !self.shared_tasks)
    }

    /// Whether one of `filters` (comma-separated on the command line) selects this row: by the
    /// beginning of its name. No filters select everything.
    pub fn selected(&self, filters: &[String]) -> bool {
        filters.is_empty()
            || filters
                .iter()
                .any(|filter| self.id.starts_with(filter.as_str()))
    }
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Rounds over all contenders of a row.
    pub rounds: usize,
    /// Of the batches that calibrate themselves.
    wanted: Duration,
    /// Of a client's load.
    load: Duration,
    /// Of idleness.
    idle: Duration,
    parked: usize,
    skew: usize,
    timers: usize,
    primes: usize,
    idle_connections: usize,
    cold_starts: usize,
}

impl Size {
    /// The real measurement.
    pub const FULL: Size = Size {
        rounds: 5,
        wanted: Duration::from_millis(200),
        load: Duration::from_millis(1000),
        idle: Duration::from_secs(10),
        parked: 1_000_000,
        skew: 10_000,
        timers: 100_000,
        primes: 2000,
        idle_connections: 8_000,
        cold_starts: 20,
    };

    /// A look at everything in a few minutes: for finding gross changes, not for quoting.
    pub const QUICK: Size = Size {
        rounds: 3,
        wanted: Duration::from_millis(10),
        load: Duration::from_millis(100),
        idle: Duration::from_millis(500),
        parked: 50_000,
        skew: 1_000,
        timers: 10_000,
        primes: 300,
        idle_connections: 1_000,
        cold_starts: 5,
    };

    /// As small as it goes: does it work?
    pub const SMOKE: Size = Size {
        rounds: 1,
        wanted: Duration::from_millis(1),
        load: Duration::from_millis(20),
        idle: Duration::from_millis(20),
        parked: 1_000,
        skew: 50,
        timers: 500,
        primes: 50,
        idle_connections: 50,
        cold_starts: 1,
    };

    /// All rows at this size.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = self.task_rows();
        rows.extend(self.message_rows());
        rows.extend(self.server_rows());
        rows
    }

    fn task_rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut add = |name: &str, workers, words: String, metrics| {
            let id = format!("{name}.w{workers}");
            rows.push(self.work(id, workers, words, metrics, &[Board::Runtimes]));
        };
        for workers in [1, 2] {
            add("spawn_join", workers, "spawn_join".into(), metrics::TASK);
        }
        for workers in [1, 2] {
            add("yield", workers, "yield".into(), metrics::YIELD);
        }
        for workers in [1, 2] {
            add("mutex", workers, "mutex".into(), metrics::LOCK);
        }
        add(
            "parked",
            1,
            format!("parked --count {}", self.parked),
            metrics::PARKED,
        );
        add(
            "skew",
            2,
            format!("skew --count {}", self.skew),
            metrics::IDEAL,
        );
        add("timer_cancel", 1, "timer_cancel".into(), metrics::TIMER);
        for workers in [1, 2] {
            let words = format!("timer_fire --count {}", self.timers);
            add("timer_fire", workers, words, metrics::TIMER_FIRE);
        }
        for workers in [1, 2] {
            let ms = self.idle.as_millis();
            let words = format!("idle_cpu --count 1000 --wanted-ms {ms}");
            add("idle_cpu", workers, words, metrics::IDLE);
        }
        for workers in [1, 2] {
            add("file_read", workers, "file_read".into(), metrics::READ);
        }
        add("coldstart", 1, String::new(), metrics::TIME);
        if let Some(cold_start) = rows.last_mut() {
            cold_start.load = Load::ColdStart(self.cold_starts);
        }
        rows
    }

    fn message_rows(&self) -> Vec<Row> {
        const BOARDS: &[Board] = &[Board::Runtimes, Board::Channels];
        let mut rows = Vec::new();
        let mut add = |name: String, words: String, metrics| {
            for workers in [1, 2] {
                let id = format!("{name}.w{workers}");
                rows.push(self.work(id, workers, words.clone(), metrics, BOARDS));
            }
        };
        add("pingpong".into(), "pingpong".into(), metrics::TRIP);
        for (shape, senders, receivers) in [("spsc", 1, 1), ("mpsc8", 8, 1), ("mpmc8x8", 8, 8)] {
            for capacity in ["0", "1", "64", "unb"] {
                let words = format!(
                    "chan --capacity {capacity} --senders {senders} --receivers {receivers}"
                );
                add(format!("chan_{shape}.{capacity}"), words, metrics::MESSAGE);
            }
        }
        for channels in [2, 8] {
            let words = format!("select --capacity 1 --channels {channels}");
            add(format!("select{channels}"), words, metrics::MESSAGE);
        }
        add(
            "sieve".into(),
            format!("sieve --count {}", self.primes),
            metrics::TIME,
        );
        rows
    }

    fn work(
        &self,
        id: String,
        workers: usize,
        words: String,
        metrics: &'static [Metric],
        boards: &'static [Board],
    ) -> Row {
        let mut words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
        words.extend(["--workers".into(), workers.to_string()]);
        if !words.iter().any(|word| word == "--wanted-ms") {
            words.extend(["--wanted-ms".into(), self.wanted.as_millis().to_string()]);
        }
        Row {
            id,
            boards,
            load: Load::Work(words),
            cpus: if workers == 1 {
                Cpus::Apart
            } else {
                Cpus::Shared
            },
            metrics,
            shared_tasks: workers > 1,
            limit: self.wanted * 50 + self.idle + Duration::from_secs(20),
        }
    }

    fn server_rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut add = |id: String, cpus, load, metrics| {
            rows.push(Row {
                id,
                boards: &[Board::Servers],
                load,
                cpus,
                metrics,
                shared_tasks: false,
                limit: self.load * 4 + Duration::from_secs(20),
            });
        };
        let server = |workers, bytes: usize| Server {
            workers,
            buffer_bytes: bytes.clamp(4 << 10, 64 << 10),
            hogs: 0,
            udp: false,
        };
        for connections in [1, 50, 1000] {
            for bytes in [64, 4 << 10, 64 << 10] {
                let id = format!("echo.c{connections}.m{bytes}");
                let client = client("echo", connections, bytes, self.load, 0);
                add(
                    id,
                    Cpus::Apart,
                    Load::Client(server(1, bytes), client),
                    metrics::ECHO,
                );
            }
        }
        let words = client("echo", 50, 64, self.load, 0);
        add(
            "echo.c50.m64.w2".into(),
            Cpus::Shared,
            Load::Client(server(2, 64), words),
            metrics::ECHO,
        );
        for peers in [1, 50] {
            let server = Server {
                udp: true,
                ..server(1, 64)
            };
            let mut words = client("echo", peers, 64, self.load, 0);
            words.push("--udp".into());
            add(
                format!("udp_echo.c{peers}.m64"),
                Cpus::Apart,
                Load::Client(server, words),
                metrics::ECHO,
            );
        }
        for hogs in [0, 1, 2] {
            let server = Server {
                hogs,
                ..server(2, 64)
            };
            let words = client("echo", 32, 64, self.load * 3, 20);
            add(
                format!("hog{hogs}.w2"),
                Cpus::Shared,
                Load::Client(server, words),
                metrics::HOG,
            );
        }
        let words = client("accept", 50, 1, self.load, 0);
        add(
            "accept".into(),
            Cpus::Apart,
            Load::Client(server(1, 64), words),
            metrics::ACCEPT,
        );
        let load = Load::Idle(server(1, 64), self.idle_connections);
        add(
            "idle_connections".into(),
            Cpus::Apart,
            load,
            metrics::CONNECTION,
        );
        rows
    }
}

/// The client's command line.
fn client(
    word: &str,
    connections: usize,
    bytes: usize,
    duration: Duration,
    every_ms: usize,
) -> Vec<String> {
    let ms = duration.as_millis();
    format!(
        "{word} --connections {connections} --size {bytes} --warmup-ms {} --duration-ms {ms} \
         --every-ms {every_ms}",
        ms / 5,
    )
    .split_whitespace()
    .map(str::to_owned)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::CONTENDERS;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_every_board_has_rows_and_columns() {
        let rows = Size::FULL.rows();
        let ids: HashSet<_> = rows.iter().map(|row| &row.id).collect();
        assert_eq!(ids.len(), rows.len());
        let names: HashSet<_> = CONTENDERS.iter().map(|contender| contender.name).collect();
        assert_eq!(names.len(), CONTENDERS.len());
        for board in [Board::Runtimes, Board::Channels, Board::Servers] {
            assert!(rows.iter().any(|row| row.boards.contains(&board)));
            assert!(
                CONTENDERS
                    .iter()
                    .any(|contender| contender.boards.contains(&board))
            );
        }
    }

    #[test]
    fn every_row_has_a_contender_and_one_threaded_ones_skip_shared_tasks() {
        for row in Size::FULL.rows() {
            let takers: Vec<_> = CONTENDERS.iter().filter(|c| row.takes(c)).collect();
            assert!(takers.len() > 1, "{}", row.id);
            assert!(
                !row.shared_tasks || takers.iter().all(|c| c.shares_tasks),
                "{}",
                row.id
            );
        }
    }

    #[test]
    fn a_filter_selects_by_the_beginning() {
        let filters = ["chan_spsc".to_owned(), "echo.c1.".to_owned()];
        let selected: Vec<_> = Size::FULL
            .rows()
            .into_iter()
            .filter(|row| row.selected(&filters))
            .collect();
        assert_eq!(selected.len(), 8 + 3);
    }
}
