//! After warm-up no operation allocates: counted by the global allocator.
#![cfg(not(any(loom, miri)))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use gorin_channel::{Outcome, Select, chan, select, unbounded};

std::thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator; counting changes nothing of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs `operation` a hundred times to warm up; then it must not allocate any more.
fn assert_free(what: &str, mut operation: impl FnMut()) {
    (0..100).for_each(|_| operation());
    let before = ALLOCATIONS.get();
    (0..100).for_each(|_| operation());
    assert_eq!(ALLOCATIONS.get() - before, 0, "{what} allocates");
}

#[test]
fn operations_allocate_nothing_after_warm_up() {
    for capacity in [0, 1, 64, 100_000] {
        let (tx, rx) = chan(capacity);
        assert_free("a receive that waits and is served", || {
            let mut recv = pin!(rx.recv());
            assert!(poll(recv.as_mut()).is_pending());
            tx.try_send(1).unwrap();
            assert_eq!(poll(recv.as_mut()), Poll::Ready(Some(1)));
        });
        assert_free("a send and a receive", || {
            let mut send = pin!(tx.send(2));
            let sent = poll(send.as_mut());
            assert_eq!(poll(rx.recv()), Poll::Ready(Some(2)));
            assert!(sent.is_ready() || poll(send).is_ready());
        });
        assert_free("a cancelled receive", || {
            let mut recv = Some(rx.recv());
            assert!(poll(recv.as_mut().unwrap()).is_pending());
            drop(recv.take());
        });
    }
    let (tx, rx) = unbounded();
    assert_free("an unbounded channel", || {
        (0..50).for_each(|n| tx.try_send(n).unwrap());
        (0..50).for_each(|n| assert_eq!(rx.try_recv(), Ok(n)));
    });
}

#[test]
fn selects_allocate_nothing_after_warm_up() {
    let (a, a_rx) = chan(0);
    let (b, b_rx) = chan::<u8>(1);
    assert_free("a select that waits and is served", || {
        let mut waiting = pin!(async {
            select! {
                value = a_rx.recv() => value,
                value = b_rx.recv() => value,
                () = std::future::pending() => None,
            }
        });
        assert!(poll(waiting.as_mut()).is_pending());
        a.try_send(1).unwrap();
        assert_eq!(poll(waiting.as_mut()), Poll::Ready(Some(1)));
    });
    assert_free("a select that need not wait", || {
        b.try_send(2).unwrap();
        let got = poll(async {
            select! {
                value = a_rx.recv() => value,
                value = b_rx.recv() => value,
            }
        });
        assert_eq!(got, Poll::Ready(Some(2)));
    });
    let mut select = Select::new().recv(&a_rx).recv(&b_rx);
    assert_free("a run-time select", || {
        let mut waiting = pin!(select.wait());
        assert!(poll(waiting.as_mut()).is_pending());
        a.try_send(3).unwrap();
        assert_eq!(
            poll(waiting.as_mut()),
            Poll::Ready((0, Outcome::Received(Some(3))))
        );
    });
}
