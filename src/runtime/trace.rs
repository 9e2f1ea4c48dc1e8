//! A line on stderr now and then, of what a runtime does: Go's `GODEBUG=schedtrace`.
//!
//! By a thread of its own, so that it speaks also when all workers are stuck.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use gorin_base::primitive::Mutex;
use gorin_base::{clock, mishap};

use super::Handle;
use super::environment::DEBUG;

/// How long the end of a runtime waits for a line that is being written. Where stderr is a pipe that nobody
/// reads, it may take for ever.
const PATIENCE: Duration = Duration::from_millis(100);

/// The thread, until this is dropped.
#[derive(Debug)]
pub(super) struct Trace {
    /// `Some` until the thread is told to end by its loss.
    running: Option<mpsc::Sender<()>>,
    /// Lost by the thread when it ends. Locked by nobody.
    ended: Mutex<mpsc::Receiver<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Trace {
    /// Starts it if `GORIN_DEBUG` asks for it.
    pub(super) fn from_environment(handle: &Handle) -> io::Result<Option<Trace>> {
        let Some(period) = DEBUG.get()? else {
            return Ok(None);
        };
        let (running, ends) = mpsc::channel();
        let (ending, ended) = mpsc::channel();
        let handle = handle.clone();
        let thread = thread::Builder::new().name("gorin-trace".to_owned());
        let trace = move || {
            let _ending = ending;
            trace(&handle, period, &ends);
        };
        let thread = thread.spawn(trace).map_err(|error| {
            let text = format!(
                "gorin cannot start the thread that GORIN_DEBUG asks for: {error}. Unset it, or raise the \
                 limit on threads (`ulimit -u`, the cgroup's pids.max)."
            );
            io::Error::new(error.kind(), text)
        })?;
        Ok(Some(Trace {
            running: Some(running),
            ended: Mutex::new(ended),
            thread: Some(thread),
        }))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.running = None;
        let ended = self.ended.get_mut().recv_timeout(PATIENCE);
        if ended == Err(mpsc::RecvTimeoutError::Disconnected)
            && let Some(thread) = self.thread.take()
        {
            // It has nothing to panic about.
            let _ = thread.join();
        }
    }
}

/// Says every `period` what has been done since the last time, until nobody can send any more.
fn trace(handle: &Handle, period: Duration, ends: &mpsc::Receiver<()>) {
    let (begin, mut before) = (clock::now(), handle.stats());
    while ends.recv_timeout(period) == Err(mpsc::RecvTimeoutError::Timeout) {
        let now = handle.stats();
        let at = clock::now().duration_since(begin).as_millis();
        mishap::tell(format_args!("gorin: at={at}ms {}", now.since(&before)));
        before = now;
    }
}
