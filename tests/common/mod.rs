//! What several of the end-to-end tests need: examples as processes, counts of this process's
//! descriptors and threads, and a time limit for everything that might hang.

// Each test file compiles its own copy and uses a part of it.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::fs;
use std::future::Future;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use gorin::Runtime;

/// Longer than any step of a test takes on a slow and busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The path of the example `name` of the root package, built with the profile of this test.
pub(crate) fn example(name: &str) -> PathBuf {
    example_of("gorin", name)
}

/// As [`example`], of another package.
///
/// Bare `cargo test` has built it already; `cargo test --test echo` has not.
pub(crate) fn example_of(package: &str, name: &str) -> PathBuf {
    // One at a time and each once: cargo takes a second to see that there is nothing to do.
    static BUILT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    // .../target/<profile>/deps/<this test>
    let this = std::env::current_exe().expect("a running program has a path");
    let profile_dir = this
        .ancestors()
        .nth(2)
        .expect("tests lie in <profile>/deps");
    let target_dir = profile_dir
        .parent()
        .expect("profiles lie in the target directory");
    let path = profile_dir.join("examples").join(name);
    if built.contains(&path) {
        return path;
    }
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(other) => other,
        None => panic!("{} is no profile", profile_dir.display()),
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    // What cargo tells this test of its own package would have build scripts run anew that look for it.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_a_package) {
            cargo.env_remove(name);
        }
    }
    let output = cargo
        .args(["build", "--quiet", "--package", package, "--example", name])
        .args(["--profile", profile, "--target-dir"])
        .arg(target_dir)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be started");
    assert!(
        output.status.success(),
        "the example {name} does not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    built.push(path.clone());
    path
}

/// True for the variables by which cargo tells a program of its package.
fn is_of_a_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}

/// A process that is killed when the test ends, however it ends.
pub(crate) struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Process {
    /// Starts `program` with its standard output readable by line.
    pub(crate) fn start(program: &Path, args: &[&str]) -> Process {
        Process::start_command(Command::new(program).args(args))
    }

    /// As [`start`](Process::start), for a command with more settings.
    pub(crate) fn start_command(command: &mut Command) -> Process {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program can be started");
        let lines = read_lines(child.stdout.take().expect("stdout is piped"));
        Process { child, lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its output that contains `text`.
    pub(crate) fn line_with(&self, text: &str) -> String {
        let mut lines = self.lines_until(text);
        lines.pop().expect("the last line contains the text")
    }

    /// Its output up to the next line that contains `text`.
    pub(crate) fn lines_until(&self, text: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => seen.push(line),
                Err(error) => panic!("{error}: no line contains `{text}`; there was {seen:#?}"),
            }
            if seen.last().is_some_and(|line| line.contains(text)) {
                return seen;
            }
        }
    }

    /// Sends a signal to it.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([&format!("-{signal}"), &self.id().to_string()])
            .status();
        assert!(status.expect("kill can be started").success());
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        // Its output ends when it does, so that waiting for the one is waiting for the other.
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(_line) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("process {} hangs", self.id()),
            }
        }
        self.child.wait().expect("it is our child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of `output`, read by a thread of their own, so that waiting for one can time out.
fn read_lines(output: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// The echo example, serving on a free port of the loopback interface.
pub(crate) fn start_echo(workers: usize) -> (Process, String) {
    let mut command = Command::new(example("echo"));
    command
        .arg("127.0.0.1:0")
        .env("GORIN_WORKERS", workers.to_string());
    let process = Process::start_command(&mut command);
    let line = process.line_with("listening on ");
    let address = line
        .rsplit(' ')
        .next()
        .expect("the address is the last word");
    (process, address.to_owned())
}

/// CPU time that `process` has used: what its threads have run, from the scheduler itself, which
/// is finer than the 10 ms ticks of `/proc/<pid>/stat`.
pub(crate) fn cpu_time(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let nanos = tasks.map(|task| {
        let text = fs::read_to_string(task.expect("it runs").path().join("schedstat"));
        let text = text.expect("the kernel keeps scheduler statistics");
        let ran = text
            .split_whitespace()
            .next()
            .expect("the first number is the time run");
        ran.parse::<u64>().expect("it is a number")
    });
    Duration::from_nanos(nanos.sum())
}

/// Fails if `process` uses more than `budget` in each of some windows of time. (Not in one alone: what the
/// machine does meanwhile may be charged to it.)
pub(crate) fn assert_idle(process: u32, window: Duration, budget: Duration, what: &str) {
    let used = || {
        let before = cpu_time(process);
        thread::sleep(window);
        cpu_time(process) - before
    };
    let mut each = Vec::new();
    while each.last().is_none_or(|used| *used >= budget) {
        assert!(each.len() < 5, "{what} costs {each:?} in {window:?} each");
        each.push(used());
    }
}

/// What this process has in memory, in bytes.
pub(crate) fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
    let kib: usize = kib.expect("in kB").trim().parse().expect("a number");
    kib * 1024
}

/// Runs `body` on a thread of its own and fails if it does not end within [`PATIENCE`].
pub(crate) fn within_patience<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    within(PATIENCE, body)
}

/// As [`within_patience`], for what takes longer.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    body: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, result) = mpsc::channel();
    let thread = thread::spawn(move || {
        // Nobody listens any more when the test has given up.
        let _ = sender.send(body());
    });
    match result.recv_timeout(limit) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs: not done after {limit:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let panic = thread.join().expect_err("it ended without a value");
            std::panic::resume_unwind(panic)
        }
    }
}

/// Runs `program` on one worker, on two, and with `block_on` on a thread that is no worker.
pub(crate) fn everywhere<F: Future<Output = io::Result<()>> + 'static>(
    program: impl Fn() -> F + Send + 'static,
) {
    within_patience(move || {
        for workers in [1, 2] {
            let builder = gorin::Runtime::builder().workers(workers);
            builder.run(program()).unwrap().unwrap();
        }
        let runtime = gorin::Runtime::builder().workers(1).build().unwrap();
        runtime.block_on(program()).unwrap();
    });
}

/// As [`everywhere`], each time with a new directory.
pub(crate) fn everywhere_with_directory<F: Future<Output = io::Result<()>> + 'static>(
    program: fn(TempDir) -> F,
) {
    everywhere(move || program(TempDir::new()));
}

/// What this process holds for gorin, or may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Open descriptors of any kind.
    pub(crate) descriptors: usize,
    /// Threads by the names of workers and of the kernel's threads for io_uring. The others are the
    /// test harness's, which come and go.
    pub(crate) threads: usize,
}

impl Held {
    /// Now. Only for tests that are alone in their process.
    pub(crate) fn now() -> Held {
        let entries = |dir| fs::read_dir(dir).expect("/proc is mounted").flatten();
        // A thread that is gone by now has no name and does not count.
        let name = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("comm"));
        let is_ours = |name: &String| name.starts_with("gorin") || name.starts_with("iou-");
        let names = entries("/proc/self/task").map(name);
        Held {
            descriptors: entries("/proc/self/fd").count(),
            threads: names.flatten().filter(is_ours).count(),
        }
    }

    /// Waits until no more is held than `self`: a joined thread leaves /proc a moment later, and
    /// the kernel closes a ring in the background.
    pub(crate) fn wait_until_back(self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Held::now();
            if now.descriptors <= self.descriptors && now.threads <= self.threads {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "left behind: {now:?}, before: {self:?}"
            );
            thread::yield_now();
        }
    }
}

/// A new directory for a test's files, removed at the end.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> TempDir {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("gorin-test-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return TempDir(path),
                // Left by a process of this number that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Whatever the test has left in it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs `program` on a runtime with `workers` workers, and fails if it hangs.
pub(crate) fn on_workers<F: Future<Output = ()> + 'static>(workers: usize, program: fn() -> F) {
    within_patience(move || {
        Runtime::builder()
            .workers(workers)
            .run(program())
            .expect("a runtime can be started")
    });
}

/// Runs `program` on one worker, on two and on four.
pub(crate) fn on_each_count<F: Future<Output = ()> + 'static>(program: fn() -> F) {
    for workers in [1, 2, 4] {
        on_workers(workers, program);
    }
}
