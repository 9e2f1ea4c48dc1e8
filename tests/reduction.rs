//! Programs that lost an end once, written with all that a user has: the reduction must find each end
//! that the search without it finds.
//!
//! Beside `src/model/soundness.rs`, whose random programs know channels alone.

#![cfg(not(loom))]

mod explore;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use explore::{ends_of, patient};
use futures::future::{Either, FutureExt, join, select};
use gorin::channel::TryRecvError;
use gorin::prelude::*;
use gorin::sync::{self, Cond, WaitGroup};
use gorin::time::timeout;

/// What a program has seen, in any order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<BTreeSet<String>>>);

impl Log {
    fn note(&self, seen: impl std::fmt::Debug) {
        self.0.lock().unwrap().insert(format!("{seen:?}"));
    }
}

/// Both searches find the same ends, each of which is one of `expected`.
#[track_caller]
fn ends_in<F: Future<Output = ()> + 'static, const N: usize>(
    expected: [&str; N],
    program: fn(Log) -> F,
) {
    let builder = || patient().allow_panics().allow_lost_values();
    let ends = ends_of(builder, move || async move {
        let log = Log::default();
        program(log.clone()).await;
        std::mem::take(&mut *log.0.lock().unwrap())
    });
    let one = |seen: &str| BTreeSet::from([seen.to_owned()]);
    assert_eq!(ends, expected.map(one).into_iter().collect());
}

/// A goroutine that looks whether a channel is closed by one that unwinds.
async fn unwinds(log: Log, is_caught: bool) {
    let (tx, rx) = chan::<u8>(1);
    let (first, second) = (chan(1), chan(1));
    let fails = async move {
        first.0.send(1).await.unwrap();
        let _closed_by_this = tx;
        resume_unwind(Box::new("on purpose"))
    };
    let fails = match is_caught {
        true => go(AssertUnwindSafe(fails).catch_unwind().map(drop)),
        false => go(fails),
    };
    let looks = go(async move {
        second.0.send(1).await.unwrap();
        log.note(rx.try_recv().unwrap_err());
    });
    let _ = fails.await;
    looks.await.unwrap();
}

#[test]
fn what_a_goroutine_does_while_it_unwinds_is_seen_by_others() {
    ends_in(["Closed", "Empty"], |log| unwinds(log, false));
    ends_in(["Closed", "Empty"], |log| unwinds(log, true));
}

/// A member that comes when others may have gone, while somebody waits who has done something else since
/// the wait began.
async fn joins_late(log: Log) {
    let all = WaitGroup::new();
    let (start, starts) = chan::<()>(1);
    let (call, calls) = chan::<()>(1);
    let token = all.add();
    go(async move {
        starts.recv().await;
        call.send(()).await.unwrap();
        drop(token);
    });
    let has_joined = Arc::new(AtomicBool::new(false));
    go({
        let (all, has_joined) = (all.clone(), has_joined.clone());
        async move {
            calls.recv().await;
            let _token = all.add();
            has_joined.store(true, Ordering::Relaxed);
        }
    });
    let waits = async {
        all.wait().await;
        log.note(has_joined.load(Ordering::Relaxed));
    };
    let (_, sent) = join(waits, start.send(())).await;
    sent.unwrap();
}

#[test]
fn a_group_that_is_waited_for_may_be_empty_before_somebody_joins_it() {
    ends_in(["false", "true"], joins_late);
}

/// A select beside a future that first calls somebody, who then offers a value without waiting.
async fn calls_while_it_selects(log: Log) {
    let (call, calls) = chan::<()>(1);
    let (_answer, answers) = chan::<()>(1);
    let (offer, offers) = chan::<()>(0);
    let _open = offers.clone();
    let offers_once = go(async move {
        calls.recv().await;
        log.note(offer.try_send(()).is_ok());
    });
    select! {
        _ = async {
            call.send(()).await.unwrap();
            answers.recv().await
        } => unreachable!("nobody answers"),
        _ = offers.recv() => {}
    }
    offers_once.await.unwrap();
}

#[test]
fn a_select_stands_in_line_after_what_it_has_polled_began_to_wait() {
    ends_in(["false", "true"], calls_while_it_selects);
}

/// A goroutine that says that it is through before it drops its end of a channel, and one that looks at
/// the channel when it has dropped its own.
async fn tells_before_it_drops(log: Log, sends: bool) {
    let (tx, rx) = chan::<u8>(1);
    let (tell, told) = chan(1);
    let (its, other) = match sends {
        true => ((Some(tx.clone()), None), (Some(tx), Some(rx))),
        false => ((None, Some(rx.clone())), (Some(tx), Some(rx))),
    };
    let teller = go(async move {
        tell.send(1).await.unwrap();
        drop(its);
    });
    told.recv().await.unwrap();
    let (tx, rx) = other;
    if sends {
        drop(tx);
        log.note(rx.unwrap().try_recv() == Err(TryRecvError::Closed));
    } else {
        drop(rx);
        log.note(tx.unwrap().try_send(1).is_err());
    }
    teller.await.unwrap();
}

/// Two that drop their ends of a channel after something that has nothing to do with each other.
async fn drops_and_looks(log: Log) {
    let (tx, rx) = chan::<u8>(1);
    let (first, second) = (chan(1), chan(1));
    let its = tx.clone();
    let drops = go(async move {
        first.0.send(1).await.unwrap();
        drop(its);
    });
    second.0.send(1).await.unwrap();
    drop(tx);
    log.note(rx.is_closed());
    drops.await.unwrap();
}

#[test]
fn any_handle_can_be_the_last_one() {
    ends_in(["false", "true"], |log| tells_before_it_drops(log, true));
    ends_in(["false", "true"], |log| tells_before_it_drops(log, false));
    ends_in(["false", "true"], drops_and_looks);
}

/// One that waits until nobody receives any more, and then asks what came before.
async fn waits_until_nobody_receives(log: Log) {
    let (tx, rx) = chan::<u8>(1);
    let (tell, told) = chan::<()>(1);
    let its = rx.clone();
    go(async move { drop(its) });
    go(async move {
        drop(rx);
        let _ = tell.try_send(());
    });
    tx.closed().await;
    log.note(told.try_recv().is_ok());
}

#[test]
fn who_waits_for_the_end_looks_at_every_handle() {
    ends_in(["false", "true"], waits_until_nobody_receives);
}

/// One that waits for a value twice at a time, and then for a value or a time, when the channel ends.
async fn waits_for_the_end(log: Log) {
    let (tx, rx) = chan::<u8>(1);
    let other = rx.clone();
    go(async move { tx.send(1).await.unwrap() });
    let other = go(async move { other.recv().await });
    let (one, two) = (pin!(rx.recv()), pin!(rx.recv()));
    let raced = match select(one, two).await {
        Either::Left((value, _)) => (1, value),
        Either::Right((value, _)) => (2, value),
    };
    let timed = timeout(Duration::from_millis(1), rx.recv()).await;
    let other = other.await.unwrap();
    log.note(format_args!("{raced:?} {timed:?} {other:?}"));
}

#[test]
fn the_end_of_a_channel_is_news_for_who_does_not_wait_alone() {
    ends_in(
        [
            "(1, Some(1)) Ok(None) None",
            "(1, None) Ok(None) Some(1)",
            "(2, None) Ok(None) Some(1)",
            "(2, None) Ok(None) None",
        ],
        waits_for_the_end,
    );
}

/// One that stands in line for a mutex when its holder unlocks it, and takes it twice more.
async fn takes_it_again(log: Log) {
    let mutex = Arc::new(sync::Mutex::new(Vec::new()));
    let guard = mutex.lock().await;
    let (tx, rx) = chan::<()>(1);
    let waits = go({
        let mutex = mutex.clone();
        async move { join(mutex.lock(), tx.send(())).await.0.push("waited") }
    });
    rx.recv().await;
    drop(guard);
    for _ in 0..2 {
        mutex.lock().await.push("ran");
    }
    waits.await.unwrap();
    log.note(mutex.lock().await.iter().position(|&who| who == "waited"));
}

#[test]
fn who_is_called_for_a_mutex_races_with_all() {
    ends_in(["Some(0)", "Some(1)", "Some(2)"], takes_it_again);
}

/// One that tries to lock what another one locks for a while.
async fn tries_to_lock(log: Log) {
    let mutex = Arc::new(sync::Mutex::new(()));
    let (tx, rx) = chan::<()>(1);
    let locks = go({
        let mutex = mutex.clone();
        async move {
            let _guard = mutex.lock().await;
            tx.send(()).await.unwrap();
        }
    });
    log.note(mutex.try_lock().is_some());
    rx.recv().await;
    locks.await.unwrap();
}

#[test]
fn who_tries_to_lock_may_come_at_any_time() {
    ends_in(["false", "true"], tries_to_lock);
}

/// One that waits for a mutex when it is unlocked, and is aborted before another one comes.
async fn aborts_who_waits(log: Log) {
    let mutex = Arc::new(sync::Mutex::new(Vec::new()));
    let guard = mutex.lock().await;
    let waits = go({
        let mutex = mutex.clone();
        async move { mutex.lock().await.push(1) }
    });
    drop(guard);
    waits.abort();
    mutex.lock().await.push(2);
    let _ended_or_aborted = waits.await;
    log.note(&*mutex.lock().await);
}

#[test]
fn a_mutex_reaches_the_next_one_if_the_first_is_aborted() {
    ends_in(["[1, 2]", "[2, 1]", "[2]"], aborts_who_waits);
}

/// A notification that comes before the wait, or in it.
async fn is_notified(log: Log) {
    let watched = Arc::new((sync::Mutex::new(()), Cond::new()));
    let theirs = watched.clone();
    let notifies = go(async move { theirs.1.notify_one() });
    let wait = watched.1.wait(watched.0.lock().await);
    log.note(timeout(Duration::from_millis(1), wait).await.is_ok());
    notifies.await.unwrap();
}

#[test]
fn a_notification_may_come_before_the_wait() {
    ends_in(["false", "true"], is_notified);
}
