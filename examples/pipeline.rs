//! A pipeline that is left early: numbers, workers that square them, and a `main` that stops
//! listening once it has what it looked for.
//!
//! ```sh
//! cargo run --release --example pipeline                         # the first square above 1000
//! cargo run --release --example pipeline -- --check              # every interleaving of a small one
//! cargo run --release --example pipeline -- --careless --check   # the bug, found and explained
//! ```
//!
//! What there is to learn here:
//!
//! - dropping the last receiver closes a channel, and a `send` then gives the value back: that is
//!   how the stages of a pipeline learn that nobody listens any more, without a channel for it;
//! - a stage that takes for granted that its sends succeed (`--careless`) panics, but only if `main`
//!   leaves before it: a test that runs it a few times may well pass;
//! - a pipeline without races needs *one* execution to be checked. What makes this one larger is
//!   that two workers share a queue, and that `main` leaves.

use std::env;
use std::process::ExitCode;

use gorin::Spec;
use gorin::model::Builder;
use gorin::prelude::*;

const USAGE: &str = "usage: pipeline [--careless] [--check]";

#[derive(Clone, Copy)]
struct Plan {
    numbers: u64,
    workers: usize,
    /// A square above this is what `main` looks for.
    above: u64,
    /// The stages expect that somebody listens: the bug.
    careless: bool,
}

/// The first square that arrives and is large enough.
async fn search(plan: Plan) -> Option<u64> {
    let (numbers, queue) = chan(1);
    let (result, squares) = chan(0);
    go_with(Spec::new().name("numbers"), async move {
        for n in 0..plan.numbers {
            let sent = numbers.send(n).await;
            if !goes_on(sent.is_ok(), plan) {
                return;
            }
        }
    });
    for index in 0..plan.workers {
        let (queue, result) = (queue.clone(), result.clone());
        let name = format!("worker {index}");
        go_with(Spec::new().name(name), async move {
            while let Some(n) = queue.recv().await {
                let sent = result.send(n * n).await;
                if !goes_on(sent.is_ok(), plan) {
                    return;
                }
            }
        });
    }
    // Only the workers hold these from now on: when they end, the channels close.
    drop((queue, result));
    while let Some(square) = squares.recv().await {
        if square > plan.above {
            return Some(square);
        }
    }
    None
}

/// What a stage makes of the news whether somebody listens.
fn goes_on(listened: bool, plan: Plan) -> bool {
    assert!(listened || !plan.careless, "nobody listens any more");
    listened
}

/// Checks every interleaving of a pipeline that is just large enough to be left early.
fn check(careless: bool) -> ExitCode {
    let plan = Plan {
        numbers: 3,
        workers: 2,
        above: 0,
        careless,
    };
    let checked = Builder::new().explore(move || async move {
        assert!(search(plan).await.is_some(), "1 and 4 are above 0");
    });
    match checked {
        Ok(report) => {
            println!("every stage ends: {report}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(careless: bool) -> ExitCode {
    let plan = Plan {
        numbers: 1000,
        workers: 4,
        above: 1000,
        careless,
    };
    match gorin::run(search(plan)) {
        Some(square) => println!(
            "{square} is the first square above {} to arrive",
            plan.above
        ),
        None => println!("no square is above {}", plan.above),
    }
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    let (mut careless, mut checks) = (false, false);
    for argument in env::args().skip(1) {
        match argument.as_str() {
            "--careless" => careless = true,
            "--check" => checks = true,
            _ => {
                eprintln!("pipeline: `{argument}` is no argument; {USAGE}");
                return ExitCode::FAILURE;
            }
        }
    }
    if checks {
        check(careless)
    } else {
        run(careless)
    }
}
