//! For contenders that have no mutex for their tasks: the row asks `NO_MUTEX` first, and the rest is never
//! reached.

use std::sync::{MutexGuard, PoisonError};

/// Why the row has no result.
pub(crate) const NO_MUTEX: Option<&str> = Some("it has no mutex that tasks wait for");

/// Stands for one.
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) async fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
