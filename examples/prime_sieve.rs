//! The prime sieve from Go's playground: a chain of goroutines, one per prime, each of which lets
//! through what its prime does not divide.
//!
//! ```sh
//! cargo run --release --example prime_sieve            # the first 25 primes
//! cargo run --release --example prime_sieve -- 1000    # the first 1000
//! ```
//!
//! What there is to learn here:
//!
//! - `chan(0)` is a rendezvous: a send is done when a receiver has the value, so the chain holds one
//!   number per goroutine and no queue grows;
//! - a goroutine costs a few hundred bytes: a thousand of them in a row are nothing special;
//! - nobody has to be told to stop: when `main` returns, all goroutines are dropped where they wait.

use std::env;
use std::process::ExitCode;

use gorin::prelude::*;

fn main() -> ExitCode {
    let text = env::args().nth(1).unwrap_or("25".to_owned());
    let Ok(count) = text.parse::<usize>() else {
        eprintln!("prime_sieve: `{text}` is not a number of primes");
        return ExitCode::FAILURE;
    };
    gorin::run(print_primes(count));
    ExitCode::SUCCESS
}

async fn print_primes(count: usize) {
    let mut numbers = start(generate);
    for _ in 0..count {
        let Some(prime) = numbers.recv().await else {
            unreachable!("the generator never ends");
        };
        println!("{prime}");
        let candidates = numbers;
        numbers = start(move |out| filter(candidates, prime, out));
    }
}

/// Starts a goroutine that sends on a channel of its own; gives the other end of it.
fn start<F>(stage: impl FnOnce(Sender<u64>) -> F) -> Receiver<u64>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (tx, rx) = chan(0);
    go(stage(tx));
    rx
}

/// Sends 2, 3, 4, …
async fn generate(out: Sender<u64>) {
    for number in 2.. {
        if out.send(number).await.is_err() {
            return;
        }
    }
}

/// Passes on what `prime` does not divide.
async fn filter(candidates: Receiver<u64>, prime: u64, out: Sender<u64>) {
    while let Some(number) = candidates.recv().await {
        if number % prime != 0 && out.send(number).await.is_err() {
            return;
        }
    }
}
