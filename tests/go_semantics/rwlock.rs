//! G59: the reader-writer lock; and barriers, which Go does not have.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gorin::prelude::*;
use gorin::sync::{Barrier, RwLock, RwLockWriteGuard};
use gorin_base::check::poll_once;

use super::everywhere;

/// A goroutine that holds the lock for reading until it is told to leave.
async fn reader_that_stays(
    lock: &Arc<RwLock<u32>>,
) -> (gorin::channel::Sender<()>, JoinHandle<u32>) {
    let (leave, told) = chan::<()>(0);
    let (tell, entered) = chan(0);
    let lock = lock.clone();
    let reader = go(async move {
        let reading = lock.read().await;
        tell.send(()).await.unwrap();
        told.recv().await;
        *reading
    });
    entered.recv().await;
    (leave, reader)
}

#[test]
fn g59_a_waiting_writer_keeps_new_readers_out() {
    everywhere(|| async {
        let lock = Arc::new(RwLock::new(0));
        let (leave, before) = reader_that_stays(&lock).await;
        let theirs = lock.clone();
        let mut write = pin!(theirs.write());
        assert!(poll_once(write.as_mut()).is_pending());
        let theirs = lock.clone();
        let after = go(async move { *theirs.read().await });
        assert!(lock.try_read().is_none());
        drop(leave);
        *write.await = 1;
        assert_eq!((before.await.unwrap(), after.await.unwrap()), (0, 1));
    });
}

/// Readers that have waited for a writer go before the next writer, together: they meet inside.
#[test]
fn g59_readers_that_waited_are_let_in_together_before_the_next_writer() {
    everywhere(|| async {
        let lock = Arc::new(RwLock::new(0));
        let mut writing = lock.write().await;
        let mut next = pin!(lock.write());
        assert!(poll_once(next.as_mut()).is_pending());
        let inside = Arc::new(Barrier::new(3));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let mut read = Box::pin(lock.read_owned());
                assert!(poll_once(read.as_mut()).is_pending());
                let inside = inside.clone();
                go(async move {
                    let reading = read.await;
                    inside.wait().await;
                    *reading
                })
            })
            .collect();
        *writing = 1;
        drop(writing);
        assert!(poll_once(next.as_mut()).is_pending(), "readers are in");
        inside.wait().await;
        *next.await = 2;
        for reader in readers {
            assert_eq!(reader.await.unwrap(), 1);
        }
    });
}

/// As many writers as readers, all at the same time: each gets its turn.
#[test]
fn g59_neither_readers_nor_writers_starve() {
    everywhere(|| async {
        const EACH: usize = 200;
        let lock = Arc::new(RwLock::new((0, 0)));
        let inside = Arc::new(AtomicUsize::new(0));
        let mut all = Vec::new();
        for _ in 0..2 {
            let (theirs, alone) = (lock.clone(), inside.clone());
            all.push(go(async move {
                for _ in 0..EACH {
                    let mut writing = theirs.write().await;
                    assert_eq!(alone.fetch_add(1, Ordering::Relaxed), 0);
                    writing.0 += 1;
                    yield_now().await;
                    writing.1 += 1;
                    alone.fetch_sub(1, Ordering::Relaxed);
                }
            }));
            let theirs = lock.clone();
            all.push(go(async move {
                for _ in 0..EACH {
                    let reading = theirs.read().await;
                    yield_now().await;
                    assert_eq!(reading.0, reading.1);
                }
            }));
        }
        for one in all {
            one.await.unwrap();
        }
        assert_eq!(*lock.read().await, (2 * EACH, 2 * EACH));
    });
}

/// Go has no such step: the writer would unlock, and another one might come in between.
#[test]
fn g59_a_writer_becomes_a_reader_and_no_writer_comes_in_between() {
    everywhere(|| async {
        let lock = Arc::new(RwLock::new(0));
        let mut writing = lock.write().await;
        let theirs = lock.clone();
        let mut write = pin!(theirs.write());
        assert!(poll_once(write.as_mut()).is_pending());
        *writing = 1;
        let reading = RwLockWriteGuard::downgrade(writing);
        yield_now().await;
        assert!(poll_once(write.as_mut()).is_pending() && *reading == 1);
        drop(reading);
        *write.await += 1;
        assert_eq!(*lock.read().await, 2);
    });
}

/// A goroutine that is aborted with a guard, and one that is aborted in line.
#[test]
fn g59_a_goroutine_that_is_aborted_leaves_the_lock_and_its_line() {
    everywhere(|| async {
        let lock = Arc::new(RwLock::new(7));
        let (leave, holder) = reader_that_stays(&lock).await;
        let (tell, told) = chan(0);
        let theirs = lock.clone();
        let waiter = go(async move {
            let mut write = pin!(theirs.write());
            assert!(poll_once(write.as_mut()).is_pending());
            tell.send(()).await.unwrap();
            drop(write.await);
        });
        told.recv().await;
        assert!(lock.try_read().is_none(), "a writer waits");
        waiter.abort();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert_eq!(lock.try_read().map(|reading| *reading), Some(7));
        holder.abort();
        assert!(holder.await.unwrap_err().is_cancelled());
        assert!(lock.try_write().is_some());
        drop(leave);
    });
}

#[test]
fn g59_guards_go_to_other_goroutines_and_threads() {
    everywhere(|| async {
        let lock = Arc::new(RwLock::new(1));
        let mut writing = lock.write_owned().await;
        let handed_on = go(async move {
            *writing += 1;
            writing
        });
        drop(handed_on.await.unwrap());
        let theirs = lock.clone();
        let thread = std::thread::spawn(move || {
            *theirs.write_blocking() += 1;
            *theirs.read_blocking()
        });
        let seen = gorin::unblock(move || thread.join().unwrap())
            .await
            .unwrap();
        assert_eq!((seen, *lock.read().await), (3, 3));
    });
}

#[test]
fn a_barrier_lets_all_go_on_at_once_and_one_lead_in_each_round() {
    everywhere(|| async {
        const SIZE: usize = 5;
        const ROUNDS: usize = 50;
        let barrier = Arc::new(Barrier::new(SIZE));
        let arrived = Arc::new(AtomicUsize::new(0));
        let all: Vec<_> = (0..SIZE)
            .map(|_| {
                let (barrier, arrived) = (barrier.clone(), arrived.clone());
                go(async move {
                    let mut led = 0;
                    for round in 1..=ROUNDS {
                        arrived.fetch_add(1, Ordering::Relaxed);
                        led += usize::from(barrier.wait().await.is_leader());
                        // Nobody is two rounds ahead.
                        let there = arrived.load(Ordering::Relaxed);
                        assert!((SIZE * round..SIZE * (round + 1)).contains(&there));
                    }
                    led
                })
            })
            .collect();
        let mut led = 0;
        for one in all {
            led += one.await.unwrap();
        }
        assert_eq!(led, ROUNDS);
    });
}
