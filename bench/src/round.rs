//! One sample: one row, one contender, once, in processes of its own.

use crate::build::{Program, Programs};
use crate::child::{Child, Failure};
use crate::contender::{Board, Contender};
use crate::plan::{Cpus, Load, Row, Server};
use crate::stats::Samples;
use crate::wire::{Line, Metrics, Usage};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

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
        Load::Client(server, words) => round.client(server, words),
        Load::Idle(server, connections) => round.idle(server, *connections),
    }
}

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
        Child::start(
            command,
            &self.machine.measured(self.row.cpus),
            self.row.limit,
        )
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

    /// Starts the server; returns it with its address.
    fn server(&self, server: &Server) -> Result<(Child, SocketAddr), Failure> {
        let words = format!(
            "serve --workers {} --buffer {} --hogs {}",
            server.workers, server.buffer_bytes, server.hogs
        );
        let udp = server.udp.then_some("--udp");
        let words = words.split_whitespace().chain(udp);
        let words: Vec<_> = words.map(str::to_owned).collect();
        let mut child = self.start(&mut self.command(&words)?)?;
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

    fn client(&self, server: &Server, words: &[String]) -> Result<Metrics, Failure> {
        let (mut server, addr) = self.server(server)?;
        let before = usage(&mut server)?;
        let mut metrics = self.client_of(addr, words)?.finish()?;
        let after = usage(&mut server)?;
        let requests = metrics.get("requests").copied().unwrap_or(0.0).max(1.0);
        let cpu_us = (after.cpu - before.cpu).as_secs_f64() * 1e6;
        metrics.insert("cpu".to_owned(), cpu_us / requests);
        let sleeps = after.sleeps - before.sleeps;
        metrics.insert("sleeps".to_owned(), sleeps as f64 / requests);
        Ok(metrics)
    }

    fn idle(&self, server: &Server, connections: usize) -> Result<Metrics, Failure> {
        let (mut server, addr) = self.server(server)?;
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

fn usage(server: &mut Child) -> Result<Usage, Failure> {
    server.tell("stats")?;
    server.expect(|line| match line {
        Line::Stats(usage) => Some(*usage),
        _ => None,
    })
}
