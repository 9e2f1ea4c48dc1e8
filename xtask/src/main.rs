//! Commands for people who work on gorin, run as `cargo xtask <command>`.
//!
//! | file | holds |
//! |---|---|
//! | [`mutants`] | the command `mutants`: order of work, what counts as a failure |
//! | [`table`] | the must-die tables `tests/mutants.txt`: parsing |
//! | [`sources`] | the seeded bugs that stand in the sources, compared with the tables |
//! | [`cargo`] | what cargo knows: members, test binaries of the builds that seed bugs |
//! | [`process`] | running one model in a process of its own, with a time limit |
//!
//! Nothing here is part of gorin: no member depends on it, and it depends on no member.

mod cargo;
mod mutants;
mod process;
mod sources;
mod table;

use std::process::ExitCode;

/// What a command returns on failure: a text for the person who ran it.
type Failure = String;

const USAGE: &str = "\
usage: cargo xtask mutants [-p <package>]... [--time-limit <seconds>]

  mutants   switch on each seeded bug of the tables <member>/tests/mutants.txt in turn, and see
            the models and tests named there die of it; fail if one survives

  -p, --package <package>   only the mutants of this package; may be repeated
  --time-limit <seconds>    for each run of one model (default 120)

Models run under loom with at most LOOM_MAX_PREEMPTIONS preemptions (default here: 2).";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((command, rest)) if command == "mutants" => {
            mutants::Options::parse(rest).and_then(|options| mutants::run(&options))
        }
        Some((flag, _)) if flag == "--help" || flag == "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        Some((other, _)) => Err(format!("unknown command `{other}`\n\n{USAGE}")),
        None => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}
