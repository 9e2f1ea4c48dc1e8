//! Programs under `gorin::model` that share permits and values: right ones pass, what waits for ever is named,
//! and the reduction finds each end that the search without it finds.

#![cfg(not(loom))]

mod explore;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use explore::{ends_of, fails, patient};
use gorin::model::Failure;
use gorin::prelude::*;
use gorin::sync::{OnceCell, Semaphore, SingleFlight};

/// What a program has seen, in its order.
type Seen = Arc<Mutex<Vec<u32>>>;

fn note<const N: usize>(seen: &Seen, found: [u32; N]) {
    seen.lock().unwrap().extend(found);
}

/// Both searches find these ends.
#[track_caller]
fn ends_in<F: Future<Output = ()> + 'static, const N: usize, const M: usize>(
    expected: [[u32; M]; N],
    program: fn(Seen) -> F,
) {
    let ends = ends_of(patient, move || async move {
        let seen = Seen::default();
        program(seen.clone()).await;
        std::mem::take(&mut *seen.lock().unwrap())
    });
    assert_eq!(ends, BTreeSet::from(expected.map(Vec::from)));
}

/// A program that has no end.
#[track_caller]
fn hangs<F: Future<Output = ()> + 'static>(program: fn() -> F) -> Failure {
    let failure = fails(program);
    assert!(failure.is_deadlock(), "{failure}");
    failure
}

/// Polls a future once; true if it is not ready.
async fn waits<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// Two who need two permits each, at once, and one who needs one.
async fn two_permits_at_once(permits: usize) {
    let semaphore = Semaphore::new(permits);
    let (two, one) = (semaphore.clone(), semaphore.clone());
    let large = go(async move { take_two(two).await });
    let small = go(async move { drop(one.acquire().await) });
    take_two(semaphore.clone()).await;
    large.await.unwrap();
    small.await.unwrap();
    assert_eq!(semaphore.available(), permits);
}

async fn take_two(semaphore: Semaphore) {
    let both = semaphore.acquire_many(2).await;
    assert!(both.permits() == 2 && semaphore.available() <= 1);
}

#[test]
fn permits_that_are_taken_at_once_are_no_deadlock() {
    for permits in [2, 3] {
        patient().check(move || two_permits_at_once(permits));
    }
    ends_in([[]; 1], |_| two_permits_at_once(2));
}

#[test]
fn who_waits_for_more_permits_than_there_are_is_named() {
    let text = hangs(|| two_permits_at_once(1)).to_string();
    assert!(text.contains("Semaphore acquire at tests/model_sync.rs:"));
    assert!(text.contains("on semaphore 1 made at tests/model_sync.rs:"));
}

#[test]
fn a_head_that_gives_up_is_in_nobodys_way() {
    ends_in([[0], [1]], |seen| async move {
        let semaphore = Semaphore::new(1);
        let [large, small, looks] = [(); 3].map(|()| semaphore.clone());
        let mut head = Box::pin(async move { drop(large.acquire_many(2).await) });
        assert!(waits(head.as_mut()).await);
        let behind = go(async move { drop(small.acquire().await) });
        let was_free = go(async move { looks.try_acquire().is_some() });
        drop(head);
        behind.await.unwrap();
        note(&seen, [u32::from(was_free.await.unwrap())]);
    });
}

/// Whose release it was that lets a third one in tells what it finds.
#[test]
fn permits_come_back_in_either_order() {
    ends_in([[0, 1], [1, 0], [1, 1]], |seen| async move {
        let semaphore = Semaphore::new(2);
        let flags = [(); 2].map(|()| Semaphore::new(0));
        for flag in &flags {
            let (permit, flag) = (semaphore.try_acquire(), flag.clone());
            go(async move {
                flag.add(1);
                drop(permit);
            });
        }
        let permit = semaphore.acquire().await;
        let found = flags.map(|flag| flag.available() as u32);
        note(&seen, found);
        drop(permit);
    });
}

#[test]
fn a_cell_is_filled_once_by_whoever_comes_first() {
    ends_in([[1, 1], [2, 2]], |seen| async move {
        let cell = Arc::new(OnceCell::new());
        let makes = cell.clone();
        let makes = go(async move { *makes.get_or_init(|| async { 1 }).await });
        let set = cell.set(2).is_ok();
        let made = makes.await.unwrap();
        assert_eq!((cell.get(), set), (Some(&made), made == 2));
        note(&seen, [made, *cell.wait().await]);
    });
}

#[test]
fn who_looks_for_a_value_finds_it_or_not_and_who_waits_finds_it() {
    ends_in([[0, 1], [1, 1]], |seen| async move {
        let cell = Arc::new(OnceCell::new());
        let (looks, waits) = (cell.clone(), cell.clone());
        let looks = go(async move { u32::from(looks.get().is_some()) });
        let waits = go(async move { *waits.wait().await });
        cell.set(1).unwrap();
        let found = [looks.await.unwrap(), waits.await.unwrap()];
        note(&seen, found);
    });
}

/// For: a look that the checker does not know of.
#[test]
fn who_shows_a_cell_finds_its_value_or_not() {
    ends_in([[0], [1]], |seen| async move {
        let cell = Arc::new(OnceCell::new());
        let theirs = cell.clone();
        let sets = go(async move { theirs.set(1) });
        let shown = format!("{cell:?}");
        note(&seen, [u32::from(shown == "OnceCell(1)")]);
        sets.await.unwrap().unwrap();
    });
}

/// One whose initializer fails, after a while, and one who then makes the value.
#[test]
fn who_fails_to_fill_a_cell_leaves_that_to_the_next() {
    ends_in([[0, 0], [0, 1], [1, 1]], |seen| async move {
        let cell = Arc::new(OnceCell::new());
        let makes = cell.clone();
        let makes = go(async move { *makes.get_or_init(|| async { 1 }).await });
        let fails = cell.get_or_try_init(|| async {
            yield_now().await;
            Err(0)
        });
        let found = fails.await.copied();
        let was_there = cell.get().is_some();
        assert_eq!(makes.await.unwrap(), 1);
        let found = [found.unwrap_or(0), u32::from(was_there)];
        note(&seen, found);
    });
}

/// A maker that is dropped before, while or after somebody sets the value; the one in line makes its own in
/// between, or not.
#[test]
fn a_maker_that_is_dropped_races_with_a_value_that_is_set() {
    ends_in([[1], [2]], |seen| async move {
        let cell = Arc::new(OnceCell::new());
        let [maker, next, sets] = [(); 3].map(|()| cell.clone());
        let mut maker = Box::pin(async move {
            maker.get_or_init(std::future::pending).await;
        });
        assert!(waits(maker.as_mut()).await);
        let next = go(async move { *next.get_or_init(|| async { 1 }).await });
        go(async move { sets.set(2) });
        drop(maker);
        note(&seen, [next.await.unwrap()]);
    });
}

#[test]
fn who_waits_for_a_cell_that_nobody_fills_is_named() {
    let text = hangs(|| async {
        let cell = Arc::new(OnceCell::<u32>::new());
        let theirs = cell.clone();
        let waits = go(async move { *theirs.wait().await });
        // An initializer that needs its own cell.
        cell.get_or_init(|| async { *cell.get_or_init(|| async { 1 }).await })
            .await;
        waits.await.unwrap();
    })
    .to_string();
    for line in [
        "OnceCell wait at tests/model_sync.rs:",
        "OnceCell get_or_init at tests/model_sync.rs:",
        "on once cell 1 made at tests/model_sync.rs:",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

/// For: a cell that was emptied and is told to come from inside std.
#[test]
fn a_cell_is_made_where_its_value_was_taken() {
    let text = hangs(|| async {
        let mut cell = OnceCell::with_value(1);
        assert_eq!(cell.take(), Some(1));
        cell.wait().await;
    })
    .to_string();
    let line = "on once cell 1 made at tests/model_sync.rs:";
    assert!(text.contains(line), "{text}");
}

/// Two who ask for the same, each of whom would bring another result.
#[test]
fn work_is_shared_or_done_by_one_after_the_other() {
    ends_in([[1, 1], [1, 2], [2, 2]], |seen| async move {
        let flights = SingleFlight::new();
        let theirs = flights.clone();
        let one = go(async move { theirs.run("key", || async { 1 }).await });
        let slow = || async {
            yield_now().await;
            2
        };
        let two = flights.run("key", slow).await;
        note(&seen, [one.await.unwrap(), two]);
        assert_eq!(flights.in_flight(), 0);
    });
}

/// The leader gives up while somebody follows, or before.
#[test]
fn who_follows_leads_when_the_leader_is_dropped() {
    ends_in([[2, 2], [2, 3], [3, 3]], |seen| async move {
        let flights = SingleFlight::new();
        let [leads, follows, comes] = [(); 3].map(|()| flights.clone());
        let mut leader = Box::pin(async move { leads.run("key", std::future::pending).await });
        assert!(waits(leader.as_mut()).await);
        let follows = go(async move { follows.run("key", || async { 2 }).await });
        drop(leader);
        let result = comes.run("key", || async { 3 }).await;
        let results = [follows.await.unwrap(), result];
        note(&seen, results);
        assert_eq!(flights.in_flight(), 0);
    });
}

#[test]
fn work_that_waits_for_its_own_result_is_named() {
    let text = hangs(|| async {
        let flights = SingleFlight::new();
        let inner = flights.clone();
        let work = || async move { inner.run(1, || async { 1 }).await };
        flights.run(1, work).await;
    })
    .to_string();
    for line in [
        "SingleFlight run at tests/model_sync.rs:",
        "on flight 1 made at tests/model_sync.rs:",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

/// What is told by one object is seen in another one.
#[test]
fn the_reduction_finds_all_ends_that_several_objects_have_together() {
    ends_in([[1, 0], [1, 1], [2, 1]], |seen| async move {
        let (cell, before) = (Arc::new(OnceCell::new()), Semaphore::new(0));
        let [waits, sets] = [(); 2].map(|()| cell.clone());
        let looks = before.clone();
        let found = go(async move {
            waits.wait().await;
            looks.available() as u32
        });
        go(async move { sets.set(1) });
        before.add(1);
        let _ = cell.set(2);
        let value = *cell.get().expect("it is set");
        note(&seen, [value, found.await.unwrap()]);
    });
    // An initializer that fails, and one that may come before or after it; and a value that is set.
    ends_in([[0, 5], [0, 9], [1, 9]], |seen| async move {
        let (cell, fails) = (Arc::new(OnceCell::new()), Semaphore::new(0));
        let (theirs, looks) = (cell.clone(), fails.clone());
        let other = go(async move {
            let fail = || async {
                fails.add(1);
                Err(())
            };
            theirs.get_or_try_init(fail).await.copied().unwrap_or(9)
        });
        let fail = || async { Err(looks.available() as u32) };
        let found = cell.get_or_try_init(fail).await.unwrap_err();
        cell.set(5).unwrap();
        note(&seen, [found, other.await.unwrap()]);
    });
}

#[test]
fn the_reduction_finds_all_ends_of_permits_that_come_one_by_one() {
    let expected = [[0, 0], [0, 1], [1, 1], [2, 0], [2, 1]];
    ends_in(expected, |seen| async move {
        let semaphore = Semaphore::new(1);
        let (large, small) = (semaphore.clone(), semaphore.clone());
        let large = go(async move { large.acquire_many(2).await.forget() });
        let small = go(async move { u32::from(small.try_acquire().is_some()) });
        semaphore.add(1);
        let available = semaphore.available() as u32;
        semaphore.add(2);
        let got = small.await.unwrap();
        large.await.unwrap();
        note(&seen, [available, got]);
    });
}
