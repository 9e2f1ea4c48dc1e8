//! Programs with mutexes and condition variables under `gorin::model`: right ones pass, and the bugs of the
//! others are found, and named.
//!
//! As `tests/model.rs` for channels; it runs under loom, too, but for what takes that seconds.

mod explore;

use std::mem::swap;
use std::sync::Arc;

use explore::{fails, passes};
use gorin::prelude::*;
use gorin::sync::{Cond, Mutex};

/// Two goroutines lock two mutexes, in the same order or not.
async fn two_of_each(opposite: bool) {
    let (a, b) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let all = [false, opposite].map(|other_way| {
        let (mut first, mut second) = (a.clone(), b.clone());
        if other_way {
            swap(&mut first, &mut second);
        }
        go(async move {
            let mut one = first.lock().await;
            let mut other = second.lock().await;
            swap(&mut *one, &mut *other);
        })
    });
    for one in all {
        one.await.unwrap();
    }
}

#[test]
#[cfg(not(loom))]
fn two_mutexes_in_one_order_are_right() {
    passes(|| two_of_each(false));
}

#[test]
fn two_mutexes_in_opposite_order_are_a_deadlock_that_is_named() {
    let failure = fails(|| two_of_each(true));
    assert!(failure.is_deadlock());
    let text = failure.to_string();
    assert_eq!(
        text.matches("blocked in Mutex lock at tests/model_locks.rs")
            .count(),
        2,
        "{text}"
    );
}

#[test]
fn a_goroutine_that_locks_twice_is_a_deadlock() {
    let failure = fails(|| async {
        let mutex = Mutex::new(());
        let _first = mutex.lock().await;
        let _second = mutex.lock().await;
    });
    assert!(failure.is_deadlock());
}

/// Two goroutines add one, with the lock all the time or twice for a moment.
async fn adding(goroutines: usize, in_one_go: bool) {
    let count = Arc::new(Mutex::new(0));
    let all: Vec<_> = (0..goroutines)
        .map(|_| {
            let count = count.clone();
            go(async move {
                if in_one_go {
                    *count.lock().await += 1;
                } else {
                    let seen = *count.lock().await;
                    *count.lock().await = seen + 1;
                }
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    assert_eq!(count.try_lock().as_deref(), Some(&goroutines));
}

#[test]
#[cfg(not(loom))]
fn no_update_is_lost_with_the_lock() {
    passes(|| adding(2, true));
    passes(|| adding(3, true));
}

#[test]
fn an_update_is_lost_without_the_lock() {
    assert!(fails(|| adding(2, false)).is_panic());
}

#[derive(Default)]
struct Watched {
    ready: Mutex<bool>,
    changed: Cond,
}

/// One waits for what another one does; with the lock from the look to the wait, or without.
async fn waiting(keeps_the_lock: bool) {
    let watched = Arc::new(Watched::default());
    let theirs = watched.clone();
    let waiter = go(async move {
        let Watched { ready, changed } = &*theirs;
        if keeps_the_lock {
            let guard = ready.lock().await;
            let guard = changed.wait_while(guard, |ready| !*ready).await;
            assert!(*guard);
        } else {
            let was_ready = *ready.lock().await;
            if !was_ready {
                drop(changed.wait(ready.lock().await).await);
            }
        }
    });
    *watched.ready.lock().await = true;
    watched.changed.notify_one();
    waiter.await.unwrap();
}

#[test]
fn who_keeps_the_lock_from_the_look_to_the_wait_misses_nothing() {
    passes(|| waiting(true));
}

#[test]
fn who_waits_after_a_look_without_the_lock_misses_a_change() {
    let failure = fails(|| waiting(false));
    assert!(failure.is_deadlock());
    let text = failure.to_string();
    assert!(
        text.contains("blocked in Cond wait at tests/model_locks.rs"),
        "{text}"
    );
}

/// `n` philosophers with mutexes for forks; the last one is left-handed unless `all_alike`, which is the bug.
async fn dining(n: usize, all_alike: bool) {
    let forks: Vec<_> = (0..n).map(|_| Arc::new(Mutex::new(()))).collect();
    for i in 0..n {
        let (mut left, mut right) = (forks[i].clone(), forks[(i + 1) % n].clone());
        if i == n - 1 && !all_alike {
            swap(&mut left, &mut right);
        }
        go(async move {
            let _left = left.lock().await;
            let _right = right.lock().await;
        });
    }
}

#[test]
fn two_philosophers() {
    passes(|| dining(2, false));
}

#[test]
#[cfg(not(loom))]
fn three_philosophers() {
    passes(|| dining(3, false));
    assert!(fails(|| dining(3, true)).is_leak());
}
