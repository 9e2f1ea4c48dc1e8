//! The benchmark command: builds all contenders, measures them in interleaved rounds of separate
//! processes, prints a Markdown report. `docs/benchmarks.md` explains the rows.
#![forbid(unsafe_code)]

use gorin_bench::args::Args;
use gorin_bench::build::{Program, Programs};
use gorin_bench::contender::{CONTENDERS, Contender};
use gorin_bench::plan::{Row, Size};
use gorin_bench::{machine, runner, slices, table};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

const HELP: &str = "\
cargo run --release -p gorin-bench -- [options]

  --quick              small sizes, 3 rounds, under 3 minutes: for finding gross changes
  --smoke              as small as it goes, 1 round: does everything work?
  --rounds 5           rounds over all contenders of a row
  --slices 30          server rows only: the servers are asked in turns of a moment each, and started
                       anew after three; for small differences, told as ratios to the first contender
  --rows chan,echo     only rows whose names begin so
  --contenders go,tokio  only these columns (monoio, compio and glommio, which are heavy to
                       build, take part by name or with `--features tpc` before the `--`)
  --out docs/benchmarks.md  write the report there too, between its markers if it has them
  --no-build           use the programs that are there
  --list               print the rows and contenders
";

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let features = if cfg!(feature = "tpc") {
        " --features tpc"
    } else {
        ""
    };
    let command = format!(
        "cargo run --release -p gorin-bench{features} -- {}",
        words.join(" ")
    );
    match Args::parse(words).and_then(|args| run(args, command.trim_end_matches(" -- "))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("gorin-bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// As they were named; the others follow.
fn in_the_order_of(mut contenders: Vec<Contender>, names: &[String]) -> Vec<Contender> {
    contenders.sort_by_key(|contender| {
        let place = names.iter().position(|name| name == contender.name);
        place.unwrap_or(names.len())
    });
    contenders
}

fn run(mut args: Args, command: &str) -> Result<(), String> {
    let size = match (args.take_flag("quick")?, args.take_flag("smoke")?) {
        (_, true) => Size::SMOKE,
        (true, false) => Size::QUICK,
        (false, false) => Size::FULL,
    };
    let rounds = args.take("rounds", size.rounds)?;
    let slices = args.take("slices", 0)?;
    let filters = list(&args.take("rows", String::new())?);
    let names = list(&args.take("contenders", String::new())?);
    let out = args.take("out", PathBuf::new())?;
    let skip_build = args.take_flag("no-build")?;
    let only_list = args.take_flag("list")?;
    args.finish()?;

    let rows: Vec<_> = size
        .rows()
        .into_iter()
        .filter(|row| row.selected(&filters))
        .collect();
    let contenders: Vec<Contender> = CONTENDERS
        .into_iter()
        .filter(|contender| match names.as_slice() {
            [] => cfg!(feature = "tpc") || !contender.heavy,
            names => names.iter().any(|name| name == contender.name),
        })
        .collect();
    if rows.is_empty() || contenders.is_empty() {
        return Err("nothing is called that; --list shows the names".to_owned());
    }
    if only_list {
        rows.iter().for_each(|row| println!("row {}", row.id));
        contenders
            .iter()
            .for_each(|contender| println!("contender {}", contender.name));
        return Ok(());
    }
    let needed = contenders.iter().map(|contender| contender.program);
    let programs = Programs::build(needed.chain([Program::Client]), skip_build);
    let start = Instant::now();
    let mut done = 0;
    let progress = |row: &Row| {
        done += 1;
        eprintln!(
            "{:5.0} s  {done}/{}  {}",
            start.elapsed().as_secs_f64(),
            rows.len(),
            row.id
        );
    };
    if slices > 0 {
        let contenders = in_the_order_of(contenders, &names);
        print!(
            "{}",
            slices::run(&rows, &contenders, &programs, slices, progress)
        );
        return Ok(());
    }
    let results = runner::run(&rows, &contenders, &programs, rounds, progress);
    eprintln!("measured in {:.0} s", start.elapsed().as_secs_f64());

    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let lock = std::fs::read_to_string(lock).unwrap_or_default();
    let mut heading = machine::describe(command, &lock, programs.go.as_deref());
    heading.push_str(&format!("- rounds: {rounds}, interleaved\n"));
    let report = table::render(&heading, &rows, &contenders, &results);
    print!("{report}");
    if out != PathBuf::new() {
        let document = std::fs::read_to_string(&out).unwrap_or_default();
        std::fs::write(&out, table::insert(&document, &report))
            .map_err(|error| format!("{}: {error}", out.display()))?;
    }
    Ok(())
}
