//! What a measured process prints, one fact per line, and what the runner reads.
//!
//! | line | meaning |
//! |---|---|
//! | `metric <name> <number>` | a result |
//! | `unsupported <reason>` | this contender cannot do the row |
//! | `addr <address>` | a server listens there |
//! | `ready` | a client holds its connections |
//! | `stats <cpu µs> <resident bytes> <sleeps>` | a server's answer to `stats` on its stdin |
//!
//! A server and a waiting client end when their stdin ends.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// One line of the protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// A result.
    Metric(String, f64),
    /// The contender cannot do the row; why.
    Unsupported(String),
    /// A server listens there.
    Addr(SocketAddr),
    /// A client holds its connections and waits for a line.
    Ready,
    /// CPU time, resident memory and sleeps so far.
    Stats(Usage),
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Resident set.
    pub resident_bytes: u64,
    /// How often a thread went to sleep: each time somebody has to wake it.
    pub sleeps: u64,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Line::Metric(name, value) => write!(f, "metric {name} {value}"),
            Line::Unsupported(reason) => write!(f, "unsupported {reason}"),
            Line::Addr(addr) => write!(f, "addr {addr}"),
            Line::Ready => f.write_str("ready"),
            Line::Stats(usage) => {
                let Usage {
                    cpu,
                    resident_bytes,
                    sleeps,
                } = usage;
                write!(f, "stats {} {resident_bytes} {sleeps}", cpu.as_micros())
            }
        }
    }
}

impl std::str::FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Line, String> {
        let bad = || format!("cannot understand the line `{text}`");
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        match kind {
            "metric" => {
                let (name, value) = rest.split_once(' ').ok_or_else(bad)?;
                Ok(Line::Metric(
                    name.to_owned(),
                    value.parse().map_err(|_| bad())?,
                ))
            }
            "unsupported" => Ok(Line::Unsupported(rest.to_owned())),
            "addr" => Ok(Line::Addr(rest.parse().map_err(|_| bad())?)),
            "ready" => Ok(Line::Ready),
            "stats" => {
                let numbers: Result<Vec<u64>, _> = rest.split(' ').map(str::parse).collect();
                match numbers.map_err(|_| bad())?.as_slice() {
                    &[cpu, resident_bytes, sleeps] => {
                        let cpu = Duration::from_micros(cpu);
                        Ok(Line::Stats(Usage {
                            cpu,
                            resident_bytes,
                            sleeps,
                        }))
                    }
                    _ => Err(bad()),
                }
            }
            _ => Err(bad()),
        }
    }
}

/// The results of one run: value by metric.
pub type Metrics = BTreeMap<String, f64>;

/// Prints `line` at once; the runner waits for some of them.
///
/// # Panics
/// If stdout is closed: then nobody measures any more.
pub fn say(line: &Line) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .expect("the runner reads stdout");
}

/// Prints a result.
pub fn metric(name: &str, value: f64) {
    say(&Line::Metric(name.to_owned(), value));
}

/// Answers the runner on stdin until it ends, then ends the process. Blocks: give it a thread.
pub fn obey_stdin() -> ! {
    for line in std::io::stdin().lock().lines() {
        match line.as_deref() {
            Ok("stats") => say(&Line::Stats(crate::process::usage())),
            _ => break,
        }
    }
    std::process::exit(0)
}

/// Waits for a line, or the end, of stdin.
pub fn wait_for_stdin() {
    let mut line = String::new();
    // The end of stdin and an error both mean that nobody waits for us.
    let _ = std::io::stdin().lock().read_line(&mut line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_survives_the_trip() {
        let lines = [
            Line::Metric("ns".into(), 12.5),
            Line::Unsupported("has no rendezvous".into()),
            Line::Addr("127.0.0.1:80".parse().unwrap()),
            Line::Ready,
            Line::Stats(Usage {
                cpu: Duration::from_micros(7),
                resident_bytes: 9,
                sleeps: 11,
            }),
        ];
        for line in lines {
            assert_eq!(line.to_string().parse(), Ok(line));
        }
    }

    #[test]
    fn other_lines_are_errors() {
        for text in [
            "",
            "metric ns",
            "metric ns x",
            "addr nowhere",
            "stats 1",
            "hello",
        ] {
            assert!(text.parse::<Line>().is_err(), "{text}");
        }
    }
}
