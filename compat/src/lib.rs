//! Nothing but the examples of gorin's documentation that take more than gorin's own dependencies, so
//! that they run: `cargo test -p gorin-compat`. The tests are in `compat/tests/`.
#![cfg(not(loom))]

#[cfg(doctest)]
#[doc = include_str!("../../src/hyper.md")]
struct Hyper;

#[cfg(doctest)]
#[doc = include_str!("../../src/io/tokio.md")]
struct TokioIo;
