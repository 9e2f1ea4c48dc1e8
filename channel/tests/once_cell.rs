//! What the documentation promises of a value that is made once.
#![cfg(not(loom))]

mod common;

use std::cell::Cell;
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use common::Panics;
use gorin_base::coop;
use gorin_channel::sync::OnceCell;

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A maker that is never polled.
async fn not_asked() -> u32 {
    panic!("somebody else makes the value")
}

#[test]
fn one_makes_the_value_and_the_others_wait_for_it() {
    let cell = OnceCell::new();
    let (tell, told) = futures::channel::oneshot::channel();
    let mut maker = Box::pin(cell.get_or_init(|| async { told.await.unwrap() }));
    let mut others: Vec<_> = (0..3)
        .map(|_| Box::pin(cell.get_or_init(not_asked)))
        .collect();
    let mut waits = pin!(cell.wait());
    assert!(poll(maker.as_mut()).is_pending() && poll(waits.as_mut()).is_pending());
    for other in &mut others {
        assert!(poll(other.as_mut()).is_pending());
    }
    tell.send(7).unwrap();
    assert!(poll(others[0].as_mut()).is_pending() && cell.get().is_none());
    assert_eq!(poll(maker.as_mut()), Poll::Ready(&7));
    for other in others.iter_mut().rev() {
        assert_eq!(poll(other.as_mut()), Poll::Ready(&7));
    }
    assert_eq!(poll(waits), Poll::Ready(&7));
    assert_eq!(poll(pin!(cell.get_or_init(not_asked))), Poll::Ready(&7));
    assert_eq!(cell.set(8), Err(8));
}

#[test]
fn a_maker_that_is_dropped_fails_or_panics_gives_its_turn_to_the_next() {
    let cell = OnceCell::new();
    let mut dropped = Box::pin(cell.get_or_init(pending::<u32>));
    assert!(poll(dropped.as_mut()).is_pending());
    let mut panics = Box::pin(cell.get_or_init(|| async { panic!("no value") }));
    let mut fails = pin!(cell.get_or_try_init(|| ready(Err("no value"))));
    let mut gives_up = Box::pin(cell.get_or_init(not_asked));
    let mut makes = pin!(cell.get_or_init(|| ready(4)));
    let mut waits = pin!(cell.wait());
    assert!(poll(panics.as_mut()).is_pending() && poll(fails.as_mut()).is_pending());
    assert!(poll(gives_up.as_mut()).is_pending() && poll(makes.as_mut()).is_pending());
    assert!(poll(waits.as_mut()).is_pending());
    drop(dropped);
    assert!(poll(fails.as_mut()).is_pending(), "nobody overtakes");
    assert!(catch_unwind(AssertUnwindSafe(|| poll(panics.as_mut()))).is_err());
    assert_eq!(poll(fails), Poll::Ready(Err("no value")));
    // It was given the turn, and is dropped before it has begun.
    drop(gives_up);
    assert!(poll(waits.as_mut()).is_pending());
    assert_eq!(poll(makes), Poll::Ready(&4));
    assert_eq!(poll(waits), Poll::Ready(&4));
}

/// Counts its drops.
#[derive(Debug)]
struct Value<'a>(u32, &'a Cell<u32>);

impl Drop for Value<'_> {
    fn drop(&mut self) {
        self.1.set(self.1.get() + 1);
    }
}

#[test]
fn the_first_value_stays_also_if_it_was_set_while_another_was_made() {
    let drops = Cell::new(0);
    let mut cell = OnceCell::new();
    a_value_is_set_meanwhile(&cell, &drops);
    assert_eq!(cell.take().map(|value| value.0), Some(2));
    assert_eq!(drops.get(), 2);
}

fn a_value_is_set_meanwhile<'a>(cell: &OnceCell<Value<'a>>, drops: &'a Cell<u32>) {
    let (tell, told) = futures::channel::oneshot::channel();
    let mut maker = pin!(cell.get_or_init(|| async {
        told.await.unwrap();
        Value(1, drops)
    }));
    let mut other = pin!(cell.get_or_init(pending));
    assert!(poll(maker.as_mut()).is_pending() && poll(other.as_mut()).is_pending());
    assert!(cell.set(Value(2, drops)).is_ok());
    let Poll::Ready(found) = poll(other) else {
        panic!("there is a value")
    };
    assert_eq!((found.0, drops.get()), (2, 0));
    tell.send(()).unwrap();
    let Poll::Ready(found) = poll(maker) else {
        panic!("there is a value")
    };
    assert_eq!((found.0, drops.get()), (2, 1));
}

#[test]
fn a_cell_can_be_emptied_and_filled_again_by_its_owner() {
    let mut cell = OnceCell::with_value(1);
    *cell.get_mut().unwrap() += 1;
    assert_eq!(cell.take(), Some(2));
    assert_eq!((cell.take(), cell.get()), (None, None));
    assert_eq!(poll(pin!(cell.get_or_init(|| ready(3)))), Poll::Ready(&3));
    assert_eq!(cell.take(), Some(3));
    assert!(poll(pin!(cell.wait())).is_pending());
    assert_eq!(cell.set(4), Ok(()));
    assert_eq!(poll(pin!(cell.wait())), Poll::Ready(&4));
    assert_eq!(format!("{cell:?}"), "OnceCell(4)");
    assert_eq!(format!("{:?}", OnceCell::<u8>::new()), "OnceCell(<empty>)");
    assert_eq!(OnceCell::from(5).into_inner(), Some(5));
}

#[test]
fn values_that_are_there_let_others_run() {
    let cell = OnceCell::with_value(1);
    let most = coop::OPERATIONS as usize;
    let ready = coop::with_budget(|| {
        let one = |n: &usize| match n % 2 {
            0 => poll(pin!(cell.get_or_init(not_asked))).is_ready(),
            _ => poll(pin!(cell.wait())).is_ready(),
        };
        (0..=most).take_while(one).count()
    });
    // Fewer if the test was kept from running for so long that the slice was over first.
    assert!(ready <= most && ready > 0);
}

#[test]
fn a_waker_that_panics_does_not_cost_others_their_wake_up() {
    let wakes = Arc::new(Panics::default());
    let waker = Waker::from(wakes.clone());
    let cx = &mut Context::from_waker(&waker);
    let cell = OnceCell::new();
    let mut maker = Box::pin(cell.get_or_init(pending::<u32>));
    let mut others = [
        pin!(cell.get_or_init(not_asked)),
        pin!(cell.get_or_init(not_asked)),
    ];
    let mut waits = [pin!(cell.wait()), pin!(cell.wait())];
    assert!(maker.as_mut().poll(cx).is_pending());
    for other in &mut others {
        assert!(other.as_mut().poll(cx).is_pending());
    }
    for wait in &mut waits {
        assert!(wait.as_mut().poll(cx).is_pending());
    }
    let panicked = catch_unwind(AssertUnwindSafe(|| cell.set(1)));
    assert!(panicked.is_err());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 4);
    assert_eq!(cell.get(), Some(&1));
}

#[test]
fn clones_and_comparisons_are_of_the_value() {
    let empty = OnceCell::new();
    let mut full = empty.clone();
    assert_eq!(full, empty);
    assert_eq!(full.set(vec![1]), Ok(()));
    assert_ne!(full, empty);
    let clone = full.clone();
    assert_eq!(clone, full);
    full.get_mut().unwrap().push(2);
    assert_eq!((clone.get(), empty.get()), (Some(&vec![1]), None));
}
