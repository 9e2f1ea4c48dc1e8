//! A value that is made once, by whoever needs it first.
//!
//! The value is in a `OnceLock`, which is set and read and never waited for: its own lock is held for the move
//! of the value alone. Who may make the value, and who waits for it, is told by permits of two
//! kinds: a single one, the turn to make it, and none at all for those who wait and make none. When the value is
//! there both are given all permits there can be, so that everybody goes on at once and nobody ever waits
//! again. A maker that ends without a value gives the turn to the next.
//!
//! ```text
//!   empty, turn free --take---------------> making, by one
//!   making --cancelled, panic, error------> the next in line makes, or turn free
//!   making --done-------------------------> full
//!   empty, making --set-------------------> full; what the maker makes is dropped
//! ```
//!
//! The value is set before the permits are given, and looked for after a permit was taken: so who waits goes on
//! with the value, and who has the turn and finds none is the only one.
//!
//! The lines are made when they are first needed, so that a cell can be a `static`, and one that is made full,
//! or never used, holds none. `set` needs them, too: if it only looked whether somebody has made them, and a
//! waiter only looked for a value, each could miss what the other has just written. A checker of goroutine
//! programs, too, knows a cell only from then on, as one of those that its first user made; what it carries from
//! one execution to another was announced in their common beginning, where that user is the same.
//!
//! Rejected: the turn of a running maker keeps `set` out, as in tokio. Then `set` can fail while there is no
//! value, and there may be none afterwards either.
//!
//! Must not: run a user's code (makers, destructors) under a lock.

mod lines;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::Location;

use gorin_base::hook::{self, Access, Site};
use gorin_base::primitive::OnceLock;
use gorin_base::{const_unless_loom, coop, seeded};

use lines::Lines;
pub(super) use lines::Names;

/// A value that is made once, by the first goroutine that needs it, while the others that need it wait.
///
/// As Go's `sync.OnceValue`, but who makes the value may await. One maker runs at a time. If it is cancelled,
/// panics or returns an error, there is no value yet, and the next of those who wait runs its own: where Go's
/// `Once` counts a panic as done, here it is retried. To look at a value that is there costs one atomic load.
///
/// ```
/// use gorin_channel::sync::OnceCell;
///
/// static CONFIG: OnceCell<String> = OnceCell::new();
///
/// async fn config() -> &'static str {
///     CONFIG.get_or_init(|| async { "read once".to_owned() }).await
/// }
/// # futures::executor::block_on(async {
/// assert_eq!(CONFIG.get(), None);
/// assert_eq!(config().await, "read once");
/// assert!(std::ptr::eq(config().await, config().await));
/// # });
/// ```
///
/// In a program that is checked by a model the cell is made in the program: a `static` would stay full from one
/// execution to the next.
pub struct OnceCell<T> {
    value: OnceLock<T>,
    lines: OnceLock<Box<Lines>>,
    /// Where it was made.
    site: Site,
}

const CELL: &str = "once cell";

const GET_OR_INIT: Names = Names {
    kind: CELL,
    operation: "OnceCell get_or_init",
};

impl<T> OnceCell<T> {
    const_unless_loom! {
        /// A cell without a value. (Under loom, which makes its objects at run time, it is not `const`.)
        #[track_caller]
        pub const fn new() -> Self {
            Self {
                value: OnceLock::new(),
                lines: OnceLock::new(),
                site: Location::caller(),
            }
        }
    }

    /// A cell without a value, made at `site`.
    pub(super) fn at(site: Site) -> Self {
        Self {
            site,
            ..Self::new()
        }
    }

    /// Whether there is a value. Announces nothing.
    pub(super) fn is_full(&self) -> bool {
        self.value.get().is_some()
    }

    /// A cell that holds `value` from the beginning.
    ///
    /// ```
    /// use gorin_channel::sync::OnceCell;
    /// assert_eq!(OnceCell::with_value(7).get(), Some(&7));
    /// ```
    #[track_caller]
    pub fn with_value(value: T) -> Self {
        let cell = Self::new();
        let set = cell.value.set(value);
        debug_assert!(set.is_ok(), "nobody else has seen it");
        cell
    }

    /// The value, if there is one.
    #[inline]
    #[track_caller]
    pub fn get(&self) -> Option<&T> {
        self.announce(CELL, "OnceCell get", Access::Read, Location::caller());
        self.value.get()
    }

    /// The value, if there is one, to be changed in place.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Fills the cell, and lets all go on who wait for a value. Where somebody is making one it is dropped when
    /// it is made: the first that is there stays.
    ///
    /// ```
    /// use gorin_channel::sync::OnceCell;
    /// let cell = OnceCell::new();
    /// assert_eq!(cell.set(1), Ok(()));
    /// assert_eq!(cell.set(2), Err(2));
    /// assert_eq!(cell.get(), Some(&1));
    /// ```
    ///
    /// # Errors
    /// `value`, if there is one already.
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        self.announce(CELL, "OnceCell set", Access::Write, Location::caller());
        self.fill(CELL, value)
    }

    /// The value, made by `init` if there is none. If somebody else makes one this waits for that, and runs
    /// `init` only if that one fails and nobody has waited longer.
    ///
    /// ```
    /// use gorin_channel::sync::OnceCell;
    /// # futures::executor::block_on(async {
    /// let cell = OnceCell::new();
    /// assert_eq!(cell.get_or_init(|| async { 1 }).await, &1);
    /// assert_eq!(cell.get_or_init(async || 2).await, &1);
    /// # });
    /// ```
    ///
    /// # Panics
    /// If `init` does. The cell has no value then, and the next in line runs its own.
    ///
    /// An `init` that needs the value of its own cell waits for ever.
    ///
    /// # Cancel safety
    /// If it is dropped `init` is dropped where it stands, and the next in line runs its own. To make the value
    /// whoever is dropped, do it in a goroutine.
    #[track_caller]
    pub fn get_or_init<F, M>(&self, init: F) -> impl Future<Output = &T>
    where
        F: FnOnce() -> M,
        M: Future<Output = T>,
    {
        let site = Location::caller();
        async move {
            let make = || async { Ok::<T, Infallible>(init().await) };
            match self.filled_by(site, make).await {
                Ok(value) => value,
                Err(never) => match never {},
            }
        }
    }

    /// As [`get_or_init`](Self::get_or_init), with an `init` that may fail.
    ///
    /// ```
    /// use gorin_channel::sync::OnceCell;
    /// # futures::executor::block_on(async {
    /// let cell = OnceCell::new();
    /// let number = |text: &'static str| || async { text.parse::<u8>() };
    /// assert!(cell.get_or_try_init(number("many")).await.is_err());
    /// assert_eq!(cell.get_or_try_init(number("7")).await, Ok(&7));
    /// # });
    /// ```
    ///
    /// # Errors
    /// What `init` has failed with. The cell has no value by that, and the next in line runs its own.
    ///
    /// # Panics
    /// As [`get_or_init`](Self::get_or_init).
    ///
    /// # Cancel safety
    /// As [`get_or_init`](Self::get_or_init).
    #[track_caller]
    pub fn get_or_try_init<F, M, E>(&self, init: F) -> impl Future<Output = Result<&T, E>>
    where
        F: FnOnce() -> M,
        M: Future<Output = Result<T, E>>,
    {
        self.filled_by(Location::caller(), init)
    }

    /// Waits until somebody else has filled the cell.
    ///
    /// ```
    /// use futures::future::join;
    /// use gorin_channel::sync::OnceCell;
    /// # futures::executor::block_on(async {
    /// let address = OnceCell::new();
    /// let told = join(address.wait(), async { address.set("[::1]:80") }).await;
    /// assert_eq!(told, (&"[::1]:80", Ok(())));
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// A dropped wait has no effect.
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = &T> {
        let site = Location::caller();
        async move {
            self.announce(CELL, "OnceCell wait", Access::Read, site);
            if self.value.get().is_none() {
                self.lines(CELL).filled("OnceCell wait", site).await;
            } else {
                coop::consume().await;
            }
            self.value.get().expect("who waits goes on with a value")
        }
    }

    /// The value, taken out; the cell has none then, and can be filled again.
    #[track_caller]
    pub fn take(&mut self) -> Option<T> {
        mem::replace(self, Self::at(Location::caller())).into_inner()
    }

    /// The value, if there is one.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// The value, made by `make` if there is none.
    async fn filled_by<F, M, E>(&self, site: Site, make: F) -> Result<&T, E>
    where
        F: FnOnce() -> M,
        M: Future<Output = Result<T, E>>,
    {
        self.announce(CELL, GET_OR_INIT.operation, Access::Read, site);
        if let Some(value) = self.value.get() {
            coop::consume().await;
            return Ok(value);
        }
        self.filled_in_turn(GET_OR_INIT, site, make).await
    }

    /// As [`filled_by`](Self::filled_by) for who has seen that there is none.
    pub(super) async fn filled_in_turn<F, M, E>(
        &self,
        names: Names,
        site: Site,
        make: F,
    ) -> Result<&T, E>
    where
        F: FnOnce() -> M,
        M: Future<Output = Result<T, E>>,
    {
        let lines = self.lines(names.kind);
        let turn = lines.turn(names.operation, site).await;
        if let Some(value) = self.value.get()
            && !seeded::bug("once_cell.no_look_in_turn")
        {
            turn.end();
            return Ok(value);
        }
        let value = make().await?;
        self.announce(names.kind, "OnceCell set", Access::Write, site);
        // Somebody may have set another one meanwhile.
        drop(self.fill(names.kind, value));
        turn.end();
        Ok(self.value.get().expect("it has just been filled"))
    }

    /// Fills the cell if it is empty, and gives all permits to those who wait and will wait.
    fn fill(&self, kind: &'static str, value: T) -> Result<(), T> {
        if seeded::bug("once_cell.lines_are_looked_for") {
            self.value.set(value)?;
            self.lines.get().into_iter().for_each(|lines| lines.open());
            return Ok(());
        }
        let lines = self.lines(kind);
        if seeded::bug("once_cell.told_before_it_is_filled") {
            lines.open();
        }
        self.value.set(value)?;
        lines.open();
        Ok(())
    }

    /// Made when first needed.
    fn lines(&self, kind: &'static str) -> &Lines {
        self.lines
            .get_or_init(|| Box::new(Lines::new(kind, self.site)))
    }

    #[inline]
    fn announce(&self, kind: &'static str, operation: &'static str, access: Access, site: Site) {
        if hook::is_active() {
            hook::step(operation, self.lines(kind).id(), access, site);
        }
    }
}

impl<T> Default for OnceCell<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        Self::with_value(value)
    }
}

/// A cell of its own, with a clone of the value if there is one.
impl<T: Clone> Clone for OnceCell<T> {
    #[track_caller]
    fn clone(&self) -> Self {
        match self.get() {
            Some(value) => Self::with_value(value.clone()),
            None => Self::new(),
        }
    }
}

impl<T: PartialEq> PartialEq for OnceCell<T> {
    #[track_caller]
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceCell<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    #[track_caller]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("OnceCell");
        match self.get() {
            Some(value) => shown.field(value),
            None => shown.field(&format_args!("<empty>")),
        };
        shown.finish()
    }
}
