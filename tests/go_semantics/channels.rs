//! G21–G29 and G35–G40: making channels, sending, receiving, order, nil channels, memory.
//!
//! Where a rule speaks of parked operations the test polls them by hand: then it is known, and not
//! hoped, that they are parked.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures::StreamExt;
use gorin::channel::{SendError, TryRecvError, TrySendError, unbounded};
use gorin::prelude::*;
use gorin_base::check::poll_once;

use super::everywhere;

#[test]
fn g21_capacity_zero_is_a_rendezvous() {
    everywhere(|| async {
        let (tx, rx) = chan(0);
        let mut send = pin!(tx.send(1));
        assert!(poll_once(send.as_mut()).is_pending(), "nobody receives");
        assert_eq!(rx.try_recv(), Ok(1));
        assert_eq!(poll_once(send.as_mut()), Poll::Ready(Ok(())));
    });
}

#[test]
fn g21_a_channel_takes_as_many_values_as_its_capacity_without_a_receiver() {
    everywhere(|| async {
        let (tx, rx) = chan(3);
        for value in 0..3 {
            tx.send(value).await.unwrap();
        }
        assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!(rx.recv().await, Some(0));
        tx.try_send(3).unwrap();
    });
}

#[test]
fn g21_an_unbounded_channel_never_makes_a_sender_wait() {
    everywhere(|| async {
        let (tx, rx) = unbounded();
        for value in 0..10_000 {
            tx.try_send(value).unwrap();
        }
        drop(tx);
        let received: Vec<i32> = rx.collect().await;
        assert_eq!(received, (0..10_000).collect::<Vec<_>>());
    });
}

#[test]
fn g22_both_ends_can_be_cloned_and_each_value_goes_to_one_receiver() {
    everywhere(|| async {
        let (tx, rx) = chan(2);
        let receivers: Vec<_> = (0..4)
            .map(|_| go(rx.clone().collect::<Vec<u64>>()))
            .collect();
        drop(rx);
        let senders: Vec<_> = (0..4_u64)
            .map(|id| {
                let tx = tx.clone();
                go(async move {
                    for i in 0..100 {
                        tx.send(id * 100 + i).await.unwrap();
                    }
                })
            })
            .collect();
        drop(tx);
        for sender in senders {
            sender.await.unwrap();
        }
        let mut all = Vec::new();
        for receiver in receivers {
            all.extend(receiver.await.unwrap());
        }
        all.sort_unstable();
        assert_eq!(all, (0..400).collect::<Vec<_>>());
    });
}

#[test]
fn g23_channels_are_compared_by_identity() {
    everywhere(|| async {
        let (tx, rx) = chan::<u8>(1);
        let (other, _other_rx) = chan::<u8>(1);
        assert!(tx.same_channel(&tx.clone()));
        assert!(!tx.same_channel(&other));
        assert_eq!(tx.id(), rx.id());
        let ids = HashSet::from([tx.id(), rx.id(), other.id()]);
        assert_eq!(ids.len(), 2, "ids are keys of maps");
    });
}

#[test]
fn g24_len_counts_the_buffer_and_not_who_waits() {
    everywhere(|| async {
        let (tx, rx) = chan(2);
        assert_eq!((rx.len(), rx.capacity(), rx.is_empty()), (0, 2, true));
        tx.send(1).await.unwrap();
        tx.send(2).await.unwrap();
        let mut waiting = pin!(tx.send(3));
        assert!(poll_once(waiting.as_mut()).is_pending());
        assert_eq!((tx.len(), tx.is_full()), (2, true));
        let (rendezvous, _rx) = chan(0);
        let mut waiting = pin!(rendezvous.send(()));
        assert!(poll_once(waiting.as_mut()).is_pending());
        assert_eq!((rendezvous.len(), rendezvous.capacity()), (0, 0));
    });
}

#[test]
fn g25_values_arrive_in_the_order_in_which_they_were_sent() {
    everywhere(|| async {
        for capacity in [0, 1, 7] {
            let (tx, rx) = chan(capacity);
            go(async move {
                for value in 0..1000 {
                    tx.send(value).await.unwrap();
                }
            });
            let received: Vec<i32> = rx.collect().await;
            assert_eq!(
                received,
                (0..1000).collect::<Vec<_>>(),
                "capacity {capacity}"
            );
        }
    });
}

#[test]
fn g26_waiting_receivers_are_served_first_come_first_served() {
    everywhere(|| async {
        let (tx, rx) = chan(1);
        let (mut first, mut second, mut third) =
            (pin!(rx.recv()), pin!(rx.recv()), pin!(rx.recv()));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        assert!(poll_once(third.as_mut()).is_pending());
        for value in 1..=3 {
            tx.try_send(value).unwrap();
        }
        // Who looks first does not matter: the values were handed over in order.
        assert_eq!(poll_once(third.as_mut()), Poll::Ready(Some(3)));
        assert_eq!(poll_once(second.as_mut()), Poll::Ready(Some(2)));
        assert_eq!(poll_once(first.as_mut()), Poll::Ready(Some(1)));
    });
}

#[test]
fn g26_waiting_senders_are_served_in_order_and_nobody_overtakes_them() {
    everywhere(|| async {
        let (tx, rx) = chan(1);
        tx.send(0).await.unwrap();
        let (mut first, mut second) = (pin!(tx.send(1)), pin!(tx.send(2)));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        assert_eq!(rx.try_recv(), Ok(0));
        assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)), "a newcomer");
        for value in [1, 2] {
            assert_eq!(rx.try_recv(), Ok(value));
        }
        assert!(poll_once(first.as_mut()).is_ready() && poll_once(second.as_mut()).is_ready());
    });
}

#[test]
fn g27_a_waiting_receiver_is_served_before_the_buffer() {
    everywhere(|| async {
        let (tx, rx) = chan(3);
        let mut waiting = pin!(rx.recv());
        assert!(poll_once(waiting.as_mut()).is_pending());
        tx.try_send(1).unwrap();
        assert_eq!(tx.len(), 0, "the value went past the buffer");
        tx.try_send(2).unwrap();
        assert_eq!(tx.len(), 1);
        assert_eq!(poll_once(waiting.as_mut()), Poll::Ready(Some(1)));
    });
}

#[test]
fn g28_a_receive_from_a_full_channel_moves_a_waiting_senders_value_in() {
    everywhere(|| async {
        let (tx, rx) = chan(2);
        tx.send(1).await.unwrap();
        tx.send(2).await.unwrap();
        let mut waiting = pin!(tx.send(3));
        assert!(poll_once(waiting.as_mut()).is_pending());
        assert_eq!(rx.try_recv(), Ok(1));
        assert_eq!(rx.len(), 2, "as full as before, in the same step");
        assert_eq!(poll_once(waiting.as_mut()), Poll::Ready(Ok(())));
    });
}

#[test]
fn g29_nobody_waits_for_what_is_there() {
    everywhere(|| async {
        let (tx, rx) = chan(1);
        tx.send(1).await.unwrap();
        assert_eq!(poll_once(pin!(rx.recv())), Poll::Ready(Some(1)));
        assert_eq!(poll_once(pin!(tx.send(2))), Poll::Ready(Ok(())));
    });
}

#[test]
fn g35_a_nil_channel_blocks_for_ever_in_both_directions() {
    everywhere(|| async {
        let (tx, rx) = (Sender::<u8>::never(), Receiver::<u8>::never());
        assert!(poll_once(pin!(tx.send(1))).is_pending());
        assert!(poll_once(pin!(rx.recv())).is_pending());
        assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        assert_eq!((tx.len(), tx.capacity()), (0, 0));
    });
}

#[test]
fn g36_a_range_over_a_channel_ends_at_its_close_and_a_break_leaves_the_rest() {
    everywhere(|| async {
        let (tx, rx) = chan(5);
        for value in 0..5 {
            tx.send(value).await.unwrap();
        }
        drop(tx);
        let mut seen = Vec::new();
        while let Some(value) = rx.recv().await {
            seen.push(value);
            if value == 2 {
                break;
            }
        }
        while let Some(value) = rx.recv().await {
            seen.push(value);
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn g37_receiving_tells_a_value_from_the_end() {
    everywhere(|| async {
        let (tx, rx) = chan::<u8>(1);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        tx.send(0).await.unwrap();
        tx.close();
        assert_eq!(rx.recv().await, Some(0));
        assert_eq!(rx.recv().await, None);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    });
}

#[test]
fn g38_a_non_blocking_send_on_a_rendezvous_channel_succeeds_iff_a_receiver_waits() {
    everywhere(|| async {
        let (tx, rx) = chan(0);
        assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
        let mut waiting = pin!(rx.recv());
        assert!(poll_once(waiting.as_mut()).is_pending());
        assert_eq!(tx.try_send(2), Ok(()));
        assert_eq!(
            tx.try_send(3),
            Err(TrySendError::Full(3)),
            "it has been served"
        );
        assert_eq!(poll_once(waiting.as_mut()), Poll::Ready(Some(2)));
    });
}

#[test]
fn g39_what_was_written_before_a_send_is_seen_after_its_receive_and_the_other_way_round() {
    everywhere(|| async {
        // Relaxed on purpose: the channels must do the ordering.
        let (sent, received) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (tx, rx) = chan(0);
        let receiver = go({
            let (sent, received) = (sent.clone(), received.clone());
            async move {
                for round in 1.. {
                    received.store(round, Ordering::Relaxed);
                    if rx.recv().await.is_none() {
                        break;
                    }
                    assert!(sent.load(Ordering::Relaxed) >= round);
                }
            }
        });
        for round in 1..=500 {
            sent.store(round, Ordering::Relaxed);
            tx.send(()).await.unwrap();
            // On a rendezvous channel the receive comes before the end of the send.
            assert!(received.load(Ordering::Relaxed) >= round);
        }
        drop(tx);
        receiver.await.unwrap();
    });
}

#[test]
fn g39_what_was_written_before_a_close_is_seen_by_who_finds_the_channel_closed() {
    everywhere(|| async {
        for round in 1..200 {
            let written = Arc::new(AtomicUsize::new(0));
            let (tx, rx) = chan::<()>(0);
            let reader = go({
                let written = written.clone();
                async move {
                    assert_eq!(rx.recv().await, None);
                    written.load(Ordering::Relaxed)
                }
            });
            written.store(round, Ordering::Relaxed);
            tx.close();
            assert_eq!(reader.await.unwrap(), round);
        }
    });
}

#[test]
fn g40_values_are_moved_and_need_not_be_clone() {
    everywhere(|| async {
        struct Unique(Box<[u8; 100_000]>);
        let (tx, rx) = chan(0);
        let large = go(async move { rx.recv().await.map(|Unique(bytes)| bytes[99_999]) });
        let sent: Result<(), SendError<Unique>> = tx.send(Unique(Box::new([7; 100_000]))).await;
        assert!(sent.is_ok());
        assert_eq!(large.await.unwrap(), Some(7));
    });
}
