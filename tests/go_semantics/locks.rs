//! G58 and G62: mutexes and condition variables.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gorin::prelude::*;
use gorin::sync::{Cond, Mutex};
use gorin::time::timeout;
use gorin::yield_now;
use gorin_base::check::poll_once;

use super::{everywhere, on_workers};

#[test]
fn g58_one_goroutine_has_the_lock_at_a_time() {
    everywhere(|| async {
        const ROUNDS: usize = 300;
        let (mutex, holders) = (Arc::new(Mutex::new(0)), Arc::new(AtomicUsize::new(0)));
        let goroutines: Vec<_> = (0..8)
            .map(|n| {
                let (mutex, holders) = (mutex.clone(), holders.clone());
                go(async move {
                    for round in 0..ROUNDS {
                        let mut count = mutex.lock().await;
                        assert_eq!(holders.fetch_add(1, Ordering::Relaxed), 0);
                        *count += 1;
                        if (n + round) % 3 == 0 {
                            yield_now().await;
                        }
                        holders.fetch_sub(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for goroutine in goroutines {
            goroutine.await.unwrap();
        }
        assert_eq!(*mutex.lock().await, 8 * ROUNDS);
    });
}

#[test]
fn g58_any_goroutine_may_unlock() {
    everywhere(|| async {
        let mutex = Arc::new(Mutex::new(1));
        let guard = mutex.lock_owned().await;
        let other = go(async move { drop(guard) });
        assert_eq!(*mutex.lock().await, 1);
        other.await.unwrap();
    });
}

#[test]
fn g58_trying_does_not_wait() {
    everywhere(|| async {
        let mutex = Mutex::new(1);
        let guard = mutex.try_lock().expect("nobody has it");
        assert!(mutex.try_lock().is_none());
        drop(guard);
        assert!(mutex.try_lock().is_some());
    });
}

#[test]
fn g58_it_is_not_reentrant() {
    everywhere(|| async {
        let mutex = Mutex::new(());
        let _guard = mutex.lock().await;
        let again = timeout(Duration::from_millis(5), mutex.lock()).await;
        assert!(again.is_err());
    });
}

#[test]
fn g58_who_runs_takes_a_free_lock_before_who_sleeps() {
    // On one worker nobody runs between two operations of a goroutine that need not wait.
    on_workers(1, || async {
        let mutex = Arc::new(Mutex::new(Vec::new()));
        let mut guard = mutex.lock().await;
        let (tx, rx) = chan::<()>(1);
        let sleeper = go({
            let mutex = mutex.clone();
            async move {
                let mut lock = std::pin::pin!(mutex.lock());
                assert!(poll_once(lock.as_mut()).is_pending());
                tx.send(()).await.unwrap();
                lock.await.push("the one that slept");
            }
        });
        rx.recv().await;
        for _ in 0..3 {
            drop(guard);
            guard = mutex.try_lock().expect("it is not handed to who sleeps");
            guard.push("the one that ran");
        }
        drop(guard);
        sleeper.await.unwrap();
        let expected = [["the one that ran"; 3].as_slice(), &["the one that slept"]].concat();
        assert_eq!(*mutex.lock().await, expected);
    });
}

#[test]
fn g58_who_was_woken_in_vain_is_next() {
    everywhere(|| async {
        let (mutex, done) = (Arc::new(Mutex::new(0)), Arc::new(AtomicBool::new(false)));
        // Has the lock whenever it does not run.
        let hog = go({
            let (mutex, done) = (mutex.clone(), done.clone());
            async move {
                while !done.load(Ordering::Relaxed) {
                    let mut rounds = mutex.lock().await;
                    *rounds += 1;
                    yield_now().await;
                }
            }
        });
        for _ in 0..20 {
            drop(mutex.lock().await);
            yield_now().await;
        }
        done.store(true, Ordering::Relaxed);
        hog.await.unwrap();
    });
}

#[test]
fn g58_a_goroutine_that_is_aborted_while_it_waits_keeps_nobody_waiting() {
    everywhere(|| async {
        for _ in 0..50 {
            let mutex = Arc::new(Mutex::new(()));
            let guard = mutex.lock().await;
            let waits = [0, 1].map(|_| {
                let mutex = mutex.clone();
                go(async move { drop(mutex.lock().await) })
            });
            yield_now().await;
            drop(guard);
            waits[0].abort();
            for wait in waits {
                let _ended_or_aborted = wait.await;
            }
            assert!(mutex.try_lock().is_some());
        }
    });
}

/// Goroutines that wait, and say in which order they were notified.
struct Waiting {
    /// How many wait, and who was notified.
    state: Mutex<(usize, Vec<usize>)>,
    cond: Cond,
}

/// So many goroutines that stand in line in their order, and their handles.
async fn waiting(goroutines: usize) -> (Arc<Waiting>, Vec<gorin::JoinHandle<()>>) {
    let all = Arc::new(Waiting {
        state: Mutex::new((0, Vec::new())),
        cond: Cond::new(),
    });
    let mut handles = Vec::new();
    for n in 0..goroutines {
        let its = all.clone();
        handles.push(go(async move {
            let mut state = its.state.lock().await;
            state.0 += 1;
            its.cond.wait(state).await.1.push(n);
        }));
        // It gives the lock up when it stands in line.
        while all.state.lock().await.0 <= n {
            yield_now().await;
        }
    }
    (all, handles)
}

#[test]
fn g62_a_signal_wakes_the_one_that_has_waited_longest() {
    everywhere(|| async {
        let (all, handles) = waiting(4).await;
        for (n, handle) in handles.into_iter().enumerate() {
            assert_eq!(all.state.lock().await.1.len(), n, "the others sleep");
            all.cond.notify_one();
            handle.await.unwrap();
        }
        assert_eq!(all.state.lock().await.1, [0, 1, 2, 3]);
    });
}

#[test]
fn g62_a_broadcast_wakes_all() {
    everywhere(|| async {
        let (all, handles) = waiting(4).await;
        all.cond.notify_all();
        for handle in handles {
            handle.await.unwrap();
        }
        let mut notified = all.state.lock().await.1.clone();
        notified.sort_unstable();
        assert_eq!(notified, [0, 1, 2, 3]);
    });
}

#[test]
fn g62_a_signal_that_nobody_waits_for_is_forgotten() {
    everywhere(|| async {
        let (mutex, cond) = (Mutex::new(()), Cond::new());
        cond.notify_one();
        cond.notify_all();
        let wait = cond.wait(mutex.lock().await);
        assert!(timeout(Duration::from_millis(5), wait).await.is_err());
        assert!(mutex.try_lock().is_some(), "the wait had given it up");
    });
}

#[test]
fn g62_a_signal_for_a_goroutine_that_is_aborted_is_the_next_ones() {
    everywhere(|| async {
        for _ in 0..50 {
            let (all, mut handles) = waiting(2).await;
            all.cond.notify_one();
            let first = handles.remove(0);
            first.abort();
            // Either it was through, and has noted it, or the other one is notified.
            if first.await.is_ok() {
                all.cond.notify_one();
            }
            handles.remove(0).await.unwrap();
        }
    });
}

#[test]
fn g62_a_queue_of_a_mutex_and_a_cond_loses_nothing() {
    everywhere(|| async {
        const JOBS: usize = 500;
        let queue = Arc::new((Mutex::new(VecDeque::new()), Cond::new()));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let queue = queue.clone();
                go(async move {
                    let mut sum = 0;
                    loop {
                        let guard = queue.0.lock().await;
                        let mut jobs = queue.1.wait_while(guard, |jobs| jobs.is_empty()).await;
                        match jobs.pop_front() {
                            Some(0) | None => return sum,
                            Some(job) => sum += job,
                        }
                    }
                })
            })
            .collect();
        for job in (1..=JOBS).chain([0; 3]) {
            queue.0.lock().await.push_back(job);
            queue.1.notify_one();
        }
        let mut sum = 0;
        for worker in workers {
            sum += worker.await.unwrap();
        }
        assert_eq!(sum, JOBS * (JOBS + 1) / 2);
    });
}
