//! Models: selects against senders, receivers, close, cancellation, foreign futures, and each other.

mod common;

use std::future::{Future, pending};
use std::pin::Pin;

use common::*;
use gorin_channel::{Chan, SendError, chan, select};

/// A select and a sender that come at the same time meet, in the buffer or directly. For: a sender
/// that comes between the look and the line.
fn select_against_a_sender(capacity: usize) {
    let (a, a_rx) = chan::<u8>(capacity);
    let (b, b_rx) = chan(capacity);
    let sender = thread::spawn(move || {
        block_on(b.send(1)).unwrap();
        b
    });
    let received = block_on(async {
        select! {
            value = a_rx.recv() => value,
            value = b_rx.recv() => value,
        }
    });
    assert_eq!(received, Some(1));
    drop((sender.join().unwrap(), a));
}

#[test]
fn select_against_a_sender_0() {
    model_with_choices("select against a sender, capacity 0", 2, || {
        select_against_a_sender(0);
    });
}

#[test]
fn select_against_a_sender_1() {
    model_with_choices("select against a sender, capacity 1", 2, || {
        select_against_a_sender(1);
    });
}

/// Of two senders that find a waiting select, exactly one is taken. For: a claim that two partners
/// win, a loser's value that vanishes.
#[test]
fn two_senders_find_a_waiting_select() {
    model("two senders find a waiting select", || {
        let (a, a_rx) = chan(0);
        let (b, b_rx) = chan(0);
        let mut waiting = boxed(async move {
            let received = select! {
                value = a_rx.recv() => value,
                value = b_rx.recv() => value,
            };
            (received, a_rx, b_rx)
        });
        assert!(poll_once(waiting.as_mut()).is_pending());
        let senders = [(a, 1), (b, 2)]
            .map(|(tx, n)| thread::spawn(move || (tx.try_send(n).ok().map(|()| n), tx)));
        let results = senders.map(|sender| sender.join().unwrap());
        let (received, ..) = block_on(waiting);
        let sent: Vec<_> = results.iter().filter_map(|(sent, _)| *sent).collect();
        assert_eq!(sent, received.into_iter().collect::<Vec<_>>());
    });
}

/// Of two receivers that find a select waiting to send to either, exactly one is given its value.
/// For: both sends taking effect.
#[test]
fn two_receivers_find_a_waiting_select() {
    model("two receivers find a waiting select", || {
        let (a, a_rx) = chan(0);
        let (b, b_rx) = chan(0);
        let mut waiting = boxed(async move {
            let sent = select! {
                result = a.send(1) => result.map(|()| 1),
                result = b.send(2) => result.map(|()| 2),
            };
            (sent, a, b)
        });
        assert!(poll_once(waiting.as_mut()).is_pending());
        let receivers = [a_rx, b_rx].map(|rx| thread::spawn(move || (rx.try_recv().ok(), rx)));
        let results = receivers.map(|receiver| receiver.join().unwrap());
        let (sent, ..) = block_on(waiting);
        let received: Vec<_> = results.iter().filter_map(|(got, _)| *got).collect();
        assert_eq!(received, [sent.unwrap()]);
    });
}

/// A select that sends and a receiver that come at the same time meet.
#[test]
fn a_sending_select_against_a_receiver() {
    model_with_choices("a sending select against a receiver", 2, || {
        let (a, a_rx) = chan(0);
        let (b, b_rx) = chan::<u8>(0);
        let receiver = thread::spawn(move || (block_on(a_rx.recv()), a_rx));
        block_on(async {
            select! {
                result = a.send(1) => result.unwrap(),
                result = b.send(1) => panic!("nobody receives there: {result:?}"),
            }
        });
        let (received, a_rx) = receiver.join().unwrap();
        assert_eq!(received, Some(1));
        drop((a_rx, b_rx));
    });
}

/// Two selects with the same two channels in opposite order meet in exactly one of them. For: locks
/// in case order (deadlock), a claim of one side only.
#[test]
fn two_selects_in_opposite_order() {
    model_with_choices("two selects in opposite order", 2, || {
        let (a, b) = (Chan::new(0), Chan::new(0));
        let (a2, b2) = (a.clone(), b.clone());
        let other = thread::spawn(move || {
            block_on(async {
                select! {
                    value = b2.recv() => value.unwrap(),
                    value = a2.recv() => value.unwrap(),
                }
            })
        });
        let sent = block_on(async {
            select! {
                result = a.send(1) => result.map(|()| 1).unwrap(),
                result = b.send(2) => result.map(|()| 2).unwrap(),
            }
        });
        assert_eq!(other.join().unwrap(), sent);
        assert_eq!((a.len(), b.len()), (0, 0));
    });
}

/// Two selects that both send and receive on one channel meet each other, not themselves.
#[test]
fn two_selects_on_both_sides_of_one_channel() {
    model_with_choices("two selects on both sides of one channel", 2, || {
        let c = Chan::new(0);
        let c2 = c.clone();
        let other = thread::spawn(move || block_on(send_or_receive(&c2, 1)));
        let mine = block_on(send_or_receive(&c, 2));
        let theirs = other.join().unwrap();
        assert!([(None, Some(2)), (Some(1), None)].contains(&(mine, theirs)));
    });
}

async fn send_or_receive(c: &Chan<u8>, value: u8) -> Option<u8> {
    select! {
        result = c.send(value) => { result.unwrap(); None }
        value = c.recv() => value,
    }
}

/// A select dropped while a sender comes: the value is put back, or the sender still waits. For: a
/// value that is lost with the select, a waiter left in a channel.
#[test]
fn dropped_select() {
    model_with_choices("dropped select", 2, || {
        let (a, a_rx) = chan(0);
        let (b, b_rx) = chan::<u8>(0);
        let (a2, b2) = (a_rx.clone(), b_rx.clone());
        let mut waiting = boxed(async move {
            select! {
                value = a2.recv() => value,
                value = b2.recv() => value,
            }
        });
        assert!(poll_once(waiting.as_mut()).is_pending());
        let sender = thread::spawn(move || block_on(a.send(1)).unwrap());
        drop(waiting);
        assert_eq!(block_on(a_rx.recv()), Some(1));
        sender.join().unwrap();
        assert!(b.try_send(2).unwrap_err().is_full());
    });
}

/// A select polled by one task and then by another wakes the second. For: the old waker kept, or
/// replaced without a second look.
#[test]
fn a_select_polled_by_another_task() {
    model_with_choices("a select polled by another task", 2, || {
        let (a, a_rx) = chan(0);
        let (_b, b_rx) = chan(0);
        let mut waiting = boxed(async move {
            select! {
                value = a_rx.recv() => value,
                value = b_rx.recv() => value,
            }
        });
        assert!(poll_once(waiting.as_mut()).is_pending());
        let receiver = thread::spawn(move || block_on(waiting));
        block_on(a.send(1)).unwrap();
        assert_eq!(receiver.join().unwrap(), Some(1));
    });
}

/// Close is a ready case, for receives and for sends, also if the select waits.
#[test]
fn select_against_close() {
    model_with_choices("select against close", 2, || {
        let (a, a_rx) = chan::<u8>(0);
        let (b, b_rx) = chan::<u8>(0);
        let closer = thread::spawn(move || {
            b_rx.close();
            (a, b_rx)
        });
        let refused = block_on(async {
            select! {
                value = a_rx.recv() => panic!("nothing was sent: {value:?}"),
                result = b.send(5) => result,
            }
        });
        assert_eq!(refused, Err(SendError(5)));
        closer.join().unwrap();
    });
}

/// `default` is not chosen if a case was ready all the time. For: a look at the channels one after
/// the other, between which a value moves.
#[test]
fn default_with_a_value_that_moves() {
    model_with_choices("default with a value that moves", 2, || {
        let (a, b) = (Chan::new(1), Chan::new(1));
        a.try_send(1).unwrap();
        let (a2, b2) = (a.clone(), b.clone());
        // The value is in `a` or in `b` at every moment that the two locks allow to be seen: `b` is
        // filled before `a` is emptied.
        let mover = thread::spawn(move || {
            b2.try_send(2).unwrap();
            a2.try_recv()
        });
        let got = block_on(async {
            select! {
                value = a.recv() => value,
                value = b.recv() => value,
                default => None,
            }
        });
        assert!(got.is_some());
        let moved = mover.join().unwrap();
        assert_eq!(moved.is_err(), got == Some(1));
    });
}

/// A place granted to a select's reservation is used or passed on.
#[test]
fn select_with_a_reservation() {
    model_with_choices("select with a reservation", 2, || {
        let (tx, rx) = chan(1);
        let (_quit, quit_rx) = chan::<u8>(0);
        tx.try_send(1).unwrap();
        let sender = thread::spawn(move || {
            block_on(async {
                select! {
                    permit = tx.reserve() => permit.unwrap().send(2).unwrap(),
                    value = quit_rx.recv() => panic!("nothing was sent: {value:?}"),
                }
            });
        });
        assert_eq!(block_on(rx.recv()), Some(1));
        assert_eq!(block_on(rx.recv()), Some(2));
        sender.join().unwrap();
    });
}

/// A foreign future and a channel become ready together: one of the two takes effect, and the
/// other's value is still there. For: a hand-over to a select whose foreign future is `Ready`.
#[test]
fn a_foreign_future_and_a_channel() {
    model_with_choices("a foreign future and a channel", 2, || {
        let (a, a_rx) = chan(1);
        let (b, b_rx) = chan(1);
        let sender = thread::spawn(move || {
            a.try_send(1).unwrap();
            b.try_send(2).unwrap();
            (a, b)
        });
        let got = block_on(async {
            select! {
                value = a_rx.recv() => value,
                value = async { b_rx.recv().await } => value,
            }
        });
        let handles = sender.join().unwrap();
        let rest = match got {
            Some(1) => b_rx.try_recv(),
            Some(2) => a_rx.try_recv(),
            other => panic!("the select got {other:?}"),
        };
        assert_eq!(got.unwrap() + rest.unwrap(), 3);
        drop(handles);
    });
}

/// Ready from its second poll on; it wakes its task in the first.
struct SecondPoll(bool);

impl Future for SecondPoll {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    }
}

/// A value is sent to a select that ends by its foreign future: either the select took it, or it is
/// still the sender's. For: a claim that stays open while the foreign future is polled.
#[test]
fn a_foreign_future_ends_while_a_sender_comes() {
    model_with_choices("a foreign future ends while a sender comes", 2, || {
        let (tx, rx) = chan(0);
        let sender = thread::spawn(move || tx.try_send(1).is_ok());
        let got = block_on(async {
            select! {
                value = rx.recv() => value,
                () = SecondPoll(false) => None,
            }
        });
        assert_eq!(got.is_some(), sender.join().unwrap());
    });
}

/// Never ready; polling it again and again must not lose a partner.
struct Restless(u8);

impl Future for Restless {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        if self.0 > 0 {
            self.0 -= 1;
            cx.waker().wake_by_ref();
        }
        std::task::Poll::Pending
    }
}

/// A sender that comes while the select polls its foreign future is found by the look afterwards.
/// For: no look before the claim is opened again.
#[test]
fn a_sender_comes_while_a_foreign_future_is_polled() {
    model_with_choices("a sender comes while a foreign future is polled", 2, || {
        let (tx, rx) = chan(0);
        let sender = thread::spawn(move || block_on(tx.send(1)).unwrap());
        let got = block_on(async {
            select! {
                value = rx.recv() => value,
                () = Restless(1) => None,
            }
        });
        assert_eq!(got, Some(1));
        sender.join().unwrap();
    });
}

/// Close comes while the select polls its foreign future.
#[test]
fn close_comes_while_a_foreign_future_is_polled() {
    model_with_choices("close comes while a foreign future is polled", 2, || {
        let (tx, rx) = chan::<u8>(0);
        let closer = thread::spawn(move || tx.close());
        let got = block_on(async {
            select! {
                value = rx.recv() => value,
                () = Restless(1) => panic!("it is never ready"),
            }
        });
        assert_eq!(got, None);
        assert!(closer.join().unwrap());
    });
}

/// Two selects that both have foreign futures, so each may be absent when the other looks, still
/// meet. For: both treating the other as absent and both going to sleep.
#[test]
fn two_absent_selects_meet() {
    model_with_choices("two absent selects meet", 2, || {
        let (tx, rx) = chan(0);
        let mut sending = boxed(async move {
            select! {
                result = tx.send(1) => result.unwrap(),
                () = pending() => panic!("it is never ready"),
            }
            tx
        });
        // In line already; the next poll closes the claim, looks, and opens it again.
        assert!(poll_once(sending.as_mut()).is_pending());
        let other = thread::spawn(move || block_on(sending));
        let got = block_on(async {
            select! {
                value = rx.recv() => value,
                () = Restless(1) => None,
            }
        });
        assert_eq!(got, Some(1));
        drop(other.join().unwrap());
    });
}

/// The value of a send case that was not chosen is neither sent nor lost twice over: it is dropped
/// with the select. For: a waiter whose value is taken after the select has ended.
#[test]
fn a_send_case_that_lost_sends_nothing() {
    model_with_choices("a send case that lost sends nothing", 2, || {
        let (a, a_rx) = chan(0);
        let (b, b_rx) = chan(0);
        let selecting = thread::spawn(move || {
            block_on(async {
                select! {
                    result = a.send(1) => { result.unwrap(); 'a' }
                    value = b_rx.recv() => { assert_eq!(value, Some(2)); 'b' }
                }
            })
        });
        let sent_b = b.try_send(2).is_ok();
        let got_a = if sent_b {
            a_rx.try_recv().ok()
        } else {
            block_on(a_rx.recv())
        };
        let chosen = selecting.join().unwrap();
        assert_eq!((chosen == 'a', chosen == 'b'), (got_a.is_some(), sent_b));
    });
}
