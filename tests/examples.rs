//! The small examples do what their first lines say. (The echo pair has `echo.rs`.)

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::process::{Command, Output};

use common::example;

fn run(name: &str, args: &[&str]) -> Output {
    Command::new(example(name))
        .args(args)
        .output()
        .expect("the example can be started")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("the examples print text")
}

#[test]
fn prime_sieve_prints_the_first_primes() {
    let expected: Vec<u64> = (2..)
        .filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0))
        .take(200)
        .collect();
    for args in [&[][..], &["200"]] {
        let text = stdout(&run("prime_sieve", args));
        let primes: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        let wanted = if args.is_empty() { 25 } else { 200 };
        assert_eq!(primes, expected[..wanted]);
    }
}

#[test]
fn ping_pong_counts_its_rounds() {
    let text = stdout(&run("ping_pong", &["1000"]));
    assert!(text.starts_with("1000 round trips, "), "{text}");
}

#[test]
fn arguments_that_make_no_sense_are_refused_in_one_line() {
    for name in ["prime_sieve", "ping_pong"] {
        let output = run(name, &["many"]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.starts_with(&format!("{name}: `many` is not a number")),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    let output = run("echo_client", &["--connections", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("usage: echo_client")
    );
}
