//! Random choices: one small generator per thread, seedable for replay.
//!
//! With `GORIN_SEED=<u64>` in the environment the n-th thread that draws gets the stream
//! `seed + n`; without it the seed comes from the operating system. Not for secrets.
//!
//! Inside `gorin::model` the checker decides ([`hook::choose`](crate::hook::choose)) and explores
//! every answer.
//!
//! Under loom nothing is random, because an execution must be replayable: [`below`] returns what
//! `set_choice` was given last, and a model runs once for each choice it cares about.

#[cfg(not(loom))]
mod imp {
    use std::cell::RefCell;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The seed that `GORIN_SEED` gives, if it does; read once per process. `Err` holds a value that
    /// is no seed: draws ignore it, and who starts a runtime refuses it.
    pub fn configured_seed() -> &'static Result<Option<u64>, String> {
        static SEED: OnceLock<Result<Option<u64>, String>> = OnceLock::new();
        SEED.get_or_init(|| {
            let value = std::env::var_os("GORIN_SEED");
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                return Ok(None);
            };
            let text = value.to_string_lossy().into_owned();
            text.trim().parse().map(Some).map_err(|_| text)
        })
    }

    fn new_stream() -> fastrand::Rng {
        // Relaxed: the counter only has to give each thread another number.
        static THREADS: AtomicU64 = AtomicU64::new(0);
        match configured_seed() {
            Ok(Some(seed)) => {
                fastrand::Rng::with_seed(seed.wrapping_add(THREADS.fetch_add(1, Ordering::Relaxed)))
            }
            _ => fastrand::Rng::new(),
        }
    }

    thread_local! {
        static STREAM: RefCell<fastrand::Rng> = RefCell::new(new_stream());
    }

    /// A number in `0..n`, each equally likely. Returns 0 if `n` is 0.
    #[inline]
    pub fn below(n: usize) -> usize {
        if n < 2 {
            return 0;
        }
        if let Some(choice) = crate::hook::choose(n) {
            return choice;
        }
        STREAM.with(|stream| stream.borrow_mut().usize(0..n))
    }

    /// Starts this thread's stream anew from `seed`.
    pub fn reseed(seed: u64) {
        STREAM.with(|stream| stream.borrow_mut().seed(seed));
    }
}

#[cfg(loom)]
mod imp {
    use std::cell::Cell;

    // loom runs all threads of an execution on one OS thread, so std's thread-local is shared by
    // them on purpose.
    std::thread_local! {
        static CHOICE: Cell<usize> = const { Cell::new(0) };
        static MOST: Cell<usize> = const { Cell::new(1) };
    }

    /// The greatest `n` that [`below`] was asked for since this was called last: as many values of
    /// [`set_choice`] can make a difference.
    pub fn take_most_choices() -> usize {
        MOST.replace(1)
    }

    /// The choice given to [`set_choice`], modulo `n`.
    pub fn below(n: usize) -> usize {
        MOST.set(MOST.get().max(n));
        if n < 2 { 0 } else { CHOICE.get() % n }
    }

    /// Decides what [`below`] returns from now on.
    pub fn set_choice(choice: usize) {
        CHOICE.set(choice);
    }
}

pub use imp::*;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_choices_and_all_values_occur() {
        let draw = || {
            reseed(7);
            (0..1000).map(|_| below(5)).collect::<Vec<_>>()
        };
        let first = draw();
        assert_eq!(first, draw());
        let counts = (0..5).map(|value| first.iter().filter(|&&x| x == value).count());
        assert!(
            counts.into_iter().all(|count| count > 120),
            "uniform draws: {first:?}"
        );
    }

    #[test]
    fn ranges_of_one_or_none_give_zero() {
        assert_eq!((below(0), below(1)), (0, 0));
    }
}
