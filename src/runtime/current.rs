//! Which runtime this thread belongs to.
//!
//! Executor and reactor each keep their own answer, for `go` and for sockets; this one is for users
//! who want a [`Handle`] to give to other threads. All three are set and restored together.

use std::cell::RefCell;
use std::marker::PhantomData;

use super::Handle;

thread_local! {
    static CURRENT: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// The runtime of this thread, if it belongs to one.
pub(super) fn get() -> Option<Handle> {
    CURRENT.with_borrow(Option::clone)
}

/// Makes `handle` the runtime of this thread until the guard is dropped.
pub(super) fn set(handle: &Handle) -> Guard {
    Guard {
        before: CURRENT.replace(Some(handle.clone())),
        _not_send: PhantomData,
    }
}

/// Restores what was before.
#[derive(Debug)]
pub(super) struct Guard {
    before: Option<Handle>,
    // It must be dropped on its own thread.
    _not_send: PhantomData<*const ()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The old handle is dropped outside of the borrow.
        let _left = CURRENT.replace(self.before.take());
    }
}
