//! Who is told, beside [`Worker::run_until`](crate::Worker::run_until), that a panic has stopped an executor.
//!
//! Must not: decide what a panic means (the executor's panic policy does), or be called under a lock.

use std::fmt;

use gorin_base::primitive::PlainArc;

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
