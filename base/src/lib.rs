//! What the members of gorin share. A leaf: it imports none of them.
//!
//! | module | holds |
//! |---|---|
//! | [`primitive`] | the one place that names std's or loom's atomics, locks, cells and threads |
//! | [`coop`] | the budget that every leaf future of gorin spends, so that no goroutine starves others |
//! | [`rng`] | the seedable per-thread random generator (`GORIN_SEED`) |
//! | [`id`] | one sequence of numbers for channels, timers and the like |
//! | [`clock`] | the one place that asks what time it is |
//! | [`pool`] | the buffers that a thread lends to reads |
//! | [`prefetch`](mod@prefetch) | what the processor is to fetch in time |
//! | [`mishap`] | a line on stderr, and putting away what panics, where nobody can be told by an error |
//! | [`hook`] | where a checker of goroutine programs takes control at each operation |
//! | [`check`] | running one body as loom model, as stress test on std threads, or under miri |
//! | [`width`] | how many workers share the work where CPUs are few |
//! | [`seeded`] | bugs that exist only under loom, to prove that the models can fail |
//!
//! Users depend on the root package `gorin`; nothing here is a stable interface.

#[cfg(all(not(loom), not(doc)))]
const _: () = assert!(
    option_env!("GORIN_EXPECT_LOOM").is_none(),
    "`cargo loom` lost its --cfg loom, so no model would run: unset RUSTFLAGS and \
     CARGO_ENCODED_RUSTFLAGS and run it again"
);

pub mod check;
pub mod clock;
pub mod coop;
pub mod hook;
pub mod id;
pub mod mishap;
pub mod pool;
pub mod prefetch;
pub mod primitive;
pub mod rng;
pub mod seeded;
pub mod width;
