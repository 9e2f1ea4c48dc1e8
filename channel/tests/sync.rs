//! What the documentation promises of wait groups, notifications and semaphores.
#![cfg(not(loom))]

use std::future::Future;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use gorin_base::coop;
use gorin_channel::sync::{
    Barrier, Cond, Notify, OnceCell, Semaphore, SemaphorePermit, SingleFlight, WaitGroup,
};
use gorin_channel::{Receiver, Sender};

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_wait_group_without_members_does_not_wait() {
    assert!(poll(pin!(WaitGroup::new().wait())).is_ready());
}

#[test]
fn all_waiters_go_on_when_the_last_token_is_dropped_and_the_group_is_used_again() {
    let group = WaitGroup::new();
    for _ in 0..2 {
        let token = group.add();
        let second = token.clone();
        assert_eq!(group.count(), 2);
        let mut waits = [Box::pin(group.wait()), Box::pin(group.wait())];
        drop(token);
        for wait in &mut waits {
            assert!(poll(wait.as_mut()).is_pending());
        }
        drop(second);
        let _reused = group.add();
        for wait in &mut waits {
            assert!(poll(wait.as_mut()).is_ready());
        }
    }
}

#[test]
fn one_notification_is_kept_and_waiters_are_notified_in_order() {
    let notify = Notify::new();
    notify.notify_one();
    notify.notify_one();
    assert!(poll(pin!(notify.notified())).is_ready());
    let mut waits: Vec<_> = (0..3).map(|_| Box::pin(notify.notified())).collect();
    for wait in &mut waits {
        assert!(poll(wait.as_mut()).is_pending());
    }
    notify.notify_one();
    notify.notify_one();
    assert!(poll(waits[2].as_mut()).is_pending());
    assert!(poll(waits[1].as_mut()).is_ready());
    assert!(poll(waits[0].as_mut()).is_ready());
}

#[test]
fn a_notification_of_a_dropped_wait_is_passed_on() {
    let notify = Notify::new();
    let mut first = Box::pin(notify.notified());
    let mut second = pin!(notify.notified());
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    notify.notify_one();
    drop(first);
    assert!(poll(second.as_mut()).is_ready());
}

#[test]
fn notify_all_reaches_those_who_wait_and_nobody_later() {
    let notify = Notify::new();
    let mut waits: Vec<_> = (0..3).map(|_| Box::pin(notify.notified())).collect();
    for wait in &mut waits {
        assert!(poll(wait.as_mut()).is_pending());
    }
    notify.notify_all();
    for wait in &mut waits {
        assert!(poll(wait.as_mut()).is_ready());
    }
    assert!(poll(pin!(notify.notified())).is_pending());
}

#[test]
fn permits_go_to_those_who_wait_in_their_order() {
    let semaphore = Semaphore::new(2);
    let held = [semaphore.try_acquire(), semaphore.try_acquire()];
    assert!(held.iter().all(Option::is_some) && semaphore.try_acquire().is_none());
    let mut waits: Vec<_> = (0..3).map(|_| Box::pin(semaphore.acquire())).collect();
    for wait in &mut waits {
        assert!(poll(wait.as_mut()).is_pending());
    }
    drop(held);
    assert!(semaphore.try_acquire().is_none(), "nobody overtakes");
    assert!(poll(waits[2].as_mut()).is_pending());
    let Poll::Ready(second) = poll(waits[1].as_mut()) else {
        panic!("it was given a permit")
    };
    // The first was given one, too, and does not want it any more.
    drop(waits.remove(0));
    let third = poll(waits[1].as_mut());
    assert!(third.is_ready() && semaphore.available() == 0);
    drop((second, third));
    assert_eq!(semaphore.available(), 2);
}

#[test]
fn the_number_of_permits_can_change() {
    let semaphore = Semaphore::new(0);
    let mut wait = pin!(semaphore.acquire());
    assert!(poll(wait.as_mut()).is_pending());
    semaphore.add(3);
    let Poll::Ready(permit) = poll(wait) else {
        panic!("there are three permits")
    };
    permit.forget();
    assert_eq!(semaphore.available(), 2);
}

#[test]
fn a_semaphore_may_have_more_permits_than_anybody_can_take() {
    let semaphore = Semaphore::new(usize::MAX);
    drop(semaphore.try_acquire());
    assert_eq!(semaphore.available(), usize::MAX);
}

#[test]
fn at_most_one_notification_is_kept_however_many_waits_are_dropped() {
    let notify = Notify::new();
    let mut waits: Vec<_> = (0..3).map(|_| Box::pin(notify.notified())).collect();
    for wait in &mut waits {
        assert!(poll(wait.as_mut()).is_pending());
    }
    notify.notify_all();
    notify.notify_one();
    drop(waits);
    assert!(poll(pin!(notify.notified())).is_ready());
    assert!(poll(pin!(notify.notified())).is_pending());
}

#[test]
fn as_many_permits_as_there_can_be_are_made_at_once() {
    let semaphore = Semaphore::new(1);
    let mut waits = [Box::pin(semaphore.acquire()), Box::pin(semaphore.acquire())];
    let first = poll(waits[0].as_mut());
    assert!(first.is_ready() && poll(waits[1].as_mut()).is_pending());
    semaphore.add(usize::MAX);
    assert_eq!(semaphore.available(), usize::MAX - 1);
    let second = poll(waits[1].as_mut());
    assert!(second.is_ready());
    let too_many = catch_unwind(AssertUnwindSafe(|| semaphore.add(2)));
    assert!(too_many.is_err() && semaphore.available() == usize::MAX - 1);
    semaphore.add(1);
    assert_eq!(semaphore.available(), usize::MAX);
}

/// Runs `body` as a goroutine's poll that has used up its budget.
fn exhausted<R>(body: impl FnOnce() -> R) -> R {
    coop::with_budget(|| {
        (0..coop::OPERATIONS).for_each(|_| coop::spend());
        body()
    })
}

#[test]
fn who_was_polled_waits_also_without_budget() {
    let notify = Notify::new();
    let mut notified = pin!(notify.notified());
    assert!(exhausted(|| poll(notified.as_mut())).is_pending());
    notify.notify_all();
    assert!(poll(notified).is_ready());

    let group = WaitGroup::new();
    let token = group.add();
    let mut wait = pin!(group.wait());
    assert!(exhausted(|| poll(wait.as_mut())).is_pending());
    drop(token);
    let _reused = group.add();
    assert!(poll(wait).is_ready());
}

#[test]
fn a_notification_that_was_not_told_for_want_of_budget_is_passed_on() {
    let notify = Notify::new();
    notify.notify_one();
    let mut first = Box::pin(notify.notified());
    assert!(exhausted(|| poll(first.as_mut())).is_pending());
    let mut second = pin!(notify.notified());
    assert!(poll(second.as_mut()).is_pending());
    drop(first);
    assert!(poll(second).is_ready());
}

#[test]
fn waits_that_are_over_at_once_let_others_run() {
    let (notify, group) = (Notify::new(), WaitGroup::new());
    let told = |mut one: Pin<&mut dyn Future<Output = ()>>| poll(one.as_mut()).is_ready();
    let most = coop::OPERATIONS as usize;
    let notifications = coop::with_budget(|| {
        let one = |_: &usize| {
            notify.notify_one();
            told(pin!(notify.notified()))
        };
        (0..=most).take_while(one).count()
    });
    let waits = coop::with_budget(|| {
        let one = |_: &usize| told(pin!(group.wait()));
        (0..=most).take_while(one).count()
    });
    // Fewer if the test was kept from running for so long that the slice was over first.
    assert!(notifications <= most && waits <= most);
}

/// As what std, tokio and crossbeam have in their place: it need not be wrapped for a closure that may panic.
#[test]
fn a_panic_harms_none_of_them() {
    fn is_safe<T: UnwindSafe + RefUnwindSafe>() {}
    is_safe::<Sender<u8>>();
    is_safe::<Receiver<u8>>();
    is_safe::<Notify>();
    is_safe::<WaitGroup>();
    is_safe::<(Semaphore, SemaphorePermit)>();
    is_safe::<(Barrier, Cond)>();
    is_safe::<OnceCell<u8>>();
    is_safe::<SingleFlight<u8, u8>>();
    let semaphore = Semaphore::new(1);
    let panics = catch_unwind(|| {
        let _permit = semaphore.try_acquire().unwrap();
        panic!("with a permit");
    });
    assert!(panics.is_err());
    assert_eq!(semaphore.available(), 1);
}
