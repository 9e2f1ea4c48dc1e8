//! Seeded bugs: the proof that a model can fail.
//!
//! A protocol marks the line that a wrong implementation would get wrong:
//!
//! ```
//! # use gorin_base::seeded;
//! # let (mut queued, waker) = (true, 1);
//! if !seeded::bug("chan.close_forgets_receivers") {
//!     queued = false; // what is right
//! }
//! # assert!(!queued);
//! ```
//!
//! [`bug`] is a constant `false` and the branch vanishes, but in two builds: under loom, and under
//! `--cfg gorin_seeded` (`cargo seeded`), for code that plain tests hold to account. There the bug
//! named by the environment variable `GORIN_MUTANT` is switched on; `tests/mutants.txt` of a member
//! lists which model or test must die of which bug, and `cargo xtask mutants` runs the whole table.

/// True if the seeded bug `name` is switched on in this process.
#[inline(always)]
pub fn bug(name: &str) -> bool {
    #[cfg(not(any(loom, gorin_seeded)))]
    {
        let _ = name;
        false
    }
    #[cfg(any(loom, gorin_seeded))]
    {
        use std::sync::OnceLock;
        // std's cell on purpose: read once per process, the same in every execution.
        static ACTIVE: OnceLock<Option<String>> = OnceLock::new();
        ACTIVE
            .get_or_init(|| std::env::var("GORIN_MUTANT").ok())
            .as_deref()
            == Some(name)
    }
}
