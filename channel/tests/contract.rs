//! What the documentation promises of one channel, polled by hand: each test is one promise.
#![cfg(not(loom))]

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use gorin_channel::{SendError, Sender, TryRecvError, TrySendError, chan, unbounded};

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A value that counts how often it was dropped.
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_rendezvous_send_completes_when_a_receiver_took_the_value() {
    let (tx, rx) = chan(0);
    let mut send = pin!(tx.send(1));
    assert!(poll(send.as_mut()).is_pending());
    assert_eq!((tx.len(), tx.capacity(), tx.is_full()), (0, 0, true));
    let mut recv = pin!(rx.recv());
    assert_eq!(poll(recv.as_mut()), Poll::Ready(Some(1)));
    assert_eq!(poll(send.as_mut()), Poll::Ready(Ok(())));
}

#[test]
fn waiting_receivers_are_served_in_the_order_they_came() {
    let (tx, rx) = chan(3);
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(rx.recv())).collect();
    for recv in &mut waiting {
        assert!(poll(recv.as_mut()).is_pending());
    }
    // Each receiver takes one, the buffer three more.
    for n in 0..6 {
        assert_eq!(tx.try_send(n), Ok(()));
    }
    assert_eq!(tx.try_send(6), Err(TrySendError::Full(6)));
    for (n, recv) in waiting.iter_mut().enumerate().rev() {
        assert_eq!(poll(recv.as_mut()), Poll::Ready(Some(n)));
    }
}

#[test]
fn a_receive_lets_the_first_waiting_sender_in_and_newcomers_do_not_overtake() {
    let (tx, rx) = chan(1);
    tx.try_send(0).unwrap();
    let mut second = pin!(tx.send(1));
    let mut third = pin!(tx.send(2));
    assert!(poll(second.as_mut()).is_pending());
    assert!(poll(third.as_mut()).is_pending());
    assert_eq!(rx.try_recv(), Ok(0));
    assert_eq!(rx.len(), 1);
    assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)));
    assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(())));
    assert!(poll(third.as_mut()).is_pending());
    assert_eq!([rx.try_recv(), rx.try_recv()], [Ok(1), Ok(2)]);
    assert_eq!(poll(third.as_mut()), Poll::Ready(Ok(())));
}

#[test]
fn a_receive_dropped_before_it_was_given_a_value_leaves_nothing_behind() {
    let (tx, rx) = chan(0);
    {
        let mut recv = pin!(rx.recv());
        assert!(poll(recv.as_mut()).is_pending());
    }
    assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
}

#[test]
fn values_of_cancelled_receives_go_back_in_the_order_of_their_hand_over() {
    for capacity in [0, 1, 4] {
        let (tx, rx) = chan(capacity);
        let mut waiting: Vec<_> = (0..3).map(|_| Some(Box::pin(rx.recv()))).collect();
        for recv in waiting.iter_mut().flatten() {
            assert!(poll(recv.as_mut()).is_pending());
        }
        for n in 0..3 {
            tx.try_send(n).unwrap();
        }
        if capacity > 0 {
            tx.try_send(3).unwrap();
        }
        for cancelled in [1, 2, 0] {
            waiting[cancelled] = None;
        }
        assert_eq!(rx.len(), 3 + usize::from(capacity > 0));
        let all: Vec<_> = std::iter::from_fn(|| rx.try_recv().ok()).collect();
        assert_eq!(all, [0, 1, 2, 3][..if capacity > 0 { 4 } else { 3 }]);
    }
}

#[test]
fn the_value_of_a_cancelled_receive_goes_to_the_next_waiting_receiver() {
    let (tx, rx) = chan(0);
    let mut first = Box::pin(rx.recv());
    let mut second = pin!(rx.recv());
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    tx.try_send(7).unwrap();
    drop(first);
    assert_eq!(poll(second.as_mut()), Poll::Ready(Some(7)));
}

#[test]
fn a_send_dropped_before_a_partner_came_is_undone_and_its_value_dropped_once() {
    let drops = Rc::new(Cell::new(0));
    let (tx, rx) = chan(0);
    let mut send = Box::pin(tx.send(Counted(drops.clone())));
    assert!(poll(send.as_mut()).is_pending());
    drop(send);
    assert_eq!(drops.get(), 1);
    assert!(matches!(rx.try_recv(), Err(TryRecvError::Empty)));
}

#[test]
fn a_send_dropped_after_its_value_was_taken_has_happened() {
    let (tx, rx) = chan(1);
    tx.try_send(1).unwrap();
    let mut send = Box::pin(tx.send(2));
    assert!(poll(send.as_mut()).is_pending());
    assert_eq!(rx.try_recv(), Ok(1));
    drop(send);
    assert_eq!(rx.try_recv(), Ok(2));
}

#[test]
fn take_gets_an_unsent_value_back_and_nothing_once_it_is_sent() {
    let (tx, rx) = chan(0);
    let mut unpolled = pin!(tx.send(1));
    assert_eq!(unpolled.as_mut().take(), Some(1));
    let mut waiting = pin!(tx.send(2));
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!(waiting.as_mut().take(), Some(2));
    let mut sent = pin!(tx.send(3));
    assert!(poll(sent.as_mut()).is_pending());
    assert_eq!(rx.try_recv(), Ok(3));
    assert_eq!(sent.as_mut().take(), None);
    let mut closed = pin!(tx.send(4));
    assert!(poll(closed.as_mut()).is_pending());
    tx.close();
    assert_eq!(closed.as_mut().take(), Some(4));
}

#[test]
fn close_gives_waiting_senders_their_values_and_lets_receivers_drain() {
    let (tx, rx) = chan(2);
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    let mut send = pin!(tx.send(3));
    assert!(poll(send.as_mut()).is_pending());
    assert!(rx.close());
    assert!(!tx.close());
    assert_eq!(poll(send.as_mut()), Poll::Ready(Err(SendError(3))));
    assert_eq!(tx.try_send(4), Err(TrySendError::Closed(4)));
    assert_eq!([rx.try_recv(), rx.try_recv()], [Ok(1), Ok(2)]);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn the_last_sender_dropped_ends_all_waiting_receives() {
    let (tx, rx) = chan::<u8>(0);
    let clone = tx.clone();
    let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(rx.recv())).collect();
    for recv in &mut waiting {
        assert!(poll(recv.as_mut()).is_pending());
    }
    drop(tx);
    assert!(poll(waiting[0].as_mut()).is_pending());
    drop(clone);
    for recv in &mut waiting {
        assert_eq!(poll(recv.as_mut()), Poll::Ready(None));
    }
}

#[test]
fn the_last_receiver_dropped_drops_the_buffer_and_fails_waiting_senders() {
    let drops = Rc::new(Cell::new(0));
    let (tx, rx) = chan(1);
    assert!(tx.try_send(Counted(drops.clone())).is_ok());
    let mut send = pin!(tx.send(Counted(drops.clone())));
    assert!(poll(send.as_mut()).is_pending());
    drop(rx);
    assert_eq!(drops.get(), 1);
    let Poll::Ready(Err(error)) = poll(send.as_mut()) else {
        panic!("the send must fail")
    };
    drop(error);
    assert_eq!(drops.get(), 2);
}

#[test]
fn who_waits_for_the_end_of_a_channel_is_told_by_close_and_by_the_last_receiver_only() {
    for by_call in [true, false] {
        let (tx, rx) = chan(1);
        let (mut waits, mut dropped) = (pin!(tx.closed()), Box::pin(tx.closed()));
        assert!(poll(waits.as_mut()).is_pending());
        assert!(poll(dropped.as_mut()).is_pending());
        drop(dropped);
        // It is in nobody's way.
        tx.try_send(1).unwrap();
        assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
        let other = rx.clone();
        assert_eq!(rx.try_recv(), Ok(1));
        drop(rx);
        assert!(poll(waits.as_mut()).is_pending());
        match by_call {
            true => assert!(other.close()),
            false => drop(other),
        }
        assert_eq!(poll(waits.as_mut()), Poll::Ready(()));
        assert_eq!(poll(pin!(tx.closed())), Poll::Ready(()));
    }
    let never = Sender::<u8>::never();
    let mut waits = pin!(never.closed());
    assert!(poll(waits.as_mut()).is_pending());
    never.close();
    assert!(poll(waits.as_mut()).is_pending());
}

#[test]
fn zero_size_values_are_counted() {
    let (tx, rx) = chan(2);
    tx.try_send(()).unwrap();
    tx.try_send(()).unwrap();
    assert!(tx.try_send(()).unwrap_err().is_full());
    assert_eq!(rx.len(), 2);
}

#[test]
fn a_huge_capacity_is_no_allocation() {
    let (tx, rx) = chan(usize::MAX);
    tx.try_send([0u8; 4096]).unwrap();
    assert_eq!(rx.len(), 1);
    let (tx, rx) = unbounded();
    let total = if cfg!(miri) { 500 } else { 100_000 };
    for n in 0..total {
        tx.try_send(n).unwrap();
    }
    assert!((0..total).all(|n| rx.try_recv() == Ok(n)));
}
