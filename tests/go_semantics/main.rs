//! Go's semantics, retold: at least one test per rule, on one worker, on two and on four.
//!
//! | file | rules |
//! |---|---|
//! | `goroutines.rs` | G1–G14: the go statement, goroutine life, scheduling |
//! | `channels.rs` | G21–G29, G35–G40: making, sending, receiving, order, nil channels, memory |
//! | `closing.rs` | G30–G34, G41: closing a channel and losing its other side |
//! | `select.rs` | G42–G51: select between goroutines |
//! | `locks.rs` | G58, G62: mutexes, condition variables |
//! | `time.rs` | G52–G55: sleeping, timers, tickers, functions run later |
//! | `context.rs` | G68–G73: contexts: cancels, deadlines, causes, values, what runs until they end |
//! | `rwlock.rs` | G59: the reader-writer lock |
//! | `sync.rs` | G60, G61, G66, G67: wait groups, values made once, shared work, weighted semaphores |
//!
//! The numbers keep the order, and `rows.rs` sees that none is missing, also of the rules on
//! cancellation (K1–K16) and on faults (F1–F25), whose tests are elsewhere; each test's name says its rule. Where Rust differs from Go on
//! purpose (a closed channel gives an error, not a panic; destructors run at the end of `main`) the
//! comment says so.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;

mod channels;
mod closing;
mod context;
mod goroutines;
mod locks;
mod rows;
mod rwlock;
mod select;
mod sync;
mod time;

use common::{on_each_count as everywhere, on_workers};
