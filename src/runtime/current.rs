//! Which runtime this thread belongs to.
//!
//! Executor and reactor each keep their own answer, for `go` and for sockets; this one is for users
//! who want a [`Handle`] to give to other threads. All three are set and restored together.

use std::cell::RefCell;
use std::marker::PhantomData;

use super::Handle;

thread_local! {
    static CURRENT: RefCell<Option<Handle>> = const { RefCell::new(None) };
    /// The runtime whose closure for blocking code this thread runs.
    static CLOSURE_OF: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// Runs `closure`, which was given to the threads for blocking code of `handle`'s runtime.
pub(super) fn in_closure<T>(handle: Handle, closure: impl FnOnce() -> T) -> T {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            let _left = CLOSURE_OF.take();
        }
    }
    let _entered = handle.enter();
    CLOSURE_OF.set(Some(handle));
    let _reset = Reset;
    closure()
}

/// True in a closure for blocking code of this runtime, whose end it must not wait for: it would wait
/// for itself.
pub(super) fn is_in_closure_of(handle: &Handle) -> bool {
    CLOSURE_OF.with_borrow(|of| of.as_ref().is_some_and(|of| of.is_same(handle)))
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
