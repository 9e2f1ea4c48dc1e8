//! Models: senders and receivers that meet, for capacity 0, 1 and 2.

mod common;

use common::*;
use gorin_channel::{SendError, TryRecvError, TrySendError, chan};

/// Values arrive once, in order, and what was written before a send is seen after its receive.
/// For: a value published outside the lock, a lost wake-up in either direction.
fn one_sender_one_receiver(capacity: usize) {
    model(
        &format!("one sender, one receiver, capacity {capacity}"),
        move || {
            let (tx, rx) = chan(capacity);
            let memory = Unordered::new();
            let written = memory.clone();
            let sender = thread::spawn(move || {
                written.write(7);
                block_on(tx.send(1)).unwrap();
                block_on(tx.send(2)).unwrap();
            });
            assert_eq!(block_on(rx.recv()), Some(1));
            assert_eq!(memory.read(), 7);
            assert_eq!(block_on(rx.recv()), Some(2));
            assert_eq!(block_on(rx.recv()), None);
            sender.join().unwrap();
        },
    );
}

#[test]
fn one_sender_one_receiver_0() {
    one_sender_one_receiver(0);
}

#[test]
fn one_sender_one_receiver_1() {
    one_sender_one_receiver(1);
}

#[test]
fn one_sender_one_receiver_2() {
    one_sender_one_receiver(2);
}

/// Of two senders, one in line already, one is served by the receive and the other is served too,
/// still there, or given its value back. For: a value overwritten, a sender neither let in nor told.
fn two_senders(capacity: usize) {
    model_with_choices(&format!("two senders, capacity {capacity}"), 2, move || {
        let (tx, rx) = chan(capacity);
        (0..capacity).for_each(|_| tx.try_send(0).unwrap());
        let (first, second) = (tx.clone(), tx);
        let mut in_line = boxed(async move { first.send(1).await });
        assert!(poll_once(in_line.as_mut()).is_pending());
        let sender = thread::spawn(move || (block_on(second.send(2)).err(), second));
        let receiver = thread::spawn(move || (block_on(rx.recv()), rx));
        let (received, rx) = receiver.join().unwrap();
        rx.close();
        let (back, second) = sender.join().unwrap();
        let mut got: Vec<_> = received.into_iter().collect();
        got.extend(std::iter::from_fn(|| rx.try_recv().ok()));
        got.extend(back.map(SendError::into_inner));
        got.extend(block_on(in_line).err().map(SendError::into_inner));
        got.sort_unstable();
        assert_eq!(got[capacity..], [1, 2]);
        drop(second);
    });
}

#[test]
fn two_senders_0() {
    two_senders(0);
}

#[test]
fn two_senders_1() {
    two_senders(1);
}

#[test]
fn two_senders_2() {
    two_senders(2);
}

/// Of two receivers, one in line already, one gets the value and the other the end. For: one value
/// given twice, a receiver that is forgotten.
fn two_receivers(capacity: usize) {
    model_with_choices(
        &format!("two receivers, capacity {capacity}"),
        2,
        move || {
            let (tx, rx) = chan(capacity);
            let first = rx.clone();
            let mut in_line = boxed(async move { first.recv().await });
            assert!(poll_once(in_line.as_mut()).is_pending());
            let receiver = thread::spawn(move || (block_on(rx.recv()), rx));
            let sender = thread::spawn(move || {
                tx.try_send(1).unwrap();
                tx.close();
                tx
            });
            let (second, rx) = receiver.join().unwrap();
            let tx = sender.join().unwrap();
            // Whoever comes first to the line is served first.
            assert_eq!((block_on(in_line), second), (Some(1), None));
            drop((tx, rx));
        },
    );
}

#[test]
fn two_receivers_0() {
    two_receivers(0);
}

#[test]
fn two_receivers_1() {
    two_receivers(1);
}

#[test]
fn two_receivers_2() {
    two_receivers(2);
}

/// On a channel of capacity C the k-th receive happens before the end of the (k+C)-th send; on a
/// rendezvous channel, the receive before the end of its send. For: a sender let in before the
/// receiver's memory is visible.
fn receive_before_end_of_send(capacity: usize) {
    model(
        &format!("receive before end of send, capacity {capacity}"),
        move || {
            let (tx, rx) = chan(capacity);
            let memory = Unordered::new();
            let written = memory.clone();
            for n in 0..capacity {
                tx.try_send(n).unwrap();
            }
            let receiver = thread::spawn(move || {
                written.write(7);
                assert_eq!(block_on(rx.recv()), Some(0));
                rx
            });
            block_on(tx.send(capacity)).unwrap();
            assert_eq!(memory.read(), 7);
            drop(receiver.join().unwrap());
        },
    );
}

#[test]
fn receive_before_end_of_send_0() {
    receive_before_end_of_send(0);
}

#[test]
fn receive_before_end_of_send_1() {
    receive_before_end_of_send(1);
}

#[test]
fn receive_before_end_of_send_2() {
    receive_before_end_of_send(2);
}

/// A sender that waits is let in by the receive that makes room, without a second receive.
/// For: a receive from the buffer that forgets the line.
#[test]
fn a_receive_lets_a_waiting_sender_in() {
    model("a receive lets a waiting sender in", || {
        let (tx, rx) = chan(1);
        let sender = thread::spawn(move || {
            block_on(tx.send(1)).unwrap();
            block_on(tx.send(2)).unwrap();
        });
        assert_eq!(block_on(rx.recv()), Some(1));
        sender.join().unwrap();
        assert_eq!(rx.try_recv(), Ok(2));
    });
}

/// `try_send` on a rendezvous channel succeeds exactly if the receiver stands in line, and then the
/// receiver has the value. For: success without a taker.
#[test]
fn try_send_meets_a_receiver() {
    model("try_send meets a receiver", || {
        let (tx, rx) = chan(0);
        let receiver = thread::spawn(move || block_on(rx.recv()));
        let sent = match tx.try_send(1) {
            Ok(()) => Some(1),
            Err(TrySendError::Full(1)) => None,
            Err(other) => panic!("neither sent nor full: {other:?}"),
        };
        drop(tx);
        assert_eq!(receiver.join().unwrap(), sent);
    });
}

/// `try_recv` takes the value of a waiting sender and completes its send. For: a sender left in line.
#[test]
fn try_recv_meets_a_sender() {
    model("try_recv meets a sender", || {
        let (tx, rx) = chan(0);
        let sender = thread::spawn(move || block_on(tx.send(1)));
        let early = rx.try_recv();
        match early {
            Ok(value) => assert_eq!(value, 1),
            Err(TryRecvError::Empty) => assert_eq!(block_on(rx.recv()), Some(1)),
            Err(TryRecvError::Closed) => panic!("the sender waits until its value is taken"),
        }
        assert_eq!(sender.join().unwrap(), Ok(()));
    });
}

/// The blocking forms on threads. For: an unpark that comes before the park.
#[test]
fn blocking_send_and_receive() {
    model("blocking send and receive", || {
        let (tx, rx) = chan(0);
        let sender = thread::spawn(move || tx.send_blocking(1).unwrap());
        assert_eq!(rx.recv_blocking(), Some(1));
        sender.join().unwrap();
    });
}

/// A receive that was polled by one task and then by another wakes the second one. For: the old
/// waker kept, or replaced without a second look at the outcome.
#[test]
fn a_receive_polled_by_another_task() {
    model("a receive polled by another task", || {
        let (tx, rx) = chan(0);
        let mut recv = boxed(async move { rx.recv().await });
        assert!(poll_once(recv.as_mut()).is_pending());
        let receiver = thread::spawn(move || block_on(recv));
        block_on(tx.send(1)).unwrap();
        assert_eq!(receiver.join().unwrap(), Some(1));
    });
}

/// As above, for a send.
#[test]
fn a_send_polled_by_another_task() {
    model("a send polled by another task", || {
        let (tx, rx) = chan(0);
        let mut send = boxed(async move { tx.send(1).await });
        assert!(poll_once(send.as_mut()).is_pending());
        let sender = thread::spawn(move || block_on(send));
        assert_eq!(block_on(rx.recv()), Some(1));
        assert_eq!(sender.join().unwrap(), Ok(()));
    });
}

/// A permit holds its place against a sender, and both values arrive. For: a reservation that does
/// not count, a place that is freed twice.
#[test]
fn a_permit_and_a_sender() {
    model_with_choices("a permit and a sender", 2, || {
        let (tx, rx) = chan(1);
        let other = tx.clone();
        let sender = thread::spawn(move || block_on(other.send(1)).unwrap());
        let mut got = Vec::new();
        if let Ok(permit) = tx.try_reserve() {
            assert!(tx.is_full());
            permit.send(2).unwrap();
            got.extend(block_on(rx.recv()));
        }
        got.extend(block_on(rx.recv()));
        sender.join().unwrap();
        assert!([vec![1], vec![2, 1]].contains(&got));
    });
}

/// The place of a dropped permit goes to the sender that waits for it. For: a place lost for ever.
#[test]
fn a_dropped_permit_lets_a_sender_in() {
    model("a dropped permit lets a sender in", || {
        let (tx, rx) = chan(1);
        let other = tx.clone();
        let sender = thread::spawn(move || block_on(other.send(1)).unwrap());
        if let Ok(permit) = tx.try_reserve() {
            drop(permit);
        }
        sender.join().unwrap();
        assert_eq!(rx.try_recv(), Ok(1));
    });
}

/// A permit whose value goes straight to a receiver gives its place to the reservation in line.
/// For: a place that stays reserved after the hand-over.
#[test]
fn a_permit_that_hands_over_frees_its_place() {
    model_with_choices("a permit that hands over frees its place", 2, || {
        let (tx, rx) = chan(1);
        let permit = tx.try_reserve().unwrap();
        let other = tx.clone();
        let reserver = thread::spawn(move || {
            block_on(other.reserve()).unwrap().send(2).unwrap();
            other
        });
        let receiver = thread::spawn(move || (block_on(rx.recv()), rx));
        permit.send(1).unwrap();
        let (first, rx) = receiver.join().unwrap();
        let other = reserver.join().unwrap();
        assert_eq!((first, rx.try_recv()), (Some(1), Ok(2)));
        drop(other);
    });
}
