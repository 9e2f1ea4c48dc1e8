//! Models: wait groups, notifications and semaphores.

mod common;

use common::*;
use gorin_channel::sync::{Notify, Semaphore, WaitGroup};

/// The wait ends after both members are done, and sees what they wrote. For: a zero that nobody is
/// told of, a decrement that publishes nothing, a wait that begins between the last look and the
/// notification.
#[test]
fn a_wait_ends_after_the_last_member() {
    model("a wait ends after the last member", || {
        let group = WaitGroup::new();
        let (first, second) = (group.add(), group.add());
        let memory = Unordered::new();
        let written = memory.clone();
        let member = thread::spawn(move || {
            written.write(7);
            drop(first);
        });
        drop(second);
        block_on(group.wait());
        assert_eq!(memory.read(), 7);
        member.join().unwrap();
    });
}

/// A group that was waited for is used again: who waits then, waits for the new member. For: a zero of
/// before that ends a wait which began after it.
#[test]
fn a_group_used_again_is_waited_for_anew() {
    model("a group used again is waited for anew", || {
        let group = WaitGroup::new();
        let first = group.add();
        let member = thread::spawn(move || drop(first));
        block_on(group.wait());
        let second = group.add();
        {
            let theirs = group.clone();
            let mut wait = boxed(async move { theirs.wait().await });
            assert!(poll_once(wait.as_mut()).is_pending());
            member.join().unwrap();
            assert!(poll_once(wait.as_mut()).is_pending());
            drop(second);
            assert!(poll_once(wait.as_mut()).is_ready());
        }
    });
}

/// Of two members the last one's notification speaks for both. For: a decrement that does not pass
/// on what the other member published.
#[test]
fn the_last_member_speaks_for_all() {
    model("the last member speaks for all", || {
        let group = WaitGroup::new();
        let members = [1, 2].map(|n| {
            let token = group.add();
            let memory = Unordered::new();
            let written = memory.clone();
            let thread = thread::spawn(move || {
                written.write(n);
                drop(token);
            });
            (thread, memory)
        });
        if group.count() == 0 {
            assert_eq!([members[0].1.read(), members[1].1.read()], [1, 2]);
        }
        for (thread, _) in members {
            thread.join().unwrap();
        }
    });
}

/// Whoever finds no member left finds what they did. For: a decrement that publishes nothing.
#[test]
fn who_finds_no_member_finds_what_they_did() {
    model("who finds no member finds what they did", || {
        let group = WaitGroup::new();
        let (mine, theirs) = (group.add(), group.add());
        let memory = Unordered::new();
        let written = memory.clone();
        let thread = thread::spawn(move || {
            written.write(1);
            drop(theirs);
        });
        drop(mine);
        if group.count() == 0 {
            assert_eq!(memory.read(), 1);
        }
        thread.join().unwrap();
    });
}

/// A notification reaches one of two waiters, and if that one is dropped, the other. For: a
/// notification that is lost with a dropped wait.
#[test]
fn a_notification_is_not_lost_with_a_dropped_wait() {
    model("a notification is not lost with a dropped wait", || {
        let notify = PlainArc::new(Notify::new());
        let mine = notify.clone();
        let mut first = boxed(async move { mine.notified().await });
        assert!(poll_once(first.as_mut()).is_pending());
        let theirs = notify.clone();
        let waiter = thread::spawn(move || block_on(theirs.notified()));
        let dropper = thread::spawn(move || drop(first));
        notify.notify_one();
        waiter.join().unwrap();
        dropper.join().unwrap();
    });
}

/// Who holds the only permit is alone, and sees what was done under it before. For: a permit too many,
/// one that is never given back.
#[test]
fn one_permit_keeps_the_others_out() {
    model("one permit keeps the others out", || {
        let semaphore = Semaphore::new(1);
        let memory = Unordered::new();
        let theirs = (semaphore.clone(), memory.clone());
        let other = thread::spawn(move || {
            let (semaphore, memory) = theirs;
            let permit = block_on(semaphore.acquire());
            memory.write(memory.read() + 1);
            drop(permit);
        });
        let permit = block_on(semaphore.acquire());
        memory.write(memory.read() + 1);
        drop(permit);
        other.join().unwrap();
        assert_eq!((memory.read(), semaphore.available()), (2, 1));
    });
}

/// A permit reaches one of two who wait, and if that one is dropped, the other. For: a permit that is
/// lost with a dropped wait.
#[test]
fn a_permit_is_not_lost_with_a_dropped_wait() {
    model("a permit is not lost with a dropped wait", || {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.try_acquire().expect("nobody else is there");
        let mine = semaphore.clone();
        let mut first = boxed(async move { drop(mine.acquire().await) });
        assert!(poll_once(first.as_mut()).is_pending());
        let theirs = semaphore.clone();
        let waiter = thread::spawn(move || drop(block_on(theirs.acquire())));
        let dropper = thread::spawn(move || drop(first));
        drop(permit);
        waiter.join().unwrap();
        dropper.join().unwrap();
        assert_eq!(semaphore.available(), 1);
    });
}
