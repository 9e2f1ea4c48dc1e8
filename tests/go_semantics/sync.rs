//! G60, G61, G66, G67: wait groups, values that are made once, work that is shared, weighted semaphores.
//!
//! In Go a done too many panics; here each member has its own token, so there is none to test.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use gorin::prelude::*;
use gorin::sync::{OnceCell, Semaphore, SingleFlight, WaitGroup};

use super::everywhere;

/// Polls a future once; true if it is not ready.
async fn waits<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[test]
fn g60_a_wait_ends_when_all_members_are_done_and_sees_what_they_did() {
    everywhere(|| async {
        for members in [0, 1, 100] {
            let (group, done) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
            for _ in 0..members {
                let (token, done) = (group.add(), done.clone());
                go(async move {
                    yield_now().await;
                    // Relaxed on purpose: the group must order it.
                    done.fetch_add(1, Ordering::Relaxed);
                    drop(token);
                });
            }
            let waits =
                [group.clone(), group.clone()].map(|group| go(async move { group.wait().await }));
            group.wait().await;
            assert_eq!(done.load(Ordering::Relaxed), members);
            for wait in waits {
                wait.await.unwrap();
            }
        }
    });
}

#[test]
fn g60_a_group_is_used_again() {
    everywhere(|| async {
        let group = WaitGroup::new();
        for round in 1..=100 {
            let (tx, rx) = chan(2);
            for _ in 0..2 {
                let (token, tx) = (group.add(), tx.clone());
                go(async move {
                    tx.send(round).await.unwrap();
                    drop(token);
                });
            }
            group.wait().await;
            assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(round), Ok(round)));
        }
    });
}

/// Says so when it is dropped.
struct Tells(Arc<AtomicUsize>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn g60_a_goroutine_of_a_group_is_a_member_until_all_of_it_is_gone() {
    everywhere(|| async {
        let (group, gone) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
        let member = |ends: fn() -> bool| {
            let tells = Tells(gone.clone());
            group.go(async move {
                let _tells = tells;
                yield_now().await;
                if !ends() {
                    std::future::pending::<()>().await;
                }
                7
            })
        };
        let returns = member(|| true);
        let panics = member(|| std::panic::resume_unwind(Box::new("on purpose")));
        let aborted = member(|| false);
        assert!(group.count() >= 1, "the aborted one waits for ever");
        aborted.abort();
        group.wait().await;
        assert_eq!(gone.load(Ordering::Relaxed), 3);
        assert_eq!(returns.await.unwrap(), 7);
        assert!(panics.await.is_err() && aborted.await.is_err());
    });
}

/// In Go's `WaitGroup.Go` a panic ends the program; here a token is dropped by the goroutine that unwinds, so
/// nobody waits for ever, and the panic is told to who joins.
#[test]
fn g60_a_member_that_panics_is_done() {
    everywhere(|| async {
        let group = WaitGroup::new();
        let token = group.add();
        let member = go(async move {
            let _token = token;
            panic!("on purpose");
        });
        group.wait().await;
        assert!(member.await.unwrap_err().is_panic());
    });
}

#[test]
fn g61_one_makes_the_value_and_all_have_it() {
    everywhere(|| async {
        let made = Arc::new(AtomicUsize::new(0));
        let cell = Arc::new(OnceCell::new());
        let all: Vec<_> = (0..50)
            .map(|n| {
                let (made, cell) = (made.clone(), cell.clone());
                go(async move {
                    let make = || async {
                        yield_now().await;
                        made.fetch_add(1, Ordering::Relaxed);
                        n
                    };
                    *cell.get_or_init(make).await
                })
            })
            .collect();
        let value = *cell.wait().await;
        for one in all {
            assert_eq!(one.await.unwrap(), value);
        }
        assert_eq!(made.load(Ordering::Relaxed), 1);
    });
}

/// Where Go's `Once` counts a panic as done, and `OnceFunc` repeats it, the next in line makes the value here.
#[test]
fn g61_a_maker_that_panics_or_is_aborted_leaves_the_value_to_the_next() {
    everywhere(|| async {
        let cell = Arc::new(OnceCell::new());
        let (begun, begins) = chan(0);
        let maker = |panics: bool| {
            let (cell, begun) = (cell.clone(), begun.clone());
            go(async move {
                let make = || async {
                    begun.send(()).await.unwrap();
                    begun.send(()).await.unwrap();
                    assert!(!panics, "on purpose");
                    std::future::pending().await
                };
                *cell.get_or_init(make).await
            })
        };
        let panics = maker(true);
        begins.recv().await;
        // It waits for its turn, or comes when the first one has panicked.
        let aborted = maker(false);
        begins.recv().await;
        begins.recv().await;
        let next = cell.clone();
        let next = go(async move { *next.get_or_init(|| async { 7 }).await });
        begins.recv().await;
        aborted.abort();
        assert!(panics.await.unwrap_err().is_panic());
        assert!(aborted.await.is_err());
        assert_eq!(next.await.unwrap(), 7);
    });
}

#[test]
fn g66_who_asks_while_it_is_in_flight_shares_the_result() {
    everywhere(|| async {
        let flights = SingleFlight::new();
        let calls = Arc::new(AtomicUsize::new(0));
        let (begun, begins) = chan(0);
        let (end, ends) = chan::<()>(0);
        let leader = go({
            let (flights, calls) = (flights.clone(), calls.clone());
            async move {
                let work = || async {
                    calls.fetch_add(1, Ordering::Relaxed);
                    begun.send(()).await.unwrap();
                    ends.recv().await;
                    "first".to_owned()
                };
                flights.run(1, work).await
            }
        });
        begins.recv().await;
        let (asked, asks) = chan(0);
        let others: Vec<_> = (0..20)
            .map(|_| {
                let (flights, asked) = (flights.clone(), asked.clone());
                go(async move {
                    let work = || async { unreachable!("it is in flight") };
                    let mut shared = pin!(flights.run(1, work));
                    assert!(waits(shared.as_mut()).await);
                    asked.send(()).await.unwrap();
                    shared.await
                })
            })
            .collect();
        for _ in &others {
            asks.recv().await;
        }
        assert_eq!(
            flights.run(2, async || "of another key".to_owned()).await,
            "of another key"
        );
        drop(end);
        assert_eq!(leader.await.unwrap(), "first");
        assert_eq!(flights.run(1, async || "second".to_owned()).await, "second");
        for other in others {
            assert_eq!(other.await.unwrap(), "first");
        }
        assert_eq!((calls.load(Ordering::Relaxed), flights.in_flight()), (1, 0));
    });
}

/// In Go a flight goes on whoever loses interest, and a panic ends the program; here it goes with its leader,
/// and the next of those who wait does its own work.
#[test]
fn g66_when_the_leader_is_aborted_or_panics_the_next_one_leads() {
    everywhere(|| async {
        let flights = SingleFlight::new();
        let (begun, begins) = chan(0);
        let member = |panics: bool| {
            let (flights, begun) = (flights.clone(), begun.clone());
            go(async move {
                let work = || async {
                    begun.send(()).await.unwrap();
                    begun.send(()).await.unwrap();
                    assert!(!panics, "on purpose");
                    std::future::pending().await
                };
                flights.run((), work).await
            })
        };
        let panics = member(true);
        begins.recv().await;
        let aborted = member(false);
        begins.recv().await;
        begins.recv().await;
        let last = flights.clone();
        let last = go(async move { last.run((), || async { 7 }).await });
        begins.recv().await;
        aborted.abort();
        assert!(panics.await.unwrap_err().is_panic());
        assert!(aborted.await.is_err());
        assert_eq!((last.await.unwrap(), flights.in_flight()), (7, 0));
    });
}

#[test]
fn g66_a_forgotten_flight_goes_on_beside_the_next_one() {
    everywhere(|| async {
        let flights = SingleFlight::new();
        let (end, ends) = chan::<()>(0);
        let (begun, begins) = chan(0);
        let first = go({
            let flights = flights.clone();
            async move {
                let work = || async {
                    begun.send(()).await.unwrap();
                    ends.recv().await;
                    1
                };
                flights.run("key", work).await
            }
        });
        begins.recv().await;
        assert!(flights.forget("key") && !flights.forget("key"));
        assert_eq!(flights.run("key", || async { 2 }).await, 2);
        drop(end);
        assert_eq!((first.await.unwrap(), flights.in_flight()), (1, 0));
    });
}

#[test]
fn g67_nobody_holds_more_than_there_is_and_all_get_what_they_want() {
    everywhere(|| async {
        const PERMITS: usize = 10;
        let semaphore = Semaphore::new(PERMITS);
        let held = Arc::new(AtomicUsize::new(0));
        let all: Vec<_> = (0..200)
            .map(|n| {
                let (semaphore, held) = (semaphore.clone(), held.clone());
                go(async move {
                    let wanted = n % PERMITS + 1;
                    let permits = semaphore.acquire_many(wanted).await;
                    let before = held.fetch_add(permits.permits(), Ordering::Relaxed);
                    assert!(before + wanted <= PERMITS);
                    yield_now().await;
                    held.fetch_sub(permits.permits(), Ordering::Relaxed);
                })
            })
            .collect();
        for one in all {
            one.await.unwrap();
        }
        assert_eq!(semaphore.available(), PERMITS);
    });
}

#[test]
fn g67_a_large_head_is_not_overtaken_and_when_it_gives_up_the_next_is_let_in() {
    everywhere(|| async {
        let semaphore = Semaphore::new(2);
        let held = semaphore.try_acquire().unwrap();
        let large = semaphore.clone();
        let large = go(async move { drop(large.acquire_many(2).await) });
        // One permit is free, which nobody gets while the large one waits for two.
        while semaphore.try_acquire().is_some() {
            yield_now().await;
        }
        let small = semaphore.clone();
        let small = go(async move { small.acquire().await });
        (0..10).for_each(|_| assert!(semaphore.try_acquire().is_none()));
        assert!(!small.is_finished());
        large.abort();
        let small = small.await.unwrap();
        assert_eq!(small.permits() + held.permits(), 2);
    });
}

/// Go's `Acquire` ends with its context; here with whatever else is in the `select!`.
#[test]
fn g67_a_wait_that_is_given_up_holds_nothing() {
    everywhere(|| async {
        let semaphore = Semaphore::new(1);
        let held = semaphore.acquire().await;
        let (stop, stopped) = chan::<()>(0);
        let theirs = semaphore.clone();
        let waits = go(async move {
            select! {
                permit = theirs.acquire() => Some(permit),
                _ = stopped.recv() => None,
            }
        });
        drop(stop);
        assert!(waits.await.unwrap().is_none());
        drop(held);
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn g67_permits_of_another_semaphore_cannot_be_given_back_here() {
    everywhere(|| async {
        let (one, other) = (Semaphore::new(1), Semaphore::new(1));
        let mut permit = one.acquire().await;
        let theirs = other.acquire().await;
        assert!(catch_unwind(AssertUnwindSafe(|| permit.merge(theirs))).is_err());
        drop(permit);
        assert_eq!((one.available(), other.available()), (1, 1));
    });
}
