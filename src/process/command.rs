//! [`Command`]: std's, with children that goroutines can wait for.

use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use super::Child;

/// How a program is to be started: `std::process::Command`, but for the goroutines that wait.
///
/// ```
/// use gorin::process::Command;
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let output = Command::new("echo").arg("hello").output().await?;
///     assert!(output.status.success());
///     assert_eq!(output.stdout, b"hello\n");
///     Ok(())
/// })
/// # }
/// ```
///
/// Talking to a program while it runs:
///
/// ```
/// use gorin::io::{AsyncBufReadExt, BufReader};
/// use gorin::process::{Command, Stdio};
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
///     let stdin = cat.stdin.take().expect("it is piped");
///     let mut stdout = BufReader::new(cat.stdout.take().expect("it is piped"));
///     stdin.write_all(b"echo?\n").await?;
///     let mut line = String::new();
///     stdout.read_line(&mut line).await?;
///     assert_eq!(line, "echo?\n");
///     drop(stdin);
///     assert!(cat.wait().await?.success());
///     Ok(())
/// })
/// # }
/// ```
/// One program that reads what another writes, as `seq 20 | grep 7`:
///
/// ```
/// use gorin::process::{Command, Stdio};
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let mut seq = Command::new("seq").arg("20").stdout(Stdio::piped()).spawn()?;
///     let between = seq.stdout.take().expect("it is piped");
///     let grep = Command::new("grep").arg("7").stdin(Stdio::try_from(between)?).output();
///     assert_eq!(grep.await?.stdout, b"7\n17\n");
///     assert!(seq.wait().await?.success());
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct Command {
    inner: std::process::Command,
    kill_on_drop: bool,
    /// Which of the standard streams were set here: input, output, error.
    set: [bool; 3],
}

impl Command {
    /// A command that starts `program`, found as a shell would, with the environment, directory and
    /// standard streams of this process.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        std::process::Command::new(program).into()
    }

    /// Adds an argument.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Command {
        self.inner.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Command {
        self.inner.args(arguments);
        self
    }

    /// Sets what the program sees as its own name.
    pub fn arg0(&mut self, name: impl AsRef<OsStr>) -> &mut Command {
        self.inner.arg0(name);
        self
    }

    /// Sets an environment variable.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.inner.env(key, value);
        self
    }

    /// Sets environment variables.
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        &mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Command {
        self.inner.envs(variables);
        self
    }

    /// Takes a variable out of the environment.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Command {
        self.inner.env_remove(key);
        self
    }

    /// Starts with an empty environment.
    pub fn env_clear(&mut self) -> &mut Command {
        self.inner.env_clear();
        self
    }

    /// Sets the directory in which the program begins.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Command {
        self.inner.current_dir(directory);
        self
    }

    /// Sets the program's standard input. Inherited if not set, but by [`output`](Command::output)
    /// empty.
    pub fn stdin(&mut self, stream: impl Into<Stdio>) -> &mut Command {
        self.set[0] = true;
        self.inner.stdin(stream);
        self
    }

    /// Sets the program's standard output. Inherited if not set, but by
    /// [`output`](Command::output) piped.
    pub fn stdout(&mut self, stream: impl Into<Stdio>) -> &mut Command {
        self.set[1] = true;
        self.inner.stdout(stream);
        self
    }

    /// Sets the program's standard error. Inherited if not set, but by
    /// [`output`](Command::output) piped.
    pub fn stderr(&mut self, stream: impl Into<Stdio>) -> &mut Command {
        self.set[2] = true;
        self.inner.stderr(stream);
        self
    }

    /// Sets the user as which the program runs.
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.inner.uid(id);
        self
    }

    /// Sets the group as which the program runs.
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.inner.gid(id);
        self
    }

    /// Sets the process group of the program; 0 makes it the leader of a new one, which Ctrl-C in
    /// the terminal does not reach, and whose number is [`Child::id`]. `kill(2)` with the negative number (in
    /// rustix `kill_process_group`) then ends the program together with those that it has started.
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.inner.process_group(group);
        self
    }

    /// Sets whether a child is killed when its [`Child`] is dropped before its end was seen. It is
    /// not, unless this is called. Processes that it has started are not killed in either case
    /// ([`process_group`](Command::process_group) says how).
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// std's command, to look at what was set.
    pub fn as_std(&self) -> &std::process::Command {
        &self.inner
    }

    /// std's command, for what has no method here.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.inner
    }

    /// Starts the program. Takes the time of a `fork` and an `exec`, which this worker waits for.
    ///
    /// # Errors
    /// As std's: `NotFound` if there is no such program. Also if this thread belongs to no runtime,
    /// and then nothing is started.
    pub fn spawn(&mut self) -> io::Result<Child> {
        Child::spawn(&mut self.inner, self.kill_on_drop)
    }

    /// Runs the program to its end. If this is dropped first the program runs on, unless
    /// [`kill_on_drop`](Command::kill_on_drop) says otherwise.
    ///
    /// # Errors
    /// As [`spawn`](Command::spawn).
    pub fn status(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + Send + use<> {
        let child = self.spawn();
        async move { child?.wait().await }
    }

    /// Runs the program to its end and collects what it writes. Its standard input is empty and the
    /// other two streams are collected, unless they were set by the methods of this type.
    ///
    /// If this is dropped first the program runs on, unless
    /// [`kill_on_drop`](Command::kill_on_drop) says otherwise; what it writes then ends in
    /// `SIGPIPE`.
    ///
    /// # Errors
    /// As [`spawn`](Command::spawn), and those of reading its output.
    pub fn output(&mut self) -> impl Future<Output = io::Result<Output>> + Send + use<> {
        let unset = self.set.map(|is_set| !is_set);
        self.set_streams(unset, [Stdio::null, Stdio::piped, Stdio::piped]);
        let child = self.spawn();
        // For this run only: whoever starts the command again does not ask for pipes, and reads none.
        self.set_streams(unset, [Stdio::inherit; 3]);
        async move { child?.wait_with_output().await }
    }

    /// Sets those of the standard streams that are asked for.
    fn set_streams(&mut self, asked: [bool; 3], streams: [fn() -> Stdio; 3]) {
        let [stdin, stdout, stderr] = asked;
        let [input, output, error] = streams;
        if stdin {
            self.inner.stdin(input());
        }
        if stdout {
            self.inner.stdout(output());
        }
        if stderr {
            self.inner.stderr(error());
        }
    }
}

impl From<std::process::Command> for Command {
    fn from(inner: std::process::Command) -> Command {
        Command {
            inner,
            kill_on_drop: false,
            set: [false; 3],
        }
    }
}
