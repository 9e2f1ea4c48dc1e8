//! What the models share, and some tests: threads, futures by hand, a cell that reports unordered accesses, a
//! waker that panics.
#![allow(
    dead_code,
    unused_imports,
    reason = "each model file uses a part of it"
)]

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

pub(crate) use gorin_base::check::{block_on, model, poll_once};
use gorin_base::primitive::UnsafeCell;
pub(crate) use gorin_base::primitive::{Arc, PlainArc, thread};

/// A future that can move to another thread between two polls.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Boxes a future.
pub(crate) fn boxed<T>(future: impl Future<Output = T> + Send + 'static) -> Boxed<T> {
    Box::pin(future)
}

/// Waits for threads, then drops what they return. Models return their handles from the threads
/// that use them: a handle's drop takes the lock, and would multiply the executions.
pub(crate) fn join_all<T>(threads: impl IntoIterator<Item = thread::JoinHandle<T>>) {
    let results: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    drop(results);
}

/// Runs `body` as one model for each answer that a random choice can give.
pub(crate) fn model_with_choices(
    name: &str,
    choices: usize,
    body: impl Fn() + Copy + Send + Sync + 'static,
) {
    for choice in 0..choices {
        model(&format!("{name}, choice {choice}"), move || {
            choose(choice);
            body();
        });
    }
}

/// Decides the random choices of this model; on std threads they are as random as ever, seeded.
fn choose(choice: usize) {
    #[cfg(loom)]
    gorin_base::rng::set_choice(choice);
    #[cfg(not(loom))]
    gorin_base::rng::reseed(choice as u64);
}

/// Memory that two threads use without any order but that which channels give: loom (and miri, and
/// the thread sanitizer) report it if that is none.
#[derive(Clone)]
pub(crate) struct Unordered(Arc<Racy>);

struct Racy(UnsafeCell<usize>);

// SAFETY: it is not: unordered access is what the models are to find. loom and miri stop at the
// first one, and the models order all accesses by the channel under test.
unsafe impl Sync for Racy {}

// SAFETY: as above; a `usize` may be used by any thread.
unsafe impl Send for Racy {}

impl Unordered {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Racy(UnsafeCell::new(0))))
    }

    pub(crate) fn write(&self, value: usize) {
        self.0.0.with_mut(|cell| {
            // SAFETY: the model orders all accesses, or the checker stops it here.
            unsafe { *cell = value }
        });
    }

    pub(crate) fn read(&self) -> usize {
        self.0.0.with(|cell| {
            // SAFETY: as in `write`.
            unsafe { *cell }
        })
    }
}

/// A value that knows how many of its kind are alive.
pub(crate) struct Counted(PlainArc<std::sync::atomic::AtomicUsize>, pub(crate) usize);

impl Counted {
    /// `value`, counted in `alive`. std's atomic on purpose: it must not order anything for loom.
    pub(crate) fn new(alive: &PlainArc<std::sync::atomic::AtomicUsize>, value: usize) -> Self {
        alive.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self(alive.clone(), value)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// A waker that counts, and panics.
#[derive(Default)]
pub(crate) struct Panics(pub(crate) AtomicUsize);

impl Wake for Panics {
    fn wake(self: PlainArc<Self>) {
        // Relaxed: it is read by the thread that wakes.
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("a waker panics, as it should not");
    }
}
