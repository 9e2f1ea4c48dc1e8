//! The values that a context carries, one of each type.
//!
//! A list that is copied to be changed, because contexts are made with one more value seldom and are asked
//! often, and because one of Go's kind (each value in a node of its own, before those of the parent) keeps
//! what nobody can find any more, grows in a loop, and needs a destructor that does not recurse.

use std::any::{Any, TypeId};
use std::sync::Arc;

type Entry = (TypeId, Arc<dyn Any + Send + Sync>);

/// See the module text.
#[derive(Clone, Default)]
pub(super) struct Values(Option<Arc<[Entry]>>);

impl Values {
    /// The same, with `value` in the place of what they have of its type.
    pub(super) fn with<V: Any + Send + Sync>(&self, value: V) -> Values {
        let key = TypeId::of::<V>();
        let others = self.entries().iter().filter(|&&(other, _)| other != key);
        let new: Entry = (key, Arc::new(value));
        Values(Some(others.cloned().chain([new]).collect()))
    }

    pub(super) fn get<V: Any>(&self) -> Option<&V> {
        let key = TypeId::of::<V>();
        let (_, value) = self.entries().iter().find(|&&(its, _)| its == key)?;
        value.downcast_ref()
    }

    fn entries(&self) -> &[Entry] {
        self.0.as_deref().unwrap_or_default()
    }
}
