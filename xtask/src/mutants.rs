//! `cargo xtask mutants`: proves that the models can fail.
//!
//! 1. Read the tables, compare them with the seeded bugs in the sources.
//! 2. Build the test binaries, with loom and without, and find each model that a row names.
//! 3. Run each such model without a bug: it must pass, else its death would prove nothing.
//! 4. Run each row: the model must fail with the bug switched on.
//!
//! A row that survives, or whose run meets the time limit, fails the command: a survivor is a
//! missing model.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::cargo::{self, Binary, Member};
use crate::process::{Outcome, run_model};
use crate::sources::{self, Bugs};
use crate::table::{self, Engine, Mutant};
use crate::{Failure, USAGE};

/// Processes at a time. libtest's own threads are slower than one under loom; processes scale.
const PROCESSES: usize = 2;

/// Lines of a failed model that are printed.
const TAIL_LINES: usize = 40;

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    /// Only the rows of these packages; empty means all.
    packages: Vec<String>,
    /// For each run of one model.
    limit: Duration,
}

impl Options {
    /// Reads the arguments that follow `mutants`.
    ///
    /// # Errors
    /// A text that says what was wrong, with the usage.
    pub(crate) fn parse(arguments: &[String]) -> Result<Options, Failure> {
        let mut options = Options {
            packages: Vec::new(),
            limit: Duration::from_secs(120),
        };
        let mut arguments = arguments.iter();
        while let Some(flag) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("`{flag}` needs a value\n\n{USAGE}"))
            };
            match flag.as_str() {
                "-p" | "--package" => options.packages.push(value()?.clone()),
                "--time-limit" => {
                    let seconds = value()?
                        .parse()
                        .map_err(|error| format!("`{flag}`: {error}\n\n{USAGE}"))?;
                    options.limit = Duration::from_secs(seconds);
                }
                other => return Err(format!("unknown argument `{other}`\n\n{USAGE}")),
            }
        }
        Ok(options)
    }

    fn includes(&self, package: &str) -> bool {
        self.packages.is_empty() || self.packages.iter().any(|name| name == package)
    }
}

/// One run: a model, with or without a bug.
#[derive(Clone, Copy, Debug)]
struct Job<'a> {
    binary: &'a Binary,
    test: &'a str,
    bug: Option<&'a str>,
}

/// The command.
///
/// # Errors
/// A text for the person who ran it: what is inconsistent, what does not build, who survived.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let members = cargo::members()?;
    if let Some(name) = options
        .packages
        .iter()
        .find(|name| !members.iter().any(|m| m.name == **name))
    {
        return Err(format!("no package of this workspace is called `{name}`"));
    }
    let (rows, inconsistency) = read_tables(&members, options)?;
    // Printed now, and the rest runs all the same: both are needed to mend a table.
    if let Some(text) = &inconsistency {
        eprintln!("{text}\n");
    }
    if rows.is_empty() {
        return Err("no table has a row: nothing would be proved".to_owned());
    }
    let mut binaries = cargo::build(&members, &rows, Engine::Loom)?;
    binaries.extend(cargo::build(&members, &rows, Engine::Plain)?);
    let jobs = find_models(&rows, &binaries)?;
    let start = Instant::now();
    let models = check_unmutated(&jobs, options.limit)?;
    let survivors = check_mutants(&rows, &jobs, options.limit)?;
    println!(
        "\n{} mutants, {} died, {survivors} survived; the {models} models pass without them; {:.1} s",
        rows.len(),
        rows.len() - survivors,
        start.elapsed().as_secs_f64()
    );
    match (survivors, inconsistency) {
        (0, None) => Ok(()),
        (0, Some(_)) => Err("tables and sources do not name the same bugs: see above".to_owned()),
        (n, _) => Err(format!("{n} mutants survived: each is a missing model")),
    }
}

/// The rows of all tables that `options` includes, and in what they disagree with the sources.
fn read_tables(
    members: &[Member],
    options: &Options,
) -> Result<(Vec<Mutant>, Option<Failure>), Failure> {
    let mut rows = Vec::new();
    let mut bugs = Bugs::new();
    // The tests of this program hold samples of the call.
    for member in members
        .iter()
        .filter(|member| member.name != env!("CARGO_PKG_NAME"))
    {
        let path = member.directory.join("tests/mutants.txt");
        if path.exists() {
            let file = path.display().to_string();
            let text =
                std::fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
            rows.extend(table::parse(&file, &text)?);
        }
        sources::collect(&member.name, &member.directory.join("src"), &mut bugs)?;
    }
    let inconsistency = sources::compare(&bugs, &rows, |package| options.includes(package)).err();
    rows.retain(|row| options.includes(&row.package));
    Ok((rows, inconsistency))
}

/// For each row the run that must fail.
fn find_models<'a>(rows: &'a [Mutant], binaries: &'a [Binary]) -> Result<Vec<Job<'a>>, Failure> {
    let mut jobs = Vec::new();
    let mut errors = Vec::new();
    for row in rows {
        let found: Vec<Job<'_>> = binaries
            .iter()
            .filter(|binary| binary.package == row.package && binary.engine == row.engine)
            .filter_map(|binary| {
                let test = binary.find(&row.model)?;
                Some(Job {
                    binary,
                    test,
                    bug: Some(&row.bug),
                })
            })
            .collect();
        match found[..] {
            [job] => jobs.push(job),
            [] => errors.push(format!(
                "{}: {} has no test `{}` in the build of `cargo {}`",
                row.place,
                row.package,
                row.model,
                row.engine.alias()
            )),
            _ => errors.push(format!(
                "{}: several binaries of {} have `{}`: write `target::{2}`",
                row.place, row.package, row.model
            )),
        }
    }
    if errors.is_empty() {
        Ok(jobs)
    } else {
        Err(errors.join("\n"))
    }
}

/// Runs each model of `jobs` once without a bug; how many there are.
fn check_unmutated(jobs: &[Job<'_>], limit: Duration) -> Result<usize, Failure> {
    let mut models: Vec<Job<'_>> = Vec::new();
    for job in jobs {
        let same =
            |other: &Job<'_>| std::ptr::eq(other.binary, job.binary) && other.test == job.test;
        if !models.iter().any(same) {
            models.push(Job { bug: None, ..*job });
        }
    }
    let mut errors = Vec::new();
    for (job, (outcome, _)) in models.iter().zip(run_all(&models, limit)?) {
        let name = format!("{} {}", job.binary.package, job.test);
        match outcome {
            Outcome::Passed => {}
            Outcome::Failed(text) => {
                errors.push(format!("{name}: fails without any bug:\n{}", tail(&text)));
            }
            Outcome::TimedOut => {
                errors.push(format!(
                    "{name}: not done after {} s without any bug",
                    limit.as_secs()
                ));
            }
        }
    }
    if errors.is_empty() {
        Ok(models.len())
    } else {
        Err(errors.join("\n"))
    }
}

/// Runs every row and prints the table; the number of survivors.
fn check_mutants(rows: &[Mutant], jobs: &[Job<'_>], limit: Duration) -> Result<usize, Failure> {
    let width =
        |word: fn(&Mutant) -> &str| rows.iter().map(|row| word(row).len()).max().unwrap_or(0);
    let (bugs, packages) = (width(|row| &row.bug), width(|row| &row.package));
    let models = width(|row| &row.model);
    let mut survivors = 0;
    for (row, (outcome, time)) in rows.iter().zip(run_all(jobs, limit)?) {
        let word = match outcome {
            Outcome::Failed(_) => "died",
            Outcome::Passed => "SURVIVED",
            Outcome::TimedOut => "SURVIVED (time limit)",
        };
        survivors += usize::from(word != "died");
        println!(
            "{:bugs$}  {:packages$}  {:models$}  {:6.2} s  {word}",
            row.bug,
            row.package,
            row.model,
            time.as_secs_f64()
        );
    }
    Ok(survivors)
}

/// Runs all jobs, [`PROCESSES`] at a time; outcomes and times in the order of `jobs`.
fn run_all(jobs: &[Job<'_>], limit: Duration) -> Result<Vec<(Outcome, Duration)>, Failure> {
    let next = Mutex::new(jobs.iter().enumerate());
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            // A statement of its own, so that the lock is free while the process runs.
            let job = next.lock().expect("no thread panics with the lock").next();
            let Some((index, job)) = job else { return };
            let start = Instant::now();
            let outcome = run_model(job.binary, job.test, job.bug, limit)
                .map_err(|error| format!("{}: {error}", job.binary.path.display()));
            let result = outcome.map(|outcome| (outcome, start.elapsed()));
            done.lock()
                .expect("no thread panics with the lock")
                .push((index, result));
        }
    };
    thread::scope(|scope| {
        for _ in 0..PROCESSES {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().expect("no thread panics with the lock");
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The last lines of `text`.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn options(arguments: &[&str]) -> Result<Options, Failure> {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        Options::parse(&arguments)
    }

    /// The script `tests/fake_models.sh`, posing as the binary `target` that holds `tests`.
    fn binary(target: &str, tests: &[&str]) -> Binary {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        Binary {
            package: "p".to_owned(),
            target: target.to_owned(),
            path: directory.join("tests/fake_models.sh"),
            directory,
            engine: Engine::Loom,
            tests: tests.iter().map(|&test| test.to_owned()).collect(),
        }
    }

    fn rows(text: &str) -> Vec<Mutant> {
        table::parse("t.txt", text).expect("rows")
    }

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn the_command_line_is_read() {
        let options = options(&["-p", "a", "--time-limit", "7"]).expect("right");
        assert_eq!(options.limit, Duration::from_secs(7));
        assert!(options.includes("a") && !options.includes("b"));
    }

    #[test]
    fn wrong_command_lines_are_refused() {
        for wrong in [&["-p"][..], &["--time-limit", "soon"], &["--fast"]] {
            let error = options(wrong).expect_err("wrong");
            assert!(error.contains("usage:"), "{error}");
        }
    }

    #[test]
    fn a_row_without_model_and_an_ambiguous_one_are_reported() {
        let binaries = [binary("one", &["m", "both"]), binary("two", &["both"])];
        let rows = rows("a p m\nb p gone\nc p both\nd p two::both");
        let error = find_models(&rows, &binaries).expect_err("gone and both");
        assert_eq!(
            error,
            "t.txt:2: p has no test `gone` in the build of `cargo loom`\n\
             t.txt:3: several binaries of p have `both`: write `target::both`"
        );
    }

    #[test]
    fn survivors_are_counted_and_the_dead_are_not() {
        let rows = rows("a p dies_of_a\nb p dies_of_a");
        let binaries = [binary("t", &["dies_of_a"])];
        let jobs = find_models(&rows, &binaries).expect("both rows have their model");
        assert_eq!(check_unmutated(&jobs, LIMIT), Ok(1));
        assert_eq!(check_mutants(&rows, &jobs, LIMIT), Ok(1));
    }

    #[test]
    fn a_model_that_fails_by_itself_proves_nothing() {
        let rows = rows("a p broken");
        let binaries = [binary("t", &["broken"])];
        let jobs = find_models(&rows, &binaries).expect("the row has its model");
        let error = check_unmutated(&jobs, LIMIT).expect_err("it fails");
        assert!(
            error.starts_with("p broken: fails without any bug:\nbecause"),
            "{error}"
        );
    }

    #[test]
    fn a_run_that_meets_the_limit_is_a_survivor() {
        let rows = rows("a p slow");
        let binaries = [binary("t", &["slow"])];
        let jobs = find_models(&rows, &binaries).expect("the row has its model");
        assert_eq!(
            check_mutants(&rows, &jobs, Duration::from_millis(20)),
            Ok(1)
        );
    }
}
