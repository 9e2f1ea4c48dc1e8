//! Models: several permits at once, and the line of those who wait for them.

mod common;

use common::*;
use gorin_channel::sync::Semaphore;

/// Two who need two of three permits each are never in at the same time, and both get in. For: a wait that
/// begins between the last look and the release.
#[test]
fn two_who_need_most_of_it_take_turns() {
    model("two who need most of it take turns", || {
        let semaphore = Semaphore::new(3);
        let memory = Unordered::new();
        let theirs = (semaphore.clone(), memory.clone());
        let other = thread::spawn(move || {
            let (semaphore, memory) = theirs;
            let permits = block_on(semaphore.acquire_many(2));
            memory.write(memory.read() + 1);
            drop(permits);
        });
        let permits = block_on(semaphore.acquire_many(2));
        memory.write(memory.read() + 1);
        drop(permits);
        other.join().unwrap();
        assert_eq!((memory.read(), semaphore.available()), (2, 3));
    });
}

/// While the head of the line waits for two permits, one that comes back is for nobody else. For: a large
/// head that is overtaken, again and again.
#[test]
fn a_large_head_is_not_overtaken() {
    model("a large head is not overtaken", || {
        let semaphore = Semaphore::new(2);
        let mut permits = semaphore.try_acquire_many(2).expect("nobody else is there");
        let one = permits.split(1).expect("there are two");
        let mine = semaphore.clone();
        let mut head = boxed(async move { mine.acquire_many(2).await });
        assert!(poll_once(head.as_mut()).is_pending());
        let releases = thread::spawn(move || drop(one));
        assert!(semaphore.try_acquire().is_none());
        drop(permits);
        assert!(semaphore.try_acquire().is_none());
        drop(block_on(head));
        releases.join().unwrap();
        assert_eq!(semaphore.available(), 2);
    });
}

/// Who waits behind a head that gives up gets what there is. For: a line that moves only when a permit comes
/// back.
#[test]
fn a_dropped_head_lets_the_next_in() {
    model("a dropped head lets the next in", || {
        let semaphore = Semaphore::new(1);
        let mine = semaphore.clone();
        let mut head = boxed(async move { drop(mine.acquire_many(2).await) });
        assert!(poll_once(head.as_mut()).is_pending());
        let theirs = semaphore.clone();
        let next = thread::spawn(move || drop(block_on(theirs.acquire())));
        drop(head);
        next.join().unwrap();
        assert_eq!(semaphore.available(), 1);
    });
}

/// Permits that come back together are for as many as they suffice for. For: a release that serves the head
/// only.
#[test]
fn a_release_serves_all_it_can() {
    model("a release serves all it can", || {
        let semaphore = Semaphore::new(2);
        let permits = semaphore.try_acquire_many(2).expect("nobody else is there");
        let theirs = semaphore.clone();
        let other = thread::spawn(move || block_on(theirs.acquire()));
        let acquires = semaphore.clone();
        let mut mine = boxed(async move { acquires.acquire().await });
        assert!(poll_once(mine.as_mut()).is_pending());
        drop(permits);
        let mine = block_on(mine);
        // Each holds its own until the other has one, too.
        let other = other.join().unwrap();
        drop((mine, other));
        assert_eq!(semaphore.available(), 2);
    });
}

/// A wait that was begun by one task ends in the one that polls it last. For: a release that wakes the task
/// before, a waker that is replaced after the release.
#[test]
fn a_wait_that_moves_is_told_where_it_is() {
    model("a wait that moves is told where it is", || {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.try_acquire().expect("nobody else is there");
        let theirs = semaphore.clone();
        let mut wait = boxed(async move { drop(theirs.acquire().await) });
        assert!(poll_once(wait.as_mut()).is_pending());
        let waiter = thread::spawn(move || block_on(wait));
        drop(permit);
        waiter.join().unwrap();
        assert_eq!(semaphore.available(), 1);
    });
}
