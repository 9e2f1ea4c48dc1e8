//! [`Child`]: a process that was started here.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Output};

use futures::future::try_join3;
use futures::io::{AsyncRead, AsyncReadExt};
use rustix::process::{Pid, kill_process};

use super::exit::{Exit, reap_orphans};
use crate::io::{PipeReader, PipeWriter};
use crate::runtime::Handle;
use crate::signal::Signal;

/// A process started by [`Command::spawn`](super::Command::spawn).
///
/// Dropping it lets the process run on, as in std, unless
/// [`kill_on_drop`](super::Command::kill_on_drop) was asked for. It does not stay behind as a zombie
/// when it ends: a goroutine of the runtime waits for it then. (Of one that ends after the runtime, also
/// because it is killed at that end, a zombie stays until another process is started or dropped.)
pub struct Child {
    /// Writes to the process, if its standard input is piped.
    pub stdin: Option<PipeWriter>,
    /// Reads what the process writes, if its standard output is piped.
    pub stdout: Option<PipeReader>,
    /// Reads what the process writes as errors, if its standard error is piped.
    pub stderr: Option<PipeReader>,
    id: u32,
    /// `None` once the drop has begun.
    exit: Option<Exit>,
    /// How it ended.
    status: Option<ExitStatus>,
    kill_on_drop: bool,
    /// Where a goroutine waits for it if nobody else does.
    runtime: Handle,
}

impl Child {
    pub(super) fn spawn(
        command: &mut std::process::Command,
        kill_on_drop: bool,
    ) -> io::Result<Child> {
        // Before anything is started.
        let runtime = Handle::try_current()
            .ok_or_else(|| gorin_reactor::no_runtime("waiting for a process"))?;
        reap_orphans();
        let mut child = command.spawn()?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut child = Child {
            stdin: None,
            stdout: None,
            stderr: None,
            id: child.id(),
            exit: Some(Exit::new(child)),
            status: None,
            // Until all pipes are made: what follows an error must not run without them.
            kill_on_drop: true,
            runtime,
        };
        child.stdin = stdin
            .map(|pipe| PipeWriter::from_fd(OwnedFd::from(pipe)))
            .transpose()?;
        child.stdout = stdout
            .map(|pipe| PipeReader::from_fd(OwnedFd::from(pipe)))
            .transpose()?;
        child.stderr = stderr
            .map(|pipe| PipeReader::from_fd(OwnedFd::from(pipe)))
            .transpose()?;
        child.kill_on_drop = kill_on_drop;
        Ok(child)
    }

    /// The number of the process. After [`wait`](Child::wait) it may belong to another one.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Waits for the end of the process, and says how it ended; also when it has ended already.
    ///
    /// Closes the standard input of the process, if `stdin` was not taken out: many programs end
    /// only then. Take the other pipes out and read them meanwhile, or a process that writes more
    /// than they hold waits for ever; [`wait_with_output`](Child::wait_with_output) does that.
    ///
    /// # Errors
    /// If the runtime has shut down, or somebody else has waited for the process. So does the system
    /// where `SIGCHLD` is ignored, which a program inherits from who has started it: nobody can know then
    /// how a child ended (`ECHILD`).
    ///
    /// # Cancel safety
    /// Dropping the future has no effect; wait again.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.stdin = None;
        if self.status.is_none() {
            let status = self.exit().wait().await?;
            self.status = Some(status);
        }
        self.try_wait()?
            .ok_or_else(|| unreachable!("it has a status"))
    }

    /// How the process ended, `None` if it still runs.
    ///
    /// # Errors
    /// If somebody else has waited for the process, as [`wait`](Child::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.exit().child().try_wait()?;
        }
        Ok(self.status)
    }

    /// Waits for the end of the process and collects what it writes to its piped streams; what is
    /// not piped, or was taken out, gives nothing. Closes its standard input.
    ///
    /// A stream ends when nobody can write to it any more. A process that the child has started and left
    /// behind (`sleep 3600 &` in a shell) has it too, unless it was redirected: this waits for its end as well.
    ///
    /// # Errors
    /// As [`wait`](Child::wait), and those of reading its output.
    ///
    /// # Cancel safety
    /// Dropping the future is dropping the child: what was collected is gone.
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let (stdout, stderr, status) =
            try_join3(read_all(stdout), read_all(stderr), self.wait()).await?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }

    /// Ends the process by `SIGKILL`, and does not wait for that; a process that has ended already
    /// is no error. Processes that it has started go on
    /// ([`process_group`](super::Command::process_group) says how to end them too).
    ///
    /// # Errors
    /// If this process may not do that; as [`try_wait`](Child::try_wait).
    pub fn kill(&mut self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends a signal to the process; one that has ended already is no error.
    ///
    /// ```
    /// use gorin::process::Command;
    /// use gorin::signal::Signal;
    /// use std::os::unix::process::ExitStatusExt;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// gorin::run(async {
    ///     let mut sleeper = Command::new("sleep").arg("3600").spawn()?;
    ///     sleeper.signal(Signal::TERMINATE)?;
    ///     assert_eq!(sleeper.wait().await?.signal(), Some(Signal::TERMINATE.as_raw()));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` if there is no such signal, and for real-time signals (from 32 on), which can be
    /// received but not sent here; an error if this process may not send it; as
    /// [`try_wait`](Child::try_wait).
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        let number = rustix::process::Signal::from_named_raw(signal.as_raw()).ok_or_else(|| {
            let text = format!("{signal} is not a signal that can be sent by name");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        // Nobody else has this number as long as the process, or its zombie, is there.
        let pid = i32::try_from(self.id).ok().and_then(Pid::from_raw);
        match (self.try_wait()?, pid) {
            (None, Some(pid)) => Ok(kill_process(pid, number)?),
            _ => Ok(()),
        }
    }

    fn exit(&mut self) -> &mut Exit {
        self.exit.as_mut().expect("it is there until the drop")
    }
}

/// All that comes from `pipe`.
async fn read_all(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

impl Drop for Child {
    fn drop(&mut self) {
        reap_orphans();
        let still_runs = matches!(self.try_wait(), Ok(None));
        if still_runs && self.kill_on_drop {
            // An error means that it may not be killed; it runs on.
            let _ = self.kill();
        }
        if still_runs && let Some(mut exit) = self.exit.take() {
            // Where the runtime has stopped the goroutine ends at once, and leaves an orphan.
            self.runtime.go(async move {
                let _ = exit.wait().await;
            });
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("kill_on_drop", &self.kill_on_drop)
            .finish_non_exhaustive()
    }
}
