//! Models: reader-writer locks and barriers.

mod common;

use common::*;
use gorin_base::check::model_bounded;
use gorin_channel::sync::{Barrier, RwLock, RwLockWriteGuard};

/// Two writers take turns, and each sees what the other one did. For: a writer beside another, a writer that
/// is never let in, a look that comes before the wait and none after.
#[test]
fn writers_take_turns() {
    model("writers take turns", || {
        let lock = PlainArc::new(RwLock::new(0));
        let memory = Unordered::new();
        let theirs = (lock.clone(), memory.clone());
        let other = thread::spawn(move || {
            let (lock, memory) = theirs;
            let mut writing = block_on(lock.write());
            *writing += 1;
            memory.write(memory.read() + 1);
        });
        {
            let mut writing = block_on(lock.write());
            *writing += 1;
            memory.write(memory.read() + 1);
        }
        other.join().unwrap();
        assert_eq!((*block_on(lock.read()), memory.read()), (2, 2));
    });
}

/// A reader sees all of what a writer did, or nothing. For: a reader beside a writer, a writer beside readers,
/// readers that a writer forgets when it leaves.
#[test]
fn a_reader_is_never_beside_a_writer() {
    model("a reader is never beside a writer", || {
        let lock = PlainArc::new(RwLock::new(0));
        let memory = Unordered::new();
        let theirs = (lock.clone(), memory.clone());
        let writer = thread::spawn(move || {
            let (lock, memory) = theirs;
            let mut writing = block_on(lock.write());
            *writing = 1;
            memory.write(1);
        });
        {
            let reading = block_on(lock.read());
            assert_eq!(*reading, memory.read());
        }
        writer.join().unwrap();
    });
}

/// Two readers are in at the same time, also such as a writer that leaves has let in. For: readers that keep
/// each other out, one of several that is not woken.
#[test]
fn readers_that_waited_are_in_together() {
    // Three threads that each meet the two others: unbounded it does not end.
    model_bounded("readers that waited are in together", 3, || {
        let lock = PlainArc::new(RwLock::new(0));
        let both = PlainArc::new(Barrier::new(2));
        let mut writing = lock.try_write().expect("nobody is in");
        let readers = [0; 2].map(|_| {
            let (lock, both) = (lock.clone(), both.clone());
            thread::spawn(move || {
                let reading = block_on(lock.read());
                block_on(both.wait());
                *reading
            })
        });
        *writing = 1;
        drop(writing);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 1);
        }
    });
}

/// The last of two readers lets the writer in. For: a writer that nobody tells, one that is let in by the first
/// reader that leaves.
#[test]
fn the_last_reader_lets_the_writer_in() {
    model("the last reader lets the writer in", || {
        let lock = PlainArc::new(RwLock::new(0));
        let (first, second) = (
            lock.try_read_owned().expect("nobody is in"),
            lock.try_read_owned().expect("no writer is in"),
        );
        let memory = Unordered::new();
        let seen = memory.clone();
        let reader = thread::spawn(move || {
            let _ = seen.read();
            drop(first);
        });
        let theirs = lock.clone();
        let writer = thread::spawn(move || {
            *block_on(theirs.write()) = 1;
            memory.write(1);
        });
        drop(second);
        reader.join().unwrap();
        writer.join().unwrap();
        assert_eq!(*block_on(lock.read()), 1);
    });
}

/// A writer that waits keeps new readers out, and is let in when those leave that came before; readers go before
/// the next writer. For: readers that overtake, a writer that is let in before readers that waited.
#[test]
fn a_waiting_writer_is_overtaken_by_nobody() {
    model("a waiting writer is overtaken by nobody", || {
        let lock = PlainArc::new(RwLock::new(0));
        let before = lock.try_read_owned().expect("nobody is in");
        let [first, second] = [1, 2].map(|n| {
            let lock = lock.clone();
            boxed(async move { std::mem::replace(&mut *lock.write().await, n) })
        });
        let [mut first, mut second] = [first, second];
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        assert!(lock.try_read().is_none(), "a writer waits");
        let theirs = lock.clone();
        let mut reader = boxed(async move { *theirs.read().await });
        assert!(poll_once(reader.as_mut()).is_pending());
        let leaver = thread::spawn(move || drop(before));
        assert_eq!(block_on(first), 0);
        assert_eq!(block_on(reader), 1, "the next writer came first");
        assert_eq!(block_on(second), 1);
        leaver.join().unwrap();
    });
}

/// A writer that gives up, let in or not, holds nobody up. For: a grant that is lost with a dropped wait, readers
/// that go on waiting for a writer that is gone.
#[test]
fn a_dropped_write_passes_on_what_it_was_given() {
    model("a dropped write passes on what it was given", || {
        let lock = PlainArc::new(RwLock::new(0));
        let before = lock.try_read_owned().expect("nobody is in");
        let theirs = lock.clone();
        let mut first = boxed(async move { drop(theirs.write().await) });
        assert!(poll_once(first.as_mut()).is_pending());
        let theirs = lock.clone();
        let reader = thread::spawn(move || *block_on(theirs.read()));
        let dropper = thread::spawn(move || drop(first));
        drop(before);
        assert_eq!(reader.join().unwrap(), 0);
        dropper.join().unwrap();
        assert!(lock.try_write().is_some(), "all have left");
    });
}

/// A reader that waits only because a writer does is let in beside the readers when the writer gives up. For:
/// readers that go on waiting for a writer that is gone.
#[test]
fn a_dropped_write_lets_readers_in_beside_readers() {
    model("a dropped write lets readers in beside readers", || {
        let lock = PlainArc::new(RwLock::new(0));
        let before = lock.try_read().expect("nobody is in");
        let theirs = lock.clone();
        let mut writer = boxed(async move { drop(theirs.write().await) });
        assert!(poll_once(writer.as_mut()).is_pending());
        let theirs = lock.clone();
        let reader = thread::spawn(move || *block_on(theirs.read()));
        drop(writer);
        assert_eq!(reader.join().unwrap(), *before);
    });
}

/// A reader that gives up, let in or not, holds no writer up. For: a grant that is lost with a dropped wait, a wait
/// that stays in line.
#[test]
fn a_dropped_read_passes_on_what_it_was_given() {
    model("a dropped read passes on what it was given", || {
        let lock = PlainArc::new(RwLock::new(0));
        let before = lock.try_write_owned().expect("nobody is in");
        let theirs = lock.clone();
        let mut first = boxed(async move { drop(theirs.read().await) });
        assert!(poll_once(first.as_mut()).is_pending());
        let theirs = lock.clone();
        let writer = thread::spawn(move || *block_on(theirs.write()) += 1);
        let dropper = thread::spawn(move || drop(first));
        drop(before);
        writer.join().unwrap();
        dropper.join().unwrap();
        assert_eq!(*lock.try_read().expect("all have left"), 1);
    });
}

/// Who goes on reading after it wrote reads what it wrote, although a writer waits; readers are let in beside it.
/// For: a writer that comes in between, readers that are forgotten.
#[test]
fn no_writer_comes_in_between_a_downgrade() {
    model("no writer comes in between a downgrade", || {
        let lock = PlainArc::new(RwLock::new(0));
        let mut writing = lock.try_write().expect("nobody is in");
        let theirs = lock.clone();
        let mut reader = boxed(async move { *theirs.read().await });
        assert!(poll_once(reader.as_mut()).is_pending());
        let theirs = lock.clone();
        let writer = thread::spawn(move || *block_on(theirs.write()) += 10);
        *writing = 1;
        let reading = RwLockWriteGuard::downgrade(writing);
        assert_eq!(*reading, 1);
        // It was let in by the downgrade; with the guard there it cannot be by its drop.
        assert_eq!(block_on(reader), 1);
        drop(reading);
        writer.join().unwrap();
        assert_eq!(*block_on(lock.read()), 11);
    });
}

/// A write that is polled by another task wakes that one. For: a waker that is not replaced, or replaced after
/// the writer was let in.
#[test]
fn a_write_polled_by_another_task() {
    model("a write polled by another task", || {
        let lock = PlainArc::new(RwLock::new(0));
        let before = lock.try_read_owned().expect("nobody is in");
        let theirs = lock.clone();
        let mut write = boxed(async move { *theirs.write().await += 1 });
        assert!(poll_once(write.as_mut()).is_pending());
        let leaver = thread::spawn(move || drop(before));
        block_on(write);
        leaver.join().unwrap();
        assert_eq!(*block_on(lock.read()), 1);
    });
}

/// Two meet, twice: one leads each time, nobody is through before the other one is there, and each sees what the
/// other one did before. For: a barrier that opens too early, two leaders, none, a round that mixes with
/// the next.
#[test]
fn two_meet_again_and_again() {
    // Unbounded 25,000 executions, which find no more.
    model_bounded("two meet again and again", 3, || {
        let barrier = PlainArc::new(Barrier::new(2));
        let memory = [0; 2].map(|_| Unordered::new());
        let party = |mine: Unordered, theirs: Unordered, barrier: PlainArc<Barrier>| {
            let mut leads = [false; 2];
            mine.write(1);
            leads[0] = block_on(barrier.wait()).is_leader();
            assert_eq!(theirs.read(), 1);
            leads[1] = block_on(barrier.wait()).is_leader();
            leads
        };
        let [one, other] = memory;
        let their_view = (other.clone(), one.clone(), barrier.clone());
        let thread = thread::spawn(move || {
            let (mine, theirs, barrier) = their_view;
            party(mine, theirs, barrier)
        });
        let mine = party(one.clone(), other.clone(), barrier);
        let theirs = thread.join().unwrap();
        assert!((0..2).all(|round| mine[round] ^ theirs[round]), "one leads");
    });
}

/// A wait that is dropped takes back that it has come. For: a dropped wait that counts.
#[test]
fn a_dropped_wait_at_a_barrier_does_not_count() {
    model("a dropped wait at a barrier does not count", || {
        let barrier = PlainArc::new(Barrier::new(3));
        let mut first = wait(&barrier);
        assert!(poll_once(first.as_mut()).is_pending());
        let mut theirs = wait(&barrier);
        let thread = thread::spawn(move || {
            drop(first);
            assert!(poll_once(theirs.as_mut()).is_pending(), "two are there");
            theirs
        });
        let mut mine = wait(&barrier);
        assert!(poll_once(mine.as_mut()).is_pending(), "two are there");
        let mut theirs = thread.join().unwrap();
        assert!(poll_once(wait(&barrier).as_mut()).is_ready());
        assert!(poll_once(mine.as_mut()).is_ready() && poll_once(theirs.as_mut()).is_ready());
    });
}

/// A wait that is dropped after the barrier has opened takes nothing back. For: one of the next round that is
/// taken back with it.
#[test]
fn a_wait_dropped_after_its_round_takes_nothing_back() {
    model("a wait dropped after its round takes nothing back", || {
        let barrier = PlainArc::new(Barrier::new(2));
        let mut first = wait(&barrier);
        assert!(poll_once(first.as_mut()).is_pending());
        let dropper = thread::spawn(move || drop(first));
        let mut second = wait(&barrier);
        let met = poll_once(second.as_mut()).is_ready();
        dropper.join().unwrap();
        if met {
            // The next round is for two again.
            second = wait(&barrier);
            assert!(poll_once(second.as_mut()).is_pending());
        }
        assert!(poll_once(wait(&barrier).as_mut()).is_ready());
        assert!(poll_once(second.as_mut()).is_ready());
    });
}

fn wait(barrier: &PlainArc<Barrier>) -> Boxed<()> {
    let barrier = barrier.clone();
    boxed(async move {
        let _ = barrier.wait().await;
    })
}
