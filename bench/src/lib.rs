//! What the benchmark programs share: the runner (`src/main.rs`), the load client
//! (`src/bin/client.rs`) and one program per contender (`contenders/`).
//!
//! Each measurement is a process of its own, so that no contender warms caches, fragments a heap
//! or leaves threads for the next. A program answers on stdout with lines of words (see [`wire`]);
//! the runner starts it ([`child`]), takes several rounds ([`round`]) and prints medians ([`table`]).
//!
//! | module | holds |
//! |---|---|
//! | [`args`] | `--key value` command lines |
//! | [`wire`] | the lines that a measured process prints and the runner reads |
//! | [`process`] | CPU time, memory, affinity and the life of this process |
//! | [`calibrate`] | how many operations fill the time to be measured |
//! | [`stats`] | median, spread, ratio |
//! | [`child`] | children with a deadline, always killed |
//! | [`build`] | building the contenders, Go among them |
//! | [`contender`] | who takes part |
//! | [`plan`] | the rows and their sizes |
//! | [`round`] | one sample of one row for one contender |
//! | [`runner`] | interleaved rounds over the plan |
//! | [`table`] | Markdown |
//! | [`machine`] | what this was measured on |
//!
//! Nothing here may depend on a contender: the runner has to build when one of them does not.
#![forbid(unsafe_code)]

pub mod args;
pub mod build;
pub mod calibrate;
pub mod child;
pub mod contender;
pub mod machine;
pub mod plan;
pub mod process;
pub mod round;
pub mod runner;
pub mod slices;
pub mod stats;
pub mod table;
pub mod wire;
