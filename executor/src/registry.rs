//! All live tasks, so that every one of them can be found and aborted, also those that nobody but a
//! stranger's waker knows.
//!
//! Sharded: a worker inserts into shards of its own, so that spawning meets no other worker's lock; a
//! task remembers its [`Place`] and leaves in constant time.
//!
//! Whoever runs a stolen task takes it off the list of the worker that spawned it, which goes on
//! spawning. So each worker has [`SPREAD`] shards, and spawns some dozens of tasks into one before it
//! takes the next: what is stolen is older, and lies in another. With one shard each, two workers
//! spent six tenths of their time on its lock while one spawned what the other ran.
//!
//! Invariants:
//! - A task is listed from before it is first scheduled until its future, and an output that nobody
//!   takes, are gone.
//! - A closed shard takes no more tasks and never opens again; so "closed and empty" is final.
//!
//! Must not: run anything of a user under a lock; aborts happen outside.

use std::fmt;

use gorin_base::primitive::Mutex;
use gorin_base::seeded;

use crate::task::{Counted, Registered, TaskInfo};

/// Shards of each spawner. One under loom: the protocol is that of a shard.
const SPREAD: usize = if cfg!(loom) { 1 } else { 16 };

/// Where a task is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    shard: u32,
    key: u32,
}

impl Place {
    /// As one word.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.shard) << 32 | u64::from(self.key)
    }

    /// The inverse of [`to_bits`](Self::to_bits).
    pub(crate) fn from_bits(bits: u64) -> Place {
        Place {
            shard: (bits >> 32) as u32,
            key: bits as u32,
        }
    }
}

/// On a cache line of its own: its lock is one worker's most of the time.
#[repr(align(128))]
struct Shard(Mutex<Tasks>);

struct Tasks {
    closed: bool,
    live: Live,
}

/// The tasks of a shard, by key. One word for each, where a slab takes two: a million goroutines that
/// wait are listed here, and keys are vacant only after goroutines have ended.
#[derive(Default)]
struct Live {
    tasks: Vec<Option<Registered>>,
    /// The keys of those that are `None`; the next task gets the last one.
    vacant: Vec<u32>,
}

impl Live {
    fn insert(&mut self, task: Registered) -> u32 {
        if self.len() == 0 {
            // Keys in order again: tasks that run one after the other then lie beside each other.
            self.tasks.clear();
            self.vacant.clear();
        }
        if let Some(key) = self.vacant.pop() {
            self.tasks[key as usize] = Some(task);
            return key;
        }
        let key = u32::try_from(self.tasks.len()).expect("fewer than 2^32 goroutines live at once");
        self.tasks.push(Some(task));
        key
    }

    fn remove(&mut self, key: u32) {
        let task = self.tasks[key as usize].take();
        debug_assert!(task.is_some(), "a task leaves once");
        self.vacant.push(key);
    }

    fn len(&self) -> usize {
        self.tasks.len() - self.vacant.len()
    }

    fn iter(&self) -> impl Iterator<Item = &Registered> {
        self.tasks.iter().flatten()
    }
}

impl Shard {
    /// Refuses new tasks and aborts all live ones.
    fn close(&self) {
        let live: Vec<Counted> = {
            let mut tasks = self.0.lock();
            tasks.closed = true;
            tasks.live.iter().map(Registered::count).collect()
        };
        for task in live {
            task.abort();
        }
    }
}

/// The live tasks of one executor.
pub(crate) struct Registry {
    shards: Box<[Shard]>,
}

impl Registry {
    /// For so many spawners.
    pub(crate) fn new(spawners: usize) -> Registry {
        let empty = |_| {
            Shard(Mutex::new(Tasks {
                closed: false,
                live: Live::default(),
            }))
        };
        Registry {
            shards: (0..SPREAD * spawners).map(empty).collect(),
        }
    }

    /// Lists a task; `None` if the registry is closed.
    pub(crate) fn insert(&self, spawner: usize, task: Registered) -> Option<Place> {
        let shard = SPREAD * spawner + task.id().block() % SPREAD;
        let mut tasks = self.shards[shard].0.lock();
        if tasks.closed && !seeded::bug("registry.insert_after_close") {
            return None;
        }
        Some(Place {
            shard: shard as u32,
            key: tasks.live.insert(task),
        })
    }

    /// Takes a task off the list; true if its shard is empty now. Whether all are is worth a look only
    /// then: of those who empty the last ones, the latest finds all of them empty.
    #[must_use]
    pub(crate) fn remove(&self, place: Place) -> bool {
        let mut tasks = self.shards[place.shard as usize].0.lock();
        tasks.live.remove(place.key);
        tasks.live.len() == 0
    }

    /// Refuses new tasks and aborts all live ones.
    pub(crate) fn close(&self) {
        self.shards.iter().for_each(Shard::close);
    }

    /// As [`close`](Self::close), for the tasks of one spawner.
    pub(crate) fn close_spawner(&self, spawner: usize) {
        let shards = &self.shards[SPREAD * spawner..][..SPREAD];
        shards.iter().for_each(Shard::close);
    }

    /// True once the registry is closed and no task lives; for good then.
    pub(crate) fn is_over(&self) -> bool {
        self.shards.iter().all(|shard| {
            let tasks = shard.0.lock();
            tasks.closed && tasks.live.len() == 0
        })
    }

    /// How many tasks live; exact if nobody spawns or finishes meanwhile.
    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.0.lock().live.len())
            .sum()
    }

    /// The live task number `id`.
    pub(crate) fn find(&self, id: u64) -> Option<TaskInfo> {
        self.shards.iter().find_map(|shard| {
            let tasks = shard.0.lock();
            let mut live = tasks.live.iter();
            live.find(|task| task.id().get() == id)
                .map(Registered::info)
        })
    }

    /// The live tasks.
    pub(crate) fn tasks(&self) -> Vec<TaskInfo> {
        let mut tasks = Vec::new();
        for shard in &self.shards {
            tasks.extend(shard.0.lock().live.iter().map(Registered::info));
        }
        tasks
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("len", &self.len())
            .finish()
    }
}
