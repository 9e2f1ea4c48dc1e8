//! Threads for code that blocks: what waits in a system call must not hold a worker.
//!
//! ```text
//! submit ─► queue ─► a thread that is free │ an idle one, called │ a new one, up to the maximum
//! ```
//!
//! A *job* is a task whose future calls a closure, so that a join handle, a panic, an abort before
//! the start and a detached end are what they are for goroutines. It is polled once.
//!
//! All of the pool's state lies under one lock; nothing of a user runs under it. Threads wait each on
//! a condition variable of its own, and the one that sat down last is called first: its caches are
//! warm, and those that are not needed any more reach the end of their idle time.
//!
//! Invariants:
//! - A thread sits down only when the queue is empty, seen under the same lock; whoever adds a job
//!   takes one thread off the list of idle ones, or starts one, unless the maximum is there. So a
//!   job waits only while as many threads as allowed are busy.
//! - A thread that was taken off the list looks at the queue again before it ends, also if its idle
//!   time is over at the same moment.
//! - Once closed the pool takes no job; what was queued is dropped, which cancels it.
//!
//! Rejected: a queue without a lock. Threads must be counted and called under one anyway, a job
//! that is worth a thread takes microseconds, and waking its thread costs more than the lock. One
//! condition variable for all: it wakes the thread that has waited longest, so that a few jobs a
//! second keep hundreds of threads alive.
//!
//! Must not: know what a job does, or wait for one except in [`Pool::join`].

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use gorin_base::primitive::{self, Condvar, Mutex, MutexGuard, PlainArc, thread};
use gorin_base::{clock, seeded};
use slab::Slab;

use crate::task::{Runnable, TaskInfo};

/// How the threads for blocking code are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockingConfig {
    /// How many threads there are at most; at least 1. Further jobs wait in line.
    pub max_threads: usize,
    /// How long a thread without work stays; `None` for as long as the executor lives.
    pub idle_timeout: Option<Duration>,
    /// Their name, to which `-0`, `-1`, … is added.
    pub thread_name: String,
    /// The size of their stacks; `None` for std's.
    pub stack_bytes: Option<usize>,
}

impl Default for BlockingConfig {
    /// 512 threads, each for ten idle seconds.
    fn default() -> BlockingConfig {
        BlockingConfig {
            max_threads: 512,
            idle_timeout: Some(Duration::from_secs(10)),
            thread_name: "gorin-block".to_owned(),
            stack_bytes: None,
        }
    }
}

/// The threads for blocking code of one executor.
pub(crate) struct Pool {
    shared: PlainArc<Shared>,
}

/// What the pool and its threads share.
struct Shared {
    config: BlockingConfig,
    state: Mutex<State>,
    /// Notified when the last thread of a closed pool ends.
    over: Condvar,
}

#[derive(Default)]
struct State {
    /// Jobs that no thread has begun, the oldest first.
    queue: VecDeque<Runnable>,
    members: Slab<Member>,
    /// The members that wait, the one that sat down last at the end.
    idle: Vec<usize>,
    closed: bool,
    /// Threads that have left a closed pool, to be joined.
    left: Vec<thread::JoinHandle<()>>,
}

/// A thread of the pool.
struct Member {
    /// What it waits on; shared, so that it is notified after the lock is released.
    called: PlainArc<Condvar>,
    /// It is on the list of idle ones.
    idle: bool,
    /// The job that it runs.
    job: Option<TaskInfo>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What a thread does next.
enum Next {
    Run(Runnable),
    End,
}

impl Pool {
    /// A pool without threads; they are started when there are jobs.
    pub(crate) fn new(config: BlockingConfig) -> Pool {
        assert!(config.max_threads > 0, "blocking code needs a thread");
        Pool {
            shared: PlainArc::new(Shared {
                config,
                state: Mutex::new(State::default()),
                over: Condvar::new(),
            }),
        }
    }

    /// Queues a job and sees to it that a thread comes for it. A closed pool drops it here.
    ///
    /// # Errors
    /// If the only thread that could ever run it cannot be started; the job is dropped then.
    pub(crate) fn submit(&self, job: Runnable) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        if state.closed && !seeded::bug("blocking.submit_after_close") {
            drop(state);
            // Cancels it, which runs its destructors: not under the lock.
            drop(job);
            return Ok(());
        }
        state.queue.push_back(job);
        if let Some(key) = state.idle.pop() {
            let member = &mut state.members[key];
            member.idle = false;
            let called = member.called.clone();
            drop(state);
            called.notify_one();
            return Ok(());
        }
        if state.members.len() >= self.shared.config.max_threads {
            return Ok(());
        }
        match Shared::start(&self.shared, &mut state) {
            Ok(()) => Ok(()),
            // Those that there are will come for it.
            Err(_) if !state.members.is_empty() => Ok(()),
            Err(error) => {
                let refused = state.queue.pop_back();
                drop(state);
                drop(refused);
                Err(error)
            }
        }
    }

    /// Takes no more jobs and drops those that have not begun. Idle threads end, the others after
    /// their job. Returns at once; calling it again does nothing.
    pub(crate) fn close(&self) {
        let (dropped, called) = {
            let mut state = self.shared.state.lock();
            state.closed = true;
            let idle = std::mem::take(&mut state.idle);
            let called: Vec<_> = idle
                .into_iter()
                .map(|key| {
                    let member = &mut state.members[key];
                    member.idle = false;
                    member.called.clone()
                })
                .collect();
            (std::mem::take(&mut state.queue), called)
        };
        if !seeded::bug("blocking.close_calls_nobody") {
            for member in called {
                member.notify_one();
            }
        }
        drop(dropped);
    }

    /// Waits until the threads of a closed pool have ended, at most until `deadline`; returns the
    /// jobs that still run.
    pub(crate) fn join(&self, deadline: Option<Instant>) -> Vec<TaskInfo> {
        let mut state = self.shared.state.lock();
        while !state.members.is_empty() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(clock::now()));
            if left == Some(Duration::ZERO) {
                break;
            }
            (state, _) = self.shared.wait(&self.shared.over, state, left);
        }
        let running = state
            .members
            .iter()
            .filter_map(|(_, member)| member.job.clone());
        let running = running.collect();
        let ended = std::mem::take(&mut state.left);
        drop(state);
        for thread in ended {
            // It catches what its jobs do; and it has nothing left but to return.
            let _ = thread.join();
        }
        running
    }

    /// How many threads there are.
    pub(crate) fn num_threads(&self) -> usize {
        self.shared.state.lock().members.len()
    }
}

impl Shared {
    /// Starts a thread. Under the lock, so that it is a member before it looks for a job, and so
    /// that the maximum holds.
    fn start(shared: &PlainArc<Shared>, state: &mut State) -> io::Result<()> {
        let entry = state.members.vacant_entry();
        let key = entry.key();
        let name = format!("{}-{key}", shared.config.thread_name);
        let pool = shared.clone();
        let mut thread = thread::Builder::new().name(name);
        if let Some(bytes) = shared.config.stack_bytes {
            thread = thread.stack_size(bytes);
        }
        let thread = thread.spawn(move || pool.work(key))?;
        entry.insert(Member {
            called: PlainArc::default(),
            idle: false,
            job: None,
            thread: Some(thread),
        });
        Ok(())
    }

    /// The life of a thread.
    fn work(&self, key: usize) {
        while let Next::Run(job) = self.next(key) {
            job.run();
        }
    }

    /// Waits for a job; sees to the end of the thread if there is none any more.
    fn next(&self, key: usize) -> Next {
        let mut state = self.state.lock();
        state.members[key].job = None;
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.members[key].job = Some(job.info());
                return Next::Run(job);
            }
            if state.closed {
                break;
            }
            let expired;
            (state, expired) = self.sit(key, state);
            if expired {
                break;
            }
        }
        let member = state.members.remove(key);
        if state.closed {
            // In this order for `join`, which takes what is there once all members are gone.
            state.left.extend(member.thread);
            if state.members.is_empty() {
                self.over.notify_all();
            }
        }
        Next::End
    }

    /// Waits on the list of idle threads until somebody takes this one off it; true if its idle time
    /// was over before.
    fn sit<'a>(
        &'a self,
        key: usize,
        mut state: MutexGuard<'a, State>,
    ) -> (MutexGuard<'a, State>, bool) {
        let called = state.members[key].called.clone();
        state.members[key].idle = true;
        state.idle.push(key);
        loop {
            let expired;
            (state, expired) = self.wait(&called, state, self.config.idle_timeout);
            let forgets = expired && seeded::bug("blocking.called_and_gone");
            if !state.members[key].idle && !forgets {
                return (state, false);
            }
            if expired {
                state.idle.retain(|&idle| idle != key);
                return (state, true);
            }
        }
    }

    /// Waits on `condvar`, at most for `limit`; true if that has passed.
    fn wait<'a>(
        &'a self,
        condvar: &Condvar,
        state: MutexGuard<'a, State>,
        limit: Option<Duration>,
    ) -> (MutexGuard<'a, State>, bool) {
        match limit {
            Some(limit) => primitive::wait_timeout(condvar, &self.state, state, limit),
            None => (primitive::wait(condvar, state), false),
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("config", &self.shared.config)
            .field("threads", &self.num_threads())
            .finish_non_exhaustive()
    }
}
