//! What gorin does about mishaps that nobody can be told of by an error: a line on stderr, and what panics is
//! put away.
//!
//! Invariant: nothing here panics, whatever stderr, wakers and values that are dropped do. Where one of these
//! comes to pass there is nobody who could take a panic: a worker would end with all that waits for it, or a
//! second panic would end the process. (A pipe whose reader has gone, as that of a log collector that was
//! restarted, makes `eprintln!` panic.)
//!
//! Must not: know what went wrong; the text is the caller's.

use std::fmt;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::primitive::{AtomicBool, Ordering};

/// Writes a line to stderr, as far as that takes it.
pub fn tell(text: fmt::Arguments<'_>) {
    // In one piece, so that it does not mix with those of other processes.
    let line = format!("{text}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

/// As [`tell`], unless it was `said` before. Who comes while another one says it does not wait.
pub fn tell_once(said: &AtomicBool, text: fmt::Arguments<'_>) {
    // Relaxed: decides who says it, and hands nothing over.
    if !said.swap(true, Ordering::Relaxed) {
        tell(text);
    }
}

/// Drops `value`, whose destructor may panic; what that panic carries is dropped too, unless its
/// destructor panics in turn: it is leaked then, since the next one might do so for ever.
pub fn discard<T>(value: T) {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(value)));
    let Err(payload) = dropped else { return };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(payload);
    }
}

/// Wakes by `waker`, which may be a stranger's and panic; then that wake is lost, and nothing else.
///
/// Under loom the panic goes on: there a waker panics because an assertion of the model has failed.
#[inline]
pub fn wake(waker: Waker) {
    if cfg!(loom) {
        return waker.wake();
    }
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        waker_panicked(payload);
    }
}

#[cold]
fn waker_panicked(payload: Box<dyn std::any::Any + Send>) {
    discard(payload);
    tell(format_args!(
        "gorin: a waker panicked; whoever waits by it was not woken, all others go on"
    ));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Wake;

    /// Panics when it is dropped, with another one.
    struct Bomb(u8);

    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0 > 0 {
                std::panic::panic_any(Bomb(self.0 - 1));
            }
        }
    }

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            std::panic::panic_any(Bomb(1));
        }
    }

    #[test]
    fn a_waker_that_panics_is_survived() {
        wake(Waker::from(Arc::new(Panics)));
    }

    #[test]
    fn what_panics_when_it_is_dropped_is_put_away() {
        discard(Bomb(1));
        // These are leaked, which miri does not forgive.
        if !cfg!(miri) {
            (2..5).for_each(|depth| discard(Bomb(depth)));
        }
    }

    #[test]
    fn what_is_told_once_is_noted() {
        let said = AtomicBool::new(false);
        for _ in 0..2 {
            tell_once(&said, format_args!("told once, by a test"));
            assert!(said.load(Ordering::Relaxed));
        }
    }
}
