//! G30–G34 and G41: closing a channel, and losing its other side.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures::StreamExt;
use gorin::channel::{SendError, TrySendError};
use gorin::prelude::*;
use gorin_base::check::poll_once;

use super::everywhere;

/// In Go the second close panics; here it says that it was not the first.
#[test]
fn g30_close_may_be_repeated_and_says_who_was_first() {
    everywhere(|| async {
        let (tx, rx) = chan::<u8>(1);
        let other = tx.clone();
        assert!(!tx.is_closed());
        assert!(tx.close());
        assert!(!other.close() && !tx.close());
        assert!(tx.is_closed() && other.is_closed() && rx.is_closed());
    });
}

#[test]
fn g30_dropping_the_last_sender_closes_the_channel() {
    everywhere(|| async {
        let (tx, rx) = chan::<u8>(1);
        let other = tx.clone();
        drop(tx);
        let mut waiting = pin!(rx.recv());
        assert!(poll_once(waiting.as_mut()).is_pending());
        drop(other);
        assert_eq!(poll_once(waiting.as_mut()), Poll::Ready(None));
    });
}

/// In every way to receive, since each has a fast path of its own.
#[test]
fn g31_a_closed_channel_gives_what_is_left_and_then_the_end_for_ever() {
    everywhere(|| async {
        for way in 0..5 {
            let (tx, mut rx) = chan(2);
            tx.send(1).await.unwrap();
            tx.send(2).await.unwrap();
            tx.close();
            let mut received = Vec::new();
            for _ in 0..5 {
                received.push(match way {
                    0 => rx.recv().await,
                    1 => rx.try_recv().ok(),
                    2 => rx.next().await,
                    3 => select! { value = rx.recv() => value },
                    _ => select! { value = rx.recv() => value, default => Some(0) },
                });
            }
            let expected = [Some(1), Some(2), None, None, None];
            assert_eq!(received, expected, "way {way}");
        }
    });
}

/// In Go a send on a closed channel panics; here it gives the value back.
#[test]
fn g32_a_send_on_a_closed_channel_gives_the_value_back() {
    everywhere(|| async {
        let (tx, rx) = chan(2);
        tx.close();
        assert_eq!(tx.send("mine").await, Err(SendError("mine")));
        assert_eq!(tx.try_send("too"), Err(TrySendError::Closed("too")));
        assert_eq!(rx.recv().await, None, "nothing was delivered");
    });
}

#[test]
fn g32_senders_that_wait_when_the_channel_is_closed_get_their_values_back() {
    everywhere(|| async {
        let (tx, rx) = chan(1);
        tx.send(1).await.unwrap();
        let mut waiting = pin!(tx.send(2));
        assert!(poll_once(waiting.as_mut()).is_pending());
        tx.close();
        assert_eq!(poll_once(waiting.as_mut()), Poll::Ready(Err(SendError(2))));
        assert_eq!((rx.recv().await, rx.recv().await), (Some(1), None));
    });
}

/// In Go senders without a receiver wait for ever; here they are told.
#[test]
fn g33_losing_the_last_receiver_wakes_the_senders_and_drops_the_buffer_at_once() {
    everywhere(|| async {
        let (tx, rx) = chan(1);
        let buffered = Arc::new(());
        tx.send(buffered.clone()).await.unwrap();
        let mut waiting = pin!(tx.send(buffered.clone()));
        assert!(poll_once(waiting.as_mut()).is_pending());
        drop(rx);
        assert!(matches!(
            poll_once(waiting.as_mut()),
            Poll::Ready(Err(SendError(_)))
        ));
        assert_eq!(Arc::strong_count(&buffered), 1, "no copy is kept");
        assert!(tx.send(buffered).await.is_err());
    });
}

#[test]
fn g34_close_wakes_every_goroutine_that_waits() {
    everywhere(|| async {
        let (stop, stopped) = chan::<()>(0);
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let stopped = stopped.clone();
                go(async move { stopped.recv().await })
            })
            .collect();
        yield_now().await;
        stop.close();
        for handle in waiting {
            assert_eq!(handle.await.unwrap(), None);
        }
    });
}

#[test]
fn g41_a_receive_from_a_closed_channel_is_always_ready() {
    everywhere(|| async {
        let (tx, rx) = chan::<u8>(0);
        drop(tx);
        for _ in 0..1000 {
            assert_eq!(rx.recv().await, None);
        }
    });
}
