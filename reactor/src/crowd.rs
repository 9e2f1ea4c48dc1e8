//! Fewer workers where CPUs are few: when the reactor narrows its runtime ([`Width`]), and when it
//! lets all workers go on again.
//!
//! With more runnable threads than CPUs a worker that is preempted holds its sockets for as long as
//! the kernel lets others run: 4 ms at a time. In a closed loop of 50 connections, two workers and the
//! client on two CPUs, either worker ran for 45 % of the time and waited for a CPU for 40 %; one
//! worker alone served more. No number of workers is right for all times, so it is tried:
//!
//! 1. Each worker gauges itself ([`Gauge`]): of the time that it was awake, how much did it not run?
//!    More than an eighth, and it was preempted: CPUs are *contended*.
//! 2. Contended twice in a row, with sockets busy: one worker fewer ([`Trial`]). Those from there on
//!    stand down: their sockets go to the others, nobody calls them for what waits less than a
//!    millisecond (the executor's part), nobody looks before it sleeps.
//! 3. If that serves clearly less, all go on as before, and it is not tried again for a second, and
//!    then for longer and longer. Where a foreign program wants the CPUs as well, more threads mean a
//!    larger share, and this step is what keeps it.
//! 4. If not, it stays so for half a second, the next times for longer, up to 4 s. Then all go on for
//!    40 ms, to compare: they stay unless fewer served more, or CPUs are contended still.
//!
//! In that closed loop (1 s each, 7 interleaved rounds) the rate rose from 0.92 to 1.12 of tokio's, p99
//! fell from 4.4 to 0.95 of it, p99.9 from 1.1 to 0.6 and CPU time per request from 1.40 to 1.04.
//!
//! Rejected: to narrow when the workers' time fits into fewer CPUs (contention itself takes time: it
//! came to more than one CPU here); to count involuntary switches alone (one that lasts microseconds
//! does no harm); files of `/proc` (a descriptor per worker, and absent in many sandboxes).
//!
//! Must not: be needed for anything to be served. All of it is advice.

mod trial;

use std::cell::Cell;
use std::time::{Duration, Instant};

use gorin_base::primitive::{AtomicU64, Mutex, Ordering, PlainArc};
use gorin_base::width::Width;

use crate::calls::{self, ThreadUsage};
use crate::reactor::Post;
use crate::rescue::Guard;
use crate::worker::Worker;

use self::trial::{Trial, Verdict};

/// How long a worker is awake between two looks at what it has got.
const AWAKE: Duration = Duration::from_millis(3);
/// For how long after a worker was kept from running CPUs count as contended.
const CONTENDED: Duration = Duration::from_millis(50);

/// What a worker has got of the time in which it was awake. Its own.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// How long it has slept so far.
    slept: Cell<Duration>,
    last: Cell<Option<Reading>>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    slept: Duration,
    usage: ThreadUsage,
}

impl Gauge {
    pub(crate) fn note_sleep(&self, slept: Duration) {
        self.slept.set(self.slept.get() + slept);
    }

    /// Once per [`AWAKE`]: whether the worker was kept from running.
    pub(crate) fn look(&self, now: Instant, usage: impl FnOnce() -> ThreadUsage) -> Option<bool> {
        let slept = self.slept.get();
        let last = self.last.get();
        if let Some(last) = &last
            && last.awake(now, slept) < AWAKE
        {
            return None;
        }
        let reading = Reading {
            at: now,
            slept,
            usage: usage(),
        };
        self.last.set(Some(reading));
        last.map(|last| last.was_kept(&reading))
    }
}

impl Reading {
    fn awake(&self, now: Instant, slept: Duration) -> Duration {
        now.saturating_duration_since(self.at)
            .saturating_sub(slept - self.slept)
    }

    /// Whether the thread was preempted for more than an eighth of the time until `next`.
    fn was_kept(&self, next: &Reading) -> bool {
        let awake = self.awake(next.at, next.slept);
        let off = awake.saturating_sub(next.usage.ran.saturating_sub(self.usage.ran));
        // What it has waited for by itself (a lock, a disk) is no preemption.
        next.usage.preemptions > self.usage.preemptions && off > awake / 8
    }
}

/// What the workers of a reactor share for that.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// How many this process may use.
    cpus: usize,
    /// Without the spare one, which always stands down.
    workers: usize,
    width: PlainArc<Width>,
    /// When a worker that had not stood down was kept from running last, in the reactor's nanoseconds;
    /// 0 for never. Written by workers, read by who makes the next step; relaxed: advice.
    kept_at: AtomicU64,
    /// The lock is held for numbers only.
    trial: Mutex<Trial>,
}

impl Crowd {
    pub(crate) fn new(width: PlainArc<Width>, workers: usize, cpus: usize) -> Crowd {
        Crowd {
            cpus,
            workers,
            width,
            kept_at: AtomicU64::new(0),
            trial: Mutex::new(Trial::new(workers)),
        }
    }

    /// Whether somebody else may need the CPU of a worker that has nothing to do, with `awake` workers
    /// awake: another worker, or whoever it is that CPUs are contended for.
    pub(crate) fn is_dense(&self, awake: usize, now: Instant) -> bool {
        awake >= self.cpus || self.width.limit(now).is_some()
    }

    /// Who goes on for worker `index`: itself, unless it stands down.
    fn host(&self, index: usize, now: Instant) -> usize {
        index % self.width.limit(now).unwrap_or(self.workers)
    }

    /// A worker that has not stood down has gauged itself. `at` is `now` in the reactor's nanoseconds;
    /// `completions` are those of all workers so far.
    pub(crate) fn note(
        &self,
        now: Instant,
        at: u64,
        kept: bool,
        completions: impl FnOnce() -> u64,
    ) {
        if kept {
            self.kept_at.store(at, Ordering::Relaxed);
        }
        let kept_at = self.kept_at.load(Ordering::Relaxed);
        let age = Duration::from_nanos(at.saturating_sub(kept_at));
        let contended = kept_at != 0 && age < CONTENDED;
        match self.trial.lock().step(now, contended, completions) {
            Some(Verdict::Narrow(workers, hold)) => self.width.narrow(workers, now, hold),
            Some(Verdict::Widen) => self.width.widen(),
            None => {}
        }
    }
}

impl Worker {
    /// Gauges the worker, between two turns.
    pub(crate) fn gauge(&self) {
        let Some(guard) = &self.shared().guard else {
            return;
        };
        let (crowd, now) = (&guard.crowd, self.now());
        let Some(kept) = self.gauge.look(now, calls::thread_usage) else {
            return;
        };
        if crowd.host(self.index(), now) == self.index() {
            let posts = &self.shared().posts;
            let completed = |post: &Post| post.counters.completions.load(Ordering::Relaxed);
            let completions = || posts.iter().map(completed).sum();
            crowd.note(now, self.shared().number(now), kept, completions);
        }
    }

    /// Whose ring is to watch what a goroutine on this worker waits for: its own, unless it stands
    /// down and the one that goes on for it is awake and has control.
    #[inline]
    pub(crate) fn ring(&self) -> usize {
        let Some(guard) = &self.shared().guard else {
            return self.index();
        };
        let (shared, now) = (self.shared(), self.now());
        let host = guard.crowd.host(self.index(), now);
        if host == self.index() {
            return host;
        }
        let is_there = !guard.watch.is_abed(host) && !shared.computes(host, shared.number(now));
        if is_there { host } else { self.index() }
    }

    /// Takes the sockets that `other` was busy with last, if it stands down for this worker. Gives how
    /// many.
    pub(crate) fn gather(&self, guard: &Guard, other: usize) -> u64 {
        if guard.crowd.host(other, self.now()) != self.index() {
            return 0;
        }
        let post = &self.shared().posts[other];
        let armed = post.arms.count();
        // Relaxed: only this worker gathers there.
        let seen = post.rescue.gathered.swap(armed, Ordering::Relaxed);
        let mut moved = 0;
        post.arms.each(seen, armed, |key| {
            moved += u64::from(self.move_poll(key, other));
        });
        moved
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use gorin_base::clock;

    /// A worker that is awake or asleep for some time, and runs for a part of it.
    struct Life {
        gauge: Gauge,
        now: Instant,
        usage: ThreadUsage,
    }

    impl Life {
        fn new() -> Life {
            Life {
                gauge: Gauge::default(),
                now: clock::now(),
                usage: ThreadUsage {
                    ran: Duration::ZERO,
                    preemptions: 0,
                },
            }
        }

        fn awake(&mut self, time: Duration, ran: Duration, preemptions: i64) -> Option<bool> {
            self.now += time;
            self.usage.ran += ran;
            self.usage.preemptions += preemptions;
            self.gauge.look(self.now, || self.usage)
        }

        fn asleep(&mut self, time: Duration) {
            self.now += time;
            self.gauge.note_sleep(time);
        }
    }

    #[test]
    fn a_worker_is_kept_from_running_if_it_was_preempted_for_long() {
        let mut life = Life::new();
        assert_eq!(life.awake(AWAKE, AWAKE, 0), None, "there is nothing before");
        assert_eq!(life.awake(AWAKE, AWAKE, 0), Some(false));
        assert_eq!(life.awake(AWAKE, AWAKE / 2, 1), Some(true));
        assert_eq!(life.awake(AWAKE, AWAKE * 9 / 10, 3), Some(false), "shortly");
        assert_eq!(life.awake(AWAKE, AWAKE / 2, 0), Some(false), "it blocked");
    }

    #[test]
    fn sleep_is_no_time_that_a_worker_is_kept_from() {
        let mut life = Life::new();
        life.awake(AWAKE, AWAKE, 0);
        for _ in 0..10 {
            life.asleep(AWAKE);
            assert_eq!(life.awake(AWAKE / 11, AWAKE / 11, 1), None, "too short");
        }
        assert_eq!(life.awake(AWAKE / 10, AWAKE / 10, 1), Some(false));
    }
}
