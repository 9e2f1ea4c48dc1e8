//! What the documentation promises of work that is shared.
#![cfg(not(loom))]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::future::{Future, pending, ready};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use gorin_channel::sync::SingleFlight;

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Work that is never begun.
async fn not_asked() -> u32 {
    panic!("somebody else does the work")
}

#[test]
fn who_comes_while_it_is_in_flight_shares_the_result() {
    let flights = SingleFlight::new();
    let (tell, told) = futures::channel::oneshot::channel();
    let mut leader = pin!(flights.run("a", || async { told.await.unwrap() }));
    assert!(poll(leader.as_mut()).is_pending());
    let mut others: Vec<_> = (0..3)
        .map(|_| Box::pin(flights.run("a", not_asked)))
        .collect();
    for other in &mut others {
        assert!(poll(other.as_mut()).is_pending());
    }
    assert_eq!(poll(pin!(flights.run("b", || ready(2)))), Poll::Ready(2));
    assert_eq!(flights.in_flight(), 1);
    tell.send(1).unwrap();
    assert_eq!(poll(leader), Poll::Ready(1));
    assert_eq!(flights.in_flight(), 0);
    assert_eq!(poll(pin!(flights.run("a", || ready(3)))), Poll::Ready(3));
    for other in &mut others {
        assert_eq!(poll(other.as_mut()), Poll::Ready(1));
    }
}

#[test]
fn the_next_one_leads_when_a_leader_is_dropped_or_panics() {
    let flights = SingleFlight::new();
    let mut dropped = Box::pin(flights.run(1, pending::<u32>));
    let mut panics = Box::pin(flights.run(1, || async { panic!("no result") }));
    let mut gives_up = Box::pin(flights.run(1, not_asked));
    let mut leads = pin!(flights.run(1, || ready(4)));
    let mut follows = pin!(flights.run(1, not_asked));
    assert!(poll(dropped.as_mut()).is_pending() && poll(panics.as_mut()).is_pending());
    assert!(poll(gives_up.as_mut()).is_pending() && poll(leads.as_mut()).is_pending());
    assert!(poll(follows.as_mut()).is_pending());
    drop(gives_up);
    drop(dropped);
    let panicked = catch_unwind(AssertUnwindSafe(|| poll(panics.as_mut())));
    assert!(panicked.is_err() && flights.in_flight() == 1);
    assert_eq!(poll(leads), Poll::Ready(4));
    assert_eq!(poll(follows), Poll::Ready(4));
}

#[test]
fn nothing_stays_of_flights_that_nobody_ends() {
    let flights = SingleFlight::new();
    for n in 0..100 {
        let mut leader = Box::pin(flights.run(n, pending::<u32>));
        let mut follows = Box::pin(flights.run(n, pending::<u32>));
        assert!(poll(leader.as_mut()).is_pending() && poll(follows.as_mut()).is_pending());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            poll(pin!(
                flights.run(n + 1000, || async { panic!("no result") })
            ))
        }));
        assert!(panicked.is_err() && flights.in_flight() == 1);
        drop(leader);
        assert_eq!(flights.in_flight(), 1);
        drop(follows);
        // Never begun.
        drop(flights.run(n, pending::<u32>));
        assert_eq!(flights.in_flight(), 0);
    }
}

#[test]
fn who_comes_after_a_flight_was_forgotten_begins_anew_beside_it() {
    let flights = SingleFlight::<String, u32>::new();
    let key = || "a".to_owned();
    let (tell, told) = futures::channel::oneshot::channel();
    let mut leader = pin!(flights.run(key(), || async { told.await.unwrap() }));
    let mut follows = pin!(flights.run(key(), not_asked));
    assert!(poll(leader.as_mut()).is_pending() && poll(follows.as_mut()).is_pending());
    assert!(!flights.forget("b") && flights.forget("a") && !flights.forget("a"));
    let mut second = Box::pin(flights.run(key(), pending));
    assert!(poll(second.as_mut()).is_pending());
    tell.send(1).unwrap();
    assert_eq!(
        (poll(leader), poll(follows)),
        (Poll::Ready(1), Poll::Ready(1))
    );
    assert_eq!(flights.in_flight(), 1, "the second one goes on");
    drop(second);
    assert_eq!(flights.in_flight(), 0);
}

/// A key and a value whose every method comes back to the group, and whose hash is that of all others.
struct ComesBack {
    name: u32,
    group: Rc<Group>,
}

#[derive(Default)]
struct Group {
    flights: SingleFlight<ComesBack, ComesBack>,
    /// By which ways it has come back.
    ways: Cell<BTreeSet<&'static str>>,
}

impl ComesBack {
    fn come(&self, way: &'static str) {
        let _ = self.group.flights.in_flight();
        let mut ways = self.group.ways.take();
        ways.insert(way);
        self.group.ways.set(ways);
    }
}

impl Clone for ComesBack {
    fn clone(&self) -> Self {
        self.come("clone");
        Self {
            name: self.name,
            group: self.group.clone(),
        }
    }
}

impl Hash for ComesBack {
    fn hash<H: Hasher>(&self, _state: &mut H) {
        self.come("hash");
    }
}

impl PartialEq for ComesBack {
    fn eq(&self, other: &Self) -> bool {
        self.come("eq");
        self.name == other.name
    }
}

impl Eq for ComesBack {}

/// Work that ends when it is polled again.
async fn work(result: &ComesBack) -> ComesBack {
    let mut polled = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut polled, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
    result.come("work");
    result.clone()
}

impl Drop for ComesBack {
    fn drop(&mut self) {
        self.come("drop");
    }
}

#[test]
fn no_code_of_keys_and_values_runs_under_the_lock() {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let group = Rc::new(Group::default());
        let [first, second] = [1, 2].map(|name| ComesBack {
            name,
            group: group.clone(),
        });
        let flights = &group.flights;
        // Of one hash, so that each is compared with the others.
        let mut flies: Vec<_> = [&first, &second, &first, &second]
            .map(|key| Box::pin(flights.run(key.clone(), || work(&second))))
            .into();
        for one in &mut flies {
            assert!(poll(one.as_mut()).is_pending());
        }
        assert_eq!(flights.in_flight(), 2);
        for one in &mut flies {
            let result = poll(one.as_mut());
            assert!(matches!(result, Poll::Ready(value) if value.name == 2));
        }
        let mut dropped = Box::pin(flights.run(first.clone(), pending));
        assert!(poll(dropped.as_mut()).is_pending());
        drop(dropped);
        let mut forgotten = Box::pin(flights.run(second.clone(), pending));
        assert!(poll(forgotten.as_mut()).is_pending());
        assert!(!flights.forget(&first) && flights.forget(&second));
        drop(forgotten);
        assert_eq!(flights.in_flight(), 0);
        let ways = BTreeSet::from(["clone", "drop", "eq", "hash", "work"]);
        assert_eq!(group.ways.take(), ways);
        tell.send(()).unwrap();
    });
    match told.recv_timeout(std::time::Duration::from_secs(20)) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("a lock is taken by who has it"),
        _ => thread.join().unwrap(),
    }
}
