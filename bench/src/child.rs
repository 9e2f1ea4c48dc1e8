//! Children with a deadline. Each is killed and reaped when its handle is dropped.

use crate::process;
use crate::wire::{Line, Metrics};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Why a run gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The contender cannot do this row, and says why.
    Unsupported(String),
    /// It ought to, and did not.
    Broken(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Unsupported(reason) => write!(f, "cannot: {reason}"),
            Failure::Broken(reason) => write!(f, "failed: {reason}"),
        }
    }
}

/// A running program of ours.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    lines: Receiver<String>,
    complaints: Option<JoinHandle<String>>,
    deadline: Instant,
}

impl Child {
    /// Starts `command` on `cpus`, to be done within `limit`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(command: &mut Command, cpus: &[usize], limit: Duration) -> Result<Child, Failure> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A child inherits the CPUs of the thread that starts it.
        let own = process::allowed_cpus();
        let started = process::pin(cpus).and_then(|()| command.spawn());
        let restored = process::pin(&own);
        let broken = |error: std::io::Error| {
            Failure::Broken(format!(
                "{}: {error}",
                command.get_program().to_string_lossy()
            ))
        };
        let mut process = started.map_err(broken)?;
        restored.map_err(broken)?;
        let (sender, lines) = mpsc::channel();
        if let Some(stdout) = process.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let complaints = process.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                // What was read before an error is worth having.
                let _ = stderr.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        });
        Ok(Child {
            process,
            lines,
            complaints,
            deadline: Instant::now() + limit,
        })
    }

    /// The next line, or `None` when the child has closed its output.
    ///
    /// # Errors
    /// The deadline, and lines that are not of the protocol.
    pub fn next_line(&mut self) -> Result<Option<Line>, Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(text) => text.parse().map(Some).map_err(Failure::Broken),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                Err(Failure::Broken("did not answer in time".to_owned()))
            }
        }
    }

    /// Waits for a line that `pick` accepts; everything else before it is an error.
    ///
    /// # Errors
    /// The child ends, says that it cannot, or is too late.
    pub fn expect<T>(&mut self, pick: impl Fn(&Line) -> Option<T>) -> Result<T, Failure> {
        match self.next_line()? {
            Some(Line::Unsupported(reason)) => Err(Failure::Unsupported(reason)),
            Some(line) => {
                pick(&line).ok_or_else(|| Failure::Broken(format!("said `{line}` out of turn")))
            }
            None => Err(self.explain_end()),
        }
    }

    /// Says `line` to the child.
    ///
    /// # Errors
    /// It does not listen any more.
    pub fn tell(&mut self, line: &str) -> Result<(), Failure> {
        let told = match self.process.stdin.as_mut() {
            Some(stdin) => writeln!(stdin, "{line}").and_then(|()| stdin.flush()),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        told.map_err(|_| self.explain_end())
    }

    /// Collects the metrics of a child that is to end by itself.
    ///
    /// # Errors
    /// It failed, said that it cannot, or is too late.
    pub fn finish(mut self) -> Result<Metrics, Failure> {
        let mut metrics = Metrics::new();
        loop {
            match self.next_line()? {
                Some(Line::Metric(name, value)) => {
                    metrics.insert(name, value);
                }
                Some(Line::Unsupported(reason)) => return Err(Failure::Unsupported(reason)),
                Some(line) => {
                    return Err(Failure::Broken(format!("said `{line}` out of turn")));
                }
                None => break,
            }
        }
        match self.wait() {
            Some(status) if status.success() => Ok(metrics),
            _ => Err(self.explain_end()),
        }
    }

    /// Waits for the end until the deadline.
    fn wait(&mut self) -> Option<ExitStatus> {
        // Its output is closed, so it ends now or hangs; there is no event to wait for with a limit.
        while Instant::now() < self.deadline {
            match self.process.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_micros(200)),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
        None
    }

    /// Ends the child and says why it could not go on, in its own words if it left any.
    fn explain_end(&mut self) -> Failure {
        let grace = Instant::now() + Duration::from_millis(500);
        self.deadline = self.deadline.min(grace);
        let status = self.wait();
        self.end();
        let text = self
            .complaints
            .take()
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default();
        Failure::Broken(match (first_complaint(&text), status) {
            (Some(line), _) => line,
            (None, Some(status)) => format!("ended with {status}"),
            (None, None) => "hung".to_owned(),
        })
    }

    fn end(&mut self) {
        // An error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// The line of `text` that says most, with the one after it if it only announces a panic.
fn first_complaint(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next()?;
    Some(match lines.next() {
        Some(second) if first.contains("panicked at") => second.to_owned(),
        _ => first.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<Child, Failure> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::start(&mut command, &process::allowed_cpus(), limit)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn metrics_are_collected() {
        let metrics = shell("echo metric a 1; echo metric b 2.5", LONG)
            .unwrap()
            .finish()
            .unwrap();
        assert_eq!(
            metrics,
            Metrics::from([("a".into(), 1.0), ("b".into(), 2.5)])
        );
    }

    #[test]
    fn a_failure_is_told_in_the_childs_words() {
        let script = "echo metric a 1; echo no luck >&2; exit 3";
        let failure = shell(script, LONG).unwrap().finish().unwrap_err();
        assert_eq!(failure, Failure::Broken("no luck".into()));
        let failure = shell("echo unsupported no timers", LONG)
            .unwrap()
            .finish()
            .unwrap_err();
        assert_eq!(failure, Failure::Unsupported("no timers".into()));
        assert!(
            shell("exit 7", LONG)
                .unwrap()
                .finish()
                .unwrap_err()
                .to_string()
                .contains('7')
        );
    }

    #[test]
    fn a_child_that_hangs_is_killed_at_its_deadline() {
        let start = Instant::now();
        let mut child = shell("exec sleep 1000", Duration::from_millis(50)).unwrap();
        let failure = child.next_line().unwrap_err();
        assert!(failure.to_string().contains("in time"), "{failure}");
        let id = child.process.id();
        drop(child);
        assert!(start.elapsed() < LONG);
        assert!(
            !std::path::Path::new(&format!("/proc/{id}")).exists(),
            "it is still there"
        );
    }

    #[test]
    fn a_conversation_works_both_ways() {
        let mut child = shell(
            "read line; echo \"addr $line\"; read line; echo ready",
            LONG,
        )
        .unwrap();
        child.tell("127.0.0.1:9").unwrap();
        let addr = child.expect(|line| match line {
            Line::Addr(addr) => Some(*addr),
            _ => None,
        });
        assert_eq!(addr, Ok("127.0.0.1:9".parse().unwrap()));
        child.tell("").unwrap();
        let out_of_turn = child.expect(|line| matches!(line, Line::Addr(_)).then_some(()));
        assert!(out_of_turn.unwrap_err().to_string().contains("out of turn"));
    }

    #[test]
    fn a_panic_is_told_by_its_message() {
        let text = "\nthread 'main' panicked at a.rs:1:1:\nno ring\nnote: run with\n";
        assert_eq!(first_complaint(text).as_deref(), Some("no ring"));
    }
}
