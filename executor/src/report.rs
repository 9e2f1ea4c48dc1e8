//! Panics that nobody joins: what is printed, and how their payloads are dropped.
//!
//! Invariant: nothing here panics, whatever the payload or stderr do.
//!
//! Must not: decide what a panic means for the runtime (the executor's panic policy does).

use std::any::Any;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::task::TaskInfo;

/// The text of a panic, if its payload is one.
pub(crate) fn text(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// The text of a panic, or that there is none.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    text(payload).unwrap_or("(a payload that is no text)")
}

/// Tells stderr about a panic of a goroutine that nobody can join any more.
pub(crate) fn unjoined_panic(task: &TaskInfo, payload: &(dyn Any + Send)) {
    let line = format!(
        "{task} panicked and nobody joins it: {}\n",
        message(payload)
    );
    // A closed stderr is no reason to panic once more.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Drops `value`, whose destructor may panic; what that panic carries is dropped too, unless its
/// destructor panics in turn: it is leaked then, since the next one might do so for ever.
pub(crate) fn discard<T>(value: T) {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(value)));
    let Err(payload) = dropped else { return };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(payload);
    }
}
