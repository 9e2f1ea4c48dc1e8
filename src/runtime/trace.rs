//! A line on stderr now and then, of what a runtime does: Go's `GODEBUG=schedtrace`.
//!
//! By a thread of its own, so that it speaks also when all workers are stuck.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use gorin_base::{clock, mishap};

use super::Handle;
use super::environment::DEBUG;

/// The thread, until this is dropped.
#[derive(Debug)]
pub(super) struct Trace {
    /// `Some` until the thread is told to end by its loss.
    running: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Trace {
    /// Starts it if `GORIN_DEBUG` asks for it.
    pub(super) fn from_environment(handle: &Handle) -> io::Result<Option<Trace>> {
        let Some(period) = DEBUG.get()? else {
            return Ok(None);
        };
        let (running, ends) = mpsc::channel();
        let handle = handle.clone();
        let thread = thread::Builder::new().name("gorin-trace".to_owned());
        let thread = thread.spawn(move || trace(&handle, period, &ends))?;
        Ok(Some(Trace {
            running: Some(running),
            thread: Some(thread),
        }))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.running = None;
        if let Some(thread) = self.thread.take() {
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
