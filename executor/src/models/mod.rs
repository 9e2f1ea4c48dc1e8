//! Models of what the workers share: the queues, and who sleeps.
//!
//! Must not: use the public interface alone; those models are `tests/loom_executor.rs`.

mod blocking;
mod idle;
mod queue;
