//! Panics that nobody joins: what is printed.
//!
//! Invariant: nothing here panics, whatever the payload or stderr do.
//!
//! Must not: decide what a panic means for the runtime (the executor's panic policy does).

use std::any::Any;

use gorin_base::mishap;

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
    mishap::tell(format_args!(
        "{task} panicked and nobody joins it: {}",
        message(payload)
    ));
}
