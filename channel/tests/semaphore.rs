//! What the documentation promises of several permits at once.
#![cfg(not(loom))]

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use gorin_channel::sync::{Semaphore, SemaphorePermit};

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// What a wait must have been given by now.
fn given(wait: Pin<&mut impl Future<Output = SemaphorePermit>>) -> SemaphorePermit {
    match poll(wait) {
        Poll::Ready(permit) => permit,
        Poll::Pending => panic!("it waits still"),
    }
}

#[test]
fn many_permits_are_had_together_or_not_at_all() {
    let semaphore = Semaphore::new(3);
    let two = semaphore.try_acquire_many(2).unwrap();
    assert!(semaphore.try_acquire_many(2).is_none());
    let mut wait = pin!(semaphore.acquire_many(2));
    assert!(poll(wait.as_mut()).is_pending());
    assert_eq!(semaphore.available(), 1, "it holds nothing while it waits");
    drop(two);
    let permit = given(wait);
    assert_eq!((permit.permits(), semaphore.available()), (2, 1));
    drop(permit);
    assert_eq!(semaphore.available(), 3);
}

#[test]
fn a_head_that_wants_many_is_not_overtaken_and_those_behind_it_follow() {
    let semaphore = Semaphore::new(3);
    let mut held = semaphore.try_acquire_many(3).unwrap();
    let mut large = pin!(semaphore.acquire_many(3));
    let mut small = [pin!(semaphore.acquire()), pin!(semaphore.acquire())];
    assert!(poll(large.as_mut()).is_pending());
    for wait in &mut small {
        assert!(poll(wait.as_mut()).is_pending());
    }
    drop(held.split(2));
    assert_eq!(semaphore.available(), 2);
    assert!(semaphore.try_acquire().is_none() && poll(small[0].as_mut()).is_pending());
    drop(held);
    let all = given(large);
    assert!(poll(small[0].as_mut()).is_pending());
    drop(all);
    let [first, second] = small.map(|wait| given(wait));
    assert_eq!(semaphore.available(), 1);
    drop((first, second));
}

#[test]
fn a_dropped_head_lets_in_all_for_whom_there_is_enough() {
    let semaphore = Semaphore::new(2);
    let mut head = Box::pin(semaphore.acquire_many(3));
    let mut behind = [(); 3].map(|()| Box::pin(semaphore.acquire()));
    assert!(poll(head.as_mut()).is_pending());
    for wait in &mut behind {
        assert!(poll(wait.as_mut()).is_pending());
    }
    drop(head);
    let [first, second, third] = &mut behind;
    let both = (given(first.as_mut()), given(second.as_mut()));
    assert!(poll(third.as_mut()).is_pending());
    drop(both);
}

#[test]
fn many_permits_that_a_dropped_wait_was_given_go_on() {
    let semaphore = Semaphore::new(2);
    let held = semaphore.try_acquire_many(2).unwrap();
    let mut first = Box::pin(semaphore.acquire_many(2));
    let mut behind = [pin!(semaphore.acquire()), pin!(semaphore.acquire())];
    assert!(poll(first.as_mut()).is_pending());
    for wait in &mut behind {
        assert!(poll(wait.as_mut()).is_pending());
    }
    drop(held);
    assert!(poll(behind[0].as_mut()).is_pending());
    drop(first);
    drop(behind.map(|wait| given(wait)));
    assert_eq!(semaphore.available(), 2);
}

#[test]
fn who_wants_none_waits_for_those_before_it_only() {
    let semaphore = Semaphore::new(0);
    let none = given(pin!(semaphore.acquire_many(0)));
    assert_eq!((none.permits(), semaphore.available()), (0, 0));
    assert!(semaphore.try_acquire_many(0).is_some());
    let mut head = Box::pin(semaphore.acquire());
    let mut behind = pin!(semaphore.acquire_many(0));
    assert!(poll(head.as_mut()).is_pending() && poll(behind.as_mut()).is_pending());
    assert!(semaphore.try_acquire_many(0).is_none());
    drop(head);
    drop(given(behind));
}

#[test]
fn who_wants_more_than_there_are_waits_for_more_to_be_made() {
    let semaphore = Semaphore::new(1);
    let mut wait = pin!(semaphore.acquire_many(3));
    assert!(poll(wait.as_mut()).is_pending());
    semaphore.add(1);
    assert!(poll(wait.as_mut()).is_pending());
    semaphore.add(2);
    assert_eq!(given(wait).permits(), 3);
    assert_eq!(semaphore.available(), 4);
}

#[test]
fn permits_are_split_merged_and_forgotten() {
    let semaphore = Semaphore::new(5);
    let mut all = semaphore.try_acquire_many(5).unwrap();
    assert!(all.split(6).is_none());
    let mut two = all.split(2).unwrap();
    assert_eq!((all.permits(), two.permits()), (3, 2));
    two.merge(all.split(1).unwrap());
    assert_eq!(
        (all.permits(), two.permits(), semaphore.available()),
        (2, 3, 0)
    );
    all.forget();
    assert_eq!(semaphore.available(), 0);
    drop(two);
    assert_eq!(semaphore.available(), 3);
}

#[test]
fn permits_of_two_semaphores_are_not_merged() {
    let (one, other) = (Semaphore::new(1), Semaphore::new(1));
    let (mut mine, theirs) = (one.try_acquire().unwrap(), other.try_acquire().unwrap());
    let merged = catch_unwind(AssertUnwindSafe(|| mine.merge(theirs)));
    assert!(merged.is_err());
    drop(mine);
    assert_eq!((one.available(), other.available()), (1, 1));
}

#[test]
fn plain_threads_wait_for_permits() {
    let semaphore = Semaphore::new(2);
    let all = semaphore.acquire_many_blocking(2);
    let theirs = semaphore.clone();
    let thread = std::thread::spawn(move || theirs.acquire_blocking().permits());
    drop(all);
    assert_eq!(thread.join().unwrap(), 1);
    assert_eq!(semaphore.available(), 2);
}
