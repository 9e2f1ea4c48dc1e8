//! Models: closing, by call or by drop, against everything that may be under way.

mod common;

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

use common::*;
use gorin_channel::{Receiver, SendError, TrySendError, chan, select};

/// A send that meets close either delivers or gives its value back. For: a value lost between the
/// check of the flag and the line, a sender that is not woken.
fn close_against_send(capacity: usize) {
    model(
        &format!("close against send, capacity {capacity}"),
        move || {
            let (tx, rx) = chan(capacity);
            for n in 1..=capacity {
                tx.try_send(n).unwrap();
            }
            let sender = thread::spawn(move || block_on(tx.send(9)));
            assert!(rx.close());
            for n in 1..=capacity {
                assert_eq!(rx.try_recv(), Ok(n));
            }
            // The channel was full: only a receive could have let the send in, and close came first.
            assert_eq!(sender.join().unwrap(), Err(SendError(9)));
            assert_eq!(block_on(rx.recv()), None);
        },
    );
}

#[test]
fn close_against_send_0() {
    close_against_send(0);
}

#[test]
fn close_against_send_1() {
    close_against_send(1);
}

/// With room in the buffer the send may come first; then the value is still there to be drained.
#[test]
fn close_against_a_send_with_room() {
    model("close against a send with room", || {
        let (tx, rx) = chan(1);
        let sender = thread::spawn(move || block_on(tx.send(9)));
        rx.close();
        let drained = block_on(rx.recv());
        match sender.join().unwrap() {
            Ok(()) => assert_eq!(drained.or(block_on(rx.recv())), Some(9)),
            Err(SendError(value)) => assert_eq!((value, drained), (9, None)),
        }
    });
}

/// A receive that meets close ends with `None`, also if it stands in line. For: close forgets
/// receivers.
fn close_against_receive(capacity: usize) {
    model(
        &format!("close against receive, capacity {capacity}"),
        move || {
            let (tx, rx) = chan::<u8>(capacity);
            let receiver = thread::spawn(move || block_on(rx.recv()));
            assert!(tx.close());
            assert_eq!(receiver.join().unwrap(), None);
        },
    );
}

#[test]
fn close_against_receive_0() {
    close_against_receive(0);
}

#[test]
fn close_against_receive_1() {
    close_against_receive(1);
}

/// What was written before close is seen by the receive that returns because of it. For: a close
/// flag read outside the lock.
#[test]
fn close_happens_before_the_receive_that_ends() {
    model("close happens before the receive that ends", || {
        let (tx, rx) = chan::<u8>(1);
        let memory = Unordered::new();
        let written = memory.clone();
        let closer = thread::spawn(move || {
            written.write(7);
            tx.close();
            tx
        });
        assert_eq!(block_on(rx.recv()), None);
        assert_eq!(memory.read(), 7);
        drop(closer.join().unwrap());
    });
}

/// A sent value is received although the last sender is dropped right after. For: a close that
/// overtakes the value.
fn last_sender_dropped(capacity: usize) {
    model(
        &format!("last sender dropped, capacity {capacity}"),
        move || {
            let (tx, rx) = chan(capacity);
            let clone = tx.clone();
            let sender = thread::spawn(move || block_on(tx.send(1)).unwrap());
            let dropper = thread::spawn(move || drop(clone));
            assert_eq!(block_on(rx.recv()), Some(1));
            sender.join().unwrap();
            assert_eq!(block_on(rx.recv()), None);
            dropper.join().unwrap();
        },
    );
}

#[test]
fn last_sender_dropped_0() {
    last_sender_dropped(0);
}

#[test]
fn last_sender_dropped_1() {
    last_sender_dropped(1);
}

/// The last receiver's drop against a send: the value is dropped with the buffer or comes back;
/// afterwards none is alive. For: a buffer kept until the senders go, a sender that waits for ever.
fn last_receiver_dropped(capacity: usize) {
    model(
        &format!("last receiver dropped, capacity {capacity}"),
        move || {
            let alive = PlainArc::new(AtomicUsize::new(0));
            let (tx, rx) = chan(capacity);
            let value = Counted::new(&alive, 1);
            let sender = thread::spawn(move || {
                if let Err(error) = block_on(tx.send(value)) {
                    assert_eq!(error.into_inner().1, 1);
                }
                tx
            });
            drop(rx);
            let tx = sender.join().unwrap();
            assert_eq!(alive.load(Relaxed), 0);
            assert!(tx.is_closed());
        },
    );
}

#[test]
fn last_receiver_dropped_0() {
    last_receiver_dropped(0);
}

#[test]
fn last_receiver_dropped_1() {
    last_receiver_dropped(1);
}

/// Exactly one of two closes is the first. For: a flag that is read and then set.
#[test]
fn one_close_is_the_first() {
    model("one close is the first", || {
        let (tx, rx) = chan::<u8>(1);
        let closer = thread::spawn(move || tx.close());
        let mine = rx.close();
        assert!(mine ^ closer.join().unwrap());
    });
}

/// Cloning on one thread while another drops its handle never closes the channel. For: a count that
/// falls to zero in between.
#[test]
fn a_clone_keeps_the_channel_open() {
    model("a clone keeps the channel open", || {
        let (tx, rx) = chan(1);
        let other = tx.clone();
        let dropper = thread::spawn(move || drop(other));
        let clone = tx.clone();
        drop(tx);
        dropper.join().unwrap();
        assert!(!rx.is_closed());
        clone.try_send(1).unwrap();
        assert_eq!(rx.try_recv(), Ok(1));
    });
}

/// A reservation in line ends when the channel is closed; a permit that came first is refused at
/// its send. For: close forgets reservations.
#[test]
fn close_against_reserve() {
    model("close against reserve", || {
        let (tx, rx) = chan(1);
        tx.try_send(1).unwrap();
        let reserver = thread::spawn(move || match block_on(tx.reserve()) {
            Ok(permit) => permit.send(2),
            Err(SendError(())) => Err(SendError(2)),
        });
        let first = rx.try_recv();
        rx.close();
        let sent = reserver.join().unwrap();
        assert_eq!(first, Ok(1));
        match sent {
            Ok(()) => assert_eq!(rx.try_recv(), Ok(2)),
            Err(SendError(value)) => assert_eq!(value, 2),
        }
    });
}

/// Who waits for the end of a channel sees it, by call or by drop, and what was done before it. For: close
/// forgets them, a wait that begins between the last look and the close.
fn close_ends_a_wait_for_it_by(end: fn(Receiver<u8>)) {
    model("close ends a wait for it", move || {
        let (tx, rx) = chan(1);
        let memory = Unordered::new();
        let written = memory.clone();
        let closer = thread::spawn(move || {
            written.write(7);
            end(rx);
        });
        block_on(tx.closed());
        assert_eq!(memory.read(), 7);
        assert_eq!(tx.try_send(1), Err(TrySendError::Closed(1)));
        closer.join().unwrap();
    });
}

#[test]
fn close_ends_a_wait_for_it() {
    close_ends_a_wait_for_it_by(|rx| {
        rx.close();
    });
}

#[test]
fn the_last_receiver_ends_a_wait_for_it() {
    close_ends_a_wait_for_it_by(drop);
}

/// A select leaves the list of those who wait for the end, or sees it; what was received was sent. For:
/// losers that pile up, a case that close does not find.
#[test]
fn a_select_waits_for_the_end_too() {
    model("a select waits for the end, too", || {
        let (tx, rx) = chan(0);
        let receiver = thread::spawn(move || {
            let received = poll_once(pin!(rx.recv()));
            drop(rx);
            received
        });
        let ended = block_on(async {
            select! {
                sent = tx.send(1) => sent.is_err(),
                _ = tx.closed() => true,
            }
        });
        let received = receiver.join().unwrap();
        // One that was handed over may have been put back, and went with the receiver.
        assert!(received == Poll::Pending || !ended, "{received:?}");
    });
}
