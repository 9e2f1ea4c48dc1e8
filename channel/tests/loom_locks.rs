//! Models: mutexes and condition variables.

mod common;

use common::*;
use gorin_base::check::model_bounded;
use gorin_channel::sync::{Cond, Mutex, MutexGuard};

/// A value as loom sees it: any two accesses without order are found. Behind the mutex, so the value of the
/// mutex itself is looked at, too.
struct Watched {
    count: usize,
    memory: Unordered,
}

impl Watched {
    fn new() -> Arc<Mutex<Watched>> {
        Arc::new(Mutex::new(Watched {
            count: 0,
            memory: Unordered::new(),
        }))
    }

    /// Not atomic in any way.
    fn add_one(&mut self) {
        self.memory.write(self.memory.read() + 1);
        self.count += 1;
    }

    fn is(&self, count: usize) -> bool {
        self.count == count && self.memory.read() == count
    }
}

/// Holders exclude each other, see what the last one did, and whoever waits gets the lock. For: a lock that is
/// free while somebody has it, an unlock that calls nobody, a wait that begins between the last look and
/// the unlock.
#[test]
fn holders_take_turns() {
    model("holders of a mutex take turns", || {
        let mutex = Watched::new();
        let theirs = mutex.clone();
        let other = thread::spawn(move || {
            let mut guard = block_on(theirs.lock());
            guard.add_one();
        });
        block_on(mutex.lock()).add_one();
        other.join().unwrap();
        assert!(mutex.try_lock().is_some_and(|value| value.is(2)));
    });
}

/// One who does not wait takes the lock from between a holder and one who waits, who gets it all the same.
/// For: as above, and a call that is lost with a race.
#[test]
fn who_takes_it_in_between_keeps_nobody_waiting_for_ever() {
    model(
        "who takes it in between keeps nobody waiting for ever",
        || {
            let mutex = Watched::new();
            let theirs = mutex.clone();
            let guard = mutex.try_lock().expect("nobody else is there");
            let waiter = thread::spawn(move || block_on(theirs.lock()).add_one());
            drop(guard);
            let taken = mutex.try_lock().map(|mut guard| guard.add_one()).is_some();
            waiter.join().unwrap();
            let expected = 1 + usize::from(taken);
            assert!(mutex.try_lock().is_some_and(|value| value.is(expected)));
        },
    );
}

/// One who was called, and found the lock taken, is handed it at the next unlock, past those who come. For: a
/// lost race that does not count, a lock that is free while it is handed over.
#[test]
fn who_has_lost_a_race_is_next() {
    model("who has lost a race is next", || {
        let mutex = Watched::new();
        let theirs = mutex.clone();
        let guard = mutex.try_lock().expect("nobody else is there");
        let mut lost = boxed({
            let mutex = mutex.clone();
            async move { mutex.lock().await.add_one() }
        });
        assert!(poll_once(lost.as_mut()).is_pending());
        drop(guard);
        let guard = mutex
            .try_lock()
            .expect("it is free until the called one looks");
        assert!(poll_once(lost.as_mut()).is_pending());
        // One more who comes: before the unlock, or after it, or while the lock is handed over.
        let comes = thread::spawn(move || theirs.try_lock().is_some());
        drop(guard);
        let overtaken = comes.join().unwrap();
        assert!(!overtaken && poll_once(lost.as_mut()).is_ready());
        assert!(mutex.try_lock().is_some_and(|value| value.is(1)));
    });
}

/// The lock reaches one of two who wait, and if that one is dropped, the other. For: a call, or a lock
/// that was handed over, that is lost with a dropped wait.
fn dropped_wait(name: &str, races: usize) {
    model(name, move || {
        let mutex = Watched::new();
        let mut guard = mutex.try_lock().expect("nobody else is there");
        let mut first = boxed({
            let mutex = mutex.clone();
            async move { mutex.lock().await.add_one() }
        });
        assert!(poll_once(first.as_mut()).is_pending());
        for _ in 0..races {
            drop(guard);
            guard = mutex
                .try_lock()
                .expect("it is free until the called one looks");
            assert!(poll_once(first.as_mut()).is_pending());
        }
        let theirs = mutex.clone();
        let waiter = thread::spawn(move || block_on(theirs.lock()).add_one());
        let dropper = thread::spawn(move || drop(first));
        drop(guard);
        waiter.join().unwrap();
        dropper.join().unwrap();
        assert!(mutex.try_lock().is_some_and(|value| value.is(1)));
    });
}

#[test]
fn a_call_is_not_lost_with_a_dropped_wait() {
    dropped_wait("a call is not lost with a dropped wait", 0);
}

#[test]
fn a_lock_handed_over_is_not_lost_with_a_dropped_wait() {
    dropped_wait("a lock handed over is not lost with a dropped wait", 1);
}

/// A wait goes on in another task, whose waker is then the one that counts. For: a waker that is not
/// replaced, an unlock between the two looks.
#[test]
fn the_last_waker_is_woken() {
    model("the last waker of a mutex is woken", || {
        let mutex = Watched::new();
        let guard = mutex.try_lock().expect("nobody else is there");
        let mut wait = boxed({
            let mutex = mutex.clone();
            async move { mutex.lock().await.add_one() }
        });
        assert!(poll_once(wait.as_mut()).is_pending());
        let waiter = thread::spawn(move || block_on(wait));
        drop(guard);
        waiter.join().unwrap();
        assert!(mutex.try_lock().is_some_and(|value| value.is(1)));
    });
}

/// As above, of one that has lost a race and is handed the lock.
#[test]
fn the_last_waker_is_woken_of_one_that_is_handed_the_lock() {
    model(
        "the last waker of a mutex is woken when it is handed over",
        || {
            let mutex = Watched::new();
            let guard = mutex.try_lock().expect("nobody else is there");
            let mut wait = boxed({
                let mutex = mutex.clone();
                async move { mutex.lock().await.add_one() }
            });
            assert!(poll_once(wait.as_mut()).is_pending());
            drop(guard);
            let guard = mutex
                .try_lock()
                .expect("it is free until the called one looks");
            assert!(poll_once(wait.as_mut()).is_pending());
            let waiter = thread::spawn(move || block_on(wait));
            drop(guard);
            waiter.join().unwrap();
            assert!(mutex.try_lock().is_some_and(|value| value.is(1)));
        },
    );
}

/// A mutex, and how to wait for its value to change.
fn condition() -> PlainArc<(Arc<Mutex<Watched>>, Cond)> {
    PlainArc::new((Watched::new(), Cond::new()))
}

/// Waits until the value is not zero any more.
async fn changed(watched: &(Arc<Mutex<Watched>>, Cond)) -> MutexGuard<'_, Watched> {
    let (mutex, cond) = watched;
    let guard = mutex.lock().await;
    cond.wait_while(guard, |value| value.count == 0).await
}

/// Who finds that it must wait is notified of a change after that, and sees it. For: a mutex that is unlocked
/// before the wait begins.
#[test]
fn a_change_after_the_look_is_not_missed() {
    model("a change after the look is not missed", || {
        let watched = condition();
        let theirs = watched.clone();
        let waiter = thread::spawn(move || assert!(block_on(changed(&theirs)).is(1)));
        block_on(watched.0.lock()).add_one();
        watched.1.notify_one();
        waiter.join().unwrap();
    });
}

/// Two wait, one of which is dropped: the notification reaches the other, whichever it was for. For: one that
/// is lost with a wait that was notified, or that had not got the mutex back.
fn dropped_cond_wait(name: &str, polled: bool) {
    model(name, move || {
        let watched = condition();
        let mine = watched.clone();
        let mut first = boxed(async move { drop(mine.1.wait(mine.0.lock().await).await) });
        assert!(poll_once(first.as_mut()).is_pending());
        let theirs = watched.clone();
        let mut second = boxed(async move { drop(theirs.1.wait(theirs.0.lock().await).await) });
        assert!(poll_once(second.as_mut()).is_pending());
        let guard = watched.0.try_lock().expect("both have unlocked it");
        let dropper = thread::spawn(move || {
            if polled {
                // If it has been notified it wants the mutex now.
                assert!(poll_once(first.as_mut()).is_pending());
            }
            drop(first);
        });
        watched.1.notify_one();
        dropper.join().unwrap();
        drop(guard);
        block_on(second);
        assert!(watched.0.try_lock().is_some());
    });
}

#[test]
fn a_notification_of_a_cond_is_not_lost_with_a_dropped_wait() {
    dropped_cond_wait(
        "a notification of a cond is not lost with a dropped wait",
        false,
    );
}

#[test]
fn a_notification_is_not_lost_with_a_wait_that_wants_the_mutex() {
    dropped_cond_wait(
        "a notification is not lost with a wait that wants the mutex",
        true,
    );
}

/// A wait that was told with all others, and then dropped, ends nobody else's who has begun since. For: a
/// notification of all that is passed on.
#[test]
fn what_was_for_all_is_not_passed_on() {
    model("what was for all is not passed on", || {
        let watched = condition();
        let mine = watched.clone();
        let mut first = boxed(async move { drop(mine.1.wait(mine.0.lock().await).await) });
        assert!(poll_once(first.as_mut()).is_pending());
        watched.1.notify_all();
        let dropper = thread::spawn(move || drop(first));
        let since = watched.clone();
        let mut second = boxed(async move { drop(since.1.wait(since.0.lock().await).await) });
        assert!(poll_once(second.as_mut()).is_pending());
        dropper.join().unwrap();
        assert!(poll_once(second.as_mut()).is_pending());
    });
}

/// A wait goes on in another task, whose waker is then the one that counts. For: a waker that is not
/// replaced.
#[test]
fn the_last_waker_of_a_cond_is_woken() {
    model("the last waker of a cond is woken", || {
        let watched = condition();
        let theirs = watched.clone();
        let mut wait = boxed(async move { drop(theirs.1.wait(theirs.0.lock().await).await) });
        assert!(poll_once(wait.as_mut()).is_pending());
        let waiter = thread::spawn(move || block_on(wait));
        watched.1.notify_one();
        waiter.join().unwrap();
    });
}

/// All who wait go on. For: one who is forgotten. With three threads at two locks it does not end unbounded;
/// with 3 forced switches it has a thousand executions.
#[test]
fn all_are_notified() {
    model_bounded("all who wait for a cond are notified", 3, || {
        let watched = condition();
        let waiters = [0, 1].map(|_| {
            let theirs = watched.clone();
            thread::spawn(move || drop(block_on(changed(&theirs))))
        });
        block_on(watched.0.lock()).add_one();
        watched.1.notify_all();
        join_all(waiters);
    });
}
