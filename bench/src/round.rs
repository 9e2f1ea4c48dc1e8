//! One sample: one row, one contender, once, in processes of its own.

use crate::build::{Program, Programs};
use crate::child::{Child, Failure};
use crate::contender::{Board, Contender};
use crate::plan::{Cpus, Load, Row, Server};
use crate::stats::Samples;
use crate::wire::{Line, Metrics, Usage};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

/// The CPUs that measurements may use.
#[derive(Clone, Debug)]
pub struct Machine {
    /// For the client.
    client: usize,
    /// For what is measured.
    measured: usize,
}

impl Machine {
    /// The first two CPUs that this process may use; the only one twice if there is just one.
    ///
    /// # Panics
    /// Never: a running process has a CPU.
    pub fn of_this_process() -> Machine {
        let cpus = crate::process::allowed_cpus();
        let client = *cpus.first().expect("a running process has a CPU");
        Machine {
            client,
            measured: *cpus.get(1).unwrap_or(&client),
        }
    }

    fn measured(&self, cpus: Cpus) -> Vec<usize> {
        match cpus {
            Cpus::Apart => vec![self.measured],
            Cpus::Shared => vec![self.client, self.measured],
        }
    }

    fn client(&self, cpus: Cpus) -> Vec<usize> {
        match cpus {
            Cpus::Apart => vec![self.client],
            Cpus::Shared => vec![self.client, self.measured],
        }
    }
}

/// Measures `row` for `contender` once.
///
/// # Errors
/// The contender cannot do the row, could not be built, failed or was too slow.
pub fn sample(
    row: &Row,
    contender: &Contender,
    programs: &Programs,
    machine: &Machine,
) -> Result<Metrics, Failure> {
    let round = Round {
        row,
        contender,
        programs,
        machine,
    };
    match &row.load {
        Load::Work(words) => round.work(words),
        Load::ColdStart(times) => round.cold_start(*times),
        Load::Client(..) => Serving::start(row, contender, programs, machine, row.limit)?.sample(),
        Load::Idle(server, connections) => round.idle(server, *connections),
    }
}

#[derive(Clone, Copy)]
struct Round<'a> {
    row: &'a Row,
    contender: &'a Contender,
    programs: &'a Programs,
    machine: &'a Machine,
}

impl Round<'_> {
    /// A command of the contender's program.
    fn command(&self, words: &[String]) -> Result<Command, Failure> {
        let path = self
            .programs
            .path(self.contender.program)
            .map_err(Failure::Broken)?;
        let mut command = Command::new(path);
        command.args(words).envs(self.contender.env);
        Ok(command)
    }

    fn start(&self, command: &mut Command) -> Result<Child, Failure> {
        self.start_for(command, self.row.limit)
    }

    fn start_for(&self, command: &mut Command, limit: Duration) -> Result<Child, Failure> {
        Child::start(command, &self.machine.measured(self.row.cpus), limit)
    }

    fn work(&self, words: &[String]) -> Result<Metrics, Failure> {
        let mut command = self.command(words)?;
        if self.row.boards.contains(&Board::Channels) {
            command.args(["--channel", self.contender.channel]);
        }
        self.start(&mut command)?.finish()
    }

    /// The median life of a process that starts a runtime and ends it.
    fn cold_start(&self, times: usize) -> Result<Metrics, Failure> {
        let mut lives = Samples::default();
        for _ in 0..times {
            let start = Instant::now();
            let mut child = self.start(&mut self.command(&["coldstart".to_owned()])?)?;
            // Its output ends when it does.
            if let Some(line) = child.next_line()? {
                return Err(Failure::Broken(format!("said `{line}`")));
            }
            lives.push(start.elapsed().as_secs_f64() * 1e3);
            child.finish()?;
        }
        Ok(lives
            .median()
            .map(|median| ("time".to_owned(), median))
            .into_iter()
            .collect())
    }

    /// Starts the server, to be done within `limit`; returns it with its address.
    fn server(&self, server: &Server, limit: Duration) -> Result<(Child, SocketAddr), Failure> {
        let words = format!(
            "serve --workers {} --buffer {} --hogs {}",
            server.workers, server.buffer_bytes, server.hogs
        );
        let udp = server.udp.then_some("--udp");
        let words = words.split_whitespace().chain(udp);
        let words: Vec<_> = words.map(str::to_owned).collect();
        let mut child = self.start_for(&mut self.command(&words)?, limit)?;
        let addr = child.expect(|line| match line {
            Line::Addr(addr) => Some(*addr),
            _ => None,
        })?;
        Ok((child, addr))
    }

    fn client_of(&self, addr: SocketAddr, words: &[String]) -> Result<Child, Failure> {
        let path = self
            .programs
            .path(Program::Client)
            .map_err(Failure::Broken)?;
        let mut command = Command::new(path);
        command.args(words).args(["--addr", &addr.to_string()]);
        Child::start(
            &mut command,
            &self.machine.client(self.row.cpus),
            self.row.limit,
        )
    }

    fn idle(&self, server: &Server, connections: usize) -> Result<Metrics, Failure> {
        let (mut server, addr) = self.server(server, self.row.limit)?;
        // A first connection, so that what is set up once is not counted.
        let words = |count: usize| ["idle".into(), "--connections".into(), count.to_string()];
        let held = |child: &mut Child| child.expect(|line| (*line == Line::Ready).then_some(()));
        let mut first = self.client_of(addr, &words(1))?;
        held(&mut first)?;
        let before = usage(&mut server)?;
        let mut client = self.client_of(addr, &words(connections))?;
        held(&mut client)?;
        let after = usage(&mut server)?;
        let grown = after.resident_bytes.saturating_sub(before.resident_bytes);
        Ok(Metrics::from([(
            "mem".to_owned(),
            grown as f64 / connections as f64,
        )]))
    }
}

/// A server that is asked by one client after another.
pub struct Serving<'a> {
    round: Round<'a>,
    words: &'a [String],
    server: Child,
    addr: SocketAddr,
}

impl<'a> Serving<'a> {
    /// Starts the server of `row` for `contender`, to be done within `limit`.
    ///
    /// # Errors
    /// The contender cannot do the row, could not be built or failed; or the row has no client.
    pub fn start(
        row: &'a Row,
        contender: &'a Contender,
        programs: &'a Programs,
        machine: &'a Machine,
        limit: Duration,
    ) -> Result<Serving<'a>, Failure> {
        let round = Round {
            row,
            contender,
            programs,
            machine,
        };
        let Load::Client(server, words) = &row.load else {
            return Err(Failure::Unsupported("it has no client".to_owned()));
        };
        let (server, addr) = round.server(server, limit)?;
        Ok(Serving {
            round,
            words,
            server,
            addr,
        })
    }

    /// Lets a client measure once.
    ///
    /// # Errors
    /// Server or client failed or was too slow.
    pub fn sample(&mut self) -> Result<Metrics, Failure> {
        let before = usage(&mut self.server)?;
        let mut metrics = self.round.client_of(self.addr, self.words)?.finish()?;
        let after = usage(&mut self.server)?;
        let requests = metrics.get("requests").copied().unwrap_or(0.0).max(1.0);
        let cpu_us = (after.cpu - before.cpu).as_secs_f64() * 1e6;
        metrics.insert("cpu".to_owned(), cpu_us / requests);
        let sleeps = after.sleeps - before.sleeps;
        metrics.insert("sleeps".to_owned(), sleeps as f64 / requests);
        Ok(metrics)
    }
}

impl std::fmt::Debug for Serving<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving")
            .field("row", &self.round.row.id)
            .field("contender", &self.round.contender.name)
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

fn usage(server: &mut Child) -> Result<Usage, Failure> {
    server.tell("stats")?;
    server.expect(|line| match line {
        Line::Stats(usage) => Some(*usage),
        _ => None,
    })
}
