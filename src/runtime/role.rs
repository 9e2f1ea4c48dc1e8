//! What the calling thread is to gorin, and the texts for calls from the wrong thread.
//!
//! A worker must not wait for anything but its own ring: what it would wait for may need that very
//! worker. So `run`, `block_on` and the end of a [`Runtime`](super::Runtime) ask here first.

use std::cell::Cell;
use std::marker::PhantomData;

use gorin_base::hook;

use super::{EXIT_TIMEOUT, Handle, current};

/// What a thread is to gorin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Any thread.
    Stranger,
    /// A worker of a runtime, the thread in `run` included.
    Worker,
    /// A thread inside `block_on`.
    BlockedOn,
}

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Stranger) };
}

impl Role {
    /// That of this thread.
    pub(super) fn current() -> Role {
        ROLE.get()
    }

    /// Gives this thread a role until the guard is dropped; `call` is who asks.
    ///
    /// # Panics
    /// If the thread has one already, or a model runs on it: goroutines that are started there are the
    /// model's, which would wait for the end of this call.
    #[track_caller]
    pub(super) fn enter(role: Role, call: &str) -> RoleGuard {
        assert!(
            !hook::is_active(),
            "gorin: `{call}` was called in a model, whose one thread it would block. Use `.await` on the \
             future instead, or `gorin::go` to run it beside this one."
        );
        let here = match Role::current() {
            Role::Stranger => {
                ROLE.set(role);
                return RoleGuard(PhantomData);
            }
            Role::Worker => "on a worker of a gorin runtime",
            Role::BlockedOn => "inside another block_on",
        };
        panic!(
            "gorin: `{call}` was called {here}, which it would block. Use `.await` on the future \
             instead, or `gorin::go` to run it beside this one."
        )
    }
}

/// Gives the role back.
// Not `Send`: it must be dropped on its own thread.
#[derive(Debug)]
pub(super) struct RoleGuard(PhantomData<*const ()>);

impl Drop for RoleGuard {
    fn drop(&mut self) {
        ROLE.set(Role::Stranger);
    }
}

/// Refuses to make a worker of a thread whose locals are being destroyed: goroutines could not be started
/// there.
#[track_caller]
pub(super) fn refuse_run_at_the_end_of_a_thread() {
    assert!(
        !current::is_gone(),
        "gorin: `run` was called in a destructor of a thread-local. Run it on another thread, or keep a \
         `Runtime`, whose `block_on` works here too."
    );
}

/// Refuses to wait for the threads of a runtime on a worker; the runtime is stopped without waiting.
#[track_caller]
pub(super) fn refuse_wait_on_worker(handle: &Handle) {
    if Role::current() == Role::Worker {
        handle.stop(EXIT_TIMEOUT);
        panic!(
            "gorin: a `Runtime` was dropped or shut down on a worker, which would have to wait \
             for worker threads, perhaps for itself. Move the `Runtime` to a thread that is no \
             worker, keep a `Handle` in goroutines, or call `shutdown_background`."
        );
    }
}
