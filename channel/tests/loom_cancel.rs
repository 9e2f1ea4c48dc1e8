//! Models: operations whose future is dropped, before or after a partner served them.

mod common;

use std::pin::pin;

use common::*;
use futures::FutureExt;
use gorin_channel::{TryRecvError, chan};

/// A receive that is dropped while a send comes: the value is sent and still there, or the send
/// finds nobody and waits for the next receive. For: a value handed to a receive that is gone.
fn dropped_receive(capacity: usize) {
    model(
        &format!("dropped receive, capacity {capacity}"),
        move || {
            let (tx, rx) = chan(capacity);
            let other = rx.clone();
            let sender = thread::spawn(move || block_on(tx.send(1)).unwrap());
            let canceller = thread::spawn(move || {
                let mut recv = pin!(other.recv());
                poll_once(recv.as_mut())
            });
            match canceller.join().unwrap() {
                std::task::Poll::Ready(value) => assert_eq!(value, Some(1)),
                std::task::Poll::Pending => assert_eq!(block_on(rx.recv()), Some(1)),
            }
            sender.join().unwrap();
        },
    );
}

#[test]
fn dropped_receive_0() {
    dropped_receive(0);
}

#[test]
fn dropped_receive_1() {
    dropped_receive(1);
}

#[test]
fn dropped_receive_2() {
    dropped_receive(2);
}

/// As above with a second receiver in line: the value reaches it and it is woken. For: a put-back
/// that does not look for receivers.
fn dropped_receive_beside_another(capacity: usize) {
    model(
        &format!("dropped receive beside another, capacity {capacity}"),
        move || {
            let (tx, rx) = chan(capacity);
            let other = rx.clone();
            let mut first = boxed(async move { other.recv().await });
            assert!(poll_once(first.as_mut()).is_pending());
            let receiver = thread::spawn(move || block_on(rx.recv()));
            let dropper = thread::spawn(move || drop(first));
            // The channel stays open: after close, a receive may end before the value is put back.
            block_on(tx.send(1)).unwrap();
            assert_eq!(receiver.join().unwrap(), Some(1));
            dropper.join().unwrap();
        },
    );
}

#[test]
fn dropped_receive_beside_another_0() {
    dropped_receive_beside_another(0);
}

#[test]
fn dropped_receive_beside_another_1() {
    dropped_receive_beside_another(1);
}

#[test]
fn dropped_receive_beside_another_2() {
    dropped_receive_beside_another(2);
}

/// Values put back keep the order of their hand-over, before the values that nobody was given.
/// For: a put-back at the very front regardless of the ticket, or at the end.
#[test]
fn values_put_back_keep_their_order() {
    model("values put back keep their order", || {
        let (tx, rx) = chan(1);
        let mut waits = [1, 2].map(|_| {
            let rx = rx.clone();
            let mut recv = boxed(async move { rx.recv().await });
            assert!(poll_once(recv.as_mut()).is_pending());
            recv
        });
        for n in 1..=3 {
            tx.try_send(n).unwrap();
        }
        let second = std::mem::replace(&mut waits[1], boxed(async { None }));
        let dropper = thread::spawn(move || drop(second));
        drop(waits);
        dropper.join().unwrap();
        let got: Vec<_> = std::iter::from_fn(|| rx.try_recv().ok()).collect();
        assert_eq!(got, [1, 2, 3]);
    });
}

/// A send that is given up either has been received, or its value comes back; never both, never
/// neither. For: a ghost that stays in line, a value dropped with its waiter.
fn send_given_up(capacity: usize) {
    model(&format!("send given up, capacity {capacity}"), move || {
        let (tx, rx) = chan(capacity);
        for n in 0..capacity {
            tx.try_send(n).unwrap();
        }
        let receiver = thread::spawn(move || {
            let first = rx.try_recv();
            (first, rx)
        });
        let back = {
            let mut send = pin!(tx.send(9));
            match poll_once(send.as_mut()) {
                std::task::Poll::Ready(result) => {
                    result.unwrap();
                    None
                }
                std::task::Poll::Pending => send.take(),
            }
        };
        let (first, rx) = receiver.join().unwrap();
        let mut got: Vec<_> = first.into_iter().collect();
        got.extend(std::iter::from_fn(|| rx.try_recv().ok()));
        assert_eq!(
            got.iter().filter(|&&n| n == 9).count(),
            usize::from(back.is_none())
        );
        assert_eq!(got.len(), capacity + usize::from(back.is_none()));
    });
}

#[test]
fn send_given_up_0() {
    send_given_up(0);
}

#[test]
fn send_given_up_1() {
    send_given_up(1);
}

#[test]
fn send_given_up_2() {
    send_given_up(2);
}

/// A dropped send gives nothing away later: once it is gone, nothing is received. For: a waiter that
/// stays queued after its future is gone.
#[test]
fn a_dropped_send_leaves_the_line() {
    for receive_meanwhile in [false, true] {
        model("a dropped send leaves the line", move || {
            let (tx, rx) = chan(0);
            let other = tx.clone();
            let mut send = boxed(async move { other.send(1).await });
            assert!(poll_once(send.as_mut()).is_pending());
            let dropper = thread::spawn(move || drop(send));
            if receive_meanwhile {
                let early = rx.try_recv();
                assert!([Ok(1), Err(TryRecvError::Empty)].contains(&early));
            } else {
                assert!(tx.try_send(2).unwrap_err().is_full());
            }
            dropper.join().unwrap();
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        });
    }
}

/// A receive that is dropped while the channel closes: whatever was handed to it is still received.
/// For: a put-back refused because the channel is closed.
#[test]
fn dropped_receive_against_close() {
    model("dropped receive against close", || {
        let (tx, rx) = chan(0);
        let other = rx.clone();
        let mut recv = boxed(async move { other.recv().await });
        assert!(poll_once(recv.as_mut()).is_pending());
        let sender = thread::spawn(move || {
            let sent = tx.try_send(1).is_ok();
            tx.close();
            sent
        });
        drop(recv);
        let sent = sender.join().unwrap();
        assert_eq!(block_on(rx.recv()), sent.then_some(1));
        assert_eq!(block_on(rx.recv()), None);
    });
}

/// A reservation that is dropped after its grant passes the place on. For: a place that is held by
/// nobody.
#[test]
fn a_dropped_reservation_passes_its_place_on() {
    model("a dropped reservation passes its place on", || {
        let (tx, rx) = chan(1);
        tx.try_send(1).unwrap();
        let reserving = tx.clone();
        let mut reserve = boxed(async move { reserving.reserve().await.map(drop) });
        assert!(poll_once(reserve.as_mut()).is_pending());
        let sender = thread::spawn(move || block_on(tx.send(2)).unwrap());
        let receiver = thread::spawn(move || {
            assert_eq!(rx.try_recv(), Ok(1));
            rx
        });
        drop(reserve);
        sender.join().unwrap();
        assert_eq!(receiver.join().unwrap().try_recv(), Ok(2));
    });
}

/// A receiver that waited as a stream and is used by `recv` then loses nothing that came meanwhile.
/// For: a value that stays with a stream that nobody polls.
#[test]
fn a_stream_gives_its_value_to_recv() {
    model("a stream gives its value to recv", || {
        let (tx, mut rx) = chan(0);
        let sender = thread::spawn(move || block_on(tx.send(1)).unwrap());
        let early = futures::StreamExt::next(&mut rx).now_or_never();
        let got = early.unwrap_or_else(|| block_on(rx.recv()));
        assert_eq!(got, Some(1));
        sender.join().unwrap();
        assert_eq!(block_on(futures::StreamExt::next(&mut rx)), None);
    });
}

/// As before, to who does not wait. For: a receiver that says that there is nothing, or nothing any
/// more, with a value in its own hand.
#[test]
fn a_stream_gives_its_value_to_try_recv() {
    model("a stream gives its value to try_recv", || {
        let (tx, mut rx) = chan(1);
        let sender = thread::spawn(move || block_on(tx.send(1)).unwrap());
        let early = futures::StreamExt::next(&mut rx).now_or_never().flatten();
        let got = early.or_else(|| rx.try_recv().ok());
        sender.join().unwrap();
        let got = got.or_else(|| rx.try_recv().ok());
        assert_eq!(got, Some(1));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    });
}

/// A stream that is dropped with a value in hand gives it to the next receiver.
#[test]
fn a_dropped_stream_puts_its_value_back() {
    model("a dropped stream puts its value back", || {
        let (tx, rx) = chan(0);
        let mut stream = rx.clone();
        assert!(
            futures::StreamExt::next(&mut stream)
                .now_or_never()
                .is_none()
        );
        let dropper = thread::spawn(move || drop(stream));
        let receiver = thread::spawn(move || block_on(rx.recv()));
        block_on(tx.send(1)).unwrap();
        assert_eq!(receiver.join().unwrap(), Some(1));
        dropper.join().unwrap();
    });
}
