//! Work that is not done twice at the same time: who asks for what is in flight shares its result.
//!
//! A flight is a [`OnceCell`] with a key: who comes first makes the value, the others wait for it, and when the
//! maker gives up the next of them makes it, as of any such cell. Here is only the table of the flights that go
//! on, which takes one in with its first member, and lets it go with its result, or with its last member.
//!
//! Invariants, whenever the lock is free:
//!
//! 1. a flight in the table has members, and no result: a result is for those who came before it;
//! 2. two flights in the table have different keys.
//!
//! Keys are hashed, compared and dropped without the lock: the table is ordered by hash, and by number among
//! equal ones. Who finds a flight with the hash of its key becomes a member under the lock, so that the flight
//! stays, and then compares. If the keys differ it leaves again and looks for the next number; only if there
//! is none does it begin a flight of its own, under the same lock. Numbers rise, so a flight that has begun
//! meanwhile is not missed.
//!
//! Must not: run code of the key or of the value under the lock.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hash, RandomState};
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

use gorin_base::hook::{self, Access, Site};
use gorin_base::primitive::{Mutex, PlainArc, unwinding};
use gorin_base::seeded;

use super::once_cell::{Names, OnceCell};

/// What reports call a flight, and who takes part in it.
const RUN: Names = Names {
    kind: "flight",
    operation: "SingleFlight run",
};

/// Does work once for all who ask for it at the same time, by key: for what is slow and asked for often, such
/// as what is missing in a cache.
///
/// As Go's `singleflight.Group`. Clones are handles of the same group. Who comes when the result is there
/// begins anew: this is no cache.
///
/// ```
/// use futures::future::join3;
/// use gorin_channel::chan;
/// use gorin_channel::sync::SingleFlight;
/// # futures::executor::block_on(async {
/// let (server, answers) = chan(0);
/// let pages = SingleFlight::new();
/// let fetch = || async { answers.recv().await };
/// let (first, second, sent) = join3(
///     pages.run("/index", fetch),
///     pages.run("/index", fetch),
///     server.send("the page"), // once
/// )
/// .await;
/// assert_eq!((first, second, sent), (Some("the page"), Some("the page"), Ok(())));
/// // Later there is another one.
/// assert_eq!(pages.run("/index", async || Some("a newer page")).await, Some("a newer page"));
/// # });
/// ```
///
/// No code of the keys or of the values runs under a lock: neither `Hash` nor `Eq`, `Clone` nor `Drop`.
pub struct SingleFlight<K, V> {
    group: PlainArc<Group<K, V>>,
}

struct Group<K, V> {
    id: u64,
    hasher: RandomState,
    table: Mutex<Table<K, V>>,
}

/// Where a flight is found: the hash of its key, and its number.
type Place = (u64, u64);

struct Table<K, V> {
    flights: BTreeMap<Place, Entry<K, V>>,
    /// The number of the last flight.
    last: u64,
}

struct Entry<K, V> {
    flight: PlainArc<Flight<K, V>>,
    members: usize,
}

struct Flight<K, V> {
    key: K,
    place: Place,
    result: OnceCell<V>,
}

impl<K, V> Table<K, V> {
    /// The next flight with this hash after the one with the number `after`.
    fn next(&mut self, hash: u64, after: u64) -> Option<&mut Entry<K, V>> {
        let mut later = self.flights.range_mut((hash, after + 1)..=(hash, u64::MAX));
        later.next().map(|(_, entry)| entry)
    }

    /// Begins a flight, with one member.
    fn begin(&mut self, hash: u64, key: K, site: Site) -> PlainArc<Flight<K, V>> {
        self.last += 1;
        let place = (hash, self.last);
        let flight = PlainArc::new(Flight {
            key,
            place,
            result: OnceCell::at(site),
        });
        let entry = Entry {
            flight: flight.clone(),
            members: 1,
        };
        self.flights.insert(place, entry);
        flight
    }

    /// A member less. What comes out is dropped unlocked.
    fn leave(&mut self, place: Place) -> Option<Entry<K, V>> {
        let entry = self.flights.get_mut(&place)?;
        entry.members -= 1;
        let is_over = entry.members == 0 && !seeded::bug("single_flight.last_one_leaves_it");
        if is_over || seeded::bug("single_flight.first_one_takes_it") {
            self.flights.remove(&place)
        } else {
            None
        }
    }
}

impl<K, V> Group<K, V> {
    /// The flight is no longer in the table, nor has anybody new in it.
    fn end(&self, place: Place, site: Site) {
        hook::step("SingleFlight end", self.id, Access::Write, site);
        let ended = self.table.lock().flights.remove(&place);
        drop(ended);
    }
}

impl<K: Hash + Eq, V> Group<K, V> {
    /// Becomes a member of the flight of `key`, which begins if there is none.
    fn join(&self, key: K, site: Site) -> Member<'_, K, V> {
        let hash = self.hasher.hash_one(&key);
        hook::step(RUN.operation, self.id, Access::Write, site);
        let member = |flight| Member {
            group: self,
            flight,
            site,
        };
        let mut after = 0;
        loop {
            let mut table = self.table.lock();
            let found = table.next(hash, after);
            let Some(entry) = found.filter(|_| !seeded::bug("single_flight.everybody_leads"))
            else {
                return member(table.begin(hash, key, site));
            };
            entry.members += 1;
            let found = member(entry.flight.clone());
            drop(table);
            if found.flight.key == key {
                return found;
            }
            after = found.flight.place.1;
        }
    }
}

/// One who takes part in a flight.
struct Member<'a, K, V> {
    group: &'a Group<K, V>,
    flight: PlainArc<Flight<K, V>>,
    site: Site,
}

impl<K, V> Drop for Member<'_, K, V> {
    fn drop(&mut self) {
        // With a result it is not in the table any more. Without one, and without other members, nobody else
        // can bring one meanwhile.
        let kept = seeded::bug("single_flight.ends_with_its_last_member");
        if unwinding() || (self.flight.result.is_full() && !kept) {
            return;
        }
        let group = self.group;
        hook::step("SingleFlight leave", group.id, Access::Write, self.site);
        let left = group.table.lock().leave(self.flight.place);
        drop(left);
    }
}

impl<K, V> SingleFlight<K, V> {
    /// Nothing is in flight.
    #[track_caller]
    pub fn new() -> Self {
        let id = gorin_base::id::next();
        hook::created(id, "single flight", Location::caller());
        Self {
            group: PlainArc::new(Group {
                id,
                hasher: RandomState::new(),
                table: Mutex::new(Table {
                    flights: BTreeMap::new(),
                    last: 0,
                }),
            }),
        }
    }

    /// How many flights go on that others can join.
    #[track_caller]
    pub fn in_flight(&self) -> usize {
        let (id, site) = (self.group.id, Location::caller());
        hook::step("SingleFlight in_flight", id, Access::Read, site);
        self.group.table.lock().flights.len()
    }
}

impl<K: Hash + Eq, V> SingleFlight<K, V> {
    /// Does `work` and returns its result, unless work for an equal `key` is in flight: then it waits for the
    /// result of that, and returns a clone of it. `work` is not called then; so it knows best whether the
    /// result is its own or shared. An error is a result as any other, and shared, too: of a
    /// `Result<T, Arc<E>>`, for example.
    ///
    /// # Panics
    /// If `work` does. The next of those who wait does its own then, and shares that.
    ///
    /// `work` that runs work for its own key waits for ever.
    ///
    /// # Cancel safety
    /// If it is dropped its `work` is dropped where it stands, and the next of those who wait does its own. So
    /// the work is begun again with each leader that goes; to have it done whoever goes, do it in a goroutine.
    #[track_caller]
    pub fn run<F, W>(&self, key: K, work: F) -> impl Future<Output = V>
    where
        F: FnOnce() -> W,
        W: Future<Output = V>,
        V: Clone,
    {
        let site = Location::caller();
        async move {
            let member = self.group.join(key, site);
            let (group, flight) = (member.group, &*member.flight);
            let make = || async {
                let value = work().await;
                // Before the result is told: whoever has it and comes again begins anew.
                if !seeded::bug("single_flight.ends_with_its_last_member") {
                    group.end(flight.place, site);
                }
                Ok::<V, Infallible>(value)
            };
            match flight.result.filled_in_turn(RUN, site, make).await {
                Ok(value) => value.clone(),
                Err(never) => match never {},
            }
        }
    }

    /// Lets who comes next for `key` begin anew, whatever is in flight: those who take part in that still get
    /// its result. True if something was.
    ///
    /// ```
    /// use gorin_channel::sync::SingleFlight;
    /// # futures::executor::block_on(async {
    /// let pages = SingleFlight::<String, u32>::new();
    /// let mut slow = std::pin::pin!(pages.run("/index".to_owned(), std::future::pending));
    /// assert!(futures::poll!(slow.as_mut()).is_pending());
    /// assert!(pages.forget("/index"));
    /// assert_eq!(pages.run("/index".to_owned(), || async { 2 }).await, 2);
    /// # });
    /// ```
    #[track_caller]
    pub fn forget<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (group, site) = (&*self.group, Location::caller());
        let hash = group.hasher.hash_one(key);
        hook::step("SingleFlight forget", group.id, Access::Write, site);
        let mut after = 0;
        loop {
            let mut table = group.table.lock();
            let Some(flight) = table.next(hash, after).map(|entry| entry.flight.clone()) else {
                return false;
            };
            drop(table);
            if flight.key.borrow() == key {
                let forgotten = group.table.lock().flights.remove(&flight.place);
                return forgotten.is_some();
            }
            after = flight.place.1;
        }
    }
}

// The table is whole whenever a key or a value panics: none of their code runs under its lock.
impl<K, V> UnwindSafe for Group<K, V> {}
impl<K, V> RefUnwindSafe for Group<K, V> {}

impl<K, V> Clone for SingleFlight<K, V> {
    fn clone(&self) -> Self {
        Self {
            group: self.group.clone(),
        }
    }
}

impl<K, V> Default for SingleFlight<K, V> {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> fmt::Debug for SingleFlight<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight")
            .field("id", &self.group.id)
            .finish_non_exhaustive()
    }
}
