//! What goroutines need beside channels. Everything here comes from `gorin_channel`.

pub use gorin_channel::sync::*;
