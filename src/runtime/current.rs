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
    let here = CLOSURE_OF.try_with(|of| of.borrow().as_ref().is_some_and(|of| of.is_same(handle)));
    here.unwrap_or(false)
}

/// The runtime of this thread, if it belongs to one. `None` while its thread-locals are being destroyed.
pub(super) fn get() -> Option<Handle> {
    CURRENT
        .try_with(|current| current.borrow().clone())
        .ok()
        .flatten()
}

/// True while the locals of this thread are being destroyed, and there is no place for a runtime any more.
pub(super) fn is_gone() -> bool {
    CURRENT.try_with(|_| ()).is_err()
}

/// Puts `new` into the place of what was before; nowhere while the thread's locals are being destroyed, in
/// whose destructors a runtime may still be used by its handle.
fn replace(new: Option<Handle>) -> Option<Handle> {
    CURRENT
        .try_with(|current| current.replace(new))
        .ok()
        .flatten()
}

/// Makes `handle` the runtime of this thread until the guard is dropped.
pub(super) fn set(handle: &Handle) -> Guard {
    Guard {
        before: replace(Some(handle.clone())),
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
        let _left = replace(self.before.take());
    }
}
