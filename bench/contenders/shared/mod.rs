//! The workloads, one source for all contenders: each binary compiles it against its own
//! `crate::rt`, so that nothing stands between a workload and the runtime under test.
//!
//! What a contender's `rt` offers (a contract by name, because a trait could not say "`Send`
//! wherever the runtime moves tasks between threads"):
//!
//! | item | meaning |
//! |---|---|
//! | `MaybeSend` | `Send` where tasks may move between threads, nothing where they cannot |
//! | `ONE_SERVER_PER_THREAD` | a server with several workers is several runtimes with a listener each |
//! | `run(workers, future)` | runs `future` as a task of a new runtime, returns its output |
//! | `spawn`, `join`, `detach`, `yield_now`, `sleep` | as everywhere |
//! | `Mutex` | `new`, `lock`, a guard; unless `NO_MUTEX` says why there is none |
//! | `Gate` | many tasks wait until it opens: `new`, `wait`, `open` |
//! | `net::{Listener, Stream}` | `from_std`, `accept`, `read`, `write_all`, buffers passed by value |
//! | `fs::File` | `open`, and `read_at` with the buffer passed by value |
//! | `with_channel(name, rows)` | runs `rows` on the channel of that name |

pub(crate) mod channel;
mod files;
mod locks;
pub(crate) mod messages;
pub(crate) mod serve;
mod tasks;
mod timers;

use crate::rt::MaybeSend;
use gorin_bench::args::Args;
use gorin_bench::calibrate::Calibration;
use gorin_bench::process::usage;
use gorin_bench::wire::{self, Line};
use std::process::ExitCode;
use std::time::Duration;

/// Why a row has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The contender has no such thing.
    Unsupported(String),
    /// It went wrong.
    Broken(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Failure {
        Failure::Broken(message)
    }
}

pub(crate) type Outcome = Result<(), Failure>;

/// A channel that lacks something, as an outcome.
pub(crate) fn unsupported<T>(reason: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Unsupported(reason.into()))
}

/// What every row takes from the command line.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) workers: usize,
    /// How long the measured batch should last.
    pub(crate) wanted: Duration,
    /// Operations where the row fixes them.
    pub(crate) count: usize,
}

/// The main function of every contender: runs the row that the command line names.
pub(crate) fn main() -> ExitCode {
    gorin_bench::process::die_with_parent();
    match Args::parse(std::env::args().skip(1))
        .map_err(Failure::from)
        .and_then(run_row)
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Unsupported(reason)) => {
            wire::say(&Line::Unsupported(reason));
            ExitCode::SUCCESS
        }
        Err(Failure::Broken(message)) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run_row(mut args: Args) -> Outcome {
    let row = args.word().unwrap_or_default().to_owned();
    if row == "serve" {
        let options = serve::Options::take(&mut args)?;
        args.finish()?;
        return serve::serve(options);
    }
    let setup = Setup {
        workers: args.take("workers", 1)?,
        wanted: Duration::from_millis(args.take("wanted-ms", 300)?),
        count: args.take("count", 1000)?,
    };
    match row.as_str() {
        "chan" | "pingpong" | "select" | "sieve" => {
            let shape = messages::Shape::take(&row, &mut args)?;
            let name: String = args.take("channel", "native".to_owned())?;
            args.finish()?;
            crate::rt::with_channel(&name, &messages::Rows { setup, shape })
        }
        _ => {
            args.finish()?;
            match row.as_str() {
                "spawn_join" => tasks::spawn_join(&setup),
                "yield" => tasks::yield_now(&setup),
                "mutex" => locks::mutex(&setup),
                "parked" => tasks::parked(&setup),
                "skew" => tasks::skew(&setup),
                "coldstart" => tasks::cold_start(&setup),
                "idle_cpu" => tasks::idle_cpu(&setup),
                "timer_cancel" => timers::create_and_cancel(&setup),
                "timer_fire" => timers::fire(&setup),
                "file_read" => files::read(&setup),
                _ => Err(Failure::Broken(format!("no row is called `{row}`"))),
            }
        }
    }
}

/// Runs `batch(size)` in growing sizes until one lasts as long as wanted; prints its nanoseconds
/// per operation as `metric`, and how often a thread went to sleep per operation as `sleeps`.
pub(crate) fn measure<F, B>(setup: &Setup, metric: &'static str, first: u64, batch: F)
where
    F: Fn(u64) -> B + MaybeSend + 'static,
    B: Future<Output = Duration> + MaybeSend,
{
    let mut calibration = Calibration::new(first, setup.wanted);
    let (measured, sleeps) = crate::rt::run(setup.workers, async move {
        loop {
            let sleeps = usage().sleeps;
            let elapsed = batch(calibration.size()).await;
            let sleeps = usage().sleeps - sleeps;
            if let Some(measured) = calibration.record(elapsed) {
                break (measured, sleeps as f64 / calibration.size() as f64);
            }
        }
    });
    wire::metric("sleeps", sleeps);
    wire::metric(metric, measured);
}
