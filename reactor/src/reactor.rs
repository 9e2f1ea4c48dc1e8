//! The shared side of one runtime's reactor: what all its workers, its sockets, and threads that are
//! no workers hold.
//!
//! It owns no ring: those belong to the workers (`worker.rs`), and whoever is not the owner reaches
//! one through the mailboxes here. It outlives its workers; a socket that is used afterwards gets an
//! error.

use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use gorin_base::clock;
use gorin_base::primitive::{AtomicBool, AtomicI64, AtomicUsize, Ordering, PlainArc};
use gorin_base::width::Width;

use crate::alarm::Alarm;
use crate::arms::Arms;
use crate::bell::RingBell;
use crate::choice::{self, DriverKind};
use crate::counters::Counters;
use crate::features::Features;
use crate::local::{self, EnterGuard};
use crate::mailbox::{Mailbox, Message};
use crate::offload::Offload;
use crate::park::Signal;
use crate::pipes::Pipes;
use crate::poller::Poller;
use crate::polling;
use crate::pulse::Pulse;
use crate::readiness::{self, MAX_OWNERS};
use crate::rescue::{Guard, OnHog, Rescue};
use crate::timer::Timers;
use crate::worker::{Local, Worker};

/// How a [`Reactor`] is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many workers will attach. From 1 to 4,094.
    pub workers: usize,
    /// Submissions that a ring holds before it must enter the kernel; completions are four times as
    /// many. Halved, down to 32, where memory for rings is short.
    pub entries: u32,
    /// What of io_uring is used where the kernel has it, unless the environment variable `GORIN_WITHOUT`
    /// switches it off.
    pub features: Features,
    /// The longest that a worker looks for completions before it sleeps, when recent events came
    /// within that time. Zero: never; more than a second counts as one. `None`: 50 µs, and only while that
    /// takes no more CPU time than sleeping. See [`Stats::looks`].
    pub poll_before_sleep: Option<Duration>,
    /// Workers watch each other: one that sleeps or has control takes over what waits for one whose
    /// goroutine computes. See [`Stats::moves`].
    pub rescue: bool,
    /// Where it says how many workers go on if CPUs are contended; for who shares out work. Nothing is
    /// said without `rescue`.
    pub width: PlainArc<Width>,
    /// One worker more, number `workers`, that does nothing until all others compute at once; then it
    /// serves what waits for them. It attaches like the others. Only with `rescue`.
    pub spare: bool,
    /// Called when such a worker was found.
    pub on_hog: Option<OnHog>,
    /// How workers wait for the kernel. `None`: what the environment variable `GORIN_DRIVER` says
    /// (`uring`, `hybrid`, `epoll`); else [`DriverKind::Uring`], and where the kernel refuses that,
    /// [`DriverKind::Epoll`], with a line on stderr that names cause and cure.
    pub driver: Option<DriverKind>,
    /// Fail rather than run without io_uring.
    pub require_io_uring: bool,
    /// Where operations are done if there is no ring.
    pub offload: Offload,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 1,
            entries: 256,
            features: Features::ALL,
            poll_before_sleep: None,
            rescue: true,
            width: PlainArc::default(),
            spare: false,
            on_hog: None,
            driver: None,
            require_io_uring: false,
            offload: Offload::default(),
        }
    }
}

/// What the rings of a reactor have done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls of `io_uring_enter`, or of `epoll_wait` and its siblings.
    pub enters: u64,
    /// Those of them that waited.
    pub sleeps: u64,
    /// Completions reaped.
    pub completions: u64,
    /// Times that the kernel had more completions than the queue has room for.
    pub overflows: u64,
    /// Times that a submission queue was full, and what was to be submitted had to wait.
    pub backlogs: u64,
    /// Entries into a ring that the kernel refused for now: it had no memory (`EAGAIN`, `ENOMEM`), or too many
    /// completions waited (`EBUSY`). Nothing is lost by them, but for `EBADR`: a completion, of which a line on
    /// stderr tells.
    pub refusals: u64,
    /// Entries into a ring that a signal interrupted.
    pub interrupts: u64,
    /// System calls that ended a worker's sleep.
    pub wakes: u64,
    /// Times that a worker looked for completions before it slept, or instead of sleeping.
    pub looks: u64,
    /// Sockets that changed their ring because the worker of the old one computed, or stood down where
    /// CPUs are contended.
    pub moves: u64,
}

/// How one worker is reached by others.
#[derive(Debug)]
pub(crate) struct Post {
    mailbox: Mailbox<Message>,
    pub(crate) signal: PlainArc<Signal<RingBell>>,
    pub(crate) counters: PlainArc<Counters>,
    pub(crate) pulse: Pulse,
    pub(crate) arms: Arms,
    /// What others have done while this worker computed.
    pub(crate) rescue: Rescue,
    /// Made by the worker when it attaches, if there is anybody who would set it.
    pub(crate) alarm: OnceLock<Alarm>,
    /// [`Driver::probe`](crate::driver::Driver::probe), or -1. Set by the worker; relaxed: who reads
    /// a descriptor that is closed, or another one by now, gets an answer that does no harm.
    probe: AtomicI64,
    /// Set by the thread that attaches, for good: a swap decides who.
    taken: AtomicBool,
}

impl Post {
    fn new() -> Self {
        let counters = PlainArc::new(Counters::default());
        Self {
            mailbox: Mailbox::new(),
            signal: PlainArc::new(Signal::new(RingBell::new(counters.clone()))),
            counters,
            pulse: Pulse::new(),
            arms: Arms::new(),
            rescue: Rescue::new(),
            alarm: OnceLock::new(),
            probe: AtomicI64::new(-1),
            taken: AtomicBool::new(false),
        }
    }

    pub(crate) fn probe(&self) -> Option<RawFd> {
        RawFd::try_from(self.probe.load(Ordering::Relaxed))
            .ok()
            .filter(|&fd| fd >= 0)
    }

    pub(crate) fn set_probe(&self, probe: Option<RawFd>) {
        self.probe
            .store(probe.map_or(-1, i64::from), Ordering::Relaxed);
    }

    /// Leaves a message and ends the worker's sleep; gives it back if the worker is gone.
    pub(crate) fn send(&self, message: Message) -> Result<(), Message> {
        self.mailbox.post(message, || self.signal.notify_mail())
    }

    pub(crate) fn mailbox(&self) -> &Mailbox<Message> {
        &self.mailbox
    }
}

/// What is behind a [`Reactor`].
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) posts: PlainArc<[Post]>,
    pub(crate) sockets: readiness::Table<OwnedFd>,
    pub(crate) pipes: Pipes,
    pub(crate) driver: DriverKind,
    /// Where workers share the sockets.
    pub(crate) poller: Option<Poller>,
    pub(crate) timers: Timers,
    /// `None` if nobody watches: there is one worker, or it is not wanted.
    pub(crate) guard: Option<Guard>,
    /// Time zero of pulses and alarms.
    origin: Instant,
    /// Workers that have not ended. Each decrements it once; the last one closes the timers, hence
    /// the acquire-release pairing among them.
    living: AtomicUsize,
}

impl Shared {
    /// `instant` in nanoseconds since the reactor was made, and a little: never 0.
    #[inline]
    pub(crate) fn number(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.origin);
        u64::try_from(since.as_nanos()).map_or(u64::MAX, |nanos| nanos + 1)
    }

    /// A worker for what a thread that is no worker wants of thing number `number`: always the same
    /// one while it lives, unless it computes and another one does not. `None` once all are gone.
    pub(crate) fn home(&self, number: usize) -> Option<usize> {
        let workers = self.config.workers;
        let now = self.number(clock::now());
        let mut open = (0..workers)
            .map(|step| (number + step) % workers)
            .filter(|&index| self.posts[index].mailbox.is_open());
        let first = open.next()?;
        let other = if self.computes(first, now) {
            let spare = self.spare();
            let spare = spare.filter(|&index| self.posts[index].mailbox.is_open());
            open.find(|&index| !self.computes(index, now)).or(spare)
        } else {
            None
        };
        Some(other.unwrap_or(first))
    }

    /// The number of the spare worker.
    pub(crate) fn spare(&self) -> Option<usize> {
        self.config.spare.then_some(self.config.workers)
    }

    /// Whether worker `index` computes and does not come back, at `now`.
    pub(crate) fn computes(&self, index: usize, now: u64) -> bool {
        let silence = self.posts[index].pulse.silence(now);
        silence.is_some_and(|episode| episode.is_hog())
    }

    /// What the drivers of workers that share their sockets share.
    pub(crate) fn poller(&self) -> &Poller {
        self.poller.as_ref().expect("this driver shares sockets")
    }

    /// For worker `index`, which will not be there any more: refuses messages from now on, answers those that
    /// were not served, and rings for nobody.
    pub(crate) fn close_post(&self, index: usize) {
        let post = &self.posts[index];
        for message in post.mailbox.close() {
            match message {
                // Who waits tries again and finds another worker or an error.
                Message::Arm(key) => {
                    self.sockets.complete(key);
                }
                Message::Submit(operation) => operation.complete(-libc::ECANCELED),
                Message::Disarm(_) | Message::Cancel(_) => {}
            }
        }
        post.signal.close();
    }

    /// A worker has ended. The last one leaves nobody who would fire timers.
    pub(crate) fn worker_ended(&self) {
        if self.living.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.timers.close();
            if self.poller.is_some() {
                self.sockets.end_edges();
            }
        }
    }
}

/// The I/O side of one runtime: rings, sockets, timers.
///
/// Cloning gives another handle to the same reactor. Each worker [attaches](Reactor::attach) on its
/// own thread and then runs by [`Local::block_on`]:
///
/// ```
/// use std::time::{Duration, Instant};
/// use gorin_reactor::{Config, Reactor, Sleep};
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = Reactor::new(Config::default())?;
/// let mut worker = reactor.attach(0)?;
/// let deadline = Instant::now() + Duration::from_millis(5);
/// worker.block_on(Sleep::until(deadline));
/// assert!(Instant::now() >= deadline);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Reactor {
    pub(crate) shared: PlainArc<Shared>,
}

impl Reactor {
    /// A reactor for `config.workers` workers.
    ///
    /// # Errors
    /// If the kernel has no io_uring for this process, or not enough of it, and it is
    /// [required](Config::require_io_uring) or [asked for](Config::driver). The text names the
    /// cause (a seccomp profile, the sysctl `kernel.io_uring_disabled` and its value, a limit and
    /// its value, the kernel's version) and the cure. `InvalidInput` if `GORIN_DRIVER` names no
    /// driver, or `GORIN_WITHOUT` something that is no [`Feature`](crate::Feature).
    ///
    /// # Panics
    /// If `config.workers` is 0 or more than 4,094.
    pub fn new(mut config: Config) -> io::Result<Reactor> {
        assert!(config.workers <= MAX_OWNERS, "too many workers");
        config.spare &= config.rescue;
        let all = config.workers + usize::from(config.spare);
        config.features = config.features.within_environment()?;
        let driver = choice::choose(&config)?;
        let poller = match driver.shares_sockets() {
            true => Some(Poller::new(all)?),
            false => None,
        };
        let cpus = polling::cpus(config.workers);
        config.poll_before_sleep = polling::allowed(config.poll_before_sleep, config.workers, cpus);
        let posts: PlainArc<[Post]> = (0..all).map(|_| Post::new()).collect();
        let timers = {
            let posts = posts.clone();
            Timers::new(all, move |index| {
                posts[index].signal.notify_mail();
            })
        };
        let guard = config.rescue && all > 1;
        let shared = Shared {
            guard: guard.then(|| Guard::new(&mut config, cpus)),
            origin: clock::now(),
            living: AtomicUsize::new(all),
            config,
            posts,
            sockets: readiness::Table::new(),
            pipes: Pipes::new(),
            driver,
            poller,
            timers,
        };
        Ok(Reactor {
            shared: PlainArc::new(shared),
        })
    }

    /// Whether a reactor on epoll is to take the place of this one, because `error` came from
    /// [`attach`](Reactor::attach): the kernel has refused a ring, and none was asked for. Says so on
    /// stderr.
    pub fn gives_way(&self, error: &io::Error) -> bool {
        choice::gives_way(&self.shared.config, self.shared.driver, error)
    }

    /// Makes the calling thread worker `index` of this reactor: builds its ring.
    ///
    /// # Errors
    /// As [`new`](Reactor::new); and if worker `index` has attached before, or the thread is a
    /// worker already.
    ///
    /// # Panics
    /// If there is no worker `index`.
    pub fn attach(&self, index: usize) -> io::Result<Local> {
        let post = &self.shared.posts[index];
        if local::is_worker() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "this thread is a worker of a gorin runtime already: a runtime cannot be run inside \
                 another one; use its handle or another thread",
            ));
        }
        // Relaxed: the swap only decides who; nothing is handed over.
        if post.taken.swap(true, Ordering::Relaxed) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("worker {index} of this reactor has attached before"),
            ));
        }
        match Worker::new(self.shared.clone(), index) {
            Ok(worker) => Ok(Local::new(Rc::new(worker))),
            Err(error) => {
                post.taken.store(false, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// Goes on without the [spare](Config::spare) worker, which has not attached and will not: nobody waits for
    /// it, and nothing is given to it.
    pub fn forgo_spare(&self) {
        let Some(index) = self.shared.spare() else {
            return;
        };
        // Relaxed: as in `attach`.
        if !self.shared.posts[index].taken.swap(true, Ordering::Relaxed) {
            self.shared.close_post(index);
            self.shared.worker_ended();
        }
    }

    /// Until the guard is dropped, sockets and timers that this thread makes belong to this reactor.
    /// For threads that are no workers: what they wait for is watched by one of the workers.
    pub fn enter(&self) -> EnterGuard {
        local::enter(self.shared.clone())
    }

    /// The reactor of this thread: its worker's, or the one it has entered.
    pub fn current() -> Option<Reactor> {
        local::current().map(|shared| Reactor { shared })
    }

    /// What its workers wait with.
    pub fn driver(&self) -> DriverKind {
        self.shared.driver
    }

    /// What the rings have done so far, summed over the workers.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for post in self.shared.posts.iter() {
            let counters = &post.counters;
            stats.enters += counters.enters.load(Ordering::Relaxed);
            stats.sleeps += counters.sleeps.load(Ordering::Relaxed);
            stats.completions += counters.completions.load(Ordering::Relaxed);
            stats.overflows += counters.overflows.load(Ordering::Relaxed);
            stats.backlogs += counters.backlogs.load(Ordering::Relaxed);
            stats.refusals += counters.refusals.load(Ordering::Relaxed);
            stats.interrupts += counters.interrupts.load(Ordering::Relaxed);
            stats.wakes += counters.wakes.load(Ordering::Relaxed);
            stats.looks += counters.looks.load(Ordering::Relaxed);
            stats.moves += counters.moves.load(Ordering::Relaxed);
        }
        stats
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("config", &self.shared.config)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
