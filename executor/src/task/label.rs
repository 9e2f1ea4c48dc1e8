//! Where a task was started and, if it has one, its name: one word, since there may be a million tasks
//! and few with a name.
//!
//! ```text
//! no name   pointer to the place             bit 0 clear: a `Location` is aligned
//! a name    pointer to a `Named`, plus one   bit 0 set, and the box is the label's
//! ```
//!
//! Must not: change once it is made; tasks are looked at by other threads.

use std::panic::Location;
use std::ptr::NonNull;

use gorin_base::primitive::PlainArc;

/// The bit that tells the two apart.
const NAMED: usize = 1;

const _: () = assert!(align_of::<Location<'static>>() > NAMED && align_of::<Named>() > NAMED);

type Site = &'static Location<'static>;

struct Named {
    site: Site,
    name: PlainArc<str>,
}

/// A place, perhaps with a name.
pub(super) struct Label(NonNull<()>);

impl Label {
    pub(super) fn new(site: Site, name: Option<PlainArc<str>>) -> Label {
        let Some(name) = name else {
            return Label(NonNull::from(site).cast());
        };
        let named = NonNull::from(Box::leak(Box::new(Named { site, name })));
        Label(named.cast::<()>().map_addr(|address| address | NAMED))
    }

    /// The box, if there is one.
    fn named(&self) -> Option<NonNull<Named>> {
        let address = self.0.addr().get();
        if address & NAMED == 0 {
            return None;
        }
        // SAFETY: the bit was added to the address of a box, which is not null.
        let pointer = unsafe { NonNull::new_unchecked(self.0.as_ptr().map_addr(|a| a & !NAMED)) };
        Some(pointer.cast())
    }

    /// The place and the name.
    pub(super) fn parts(&self) -> (Site, Option<PlainArc<str>>) {
        match self.named() {
            Some(named) => {
                // SAFETY: the box lives as long as the label, and is only read.
                let named = unsafe { named.as_ref() };
                (named.site, Some(named.name.clone()))
            }
            // SAFETY: without the bit it is what `new` was given, which lives for ever.
            None => (unsafe { self.0.cast().as_ref() }, None),
        }
    }
}

impl Drop for Label {
    fn drop(&mut self) {
        if let Some(named) = self.named() {
            // SAFETY: it came from a box, and goes with the label.
            drop(unsafe { Box::from_raw(named.as_ptr()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_back_what_it_was_made_of() {
        let site = Location::caller();
        assert_eq!(Label::new(site, None).parts(), (site, None));
        let name: PlainArc<str> = "acceptor".into();
        let label = Label::new(site, Some(name.clone()));
        assert_eq!(label.parts(), (site, Some(name.clone())));
        assert_eq!(PlainArc::strong_count(&name), 2);
        drop(label);
        assert_eq!(PlainArc::strong_count(&name), 1, "the name goes with it");
        assert_eq!(size_of::<Label>(), size_of::<usize>());
    }
}
