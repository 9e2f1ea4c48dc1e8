//! Panics that nobody joins: what is printed, and who else is told.
//!
//! Invariant: nothing that is printed here panics, whatever the payload or stderr do.
//!
//! Must not: decide what a panic means for the runtime (the executor's panic policy does).

use std::any::Any;
use std::fmt;

use gorin_base::mishap;
use gorin_base::primitive::PlainArc;

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

/// What is called when a panic has stopped an executor, by whoever has come upon it; see
/// [`Config::on_crash`](crate::Config::on_crash).
#[derive(Clone)]
pub struct OnCrash(PlainArc<dyn Fn() + Send + Sync>);

impl OnCrash {
    /// Lets `call` be called, perhaps more than once. It must be short, and must not panic.
    pub fn new(call: impl Fn() + Send + Sync + 'static) -> OnCrash {
        OnCrash(PlainArc::new(call))
    }

    pub(crate) fn call(&self) {
        (self.0)();
    }
}

impl fmt::Debug for OnCrash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnCrash")
    }
}
