//! The worker threads: their start, their end, and the report on who did not end.
//!
//! A thread says two things over one channel: that its ring stands (or why not), and that it is
//! done. It can be joined without waiting once it has said the second.

use std::fmt;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use gorin_base::primitive::{AtomicBool, Mutex};
use gorin_base::{clock, mishap};
use gorin_executor::TaskInfo;
use gorin_reactor::Drained;

use super::role::Role;
use super::{EXIT_TIMEOUT, Handle, current};

/// The worker threads of one runtime.
#[derive(Debug)]
pub(super) struct Threads {
    workers: Group,
    /// The thread of the spare worker, if there is one.
    spare: Option<Group>,
}

/// Threads that are started together.
#[derive(Debug)]
struct Group {
    running: Vec<Worker>,
    /// The mutex only makes the runtime `Sync`; nobody else locks it.
    events: Mutex<mpsc::Receiver<Event>>,
}

#[derive(Debug)]
struct Worker {
    index: usize,
    thread: thread::JoinHandle<()>,
}

/// What a worker thread says about itself.
#[derive(Debug)]
enum Event {
    /// Its ring stands, or could not be had.
    Started(io::Result<()>),
    /// It will do nothing more but return.
    Ended { index: usize, drained: Drained },
}

/// How the thread of a worker is made.
pub(super) struct WorkerThread<'a> {
    /// Its name, to which the worker's number is added, or that it is the spare one.
    pub(super) name: &'a str,
    /// The size of its stack; `None` for std's.
    pub(super) stack_bytes: Option<usize>,
}

impl Threads {
    /// Starts a thread for each worker from `first` on; returns when all rings stand.
    ///
    /// The spare worker comes after all others, so that it takes nothing from them; where there is no thread
    /// or ring left for it the runtime goes on without.
    ///
    /// # Errors
    /// If a thread or ring cannot be had; the threads already started are ended before.
    pub(super) fn start(
        handle: &Handle,
        first: usize,
        made: &WorkerThread<'_>,
    ) -> io::Result<Threads> {
        let (workers, started) = Group::start(handle, first..handle.num_workers(), made);
        let mut threads = Threads {
            workers,
            spare: None,
        };
        if let Err(error) = started {
            threads.stop(handle, EXIT_TIMEOUT).report();
            return Err(error);
        }
        if handle.has_spare() {
            let index = handle.num_workers();
            let (spare, started) = Group::start(handle, index..index + 1, made);
            match started {
                Ok(()) => threads.spare = Some(spare),
                Err(error) => {
                    handle.shared.reactor.forgo_spare();
                    spare.running.into_iter().for_each(Worker::join);
                    warn_of_missing_spare(&error);
                }
            }
        }
        Ok(threads)
    }

    /// Tells the runtime to stop and waits for its end, at most `limit`.
    pub(super) fn stop(self, handle: &Handle, limit: Duration) -> Shutdown {
        let deadline = handle.stop(limit);
        self.join(handle, deadline)
    }

    /// Waits until all threads have ended, at most until `deadline`; the others are left alone, and
    /// who is still in `block_on` then is told that the runtime is over.
    pub(super) fn join(self, handle: &Handle, deadline: Instant) -> Shutdown {
        let mut groups: Vec<Group> = [self.workers].into_iter().chain(self.spare).collect();
        let mut abandoned_operations = 0;
        let ended: Vec<Vec<usize>> = groups
            .iter_mut()
            .map(|group| group.wait(deadline, &mut abandoned_operations))
            .collect();
        // Done by the workers, unless one that computes has kept all of them.
        handle.shared.over.close();
        let joined = groups.into_iter().zip(&ended);
        let lost_workers = joined.map(|(group, ended)| group.join(ended)).sum();
        // Last: closures that workers are waiting for are among those that end here.
        let patience = match current::is_in_closure_of(handle) {
            true => clock::now(),
            false => deadline,
        };
        let blocking_jobs = handle.shared.executor.join_blocking(Some(patience));
        Shutdown {
            goroutines: handle.shared.executor.tasks(),
            blocking_jobs,
            lost_workers,
            abandoned_operations,
        }
    }
}

impl Group {
    /// Starts the threads of these workers; says when all rings stand, or why not. Those that stand run on.
    fn start(
        handle: &Handle,
        workers: Range<usize>,
        made: &WorkerThread<'_>,
    ) -> (Group, io::Result<()>) {
        let (sender, events) = mpsc::channel();
        let mut running = Vec::new();
        let mut outcome = Ok(());
        for index in workers {
            match spawn(handle.clone(), index, made, sender.clone()) {
                Ok(thread) => running.push(Worker { index, thread }),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        drop(sender);
        for _ in 0..running.len() {
            let started = match events.recv() {
                Ok(Event::Started(result)) => result,
                Ok(Event::Ended { index, .. }) => unreachable!("worker {index} ended unasked"),
                Err(mpsc::RecvError) => Err(io::Error::other("a gorin worker thread panicked")),
            };
            outcome = outcome.and(started);
        }
        let group = Group {
            running,
            events: Mutex::new(events),
        };
        (group, outcome)
    }

    /// Waits until all have ended, at most until `deadline`; gives those that have. Adds the operations that
    /// they have left in the kernel to `left`.
    fn wait(&mut self, deadline: Instant, left: &mut usize) -> Vec<usize> {
        let mut ended = Vec::new();
        loop {
            let patience = deadline.saturating_duration_since(clock::now());
            match self.events.get_mut().recv_timeout(patience) {
                Ok(Event::Ended { index, drained }) => {
                    *left += abandoned(&drained);
                    ended.push(index);
                }
                // Of a start that failed elsewhere.
                Ok(Event::Started(_)) => {}
                // Every thread has let go of its sender: each is about to return.
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return self.running.iter().map(|worker| worker.index).collect();
                }
                Err(mpsc::RecvTimeoutError::Timeout) => return ended,
            }
        }
    }

    /// Joins the threads of the workers `ended`; gives the number of the others.
    fn join(self, ended: &[usize]) -> usize {
        let is_over = |worker: &Worker| ended.contains(&worker.index);
        let (over, lost): (Vec<_>, Vec<_>) = self.running.into_iter().partition(is_over);
        over.into_iter().for_each(Worker::join);
        lost.len()
    }
}

impl Worker {
    fn join(self) {
        // A worker that panicked has said so on stderr, and its goroutines are in the list.
        let _ = self.thread.join();
    }
}

/// Said once in a process, however many runtimes it starts.
fn warn_of_missing_spare(error: &io::Error) {
    static SAID: AtomicBool = AtomicBool::new(false);
    mishap::tell_once(
        &SAID,
        format_args!(
            "gorin: {error} Going on without the spare worker: while all others compute at once \
             nobody serves."
        ),
    );
}

/// Starts the thread of worker `index`.
fn spawn(
    handle: Handle,
    index: usize,
    made: &WorkerThread<'_>,
    events: mpsc::Sender<Event>,
) -> io::Result<thread::JoinHandle<()>> {
    let name = match index == handle.num_workers() {
        true => format!("{}-spare", made.name),
        false => format!("{}-{index}", made.name),
    };
    let mut thread = thread::Builder::new().name(name);
    if let Some(bytes) = made.stack_bytes {
        thread = thread.stack_size(bytes);
    }
    thread
        .spawn(move || work(&handle, index, &events))
        .map_err(|error| {
            let stack = match made.stack_bytes {
                Some(bytes) => format!(", or ask for stacks of less than {bytes} bytes"),
                None => String::new(),
            };
            io::Error::new(
                error.kind(),
                format!(
                    "gorin cannot start the thread of worker {index}: {error}. Use fewer workers \
                     (GORIN_WORKERS) or raise the limit on threads (`ulimit -u`, the cgroup's \
                     pids.max){stack}."
                ),
            )
        })
}

/// Panics that a worker survives. A bound, so that a ring that cannot be used any more ends
/// its worker instead of filling the log.
const MOST_PANICS: u32 = 1000;

/// Runs the loop of worker `index` until it ends; false if it panics again and again. Goroutines, and wakers
/// of strangers, are caught where they are called; what comes here is a panic of
/// [`on_stall`](super::Builder::on_stall)'s closure, or of a ring that was tampered with. It was printed, and
/// all others must not pay for it.
pub(super) fn persevere(index: usize, mut run: impl FnMut()) -> bool {
    for _ in 0..MOST_PANICS {
        let Err(payload) = catch_unwind(AssertUnwindSafe(&mut run)) else {
            return true;
        };
        mishap::discard(payload);
        mishap::tell(format_args!(
            "gorin: worker {index} has panicked outside of goroutines, and goes on"
        ));
    }
    mishap::tell(format_args!(
        "gorin: worker {index} panics again and again, and ends"
    ));
    false
}

/// The life of a worker thread.
fn work(handle: &Handle, index: usize, events: &mpsc::Sender<Event>) {
    let _role = Role::enter(Role::Worker, "a worker thread");
    let _current = current::set(handle);
    // Nobody listens any more when the runtime gave up waiting: a send that fails is no error.
    let mut local = match handle.shared.reactor.attach(index) {
        Ok(local) => {
            let _ = events.send(Event::Started(Ok(())));
            local
        }
        Err(error) => {
            let _ = events.send(Event::Started(Err(error)));
            return;
        }
    };
    let mut worker = handle.shared.executor.worker(index);
    let over = persevere(index, || local.block_on(worker.run()));
    drop(worker);
    if over {
        handle.shared.over.close();
    }
    // Not set if the executor stopped by itself, for a panic that crashes the runtime.
    let deadline = handle.shared.teardown_deadline.get().copied();
    let drained = local.shutdown(deadline.unwrap_or_else(|| clock::now() + EXIT_TIMEOUT));
    let _ = events.send(Event::Ended { index, drained });
}

/// What the kernel had not ended when the ring of a worker had to go.
fn abandoned(drained: &Drained) -> usize {
    drained.operations + drained.polls
}

/// How a runtime ended: which goroutines and blocking closures did not stop in time.
///
/// [`Display`](fmt::Display) gives a report for people.
#[derive(Debug)]
#[must_use = "it tells which goroutines did not stop; print it"]
pub struct Shutdown {
    goroutines: Vec<TaskInfo>,
    blocking_jobs: Vec<TaskInfo>,
    lost_workers: usize,
    abandoned_operations: usize,
}

impl Shutdown {
    /// True if everything was dropped, drained and joined.
    pub fn is_complete(&self) -> bool {
        self.goroutines.is_empty()
            && self.blocking_jobs.is_empty()
            && self.lost_workers == 0
            && self.abandoned_operations == 0
    }

    /// The goroutines that still live: they compute and never came to an await point in time, or
    /// wait behind one that does.
    pub fn goroutines(&self) -> &[TaskInfo] {
        &self.goroutines
    }

    /// The closures given to [`unblock`](crate::unblock) that still run; their threads end by
    /// themselves when they do.
    pub fn blocking_jobs(&self) -> &[TaskInfo] {
        &self.blocking_jobs
    }

    /// Worker threads that were left behind, the [spare](super::Builder::rescue) one among them; each ends by
    /// itself when its goroutine does, or the last one of all.
    pub fn lost_workers(&self) -> usize {
        self.lost_workers
    }

    /// Operations that the kernel had not finished in time; their buffers were leaked on purpose,
    /// because the kernel may still write into them.
    pub fn abandoned_operations(&self) -> usize {
        self.abandoned_operations
    }

    /// Adds what another worker, not a thread of these, left behind.
    pub(super) fn with(mut self, drained: &Drained) -> Shutdown {
        self.abandoned_operations += abandoned(drained);
        self
    }

    /// Prints what did not stop on stderr, for ends that nobody can ask.
    pub(super) fn report(self) {
        if !self.is_complete() {
            mishap::tell(format_args!("gorin: {self}"));
        }
    }
}

impl fmt::Display for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_complete() {
            return f.write_str("everything stopped in time");
        }
        write!(
            f,
            "not everything stopped in time: {} goroutines, {} blocking jobs, {} worker threads, {} \
             operations in the kernel are left",
            self.goroutines.len(),
            self.blocking_jobs.len(),
            self.lost_workers,
            self.abandoned_operations
        )?;
        for task in self.goroutines.iter().chain(&self.blocking_jobs) {
            write!(f, "\n  {task}")?;
        }
        Ok(())
    }
}
