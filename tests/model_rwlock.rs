//! Reader-writer locks and barriers under `gorin::model`: right programs pass, the bugs of others are found
//! and named, and the reduction loses no end of random ones.

#![cfg(not(loom))]

mod explore;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use explore::{fails, passes, patient};
use gorin::model::{Builder, Coverage};
use gorin::prelude::*;
use gorin::sync::{Barrier, RwLock, RwLockWriteGuard};
use gorin_base::check::poll_once;

/// Two goroutines that add one each, while a third one looks.
async fn counts() {
    let count = Arc::new(RwLock::new(0));
    let adders = [0; 2].map(|_| {
        let count = count.clone();
        go(async move { *count.write().await += 1 })
    });
    let theirs = count.clone();
    let looks = go(async move { *theirs.read().await });
    for adder in adders {
        adder.await.unwrap();
    }
    assert!(looks.await.unwrap() <= 2);
    assert_eq!(*count.read().await, 2);
}

#[test]
fn a_program_that_changes_under_the_write_lock_passes() {
    passes(counts);
}

#[test]
fn who_only_reads_needs_one_execution() {
    let report = patient().check(|| async {
        let lock = Arc::new(RwLock::new(7));
        // Whether they have ended when they are joined would be an order of its own.
        for _ in 0..4 {
            let lock = lock.clone();
            go(async move {
                assert_eq!(*lock.read().await, 7);
                assert_eq!(lock.try_read().map(|reading| *reading), Some(7));
            });
        }
    });
    assert_eq!(
        (report.executions, report.coverage),
        (1, Coverage::Complete)
    );
}

/// One that reads while it reads, and one that writes: it may begin to wait in between.
async fn reads_twice() {
    let lock = Arc::new(RwLock::new(0));
    let theirs = lock.clone();
    let writer = go(async move { *theirs.write().await = 1 });
    let first = lock.read().await;
    let second = lock.read().await;
    assert_eq!(*first, *second);
    drop((first, second));
    writer.await.unwrap();
}

#[test]
fn reading_twice_with_a_writer_in_between_is_a_deadlock_and_named() {
    let failure = fails(reads_twice);
    assert!(failure.is_deadlock());
    let text = failure.to_string();
    let here = "at tests/model_rwlock.rs:";
    assert!(
        text.contains(&format!("blocked in RwLock read {here}")),
        "{text}"
    );
    assert!(
        text.contains(&format!("blocked in RwLock write {here}")),
        "{text}"
    );
    assert!(text.contains("RwLock 1"), "{text}");
}

/// Reads, lets go, and writes what it makes of it.
async fn loses_an_update() {
    let count = Arc::new(RwLock::new(0));
    let add = |count: Arc<RwLock<u32>>| async move {
        let seen = *count.read().await;
        *count.write().await = seen + 1;
    };
    let other = go(add(count.clone()));
    add(count.clone()).await;
    other.await.unwrap();
    assert_eq!(*count.read().await, 2, "an update is lost");
}

#[test]
fn an_update_that_is_lost_between_a_read_and_a_write_is_found() {
    let failure = fails(loses_an_update);
    assert!(failure.is_panic() && failure.to_string().contains("an update is lost"));
}

/// A writer that looks again under a downgraded guard sees what it wrote; after unlocking it may not.
async fn looks_again(downgrades: bool) {
    let lock = Arc::new(RwLock::new(0));
    let theirs = lock.clone();
    let other = go(async move { *theirs.write().await = 2 });
    let mut writing = lock.write().await;
    *writing = 1;
    let reading = match downgrades {
        true => RwLockWriteGuard::downgrade(writing),
        false => {
            drop(writing);
            lock.read().await
        }
    };
    assert_eq!(*reading, 1, "somebody came in between");
    drop(reading);
    other.await.unwrap();
}

#[test]
fn what_comes_between_unlocking_and_reading_is_found() {
    patient().check(|| looks_again(true));
    let failure = fails(|| looks_again(false));
    assert!(failure.to_string().contains("somebody came in between"));
}

/// `members` goroutines at a barrier for three, for two rounds.
async fn meets(members: usize) {
    let barrier = Arc::new(Barrier::new(3));
    let all: Vec<_> = (0..members)
        .map(|_| {
            let barrier = barrier.clone();
            go(async move {
                let first = barrier.wait().await.is_leader();
                let second = barrier.wait().await.is_leader();
                usize::from(first) + usize::from(second)
            })
        })
        .collect();
    let mut led = 0;
    for one in all {
        led += one.await.unwrap();
    }
    assert_eq!(led, 2);
}

#[test]
fn a_barrier_with_a_member_missing_is_a_deadlock_and_named() {
    passes(|| meets(3));
    let failure = fails(|| meets(2));
    assert!(failure.is_deadlock());
    let text = failure.to_string();
    let waits = text.matches("blocked in Barrier wait at tests/model_rwlock.rs:");
    assert_eq!(waits.count(), 2, "{text}");
    assert!(text.contains("barrier 1"), "{text}");
}

/// What a goroutine of a random program does; numbers are locks. None waits with a guard in hand.
#[derive(Clone, Copy, Debug)]
enum Op {
    Read(usize),
    Write(usize),
    TryRead(usize),
    TryWrite(usize),
    /// Begins to read, looks once, and gives up.
    PeekRead(usize),
    /// Begins to write, looks once, and gives up.
    PeekWrite(usize),
    /// Reads the first, and tries to write the second meanwhile.
    ReadAndTry(usize, usize),
    /// Writes the first, goes on reading it, and tries to write the second meanwhile.
    Downgrade(usize, usize),
    /// Reads whichever comes first, as a foreign combinator does.
    Race(usize, usize),
    /// Comes to a barrier for two, looks once, and gives up.
    PeekBarrier,
}

fn random_op(rng: &mut fastrand::Rng) -> Op {
    let (one, other) = (rng.usize(..2), rng.usize(..2));
    match rng.u8(..12) {
        0 | 1 => Op::Read(one),
        2 | 3 => Op::Write(one),
        4 => Op::TryRead(one),
        5 => Op::TryWrite(one),
        6 => Op::PeekRead(one),
        7 => Op::PeekWrite(one),
        8 => Op::ReadAndTry(one, 1 - one),
        9 => Op::Downgrade(one, 1 - one),
        10 => Op::Race(one, other),
        _ => Op::PeekBarrier,
    }
}

type Ends = Arc<Mutex<BTreeSet<BTreeSet<String>>>>;

/// What the goroutines of one execution share. Whoever drops it last tells how it ended, so that
/// nobody need wait for the others, which would multiply the executions.
struct Things {
    locks: [RwLock<usize>; 2],
    barrier: Barrier,
    seen: Mutex<BTreeSet<String>>,
    /// Goroutines that have not come to their end: some never do, in executions that are given up.
    running: AtomicUsize,
    ends: Ends,
}

impl Drop for Things {
    fn drop(&mut self) {
        if self.running.load(Ordering::Relaxed) == 0 {
            let mut seen = std::mem::take(self.seen.get_mut().unwrap());
            let left = self.locks.each_mut().map(|lock| *lock.get_mut());
            seen.insert(format!("left {left:?}"));
            self.ends.lock().unwrap().insert(seen);
        }
    }
}

/// What it has seen; what it writes is `value`.
async fn perform(op: Op, things: &Things, value: usize) -> String {
    let lock = |n: usize| &things.locks[n];
    let try_write = |n: usize| {
        let writing = lock(n).try_write();
        writing.map(|mut writing| std::mem::replace(&mut *writing, value))
    };
    match op {
        Op::Read(n) => format!("{}", *lock(n).read().await),
        Op::Write(n) => format!("{}", std::mem::replace(&mut *lock(n).write().await, value)),
        Op::TryRead(n) => format!("{:?}", lock(n).try_read().map(|reading| *reading)),
        Op::TryWrite(n) => format!("{:?}", try_write(n)),
        Op::PeekRead(n) => format!("{:?}", poll_once(pin!(lock(n).read())).map(|one| *one)),
        Op::PeekWrite(n) => format!("{:?}", poll_once(pin!(lock(n).write())).map(|one| *one)),
        Op::ReadAndTry(a, b) => {
            let reading = lock(a).read().await;
            format!("{} {:?}", *reading, try_write(b))
        }
        Op::Downgrade(a, b) => {
            let mut writing = lock(a).write().await;
            *writing = value;
            let reading = RwLockWriteGuard::downgrade(writing);
            let other = try_write(b);
            format!("{} {other:?}", *reading)
        }
        Op::Race(a, b) => {
            let raced = futures::future::select(lock(a).read(), lock(b).read()).await;
            match raced {
                futures::future::Either::Left((reading, _)) => format!("first {}", *reading),
                futures::future::Either::Right((reading, _)) => format!("second {}", *reading),
            }
        }
        Op::PeekBarrier => {
            let polled = poll_once(pin!(things.barrier.wait()));
            format!("{:?}", polled.map(|result| result.is_leader()))
        }
    }
}

async fn run(program: Vec<Vec<Op>>, ends: Ends) {
    let things = Arc::new(Things {
        locks: [RwLock::new(0), RwLock::new(0)],
        barrier: Barrier::new(2),
        seen: Mutex::default(),
        running: AtomicUsize::new(program.len()),
        ends,
    });
    for (number, ops) in program.into_iter().enumerate() {
        let things = things.clone();
        go(async move {
            for (nth, op) in ops.into_iter().enumerate() {
                let seen = perform(op, &things, 10 * (number + 1) + nth).await;
                let line = format!("{number}.{nth} {op:?} {seen}");
                things.seen.lock().unwrap().insert(line);
            }
            things.running.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// All ends of a program, and how many executions it has; `None` if it is too large.
fn ends(builder: Builder, program: &[Vec<Op>]) -> Option<(BTreeSet<BTreeSet<String>>, usize)> {
    let ends = Ends::default();
    let (all, program) = (ends.clone(), program.to_vec());
    let builder = builder.max_iterations(2_000);
    let report = builder.check(move || run(program.clone(), all.clone()));
    let ends = ends.lock().unwrap().clone();
    (report.coverage == Coverage::Complete).then_some((ends, report.executions))
}

#[test]
fn the_reduction_loses_no_end_of_programs_with_locks() {
    let (mut compared, mut executions) = (0, [0, 0]);
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let goroutines = rng.usize(2..=3);
        let longest = 4 - goroutines;
        let program: Vec<Vec<Op>> = (0..goroutines)
            .map(|_| {
                (0..rng.usize(1..=longest))
                    .map(|_| random_op(&mut rng))
                    .collect()
            })
            .collect();
        let Some((without, all)) = ends(patient().without_reduction(), &program) else {
            continue;
        };
        let (with, fewer) = ends(patient(), &program).expect("it has fewer executions");
        assert_eq!(with, without, "seed {seed}: {program:?}");
        compared += 1;
        executions[0] += all;
        executions[1] += fewer;
    }
    println!("{compared} programs, {executions:?} executions without and with");
    assert!(compared >= 40 && executions[0] > 2 * executions[1]);
}
