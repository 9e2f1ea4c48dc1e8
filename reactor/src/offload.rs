//! Operations for drivers that have no ring: each is done by blocking calls on a thread of a pool
//! (`perform.rs`), and its result comes back to the worker that asked.
//!
//! # Invariants
//!
//! 1. Each job answers exactly once, also one that the pool throws away: it is a value whose drop
//!    answers `-ECANCELED`.
//! 2. An answer is in the list before its worker is notified.
//!
//! A cancellation is honoured if the job has not begun: a blocking call cannot be called back.

use std::collections::{HashSet, VecDeque};
use std::fmt;

use gorin_base::primitive::{Mutex, PlainArc, thread};

use crate::bell::RingBell;
use crate::driver::{Completion, Request};
use crate::key::Key;
use crate::park::Signal;
use crate::perform::perform;

type Task = Box<dyn FnOnce() + Send>;

/// Runs a closure that may block for long, on a thread that is no worker.
///
/// ```
/// use gorin_reactor::{Config, DriverKind, Offload, Reactor, ops};
///
/// # fn main() -> std::io::Result<()> {
/// let config = Config {
///     driver: Some(DriverKind::Epoll),
///     offload: Offload::new(|task| drop(std::thread::spawn(task))),
///     ..Config::default()
/// };
/// let mut worker = Reactor::new(config)?.attach(0)?;
/// let file = worker.block_on(ops::open("/proc/version", libc::O_RDONLY, 0));
/// assert!(file.is_ok());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Offload(PlainArc<dyn Fn(Task) + Send + Sync>);

impl Offload {
    /// `run` gets the closures; it must not run them itself, on the worker that calls it. One that it
    /// drops counts as cancelled.
    pub fn new(run: impl Fn(Box<dyn FnOnce() + Send>) + Send + Sync + 'static) -> Offload {
        Offload(PlainArc::new(run))
    }
}

impl Default for Offload {
    /// A thread for each closure.
    fn default() -> Self {
        Offload::new(|task| {
            let thread = thread::Builder::new().name("gorin-offload".to_owned());
            // No thread to be had: the task is dropped, hence cancelled.
            drop(thread.spawn(task));
        })
    }
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Offload")
    }
}

/// The jobs of one worker.
pub(crate) struct Jobs {
    offload: Offload,
    desk: PlainArc<Desk>,
    in_flight: usize,
}

/// Where jobs and their worker meet.
struct Desk {
    papers: Mutex<Papers>,
    signal: PlainArc<Signal<RingBell>>,
}

#[derive(Default)]
struct Papers {
    done: VecDeque<Completion>,
    /// Jobs that have not begun and may: what is cancelled is taken out. So nothing is left of a
    /// cancellation that came too late.
    wanted: HashSet<Key>,
}

impl Jobs {
    pub(crate) fn new(offload: Offload, signal: PlainArc<Signal<RingBell>>) -> Jobs {
        Jobs {
            offload,
            desk: PlainArc::new(Desk {
                papers: Mutex::new(Papers::default()),
                signal,
            }),
            in_flight: 0,
        }
    }

    /// Has `request` done; its completion comes under `key`.
    ///
    /// # Safety
    /// As [`Driver::submit`](crate::driver::Driver::submit).
    pub(crate) unsafe fn submit(&mut self, key: Key, request: Request) {
        self.in_flight += 1;
        self.desk.papers.lock().wanted.insert(key);
        let job = Job {
            key,
            request,
            desk: self.desk.clone(),
            answer: -libc::ECANCELED,
        };
        (self.offload.0)(Box::new(move || job.run()));
    }

    pub(crate) fn cancel(&mut self, key: Key) {
        self.desk.papers.lock().wanted.remove(&key);
    }

    pub(crate) fn cancel_all(&mut self) {
        self.desk.papers.lock().wanted.clear();
    }

    /// True if [`reap`](Self::reap) would find something.
    pub(crate) fn is_due(&self) -> bool {
        self.in_flight > 0 && !self.desk.papers.lock().done.is_empty()
    }

    /// Moves what is done to the end of `completions`. Returns how much that was.
    pub(crate) fn reap(&mut self, completions: &mut VecDeque<Completion>) -> usize {
        if self.in_flight == 0 {
            return 0;
        }
        let mut papers = self.desk.papers.lock();
        let count = papers.done.len();
        completions.append(&mut papers.done);
        self.in_flight -= count;
        count
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs")
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

/// One request on its way. Dropping it answers.
struct Job {
    key: Key,
    request: Request,
    desk: PlainArc<Desk>,
    answer: i32,
}

// SAFETY: the pointers in the request are the only parts that are not Send; what they name stays
// valid until the answer, on any thread, by the contract of `Jobs::submit`.
unsafe impl Send for Job {}

impl Job {
    fn run(mut self) {
        let wanted = self.desk.papers.lock().wanted.remove(&self.key);
        if wanted {
            // SAFETY: as at `Send`; the answer is given afterwards.
            self.answer = unsafe { perform(self.request) };
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let completion = Completion {
            key: self.key,
            result: self.answer,
            more: false,
        };
        {
            let papers = &mut *self.desk.papers.lock();
            // Still there if the pool has thrown the job away.
            papers.wanted.remove(&self.key);
            papers.done.push_back(completion);
        }
        self.desk.signal.notify_mail();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::counters::Counters;
    use crate::key::Kind;

    /// A pool whose jobs the test runs itself, and a worker's jobs in it.
    fn by_hand() -> (PlainArc<Mutex<VecDeque<Task>>>, Jobs) {
        let queue = PlainArc::new(Mutex::new(VecDeque::new()));
        let pool = queue.clone();
        let offload = Offload::new(move |task| pool.lock().push_back(task));
        let bell = RingBell::new(PlainArc::new(Counters::default()));
        (queue, Jobs::new(offload, PlainArc::new(Signal::new(bell))))
    }

    fn submit(jobs: &mut Jobs, index: usize) -> Key {
        let key = Key::new(Kind::Operation, index, 1);
        // SAFETY: the request names no memory.
        unsafe { jobs.submit(key, Request::Nop) };
        key
    }

    fn answers(jobs: &mut Jobs) -> Vec<(usize, i32)> {
        let mut completions = VecDeque::new();
        jobs.reap(&mut completions);
        let answers = completions.into_iter();
        answers.map(|c| (c.key.index(), c.result)).collect()
    }

    #[test]
    fn jobs_are_cancelled_until_they_begin_and_each_answers_once() {
        const CANCELLED: i32 = -libc::ECANCELED;
        let (queue, mut jobs) = by_hand();
        let run = || {
            let task = queue.lock().pop_front().expect("a task");
            task();
        };
        let keys: Vec<Key> = (1..=4).map(|index| submit(&mut jobs, index)).collect();
        jobs.cancel(keys[1]);
        run();
        run();
        assert_eq!(answers(&mut jobs), [(1, 0), (2, CANCELLED)]);
        drop(queue.lock().pop_front());
        jobs.cancel_all();
        run();
        assert_eq!(answers(&mut jobs), [(3, CANCELLED), (4, CANCELLED)]);
        assert_eq!(jobs.in_flight, 0);
    }

    /// For: cancellations that were kept as long as anything was in flight.
    #[test]
    fn nothing_is_left_of_a_cancellation_that_comes_too_late() {
        let (queue, mut jobs) = by_hand();
        submit(&mut jobs, 0);
        let first = queue.lock().pop_front();
        for index in 1..100 {
            let key = submit(&mut jobs, index);
            let task = queue.lock().pop_front().expect("a task");
            task();
            jobs.cancel(key);
            assert_eq!(answers(&mut jobs), [(index, 0)]);
            jobs.cancel(key);
        }
        assert_eq!(jobs.desk.papers.lock().wanted.len(), 1);
        drop(first);
    }
}
