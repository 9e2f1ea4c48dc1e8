//! Commands for people who work on gorin.
fn main() {}
