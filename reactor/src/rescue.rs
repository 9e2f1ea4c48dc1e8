//! The rescue of a hog: what a worker that watches does for one that computes.
//!
//! A *hog* is a worker whose goroutine has not given control back for [`HOG`] (`pulse.rs`). Its ring
//! is served by nobody, for a ring completes its requests in the context of its owner. Whoever
//! finds it, by its own tick or because it watched (`watch.rs`),
//!
//! - tells who made the reactor, by [`OnHog`]: the executor takes what is stuck in the hog's queues;
//! - moves the hog's waiting sockets to its own ring, if something is stuck there. A poll looks at
//!   the socket when it is submitted, so what has arrived behind the hog completes at once, and
//!   what comes later comes here;
//! - fires timers as at each tick: they belong to all.
//!
//! # What is stuck
//!
//! Polls that were armed and not submitted, or not looked at though one of them waits by a guess
//! (`arms.rs` knows), messages that ask for a poll, and completions that wait for the hog: `poll(2)` finds
//! the ring readable. Else nothing is moved: no storm of idle connections, and a long poll without I/O
//! behind it costs one look.
//!
//! # How much
//!
//! The polls armed last come first. Then the socket table is gone through, once in an episode, in
//! steps that take part of the time that the hog has computed so far: a handler that computes for
//! half a millisecond makes nobody move ten thousand connections. The hog is asked to cancel what
//! was moved, so that repeated rescues leave nothing behind in the kernel.
//!
//! What stays: completion operations. Their requests live in the hog's ring, and a file's end waits
//! for the end of the poll.
//!
//! # Who does not get up
//!
//! A worker that sleeps and is woken gets up at once only if a CPU is free. With more runnable threads
//! than CPUs it may wait for milliseconds, and its sockets with it. So who is awake moves them, too, if
//! it sees at two looks, [`LATE`] apart, that the worker has something to reap and is still in the
//! same sleep. Its queues are empty, and nobody is told. In a closed loop of 50 connections, with two
//! workers and the client on two CPUs, all with real-time priority, that took p99 from 2.0 to 0.6 ms, at
//! the same rate and CPU time (p50, which two workers had at half of one's, from 0.1 to 0.2 ms). Under
//! the kernel's fair scheduling it helps little: there fewer workers do (`crowd.rs`). What a worker holds that is
//! preempted while it computes moves as any hog's does.

mod pace;

use std::fmt;
use std::os::fd::AsRawFd;
use std::time::Duration;

use gorin_base::primitive::{AtomicU64, Mutex, Ordering, PlainArc};
use gorin_base::{clock, seeded};

use crate::calls::is_readable;
use crate::counters::count;
use crate::crowd::Crowd;
use crate::key::Key;
use crate::mailbox::Message;
use crate::pulse::{Episode, HOG};
use crate::reactor::{Config, Post};
use crate::readiness::{self, Moved};
use crate::spare::Spare;
use crate::watch::{Watch, Woken};
use crate::worker::Worker;

use self::pace::{BUSY_LOOK, Found, Pace};

/// How long a worker that was woken may take to get up: ten times what it takes on an idle CPU.
const LATE: Duration = HOG;
/// About how many workers that sleep are asked for that in one look, at 0.2 µs each.
const LATE_LOOKS: usize = 4;
/// Polls that are moved without regard to how long the hog has computed.
const FREE_MOVES: u64 = 64;
/// What moving a poll is taken to cost both sides: twice what it does, so that a rescue takes at
/// most half the time that the hog has taken.
const MOVE_COST: Duration = Duration::from_micros(2);
/// Slots of the table that are looked at in one step.
const SLOTS_PER_STEP: usize = 4096;

/// A worker whose goroutine computes and does not come back, as [`OnHog`] is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hog {
    /// The worker.
    pub worker: usize,
    /// For how long it has not come back. Short if it [expects to block](crate::expect_block).
    pub lasted: Duration,
    /// Names the poll that does not come back: no other one of this worker has the same, and later
    /// ones have greater names.
    pub poll: u64,
}

/// What is called, on the worker that has found a hog, at each look at it: to take what is stuck
/// in the hog's queues. True if there was something.
#[derive(Clone)]
pub struct OnHog(PlainArc<dyn Fn(Hog) -> bool + Send + Sync>);

impl OnHog {
    /// Lets `call` be called. It must be short, and must not block.
    pub fn new(call: impl Fn(Hog) -> bool + Send + Sync + 'static) -> OnHog {
        OnHog(PlainArc::new(call))
    }
}

impl fmt::Debug for OnHog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnHog")
    }
}

/// What has been done about a worker's present episode. One rescuer at a time has it.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The episode's name; 0 before the first.
    since: u64,
    /// Polls moved.
    moves: u64,
    /// Entries of the log that were seen.
    arms_seen: u64,
    /// The slot to go on with; `None` when the table was gone through.
    next: Option<usize>,
}

impl Progress {
    /// How many more polls may be moved at this time.
    fn allowance(&self, episode: Episode) -> u64 {
        if episode.is_expected() {
            return u64::MAX;
        }
        let earned = episode.lasted.as_nanos() / MOVE_COST.as_nanos();
        let earned = u64::try_from(earned).unwrap_or(u64::MAX);
        earned.saturating_add(FREE_MOVES).saturating_sub(self.moves)
    }
}

/// The [`Progress`] of one worker's rescue; `None` while a rescuer has it.
#[derive(Debug)]
pub(crate) struct Rescue {
    progress: Mutex<Option<Progress>>,
    /// A sleep of the worker in which it was seen with something to reap, by its number, and when that
    /// was. Written and read by who looks, relaxed: of two who do, one may be wrong, and moves sockets
    /// of a worker that is just getting up.
    overslept: [AtomicU64; 2],
    /// How many of the polls that the worker has armed were seen by who [gathers](Worker::gather) them.
    /// Relaxed: what is seen twice, or not at all, costs time and nothing else.
    pub(crate) gathered: AtomicU64,
}

impl Rescue {
    pub(crate) fn new() -> Rescue {
        Rescue {
            progress: Mutex::new(Some(Progress::default())),
            // No sleep has this number.
            overslept: [AtomicU64::new(u64::MAX), AtomicU64::new(0)],
            gathered: AtomicU64::new(0),
        }
    }

    /// Since when the worker has been seen with something to reap in its sleep number `sleep`; `now` if
    /// this is the first time.
    fn oversleeps(&self, sleep: u64, now: u64) -> u64 {
        let [number, since] = &self.overslept;
        if number.swap(sleep, Ordering::Relaxed) == sleep {
            return since.load(Ordering::Relaxed);
        }
        since.store(now, Ordering::Relaxed);
        now
    }

    /// The rescuer's part, and whether it is the first one of this episode. To be
    /// [put back](Self::put_back). `None` if another worker is at it.
    fn take(&self, episode: Episode) -> Option<(Progress, bool)> {
        let progress = self.progress.lock().take()?;
        if progress.since == episode.since {
            return Some((progress, false));
        }
        let first = Progress {
            since: episode.since,
            next: Some(0),
            ..Progress::default()
        };
        Some((first, true))
    }

    fn put_back(&self, progress: Progress) {
        *self.progress.lock() = Some(progress);
    }
}

/// What the workers of a reactor need to watch each other.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) watch: Watch,
    pub(crate) crowd: Crowd,
    pace: Pace,
    pub(crate) spare: Option<Spare>,
    on_hog: Option<OnHog>,
}

impl Guard {
    pub(crate) fn new(config: &mut Config, cpus: usize) -> Guard {
        Guard {
            watch: Watch::new(config.workers + usize::from(config.spare)),
            crowd: Crowd::new(config.width.clone(), config.workers, cpus),
            pace: Pace::new(),
            spare: config.spare.then(|| Spare::new(config.workers)),
            on_hog: config.on_hog.take(),
        }
    }
}

/// Why a worker that has woken looks at the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Duty {
    /// It does not, but for a worker's that is awake.
    #[default]
    None,
    /// It watched or was alarmed, and the time has come; or there is more to move.
    Look,
}

/// A sleep of a worker.
pub(crate) struct Nap {
    /// How long it may be at most.
    pub(crate) limit: Option<Duration>,
}

impl Worker {
    /// The worker is about to sleep.
    pub(crate) fn lie_down(&self) -> Nap {
        let guard = self.shared().guard.as_ref();
        if let Some(guard) = guard.filter(|_| self.is_spare()) {
            guard.watch.leave();
            let limit = self.spare_nap(guard);
            return Nap { limit };
        }
        let watches = guard.filter(|guard| {
            let watches = guard.watch.sleep(self.index());
            self.recall_spare(guard);
            watches
        });
        let limit = watches.map(|guard| guard.pace.sleep_limit());
        Nap { limit }
    }

    /// The worker has slept for `slept`, until `now`.
    pub(crate) fn get_up(&self, nap: &Nap, slept: Duration, now: u64) {
        let Some(guard) = &self.shared().guard else {
            return;
        };
        if self.is_spare() {
            return guard.watch.enter();
        }
        let Woken { watched, alarmed } = guard.watch.wake(self.index());
        let over = nap.limit.is_some_and(|limit| slept >= limit);
        if alarmed || over {
            self.duty.set(Duty::Look);
        } else if watched {
            guard.pace.note_early(now);
        }
    }

    /// To be called before the worker runs what is not ours: sees to it that somebody comes if that
    /// takes long.
    pub(crate) fn ask_to_be_watched(&self) {
        let Some(guard) = &self.shared().guard else {
            return;
        };
        let sleeper = guard.watch.unwatched();
        let alarm = sleeper.and_then(|sleeper| self.shared().posts[sleeper].alarm.get());
        if let Some(alarm) = alarm {
            // Not the time of the last look at the clock: an alarm that went off since, and found
            // nobody awake, would be taken for one that is still to come.
            let now = self.shared().number(clock::now());
            alarm.set(now, guard.pace.alarm_delay());
        }
    }

    /// Says that the goroutine which runs now will block this thread; wakes who may come instead.
    pub(crate) fn expect_block(&self) {
        // An end of a pipe that was dropped is closed when its polls are cancelled, which nobody else can do
        // (`pipes.rs`). Of workers that block one after the other each has done what was asked before, so that
        // they never wait for each other.
        self.serve_mailbox();
        self.let_go_of_pipes();
        self.reap();
        self.dispatch();
        let Some(guard) = &self.shared().guard else {
            return;
        };
        if self.post().pulse.expect_block() {
            guard.pace.hurry();
            let sleeper = guard.watch.sleeper();
            let other = sleeper.or_else(|| self.spare_if_all_are_stuck());
            if let Some(other) = other.filter(|&other| other != self.index()) {
                self.shared().posts[other].signal.notify_mail();
            }
        }
    }

    /// Looks at the other workers if it is time.
    pub(crate) fn watch(&self, now: u64) {
        let Some(guard) = &self.shared().guard else {
            return;
        };
        if self.is_spare() {
            if self.is_needed(now) {
                self.look_at_others(guard, now);
            }
            return;
        }
        match self.duty.take() {
            Duty::Look => {
                let found = self.look_at_others(guard, now);
                guard.pace.note(now, found);
            }
            Duty::None if guard.pace.is_time(now) => {
                let found = self.look_at_others(guard, now);
                if found.news || found.rescued {
                    guard.pace.note(now, found);
                }
            }
            Duty::None => {}
        }
    }

    fn look_at_others(&self, guard: &Guard, now: u64) -> Found {
        let mut found = Found::default();
        let others = self.shared().posts.iter().enumerate();
        for (hog, post) in others.filter(|&(other, _)| other != self.index()) {
            let gathered = self.gather(guard, hog);
            self.reap_moved(gathered);
            let silence = post.pulse.silence(now);
            if let Some(episode) = silence.filter(Episode::is_hog) {
                self.rescue(guard, hog, episode, &mut found);
            } else if let Some(episode) = self.late_riser(guard, hog, now) {
                self.relieve(hog, episode, &mut found);
            }
        }
        if found.more {
            // Comes back at once, but lets go on what was woken.
            self.duty.set(Duty::Look);
            self.post().signal.notify_mail();
        }
        found
    }

    fn rescue(&self, guard: &Guard, hog: usize, episode: Episode, found: &mut Found) {
        let post = &self.shared().posts[hog];
        let Some((mut progress, is_new)) = post.rescue.take(episode) else {
            return;
        };
        let moved = self.move_polls(hog, episode, &mut progress);
        found.rescued |= moved > 0 || progress.next.is_some_and(|next| next > 0);
        found.more |= progress.next.is_some_and(|next| next > 0) && progress.allowance(episode) > 0;
        post.rescue.put_back(progress);
        found.news |= is_new;
        if let Some(OnHog(call)) = &guard.on_hog {
            found.rescued |= call(Hog {
                worker: hog,
                lasted: episode.lasted,
                poll: episode.began(),
            });
        }
        self.reap_moved(moved);
    }

    /// The episode of a worker that has something to reap, and was woken for it, and has been waiting
    /// for a CPU since: between two looks at the same sleep.
    fn late_riser(&self, guard: &Guard, other: usize, now: u64) -> Option<Episode> {
        let posts = &self.shared().posts;
        let (groups, turn) = (posts.len().div_ceil(LATE_LOOKS), now / BUSY_LOOK);
        if other % groups != turn as usize % groups || !guard.watch.is_abed(other) {
            return None;
        }
        let post = &posts[other];
        if !is_readable(post.probe()?) {
            return None;
        }
        let since = post
            .rescue
            .oversleeps(post.counters.sleeps.load(Ordering::Relaxed), now);
        let lasted = Duration::from_nanos(now.saturating_sub(since));
        (lasted >= LATE).then_some(Episode { since, lasted })
    }

    /// Takes over what is stuck in the ring of a worker that does not compute.
    fn relieve(&self, other: usize, episode: Episode, found: &mut Found) {
        let post = &self.shared().posts[other];
        let Some((mut progress, _)) = post.rescue.take(episode) else {
            return;
        };
        let moved = self.move_polls(other, episode, &mut progress);
        post.rescue.put_back(progress);
        found.rescued |= moved > 0;
        self.reap_moved(moved);
    }

    fn reap_moved(&self, moved: u64) {
        if moved > 0 {
            count(&self.post().counters.moves, moved);
            self.reap();
            self.dispatch();
        }
    }

    /// Moves what is stuck in the ring of `hog` to this worker's; gives the number of polls.
    fn move_polls(&self, hog: usize, episode: Episode, progress: &mut Progress) -> u64 {
        let post = &self.shared().posts[hog];
        let Some(probe) = post.probe() else {
            return 0;
        };
        let before = progress.moves;
        let mut take_one = |key: Key| progress.moves += u64::from(self.move_poll(key, hog));
        let mut asked = Vec::new();
        post.mailbox().peek(|message| {
            if let Message::Arm(key) = message {
                asked.push(*key);
            }
        });
        asked.into_iter().for_each(&mut take_one);
        let (armed, submitted) = (post.arms.count(), post.arms.submitted());
        if !is_readable(probe) {
            post.arms.each(submitted, armed, take_one);
            return progress.moves - before;
        }
        post.arms.each(progress.arms_seen, armed, take_one);
        progress.arms_seen = armed;
        self.move_from_table(hog, episode, progress);
        progress.moves - before
    }

    /// Moves the poll that was armed as `key` on the ring of `from`; true if it is there.
    pub(crate) fn move_poll(&self, key: Key, from: usize) -> bool {
        let (slot, direction) = readiness::place(key);
        let sockets = &self.shared().sockets;
        let moved = sockets.evacuate(slot, direction, from, self.index());
        if let Some(moved) = moved {
            self.take_over(&self.shared().posts[from], moved);
        }
        moved.is_some()
    }

    /// One step through the socket table.
    fn move_from_table(&self, hog: usize, episode: Episode, progress: &mut Progress) {
        let Some(first) = progress.next else {
            return;
        };
        // Both directions of a slot may be armed.
        let most = usize::try_from(progress.allowance(episode) / 2).unwrap_or(usize::MAX);
        let slots = most.min(SLOTS_PER_STEP);
        let post = &self.shared().posts[hog];
        let sockets = &self.shared().sockets;
        let mut moves = 0;
        progress.next = sockets.evacuate_from(first, slots, hog, self.index(), |moved| {
            self.take_over(post, moved);
            moves += 1;
        });
        progress.moves += moves;
    }

    /// Submits a poll that is now ours, and has `old` cancel what has become of it there.
    fn take_over(&self, old: &Post, moved: Moved) {
        let (slot, direction) = readiness::place(moved.armed);
        // The poll's pin keeps the file open until the completion.
        let fd = self.shared().sockets.file(slot).as_raw_fd();
        self.arm(moved.armed, fd, direction);
        if seeded::bug("rescue.leaves_the_old_poll") {
            return;
        }
        // A ring that is gone has cancelled everything.
        let _ = old.send(Message::Disarm(moved.stale));
    }
}
