//! Running one model in a process of its own, with a time limit.
//!
//! A process each, because the seeded bug is read once per process, and because a model that dies
//! may abort: loom's objects can panic a second time while the first panic unwinds.

use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::cargo::Binary;

/// How one run of a model ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The test passed.
    Passed,
    /// The test failed, or the process was killed by a signal; with all it printed.
    Failed(String),
    /// The time limit came first.
    TimedOut,
}

/// How often a running process is looked at; a model takes from a few to thousands of ms.
const LOOK: Duration = Duration::from_millis(2);

/// Runs the test `test` of `binary`, with the seeded bug `bug` switched on if one is given.
///
/// # Errors
/// If the process cannot be started or watched.
pub(crate) fn run_model(
    binary: &Binary,
    test: &str,
    bug: Option<&str>,
    limit: Duration,
) -> io::Result<Outcome> {
    let mut command = Command::new(&binary.path);
    command
        .args(["--exact", test, "--test-threads=1", "--nocapture"])
        .current_dir(&binary.directory)
        .env_remove("GORIN_MUTANT");
    if let Some(bug) = bug {
        command.env("GORIN_MUTANT", bug);
    }
    if std::env::var_os("LOOM_MAX_PREEMPTIONS").is_none() {
        command.env("LOOM_MAX_PREEMPTIONS", "2");
    }
    run(command, limit)
}

/// Runs `command`; kills it when `limit` has passed.
fn run(mut command: Command, limit: Duration) -> io::Result<Outcome> {
    // A file and not a pipe: nobody has to empty it while the process runs.
    let mut output = temporary_file()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .spawn()?;
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(Outcome::TimedOut);
        }
        thread::sleep(LOOK);
    };
    if status.success() {
        return Ok(Outcome::Passed);
    }
    let mut text = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    Ok(Outcome::Failed(format!("{text}{status}\n")))
}

/// A file without a name, gone when it is closed.
fn temporary_file() -> io::Result<fs::File> {
    use std::sync::atomic::{AtomicU32, Ordering};
    // Relaxed: the number only has to differ between the threads of this process.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("gorin-xtask-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = fs::File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Outcome {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, limit).expect("sh starts")
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn success_failure_and_signals_are_told_apart() {
        assert_eq!(shell("echo out", LONG), Outcome::Passed);
        let failed = shell("echo out; echo err >&2; exit 101", LONG);
        assert_eq!(
            failed,
            Outcome::Failed("out\nerr\nexit status: 101\n".to_owned())
        );
        assert!(
            matches!(shell("kill -ABRT $$", LONG), Outcome::Failed(text) if text.contains("signal: 6"))
        );
    }

    #[test]
    fn a_process_is_killed_at_the_limit() {
        let start = Instant::now();
        assert_eq!(
            shell("exec sleep 60", Duration::from_millis(20)),
            Outcome::TimedOut
        );
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
