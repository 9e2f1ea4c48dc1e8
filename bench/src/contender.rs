//! Who takes part: the columns of the tables.

use crate::build::Program;

/// A table of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Board {
    /// Runtimes, each with its own channel.
    Runtimes,
    /// Channels on several executors.
    Channels,
    /// Servers under the same client.
    Servers,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// Its heading: `runtime` or `channel@runtime`.
    pub name: &'static str,
    /// What runs it.
    pub program: Program,
    /// The channel that it is measured with.
    pub channel: &'static str,
    /// A variable in its environment that selects a flavour.
    pub env: Option<(&'static str, &'static str)>,
    /// Not a peer, but gorin or a limit: ratios compare with the best of the others.
    pub ours: bool,
    /// Whether several workers share its tasks.
    pub shares_tasks: bool,
    /// The tables it appears in.
    pub boards: &'static [Board],
    /// Takes part only if asked for: by name or by the feature `tpc`.
    pub heavy: bool,
}

const ALL: &[Board] = &[Board::Runtimes, Board::Channels, Board::Servers];
const NOT_CHANNELS: &[Board] = &[Board::Runtimes, Board::Servers];
const CHANNELS: &[Board] = &[Board::Channels];

impl Contender {
    const fn new(name: &'static str, program: Program, boards: &'static [Board]) -> Contender {
        let (channel, env) = ("native", None);
        Contender {
            name,
            program,
            channel,
            env,
            ours: false,
            shares_tasks: true,
            boards,
            heavy: false,
        }
    }

    const fn channel(name: &'static str, runtime: &'static str, channel: &'static str) -> Self {
        let program = Program::Rust(runtime);
        let (env, ours) = (None, false);
        let (shares_tasks, boards, heavy) = (true, CHANNELS, false);
        Contender {
            name,
            program,
            channel,
            env,
            ours,
            shares_tasks,
            boards,
            heavy,
        }
    }
}

/// Everybody, in the order of the columns.
pub const CONTENDERS: [Contender; 26] = [
    Contender {
        ours: true,
        ..Contender::new("gorin", Program::Rust("gorin"), ALL)
    },
    Contender {
        env: Some(("GORIN_BENCH_READS", "pooled")),
        ours: true,
        ..Contender::new("gorin-pooled", Program::Rust("gorin"), &[Board::Servers])
    },
    driver("gorin-hybrid", "hybrid"),
    driver("gorin-epoll", "epoll"),
    Contender::new("go", Program::Go, ALL),
    Contender::new("tokio", Program::Rust("tokio"), ALL),
    Contender {
        env: Some(("TOKIO_FLAVOR", "ct")),
        shares_tasks: false,
        ..Contender::new("tokio-ct", Program::Rust("tokio"), &[Board::Servers])
    },
    Contender::new("smol", Program::Rust("smol"), NOT_CHANNELS),
    one_thread("monoio"),
    one_thread("compio"),
    one_thread("glommio"),
    raw("raw-epoll", "epoll"),
    raw("raw-uring", "uring"),
    Contender {
        heavy: true,
        ..raw("raw-multishot", "multishot")
    },
    Contender::channel("kanal@gorin", "gorin", "kanal"),
    Contender::channel("flume@gorin", "gorin", "flume"),
    Contender::channel("async-channel@gorin", "gorin", "async-channel"),
    Contender::channel("tokio-mpsc@gorin", "gorin", "tokio-mpsc"),
    Contender {
        ours: true,
        ..Contender::channel("gorin@tokio", "tokio", "gorin")
    },
    Contender::channel("kanal@tokio", "tokio", "kanal"),
    Contender::channel("flume@tokio", "tokio", "flume"),
    Contender::channel("async-channel@tokio", "tokio", "async-channel"),
    Contender {
        ours: true,
        ..Contender::channel("gorin@threads", "threads", "gorin")
    },
    Contender::channel("crossbeam@threads", "threads", "crossbeam"),
    Contender::channel("kanal@threads", "threads", "kanal"),
    Contender::channel("flume@threads", "threads", "flume"),
];

/// A server without a runtime: no peer, but the limit that the kernel's interface sets.
const fn raw(name: &'static str, interface: &'static str) -> Contender {
    Contender {
        env: Some(("RAW_INTERFACE", interface)),
        ours: true,
        shares_tasks: false,
        ..Contender::new(name, Program::Rust("raw"), &[Board::Servers])
    }
}

/// gorin on another driver than its default.
const fn driver(name: &'static str, driver: &'static str) -> Contender {
    Contender {
        ours: true,
        env: Some(("GORIN_DRIVER", driver)),
        ..Contender::new(name, Program::Rust("gorin"), &[Board::Servers])
    }
}

/// A runtime whose tasks stay on one thread.
const fn one_thread(name: &'static str) -> Contender {
    Contender {
        shares_tasks: false,
        heavy: true,
        ..Contender::new(name, Program::Rust(name), NOT_CHANNELS)
    }
}
