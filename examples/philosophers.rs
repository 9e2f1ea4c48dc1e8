//! Dining philosophers: run them, or let the model checker find out whether they can starve.
//!
//! ```sh
//! cargo run --release --example philosophers                      # five of them eat three times
//! cargo run --release --example philosophers -- --check           # every interleaving of them
//! cargo run --release --example philosophers -- --alike --check   # the bug, found and explained
//! ```
//!
//! What there is to learn here:
//!
//! - a channel of capacity 1 is a lock that can be waited for: to send is to take the fork;
//! - the program that is checked is the program that runs: `main` hands the same function to
//!   `gorin::run` or to the checker;
//! - if all philosophers take the left fork first (`--alike`), each can end up with one fork. Ten
//!   thousand runs may not show it. The checker shows it, names who waits for what, and prints a
//!   schedule that replays it;
//! - if one of them is left-handed, nobody can starve. The checker has looked at *every* order.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use gorin::Spec;
use gorin::model::Builder;
use gorin::prelude::*;
use gorin::time::{sleep, timeout};

const USAGE: &str = "usage: philosophers [--alike] [--check] [philosophers]";

/// A fork lies on the table while its channel is empty.
type Fork = (Sender<()>, Receiver<()>);

#[derive(Clone, Copy)]
struct Table {
    seats: usize,
    meals: usize,
    /// Everybody takes the left fork first: the bug.
    alike: bool,
}

async fn dine(table: Table) {
    let forks: Vec<Fork> = (0..table.seats).map(|_| chan(1)).collect();
    let mut guests = Vec::new();
    for seat in 0..table.seats {
        let (left, right) = (&forks[seat], &forks[(seat + 1) % table.seats]);
        let left_handed = !table.alike && seat == table.seats - 1;
        let (first, second) = if left_handed {
            (right, left)
        } else {
            (left, right)
        };
        let life = live(first.clone(), second.clone(), table.meals);
        let name = format!("philosopher {seat}");
        guests.push(go_with(Spec::new().name(name), life));
    }
    for guest in guests {
        guest.await.expect("no philosopher panics");
    }
}

async fn live(first: Fork, second: Fork, meals: usize) {
    for _ in 0..meals {
        take(&first).await;
        take(&second).await;
        sleep(Duration::from_millis(1)).await;
        put_back(&second).await;
        put_back(&first).await;
    }
}

async fn take(fork: &Fork) {
    fork.0.send(()).await.expect("forks outlive the dinner");
}

async fn put_back(fork: &Fork) {
    fork.1.recv().await.expect("the fork is in our hand");
}

/// Checks every interleaving of one meal.
fn check(table: Table) -> ExitCode {
    let table = Table { meals: 1, ..table };
    match Builder::new().explore(move || dine(table)) {
        Ok(report) => {
            println!("nobody starves: {report}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the dinner; a deadlock shows as a dinner that does not end.
fn run(table: Table) -> ExitCode {
    let patience = Duration::from_secs(5);
    match gorin::run(async move { timeout(patience, dine(table)).await }) {
        Ok(()) => {
            println!(
                "{} philosophers have eaten {} times each",
                table.seats, table.meals
            );
            ExitCode::SUCCESS
        }
        Err(_) => {
            println!("they still sit there after {patience:?}: run it with --check to see why");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    let mut table = Table {
        seats: 5,
        meals: 3,
        alike: false,
    };
    let mut checks = false;
    for argument in env::args().skip(1) {
        match (argument.as_str(), argument.parse::<usize>()) {
            ("--alike", _) => table.alike = true,
            ("--check", _) => checks = true,
            (_, Ok(seats)) if seats >= 2 => table.seats = seats,
            _ => {
                eprintln!("philosophers: `{argument}` is no argument; {USAGE}");
                return ExitCode::FAILURE;
            }
        }
    }
    if checks { check(table) } else { run(table) }
}
