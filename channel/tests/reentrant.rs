//! No waker and no destructor of a value runs under a channel's lock: here all of them come back to the
//! channel, which would hang. Each test says so instead, after a while.
#![cfg(not(loom))]

mod common;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use common::Panics;
use gorin_channel::sync::{Cond, Mutex, Notify, OnceCell, Semaphore};
use gorin_channel::{Receiver, Sender, chan, select};

/// Runs `body` on a thread of its own, which hangs if it takes a lock twice.
fn hangs_never(body: impl FnOnce() + Send + 'static) {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        body();
        tell.send(()).unwrap();
    });
    match told.recv_timeout(Duration::from_secs(20)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a lock is taken by who has it"),
        _ => thread.join().unwrap(),
    }
}

/// Comes back to the channel when it is woken and when it is dropped.
struct ComesBack {
    look: Box<dyn Fn() + Send + Sync>,
    looks: Arc<AtomicUsize>,
}

impl ComesBack {
    fn look(&self) {
        (self.look)();
        self.looks.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wake for ComesBack {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

impl Drop for ComesBack {
    fn drop(&mut self) {
        self.look();
    }
}

/// Polls once; a waker that the channel lets go of is the last of its kind.
fn poll<F: Future + ?Sized>(
    future: Pin<&mut F>,
    looks: &Arc<AtomicUsize>,
    look: impl Fn() + Send + Sync + 'static,
) -> Poll<F::Output> {
    let waker = Waker::from(Arc::new(ComesBack {
        look: Box::new(look),
        looks: looks.clone(),
    }));
    future.poll(&mut Context::from_waker(&waker))
}

/// A look from the sending end, which takes the lock.
fn at<T: Send + 'static>(tx: &Sender<T>) -> impl Fn() + Send + Sync + 'static {
    let tx = tx.clone();
    move || {
        let _ = tx.len();
    }
}

/// A look from the receiving end.
fn from<T: Send + 'static>(rx: &Receiver<T>) -> impl Fn() + Send + Sync + 'static {
    let rx = rx.clone();
    move || {
        let _ = rx.len();
    }
}

fn count(looks: &AtomicUsize) -> usize {
    looks.load(Ordering::Relaxed)
}

#[test]
fn partners_wake_without_the_lock() {
    hangs_never(|| {
        let looks = Arc::new(AtomicUsize::new(0));
        let (tx, rx) = chan(0);
        let mut recv = pin!(rx.recv());
        assert!(poll(recv.as_mut(), &looks, at(&tx)).is_pending());
        tx.try_send(1).unwrap();
        assert_eq!(count(&looks), 2, "woken and dropped");
        let mut send = pin!(tx.send(2));
        assert!(poll(send.as_mut(), &looks, at(&tx)).is_pending());
        assert_eq!(rx.try_recv(), Ok(2));
        assert_eq!(count(&looks), 4);
    });
}

#[test]
fn a_granted_place_wakes_without_the_lock() {
    hangs_never(|| {
        let looks = Arc::new(AtomicUsize::new(0));
        let (tx, _rx) = chan::<u8>(1);
        let permit = tx.try_reserve().unwrap();
        let mut first = Box::pin(tx.reserve());
        let mut second = pin!(tx.send(2));
        assert!(poll(first.as_mut(), &looks, at(&tx)).is_pending());
        assert!(poll(second.as_mut(), &looks, at(&tx)).is_pending());
        drop(permit);
        drop(first);
        assert_eq!(count(&looks), 4);
    });
}

#[test]
fn close_wakes_without_the_lock() {
    hangs_never(|| {
        let looks = Arc::new(AtomicUsize::new(0));
        let (tx, rx) = chan::<u8>(0);
        let mut waits: Vec<_> = (0..2).map(|_| Box::pin(rx.recv())).collect();
        for recv in &mut waits {
            assert!(poll(recv.as_mut(), &looks, at(&tx)).is_pending());
        }
        tx.close();
        assert_eq!(count(&looks), 4);
        let (tx, rx) = chan(0);
        let mut send = pin!(tx.send(1));
        assert!(poll(send.as_mut(), &looks, at(&tx)).is_pending());
        rx.close();
        assert_eq!(count(&looks), 6);
        let (tx, rx) = chan::<u8>(0);
        let mut closed = pin!(tx.closed());
        assert!(poll(closed.as_mut(), &looks, at(&tx)).is_pending());
        rx.close();
        assert_eq!(count(&looks), 8);
    });
}

#[test]
fn the_loss_of_a_side_wakes_without_the_lock() {
    hangs_never(|| {
        let looks = Arc::new(AtomicUsize::new(0));
        let (tx, rx) = chan::<u8>(0);
        let mut recv = pin!(rx.recv());
        assert!(poll(recv.as_mut(), &looks, from(&rx)).is_pending());
        drop(tx);
        let (tx, rx) = chan(0);
        let mut send = pin!(tx.send(1));
        assert!(poll(send.as_mut(), &looks, at(&tx)).is_pending());
        drop(rx);
        assert_eq!(count(&looks), 4);
    });
}

#[test]
fn a_waker_that_is_replaced_or_not_needed_any_more_is_dropped_without_the_lock() {
    hangs_never(|| {
        let looks = Arc::new(AtomicUsize::new(0));
        let (tx, rx) = chan::<u8>(0);
        let mut recv = Box::pin(rx.recv());
        assert!(poll(recv.as_mut(), &looks, at(&tx)).is_pending());
        assert!(poll(recv.as_mut(), &looks, at(&tx)).is_pending());
        assert_eq!(count(&looks), 1, "the first one is dropped");
        drop(recv);
        assert_eq!(count(&looks), 2, "and the second one");
        let mut send = Box::pin(tx.send(1));
        assert!(poll(send.as_mut(), &looks, at(&tx)).is_pending());
        drop(send);
        assert_eq!(count(&looks), 3);
    });
}

#[test]
fn selects_are_woken_and_dropped_without_the_lock() {
    hangs_never(|| {
        let looks = Arc::new(AtomicUsize::new(0));
        for served in [true, false] {
            let before = count(&looks);
            let (tx, rx) = chan::<u8>(0);
            let (quiet, never_said) = chan::<u8>(0);
            let both = [at(&tx), at(&quiet)];
            let mut waiting = Box::pin(async {
                select! {
                    value = rx.recv() => value,
                    value = never_said.recv() => value,
                }
            });
            let look = move || both.iter().for_each(|look| look());
            assert!(poll(waiting.as_mut(), &looks, look).is_pending());
            if served {
                tx.try_send(1).unwrap();
            }
            drop(waiting);
            assert_eq!(count(&looks) - before, 1 + usize::from(served));
        }
    });
}

#[test]
fn locks_wake_and_forget_without_their_own_lock() {
    hangs_never(|| {
        let looks = Arc::new(AtomicUsize::new(0));
        let shared = Arc::new((Mutex::new(()), Cond::new()));
        let (mutex, cond) = &*shared;
        let look = || {
            let shared = shared.clone();
            move || {
                drop(shared.0.try_lock());
                shared.1.notify_one();
            }
        };
        let guard = mutex.try_lock().unwrap();
        let mut lock = Box::pin(mutex.lock());
        assert!(poll(lock.as_mut(), &looks, look()).is_pending());
        assert!(poll(lock.as_mut(), &looks, look()).is_pending());
        assert_eq!(count(&looks), 1, "the first waker is dropped");
        drop(guard);
        assert_eq!(count(&looks), 3, "called, and dropped");
        let guard = mutex.try_lock().unwrap();
        assert!(poll(lock.as_mut(), &looks, look()).is_pending());
        drop(guard);
        assert_eq!(count(&looks), 5, "handed over, and dropped");
        drop(lock);
        let guard = mutex.try_lock().unwrap();
        let mut lock = Box::pin(mutex.lock());
        assert!(poll(lock.as_mut(), &looks, look()).is_pending());
        drop(lock);
        assert_eq!(count(&looks), 6);

        let mut wait = Box::pin(cond.wait(guard));
        assert!(poll(wait.as_mut(), &looks, look()).is_pending());
        assert!(poll(wait.as_mut(), &looks, look()).is_pending());
        assert_eq!(
            count(&looks),
            9,
            "the first is dropped and notifies the second"
        );
        drop(wait);
        for all in [false, true] {
            let before = count(&looks);
            let guard = mutex.try_lock().unwrap();
            let mut wait = Box::pin(cond.wait(guard));
            assert!(poll(wait.as_mut(), &looks, look()).is_pending());
            match all {
                true => cond.notify_all(),
                false => cond.notify_one(),
            }
            assert_eq!(count(&looks), before + 2);
        }
    });
}

#[test]
fn permits_wake_without_the_lock() {
    hangs_never(|| {
        let looks = Arc::new(AtomicUsize::new(0));
        let semaphore = Semaphore::new(1);
        let at = || {
            let semaphore = semaphore.clone();
            move || {
                let _ = semaphore.available();
            }
        };
        let permit = semaphore.try_acquire();
        let mut served = Box::pin(semaphore.acquire());
        let mut moved = Box::pin(semaphore.acquire_many(2));
        let mut behind = Box::pin(semaphore.acquire());
        assert!(poll(served.as_mut(), &looks, at()).is_pending());
        for _ in 0..2 {
            assert!(poll(moved.as_mut(), &looks, at()).is_pending());
        }
        assert!(poll(behind.as_mut(), &looks, at()).is_pending());
        assert_eq!(count(&looks), 1, "one was replaced");
        drop(permit);
        assert_eq!(count(&looks), 3, "one was woken and dropped");
        drop(served);
        drop(moved);
        assert_eq!(
            count(&looks),
            6,
            "one dropped, and who stood behind it woken"
        );
        assert!(poll(behind.as_mut(), &looks, at()).is_ready());
    });
}

#[test]
fn a_cell_wakes_without_the_lock() {
    hangs_never(|| {
        let looks = Arc::new(AtomicUsize::new(0));
        let cell = Arc::new(OnceCell::new());
        let at = || {
            let cell = cell.clone();
            move || {
                let set = cell.set(2);
                assert_eq!(set, Err(2));
            }
        };
        let mut maker = Box::pin(cell.get_or_init(std::future::pending));
        let mut other = pin!(cell.get_or_init(std::future::pending));
        let mut waits = pin!(cell.wait());
        let noop = &mut Context::from_waker(Waker::noop());
        assert!(maker.as_mut().poll(noop).is_pending());
        assert!(poll(other.as_mut(), &looks, at()).is_pending());
        assert!(poll(waits.as_mut(), &looks, at()).is_pending());
        assert_eq!(cell.set(1), Ok(()));
        assert_eq!(count(&looks), 4, "woken and dropped");
        drop(maker);
        assert!(other.as_mut().poll(noop).is_ready() && waits.as_mut().poll(noop).is_ready());
    });
}

#[test]
fn a_waker_that_panics_does_not_cost_others_their_wake_up() {
    const WAITERS: usize = 40;
    let wakes = Arc::new(Panics::default());
    let waker = Waker::from(wakes.clone());
    let cx = &mut Context::from_waker(&waker);
    let all_woken = |what: &str, act: &mut dyn FnMut()| {
        let panicked = catch_unwind(AssertUnwindSafe(act));
        assert!(panicked.is_err(), "{what} passes the panic on");
        assert_eq!(wakes.0.swap(0, Ordering::Relaxed), WAITERS, "{what}");
    };

    let (tx, rx) = chan::<u8>(0);
    let mut waits: Vec<_> = (0..WAITERS).map(|_| Box::pin(rx.recv())).collect();
    waits
        .iter_mut()
        .for_each(|wait| assert!(wait.as_mut().poll(cx).is_pending()));
    all_woken("close", &mut || assert!(tx.close()));

    let notify = Notify::new();
    let mut waits: Vec<_> = (0..WAITERS).map(|_| Box::pin(notify.notified())).collect();
    waits
        .iter_mut()
        .for_each(|wait| assert!(wait.as_mut().poll(cx).is_pending()));
    all_woken("notify_all", &mut || notify.notify_all());

    let semaphore = Semaphore::new(0);
    let mut waits: Vec<_> = (0..WAITERS)
        .map(|_| Box::pin(semaphore.acquire()))
        .collect();
    waits
        .iter_mut()
        .for_each(|wait| assert!(wait.as_mut().poll(cx).is_pending()));
    all_woken("new permits", &mut || semaphore.add(WAITERS));
}

/// Comes back to its channel when it is dropped.
struct Value(Rc<Channel>);

#[derive(Default)]
struct Channel {
    tx: RefCell<Option<Sender<Value>>>,
    looks: Cell<usize>,
}

impl Drop for Value {
    fn drop(&mut self) {
        if let Some(tx) = &*self.0.tx.borrow() {
            let _ = tx.len();
        }
        self.0.looks.set(self.0.looks.get() + 1);
    }
}

#[test]
fn values_are_dropped_without_the_lock() {
    hangs_never(|| {
        let channel = Rc::new(Channel::default());
        let value = || Value(channel.clone());
        let (tx, rx) = chan(2);
        *channel.tx.borrow_mut() = Some(tx.clone());
        // With a send that is given up in line, with a refused one, and with the last receiver: from
        // the buffer, and what a dropped receive has put back.
        let mut recv = Box::pin(rx.recv());
        let noop = &mut Context::from_waker(Waker::noop());
        assert!(recv.as_mut().poll(noop).is_pending());
        (0..3).for_each(|_| assert!(tx.try_send(value()).is_ok()));
        let mut send = Box::pin(tx.send(value()));
        assert!(send.as_mut().poll(noop).is_pending());
        drop(send);
        assert_eq!(channel.looks.get(), 1);
        drop(recv);
        assert_eq!(rx.len(), 3);
        drop(rx);
        assert_eq!(channel.looks.get(), 4);
        drop(tx.try_send(value()));
        assert_eq!(channel.looks.get(), 5);
        drop(channel.tx.take());
    });
}
