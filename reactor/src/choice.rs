//! Which driver a reactor runs on: asked for, or the best that the kernel allows.

use std::env;
use std::fmt;
use std::io;

use gorin_base::primitive::{AtomicBool, PlainArc};
use gorin_base::{mishap, rng};

use crate::Config;
use crate::bell::RingBell;
use crate::counters::Counters;
use crate::error;
use crate::ring::Ring;

/// The environment variable that asks for a driver.
const VARIABLE: &str = "GORIN_DRIVER";
/// How that names the driver for tests.
const SIMULATED: &str = "simulated";
/// Submissions of the ring that only shows whether there is io_uring.
const PROBE_ENTRIES: u32 = 8;

/// How workers wait for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DriverKind {
    /// A ring for each worker: operations, sockets and sleep. The default.
    Uring,
    /// A ring for each worker, for operations and sleep; sockets in an epoll set that all workers
    /// share, so that none waits for a worker that is busy.
    Hybrid,
    /// Sockets in an epoll set that all workers share; operations on a pool of threads. Needs no
    /// io_uring.
    Epoll,
    /// For tests: no driver to run on, but one that delays, reorders, shortens and refuses what it is
    /// asked for, and cancels late, within what a kernel may do. By seed: worker `i` draws from
    /// `seed + i`.
    Simulated {
        /// Where the choices come from. With `GORIN_DRIVER=simulated` it is `GORIN_SEED`, or, without
        /// that, one that is told on stderr.
        seed: u64,
    },
}

impl DriverKind {
    /// What `GORIN_DRIVER` may name, but for the simulated one.
    const REAL: [DriverKind; 3] = [DriverKind::Uring, DriverKind::Hybrid, DriverKind::Epoll];

    /// As `GORIN_DRIVER` spells it.
    fn name(self) -> &'static str {
        match self {
            DriverKind::Uring => "uring",
            DriverKind::Hybrid => "hybrid",
            DriverKind::Epoll => "epoll",
            DriverKind::Simulated { .. } => SIMULATED,
        }
    }

    /// Whether sockets wait by edges of a shared set.
    pub(crate) fn shares_sockets(self) -> bool {
        matches!(self, DriverKind::Hybrid | DriverKind::Epoll)
    }

    /// Whether it needs io_uring.
    pub(crate) fn has_rings(self) -> bool {
        matches!(self, DriverKind::Uring | DriverKind::Hybrid)
    }
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The driver for `config`; says so on stderr if that is not what it should be.
pub(crate) fn choose(config: &Config) -> io::Result<DriverKind> {
    let (asked, by) = match config.driver {
        Some(kind) => (Some(kind), "the driver that was set"),
        None => (from_environment()?, VARIABLE),
    };
    match asked {
        Some(kind) if kind.has_rings() => match probe(config) {
            Ok(()) => Ok(kind),
            Err(error) => Err(io::Error::new(
                error.kind(),
                format!("{error} {by} asks for the {kind} driver; `epoll` needs no io_uring."),
            )),
        },
        Some(kind) if config.require_io_uring => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "{by} asks for the {kind} driver, but io_uring is required: drop one of the two"
            ),
        )),
        Some(kind) => Ok(kind),
        None => match probe(config) {
            Ok(()) => Ok(DriverKind::Uring),
            Err(error) if is_refusal(&error) && !config.require_io_uring => {
                warn(&error);
                Ok(DriverKind::Epoll)
            }
            Err(error) => Err(error),
        },
    }
}

/// Whether epoll is to be taken, after all, because the ring of a worker could not be had: memory may
/// do for the ring that `choose` tried and not for one per worker. Says so on stderr.
pub(crate) fn gives_way(config: &Config, driver: DriverKind, error: &io::Error) -> bool {
    let asked = config.driver.is_some() || !matches!(from_environment(), Ok(None));
    let way = driver.has_rings() && !asked && !config.require_io_uring && is_refusal(error);
    if way {
        warn(error);
    }
    way
}

/// `GORIN_DRIVER`, if it is set and not empty.
fn from_environment() -> io::Result<Option<DriverKind>> {
    let Some(value) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let text = value.to_string_lossy();
    if text.trim() == SIMULATED {
        return simulated().map(Some);
    }
    let known = DriverKind::REAL
        .into_iter()
        .find(|kind| kind.name() == text.trim());
    match known {
        Some(kind) => Ok(Some(kind)),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "{VARIABLE} is `{text}`: it must be `uring`, `hybrid` or `epoll` (or, for tests, \
                 `simulated`)"
            ),
        )),
    }
}

/// The simulated driver that the environment asks for.
fn simulated() -> io::Result<DriverKind> {
    let seed = match rng::configured_seed() {
        Ok(Some(seed)) => *seed,
        Ok(None) => {
            let seed = fastrand::u64(..);
            mishap::tell(format_args!(
                "gorin: the kernel is simulated; GORIN_SEED={seed} repeats this run"
            ));
            seed
        }
        Err(text) => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("GORIN_SEED is `{text}`: it must be a number from 0 to 2^64 - 1"),
            ));
        }
    };
    Ok(DriverKind::Simulated { seed })
}

/// Makes the smallest ring, tries it, and forgets it.
fn probe(config: &Config) -> io::Result<()> {
    let config = Config {
        entries: PROBE_ENTRIES,
        ..config.clone()
    };
    let counters = PlainArc::new(Counters::default());
    Ring::new(&config, &RingBell::new(counters.clone()), counters).map(drop)
}

/// True if the kernel or a sandbox does not let this process use io_uring. Too few descriptors, for
/// example, are another matter, and so is what epoll needs as well.
fn is_refusal(error: &io::Error) -> bool {
    let is_lasting = matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::Unsupported
            | io::ErrorKind::OutOfMemory
            // What a sandbox may answer as well, or a kernel that knows none of the kinds of rings.
            | io::ErrorKind::InvalidInput
    );
    is_lasting && error::is_of_ring(error)
}

/// Said once in a process, however many runtimes it starts.
fn warn(error: &io::Error) {
    static SAID: AtomicBool = AtomicBool::new(false);
    mishap::tell_once(
        &SAID,
        format_args!(
            "gorin: {error} Running on epoll instead, with a pool of threads for files. \
             `require_io_uring` makes this an error, {VARIABLE}=epoll silences it."
        ),
    );
}
