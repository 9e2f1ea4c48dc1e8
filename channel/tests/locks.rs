//! What the documentation promises of mutexes and condition variables.
#![cfg(not(loom))]

mod common;

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use common::Panics;
use gorin_base::coop;
use gorin_channel::sync::{Cond, CondWait, LockFut, Mutex, MutexGuard, OwnedMutexGuard};

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Counts how often it was called.
#[derive(Default)]
struct Calls(AtomicUsize);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A wait for the lock, in line, and the calls of its waker.
fn in_line<T>(mutex: &Mutex<T>) -> (Pin<Box<LockFut<'_, T>>>, Arc<Calls>) {
    let calls = Arc::new(Calls::default());
    let mut wait = Box::pin(mutex.lock());
    assert!(poll_counted(wait.as_mut(), &calls).is_pending());
    (wait, calls)
}

fn poll_counted<F: Future + ?Sized>(future: Pin<&mut F>, calls: &Arc<Calls>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(calls.clone())))
}

fn calls(counted: &Calls) -> usize {
    counted.0.load(Ordering::Relaxed)
}

#[track_caller]
fn now<F: Future + ?Sized>(future: Pin<&mut F>) -> F::Output {
    match poll(future) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it has to wait"),
    }
}

#[test]
fn one_has_the_value_at_a_time() {
    let mutex = Mutex::new(vec![1]);
    let mut guard = now(pin!(mutex.lock()));
    guard.push(2);
    assert!(mutex.try_lock().is_none());
    let (mut wait, _) = in_line(&mutex);
    drop(guard);
    assert_eq!(*now(wait.as_mut()), [1, 2]);
    assert_eq!(mutex.try_lock().map(|value| value.len()), Some(2));
}

#[test]
fn who_runs_takes_a_free_lock_before_who_sleeps_but_once() {
    let mutex = Mutex::new(());
    let guard = mutex.try_lock().unwrap();
    let (mut first, called) = in_line(&mutex);
    let (second, not_called) = in_line(&mutex);
    drop(guard);
    assert_eq!((calls(&called), calls(&not_called)), (1, 0));
    // It is free as long as the first has not looked, for any number of others.
    for _ in 0..3 {
        let taken = now(pin!(mutex.lock()));
        drop(taken);
    }
    assert_eq!(calls(&called), 1, "it was called already");
    let taken = mutex.try_lock().unwrap();
    assert!(poll_counted(first.as_mut(), &called).is_pending());
    // It has lost a race: now it is handed the lock, which is never free in between.
    drop(taken);
    assert_eq!((calls(&called), calls(&not_called)), (2, 0));
    assert!(mutex.try_lock().is_none());
    drop(now(first.as_mut()));
    assert_eq!(calls(&not_called), 1);
    assert!(mutex.try_lock().is_some());
    drop(second);
}

#[test]
fn those_who_wait_are_called_in_their_order() {
    let mutex = Mutex::new(());
    let guard = mutex.try_lock().unwrap();
    let mut waits: Vec<_> = (0..4).map(|_| in_line(&mutex)).collect();
    // One in the middle does not want it any more.
    drop(waits.remove(1));
    drop(guard);
    for n in 0..waits.len() {
        let called: Vec<_> = waits.iter().map(|(_, called)| calls(called)).collect();
        let expected: Vec<_> = (0..waits.len())
            .map(|other| usize::from(other <= n))
            .collect();
        assert_eq!(called, expected);
        // Those behind do not come before it, when they look.
        for (behind, _) in &mut waits[n + 1..] {
            assert!(poll(behind.as_mut()).is_pending());
        }
        for (behind, called) in &mut waits[n + 1..] {
            assert!(poll_counted(behind.as_mut(), called).is_pending());
        }
        drop(now(waits[n].0.as_mut()));
    }
    assert!(mutex.try_lock().is_some());
}

#[test]
fn what_a_dropped_wait_was_given_goes_to_the_next() {
    for races in [0, 1] {
        let mutex = Mutex::new(());
        let mut guard = mutex.try_lock().unwrap();
        let (mut first, _) = in_line(&mutex);
        let (mut second, called) = in_line(&mutex);
        for _ in 0..races {
            drop(guard);
            guard = mutex.try_lock().unwrap();
            assert!(poll(first.as_mut()).is_pending());
        }
        drop(guard);
        assert_eq!(mutex.try_lock().is_some(), races == 0);
        drop(first);
        assert_eq!(calls(&called), 1);
        drop(now(second.as_mut()));
    }
}

#[test]
fn a_wait_that_was_handed_the_lock_and_dropped_leaves_it_free() {
    let mutex = Mutex::new(());
    let guard = mutex.try_lock().unwrap();
    let (mut wait, _) = in_line(&mutex);
    drop(guard);
    let guard = mutex.try_lock().unwrap();
    assert!(poll(wait.as_mut()).is_pending());
    drop(guard);
    assert!(mutex.try_lock().is_none());
    drop(wait);
    assert!(mutex.try_lock().is_some());
}

#[test]
fn a_panic_leaves_the_lock_free_and_the_value_as_it_is() {
    let mutex = Mutex::new(0);
    let panics = catch_unwind(AssertUnwindSafe(|| {
        *mutex.try_lock().unwrap() = 1;
        let _guard = mutex.try_lock().unwrap();
        panic!("with the lock");
    }));
    assert!(panics.is_err());
    assert_eq!(mutex.try_lock().as_deref(), Some(&1));
}

#[test]
fn guards_that_own_their_mutex_go_anywhere() {
    let mutex = Arc::new(Mutex::new(0));
    let mut guard = mutex.try_lock_owned().unwrap();
    assert!(mutex.try_lock_owned().is_none());
    let mut wait = Box::pin(mutex.lock_owned());
    assert!(poll(wait.as_mut()).is_pending());
    thread::spawn(move || *guard += 1).join().unwrap();
    let guard = now(wait.as_mut());
    assert!(Arc::ptr_eq(OwnedMutexGuard::mutex(&guard), &mutex));
    assert_eq!(format!("{guard} {guard:?}"), "1 1");
}

#[test]
fn threads_wait_too() {
    let mutex = Mutex::new(0);
    let rounds = if cfg!(miri) { 10 } else { 1000 };
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..rounds).for_each(|_| *mutex.lock_blocking() += 1));
        }
    });
    assert_eq!(mutex.into_inner(), 3 * rounds);
}

/// As in a closure of `block_in_place`. For: a thread that polls for ever, since its goroutine has no budget left
/// and gets none before it is polled anew.
#[test]
fn a_thread_that_waits_needs_no_budget() {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mutex = Mutex::new(1);
        tell.send(exhausted(|| *mutex.lock_blocking())).unwrap();
    });
    assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(1));
}

#[test]
fn values_need_no_size() {
    let mutex: Arc<Mutex<[u8]>> = Arc::new(Mutex::new([1, 2, 3]));
    mutex.try_lock().unwrap()[0] = 4;
    assert_eq!(*mutex.try_lock_owned().unwrap(), [4, 2, 3]);
    let shown: Box<Mutex<dyn std::fmt::Debug>> = Box::new(Mutex::new("text"));
    assert_eq!(format!("{shown:?}"), "Mutex { value: \"text\" }");
}

#[test]
fn it_is_shown_without_waiting() {
    let mutex = Mutex::from(5);
    assert_eq!(format!("{mutex:?}"), "Mutex { value: 5 }");
    let guard = mutex.try_lock();
    assert_eq!(format!("{mutex:?}"), "Mutex { value: <locked> }");
    drop(guard);
    let (mut default, cond) = (Mutex::<u8>::default(), Cond::default());
    *default.get_mut() += 1;
    assert_eq!(default.into_inner(), 1);
    assert_eq!(format!("{cond:?}"), "Cond { .. }");
}

#[test]
fn statics_can_be_mutexes() {
    static COUNT: Mutex<usize> = Mutex::const_new(0);
    static CHANGED: Cond = Cond::const_new();
    let thread = thread::spawn(|| {
        *COUNT.lock_blocking() += 1;
        CHANGED.notify_all();
    });
    let guard = COUNT.lock_blocking();
    let wait = CHANGED.wait_while(guard, |count| *count == 0);
    assert_eq!(*futures::executor::block_on(wait), 1);
    thread.join().unwrap();
}

#[test]
fn guards_are_sent_and_shared_as_their_values() {
    fn is_send<T: Send>(_: &T) {}
    fn is_sync<T: Sync>(_: &T) {}
    let mutex = Mutex::new(Cell::new(1));
    is_sync(&mutex);
    is_send(&mutex.lock());
    is_send(&mutex.try_lock());
    is_sync(&Mutex::new(1).try_lock());
    let cond = Cond::new();
    let wait: CondWait<'_, '_, _> = cond.wait(mutex.try_lock().unwrap());
    is_send(&wait);
}

/// Runs `body` as a goroutine's poll that has used up its budget.
fn exhausted<R>(body: impl FnOnce() -> R) -> R {
    coop::with_budget(|| {
        (0..coop::OPERATIONS).for_each(|_| coop::spend());
        body()
    })
}

#[test]
fn each_lock_is_an_operation_of_its_goroutine() {
    let mutex = Mutex::new(());
    assert!(exhausted(|| poll(pin!(mutex.lock()))).is_pending());
    let most = coop::OPERATIONS as usize;
    let locks = coop::with_budget(|| {
        let one = |_: &usize| poll(pin!(mutex.lock())).is_ready();
        (0..=most).take_while(one).count()
    });
    // Fewer if the test was kept from running for so long that the slice was over first.
    assert!(locks <= most);
}

/// A wait, in line, of one who has just had the lock.
fn waiting<'a>(
    cond: &'a Cond,
    mutex: &'a Mutex<u8>,
) -> (Pin<Box<CondWait<'a, 'a, u8>>>, Arc<Calls>) {
    let mut wait = Box::pin(cond.wait(mutex.try_lock().unwrap()));
    let calls = Arc::new(Calls::default());
    assert!(
        mutex.try_lock().is_none(),
        "nothing happens before the first poll"
    );
    assert!(poll_counted(wait.as_mut(), &calls).is_pending());
    (wait, calls)
}

#[test]
fn one_is_notified_after_the_other() {
    let (mutex, cond) = (Mutex::new(0), Cond::new());
    cond.notify_one(); // nobody waits: it is forgotten
    let mut waits: Vec<_> = (0..3).map(|_| waiting(&cond, &mutex)).collect();
    for n in 0..waits.len() {
        cond.notify_one();
        let called: Vec<_> = waits.iter().map(|(_, called)| calls(called)).collect();
        let expected: Vec<_> = (0..waits.len())
            .map(|other| usize::from(other <= n))
            .collect();
        assert_eq!(called, expected);
    }
    for (wait, _) in waits.iter_mut().rev() {
        drop(now(wait.as_mut()));
    }
}

#[test]
fn all_are_notified_and_have_the_mutex_in_turns() {
    let (mutex, cond) = (Mutex::new(0), Cond::new());
    let mut waits: Vec<_> = (0..3).map(|_| waiting(&cond, &mutex)).collect();
    let mut guard = mutex.try_lock().unwrap();
    cond.notify_all();
    for (wait, _) in &mut waits {
        assert!(poll(wait.as_mut()).is_pending());
    }
    *guard = 1;
    drop(guard);
    for (wait, _) in &mut waits {
        let mut guard = now(wait.as_mut());
        assert!(*guard > 0 && mutex.try_lock().is_none());
        *guard += 1;
    }
    assert_eq!(mutex.try_lock().as_deref(), Some(&4));
}

#[test]
fn a_notification_of_a_dropped_wait_is_the_next_ones() {
    let (mutex, cond) = (Mutex::new(0), Cond::new());
    for wants_the_mutex in [false, true] {
        let (mut first, _) = waiting(&cond, &mutex);
        let (mut second, called) = waiting(&cond, &mutex);
        cond.notify_one();
        let guard = mutex.try_lock().unwrap();
        if wants_the_mutex {
            assert!(poll(first.as_mut()).is_pending());
        }
        drop(first);
        assert_eq!(calls(&called), 1);
        drop(guard);
        drop(now(second.as_mut()));
    }
}

#[test]
fn a_wait_that_is_dropped_leaves_the_mutex_free() {
    let (mutex, cond) = (Mutex::new(0), Cond::new());
    drop(cond.wait(mutex.try_lock().unwrap()));
    assert!(mutex.try_lock().is_some());
    drop(waiting(&cond, &mutex));
    assert!(mutex.try_lock().is_some());
    cond.notify_one();
}

/// For: a notification that goes down with the panic of somebody who waits for the mutex.
#[test]
fn a_notification_is_passed_on_also_if_a_waker_panics_meanwhile() {
    let (mutex, cond) = (Mutex::new(0), Cond::new());
    let (mut first, _) = waiting(&cond, &mutex);
    let (mut second, calls_of_second) = waiting(&cond, &mutex);
    let guard = mutex.try_lock().unwrap();
    cond.notify_one();
    assert!(poll(first.as_mut()).is_pending(), "it wants the mutex back");
    let waker = Waker::from(Arc::new(Panics::default()));
    let mut behind = Box::pin(mutex.lock());
    let pending = behind.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(pending.is_pending());
    drop(guard);
    let panics = catch_unwind(AssertUnwindSafe(|| drop(first)));
    assert!(panics.is_err());
    assert_eq!(calls(&calls_of_second), 1);
    drop(behind);
    drop(now(second.as_mut()));
}

#[test]
fn who_was_polled_waits_also_without_budget() {
    let (mutex, cond) = (Mutex::new(0), Cond::new());
    let mut wait = pin!(cond.wait(mutex.try_lock().unwrap()));
    assert!(exhausted(|| poll(wait.as_mut())).is_pending());
    cond.notify_one();
    assert!(std::ptr::eq(MutexGuard::mutex(&now(wait)), &mutex));
}

#[test]
fn a_condition_is_looked_at_with_the_lock_until_it_is_false() {
    let (mutex, cond) = (Mutex::new(2), Cond::new());
    let looks = Cell::new(0);
    let mut wait = pin!(cond.wait_while(mutex.try_lock().unwrap(), |left| {
        looks.set(looks.get() + 1);
        *left > 0
    }));
    for seen in 1..=2 {
        assert!(poll(wait.as_mut()).is_pending());
        assert_eq!(looks.get(), seen);
        *mutex.try_lock().unwrap() -= 1;
        cond.notify_one();
    }
    assert_eq!((*now(wait), looks.get()), (0, 3));
}
