//! Two goroutines throw a ball to and fro over two rendezvous channels, and count the time.
//!
//! ```sh
//! cargo run --release --example ping_pong              # 100000 round trips
//! cargo run --release --example ping_pong -- 1000000   # as many as you say
//! ```
//!
//! What there is to learn here:
//!
//! - a hand-over wakes the partner on the same worker, as the next to run: no system call, no
//!   second thread;
//! - a loop over `recv` ends when the last sender of the channel is dropped, so `pong` needs no
//!   message that says "stop";
//! - `handle.await` gives what a goroutine returned.

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use gorin::prelude::*;

fn main() -> ExitCode {
    let text = env::args().nth(1).unwrap_or("100000".to_owned());
    let Ok(rounds) = text.parse::<u64>() else {
        eprintln!("ping_pong: `{text}` is not a number of rounds");
        return ExitCode::FAILURE;
    };
    gorin::run(play(rounds));
    ExitCode::SUCCESS
}

async fn play(rounds: u64) {
    let (ping, pings) = chan::<u64>(0);
    let (pong, pongs) = chan::<u64>(0);
    let partner = go(async move {
        let mut returned = 0_u64;
        while let Some(ball) = pings.recv().await {
            returned += 1;
            if pong.send(ball + 1).await.is_err() {
                break;
            }
        }
        returned
    });
    // The other player is a goroutine too, not `main`: both live in the run queue then.
    let first = go(async move {
        let start = Instant::now();
        let mut ball = 0;
        for _ in 0..rounds {
            if ping.send(ball).await.is_err() {
                break;
            }
            ball = pongs.recv().await.unwrap_or(ball);
        }
        (ball, start.elapsed())
    });
    match (first.await, partner.await) {
        (Ok((ball, time)), Ok(returned)) => {
            assert_eq!(
                (ball, returned),
                (rounds, rounds),
                "every throw was returned once"
            );
            let nanos = time.as_nanos() / u128::from(rounds.max(1));
            println!("{rounds} round trips, {nanos} ns each");
        }
        (first, partner) => panic!("a player gave up: {first:?}, {partner:?}"),
    }
}
