//! Models: a value that is made once.

mod common;

use common::*;
use gorin_channel::sync::OnceCell;

/// Makes `value` and counts that in memory which only turns order.
async fn made(count: Unordered, value: usize) -> usize {
    count.write(count.read() + 1);
    value
}

/// Two need the value: one of them makes it, and both have that one. For: a turn after which nobody looks
/// whether there is a value, turns for all before there is one.
#[test]
fn one_of_two_makes_the_value() {
    model("one of two makes the value", || {
        let (cell, count) = (PlainArc::new(OnceCell::new()), Unordered::new());
        let theirs = (cell.clone(), count.clone());
        let other = thread::spawn(move || {
            let (cell, count) = theirs;
            *block_on(cell.get_or_init(|| made(count, 1)))
        });
        let mine = *block_on(cell.get_or_init(|| made(count.clone(), 2)));
        assert_eq!(mine, other.join().unwrap());
        assert_eq!(count.read(), 1);
    });
}

/// Who waits for a value is told when there is one, and finds what was done before. For: a cell that tells
/// those only who wait for their turn, a `set` that tells nobody if it has seen nobody.
#[test]
fn who_waits_is_told_of_a_value() {
    model("who waits is told of a value", || {
        let (cell, memory) = (PlainArc::new(OnceCell::new()), Unordered::new());
        let theirs = (cell.clone(), memory.clone());
        let setter = thread::spawn(move || {
            let (cell, memory) = theirs;
            memory.write(1);
            cell.set(()).unwrap();
        });
        block_on(cell.wait());
        assert_eq!(memory.read(), 1);
        setter.join().unwrap();
    });
}

/// A maker that is dropped gives its turn to who waits. For: a turn that is lost with its maker.
#[test]
fn a_dropped_maker_lets_the_next_make_it() {
    model("a dropped maker lets the next make it", || {
        let cell = PlainArc::new(OnceCell::new());
        let mine = cell.clone();
        let mut maker = boxed(async move {
            mine.get_or_init(std::future::pending::<usize>).await;
        });
        assert!(poll_once(maker.as_mut()).is_pending());
        let theirs = cell.clone();
        let next = thread::spawn(move || *block_on(theirs.get_or_init(|| async { 2 })));
        drop(maker);
        assert_eq!(next.join().unwrap(), 2);
        assert_eq!(cell.get(), Some(&2));
    });
}

/// One makes the value, another one sets it: all see the same, and who waits for its turn goes on. For: turns
/// for all before there is a value.
#[test]
fn a_value_that_is_set_stays() {
    model("a value that is set stays", || {
        let cell = PlainArc::new(OnceCell::new());
        let mine = cell.clone();
        let mut maker =
            boxed(async move { *mine.get_or_init(|| async { yield_once().await }).await });
        assert!(poll_once(maker.as_mut()).is_pending());
        let theirs = cell.clone();
        let waiter = thread::spawn(move || *block_on(theirs.get_or_init(|| async { 2 })));
        let set = cell.set(3);
        let made = block_on(maker);
        let seen = waiter.join().unwrap();
        assert_eq!((set, made, seen), (Ok(()), 3, 3));
    });
}

/// Ready when it is polled again.
async fn yield_once() -> usize {
    let mut polled = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut polled, true) {
        true => std::task::Poll::Ready(1),
        false => std::task::Poll::Pending,
    })
    .await
}
