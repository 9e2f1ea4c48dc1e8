//! What the documentation promises of reader-writer locks and barriers.
#![cfg(not(loom))]

use std::fmt::{self, Debug};
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use gorin_base::coop;
use gorin_channel::sync::{
    Barrier, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn readers_share_and_a_writer_is_alone() {
    let lock = RwLock::new(1);
    let readers = [lock.try_read().unwrap(), lock.try_read().unwrap()];
    assert!(readers.iter().all(|one| **one == 1) && lock.try_write().is_none());
    drop(readers);
    let mut writing = lock.try_write().unwrap();
    *writing = 2;
    assert!(lock.try_read().is_none() && lock.try_write().is_none());
    drop(writing);
    assert_eq!(lock.into_inner(), 2);
}

#[test]
fn writers_come_in_their_order_and_readers_that_waited_in_between() {
    let lock = RwLock::new(Vec::new());
    let reading = lock.try_read().unwrap();
    let mut writes: Vec<_> = (0..3).map(|_| Box::pin(lock.write())).collect();
    assert!(writes.iter_mut().all(|one| poll(one.as_mut()).is_pending()));
    let mut reads: Vec<_> = (0..3).map(|_| Box::pin(lock.read())).collect();
    assert!(reads.iter_mut().all(|one| poll(one.as_mut()).is_pending()));
    drop(reading);
    assert!(reads.iter_mut().all(|one| poll(one.as_mut()).is_pending()));
    for n in 0..3 {
        let Poll::Ready(mut writing) = poll(writes[n].as_mut()) else {
            panic!("it is the turn of writer {n}");
        };
        assert!(
            writes[n + 1..]
                .iter_mut()
                .all(|one| poll(one.as_mut()).is_pending())
        );
        writing.push(n);
        drop(writing);
        // Those that waited for the first one are in now, all of them, before the next.
        for read in reads.drain(..) {
            let mut read = read;
            assert!(poll(read.as_mut()).is_ready());
        }
    }
    assert_eq!(*lock.try_read().unwrap(), [0, 1, 2]);
}

#[test]
fn a_writer_that_gives_up_lets_those_in_that_waited_for_it_only() {
    let lock = RwLock::new(());
    let reading = lock.try_read().unwrap();
    let (mut first, mut second) = (Box::pin(lock.write()), Box::pin(lock.write()));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    let mut read = pin!(lock.read());
    assert!(poll(read.as_mut()).is_pending());
    drop(first);
    assert!(poll(read.as_mut()).is_pending() && lock.try_read().is_none());
    drop(second);
    assert!(poll(read).is_ready() && lock.try_read().is_some());
    drop(reading);
}

#[test]
fn who_was_let_in_and_gives_up_unseen_leaves() {
    let lock = RwLock::new(0);
    let writing = lock.try_write().unwrap();
    let mut read = Box::pin(lock.read());
    assert!(poll(read.as_mut()).is_pending());
    drop(writing);
    assert!(lock.try_write().is_none(), "the reader is in");
    let mut write = Box::pin(lock.write());
    assert!(poll(write.as_mut()).is_pending());
    drop(read);
    assert!(lock.try_read().is_none(), "the writer is in");
    drop(write);
    assert!(lock.try_write().is_some());
}

#[test]
fn a_downgrade_lets_readers_in_and_no_writer() {
    let lock = Arc::new(RwLock::new(0));
    let mut writing = lock.try_write_owned().unwrap();
    let mut write = pin!(lock.write());
    let mut read = pin!(lock.read());
    assert!(poll(write.as_mut()).is_pending() && poll(read.as_mut()).is_pending());
    *writing = 1;
    let reading = OwnedRwLockWriteGuard::downgrade(writing);
    let Poll::Ready(beside) = poll(read) else {
        panic!("it was let in beside");
    };
    assert_eq!((*reading, *beside), (1, 1));
    assert!(poll(write.as_mut()).is_pending() && lock.try_read().is_none());
    drop((reading, beside));
    assert!(poll(write).is_ready());
    // The guards' shares in the lock are gone, too.
    assert_eq!(Arc::strong_count(&lock), 1);
}

#[test]
fn a_panic_with_a_guard_unlocks() {
    let lock = RwLock::new(0);
    let panics = catch_unwind(AssertUnwindSafe(|| {
        let mut writing = lock.try_write().unwrap();
        *writing = 1;
        panic!("on purpose");
    }));
    assert!(panics.is_err());
    assert_eq!(*lock.try_read().unwrap(), 1);
}

#[test]
fn what_is_shown_never_waits() {
    let lock = RwLock::new(1);
    assert_eq!(format!("{lock:?}"), "RwLock { value: 1, .. }");
    let writing = lock.try_write().unwrap();
    assert_eq!(format!("{lock:?}"), "RwLock { value: <locked>, .. }");
    assert_eq!(format!("{writing:?} {writing}"), "1 1");
    drop(writing);
    let reading = lock.try_read().unwrap();
    assert_eq!(format!("{lock:?} {reading}"), "RwLock { value: 1, .. } 1");
    assert!(format!("{:?}", lock.write()).starts_with("RwLockWriteFut { in_line: false"));
}

#[test]
fn a_value_without_a_size_can_be_locked() {
    let lock: Arc<RwLock<[u8]>> = Arc::new(RwLock::new([1, 2, 3]));
    lock.try_write().unwrap()[0] = 7;
    assert_eq!(lock.try_read_owned().unwrap()[..], [7, 2, 3]);
    let mut shown: Box<RwLock<dyn Debug>> = Box::new(RwLock::new(1));
    assert_eq!(
        format!("{:?} {:?}", shown.try_read().unwrap(), &shown),
        "1 RwLock { value: 1, .. }"
    );
    assert_eq!(format!("{:?}", shown.get_mut()), "1");
}

/// Whether a type has a trait, as a value: what is known of the type itself goes before what all have.
struct Is<T: ?Sized>(PhantomData<T>);

trait Otherwise {
    const SEND: bool = false;
    const SYNC: bool = false;
}

impl<T: ?Sized> Otherwise for Is<T> {}

impl<T: ?Sized + Send> Is<T> {
    const SEND: bool = true;
}

impl<T: ?Sized + Sync> Is<T> {
    const SYNC: bool = true;
}

#[test]
fn guards_go_where_that_is_sound() {
    macro_rules! is {
        ($type:ty) => {
            (<Is<$type>>::SEND, <Is<$type>>::SYNC)
        };
    }
    type Plain = u8;
    type SendOnly = std::cell::Cell<u8>;
    type SyncOnly = MutexGuard<'static, u8>;
    type Neither = *const u8;
    let lock = [
        is!(RwLock<Plain>),
        is!(RwLock<SendOnly>),
        is!(RwLock<SyncOnly>),
        is!(RwLock<Neither>),
    ];
    assert_eq!(
        lock,
        [(true, true), (true, false), (false, false), (false, false)]
    );
    let reading = [
        is!(RwLockReadGuard<'static, Plain>),
        is!(RwLockReadGuard<'static, SendOnly>),
        is!(RwLockReadGuard<'static, SyncOnly>),
        is!(RwLockReadGuard<'static, Neither>),
    ];
    assert_eq!(
        reading,
        [(true, true), (false, false), (true, true), (false, false)]
    );
    let writing = [
        is!(RwLockWriteGuard<'static, Plain>),
        is!(RwLockWriteGuard<'static, SendOnly>),
        is!(RwLockWriteGuard<'static, SyncOnly>),
        is!(RwLockWriteGuard<'static, Neither>),
    ];
    assert_eq!(
        writing,
        [(true, true), (false, false), (false, true), (false, false)]
    );
    // With a share in the lock its value may be dropped where the guard is.
    let owned = [
        is!(OwnedRwLockReadGuard<Plain>),
        is!(OwnedRwLockReadGuard<SendOnly>),
        is!(OwnedRwLockReadGuard<SyncOnly>),
        is!(OwnedRwLockWriteGuard<Plain>),
        is!(OwnedRwLockWriteGuard<SendOnly>),
        is!(OwnedRwLockWriteGuard<SyncOnly>),
    ];
    let (yes, no) = ((true, true), (false, false));
    assert_eq!(owned, [yes, no, no, yes, no, no]);
}

/// A waker that takes the lock, and one that is dropped with it.
struct ComesBack(Arc<RwLock<u8>>, AtomicUsize);

impl ComesBack {
    fn look(&self) {
        let _ = (self.0.try_read(), self.0.try_write());
        self.1.fetch_add(1, Ordering::Relaxed);
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

/// A lock that is taken twice by one thread would hang.
#[test]
fn wakers_may_come_back_to_the_lock() {
    let lock = Arc::new(RwLock::new(0));
    let writing = lock.try_write().unwrap();
    let comes_back = || Arc::new(ComesBack(lock.clone(), AtomicUsize::new(0)));
    let wakers: Vec<_> = (0..4).map(|_| comes_back()).collect();
    let mut reads: Vec<_> = (0..2).map(|_| Box::pin(lock.read())).collect();
    let mut write = Box::pin(lock.write());
    for (read, waker) in reads.iter_mut().zip(&wakers) {
        let waker = Waker::from(waker.clone());
        assert!(
            read.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    for waker in [comes_back(), wakers[2].clone()] {
        let waker = Waker::from(waker);
        assert!(
            write
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    drop(writing);
    let woken = |n: usize| wakers[n].1.load(Ordering::Relaxed);
    assert_eq!([0, 1, 2].map(woken), [1, 1, 0]);
    drop(reads);
    assert_eq!([0, 1, 2].map(woken), [1, 1, 1]);
    drop(write);
    assert!(lock.try_write().is_some());
}

/// A destructor that panics while the value is shown, and a value that is dropped with its lock.
#[test]
fn a_panic_while_the_value_is_shown_unlocks() {
    struct Unshown;
    impl Debug for Unshown {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("on purpose");
        }
    }
    let lock = RwLock::new(Unshown);
    assert!(catch_unwind(AssertUnwindSafe(|| format!("{lock:?}"))).is_err());
    assert!(lock.try_write().is_some());
}

#[test]
fn locking_again_and_again_lets_others_run() {
    let (lock, barrier) = (RwLock::new(0), Barrier::new(1));
    let most = coop::OPERATIONS as usize;
    let done = |mut operation: Box<dyn FnMut() -> bool + '_>| {
        coop::with_budget(|| (0..=most).take_while(|_| operation()).count())
    };
    let counts = [
        done(Box::new(|| poll(pin!(lock.read())).is_ready())),
        done(Box::new(|| poll(pin!(lock.write())).is_ready())),
        done(Box::new(|| poll(pin!(barrier.wait())).is_ready())),
    ];
    // Fewer if the test was kept from running for so long that the slice was over first.
    assert!(counts.iter().all(|&count| count <= most), "{counts:?}");
}

#[test]
#[should_panic(expected = "a RwLock read was polled after it had ended")]
fn a_future_that_has_ended_is_not_polled_again() {
    let lock = RwLock::new(0);
    let mut read = pin!(lock.read());
    assert!(poll(read.as_mut()).is_ready());
    let _ = poll(read);
}

#[test]
fn threads_count_under_the_lock() {
    let (threads, rounds) = if cfg!(miri) { (2, 10) } else { (4, 2000) };
    let lock = Arc::new(RwLock::new((0, 0)));
    let all: Vec<_> = (0..threads)
        .map(|n| {
            let lock = lock.clone();
            thread::spawn(move || {
                for round in 0..rounds {
                    let reading = if (n + round) % 3 == 0 {
                        let mut writing = lock.write_blocking();
                        writing.0 += 1;
                        writing.1 += 1;
                        RwLockWriteGuard::downgrade(writing)
                    } else {
                        lock.read_blocking()
                    };
                    assert_eq!(reading.0, reading.1);
                }
            })
        })
        .collect();
    all.into_iter().for_each(|thread| thread.join().unwrap());
    let writes = (0..threads).map(|n| (0..rounds).filter(|round| (n + round) % 3 == 0).count());
    let writes = writes.sum();
    assert_eq!(*lock.try_read().unwrap(), (writes, writes));
}

#[test]
fn a_barrier_opens_for_the_last_one_and_closes_again() {
    let barrier = Barrier::new(3);
    for _round in 0..3 {
        let mut waits = [barrier.wait(), barrier.wait(), barrier.wait()].map(Box::pin);
        let polled: Vec<_> = waits.iter_mut().map(|one| poll(one.as_mut())).collect();
        assert!(polled[0].is_pending() && polled[1].is_pending());
        assert!(matches!(&polled[2], Poll::Ready(result) if result.is_leader()));
        let mut late = pin!(barrier.wait());
        assert!(poll(late.as_mut()).is_pending(), "it is of the next round");
        for one in &mut waits[..2] {
            assert!(matches!(poll(one.as_mut()), Poll::Ready(result) if !result.is_leader()));
        }
    }
}

#[test]
fn nobody_waits_at_a_barrier_for_none_or_one() {
    for size in 0..2 {
        let barrier = Barrier::new(size);
        for _round in 0..2 {
            assert!(barrier.wait_blocking().is_leader());
        }
    }
}

#[test]
fn one_of_many_threads_leads_in_each_round() {
    let (threads, rounds) = if cfg!(miri) { (3, 3) } else { (4, 500) };
    let barrier = Arc::new(Barrier::new(threads));
    let counts: Vec<_> = (0..threads)
        .map(|_| {
            let barrier = barrier.clone();
            thread::spawn(move || {
                let leads = (0..rounds).filter(|_| barrier.wait_blocking().is_leader());
                leads.count()
            })
        })
        .collect();
    let leaders = counts.into_iter().map(|thread| thread.join().unwrap());
    assert_eq!(leaders.sum::<usize>(), rounds);
}
