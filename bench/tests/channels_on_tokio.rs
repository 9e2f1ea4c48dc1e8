//! gorin's channels on tokio's executor: the seam is std's `Future` and `Waker`, so another
//! runtime's tasks, its `timeout` and its `select!` must do as well as gorin's own.
#![cfg(feature = "tokio")]

use std::collections::HashSet;
use std::time::Duration;

use gorin_channel::{Chan, Receiver, Sender, chan, select, unbounded};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// Values of one stream; each says who sent it.
type Message = (usize, usize);

/// Generous: a test that hangs fails, on a loaded machine too.
const LIMIT: Duration = Duration::from_secs(60);

fn on_tokio<F: Future>(workers: usize, test: F) -> F::Output {
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_time()
        .build()
        .expect("tokio starts");
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, test)
            .await
            .expect("ends in time")
    })
}

async fn send_all(tx: Sender<Message>, sender: usize, messages: usize) {
    for n in 0..messages {
        tx.send((sender, n)).await.expect("receivers are there");
    }
}

/// Each message arrives once, and those of one sender in their order at each receiver.
async fn stream((tx, rx): (Sender<Message>, Receiver<Message>), ends: usize, messages: usize) {
    let mut receivers = JoinSet::new();
    for _ in 0..ends {
        let rx = rx.clone();
        receivers.spawn(async move {
            let mut received = Vec::new();
            while let Some(message) = rx.recv().await {
                received.push(message);
            }
            received
        });
    }
    for sender in 0..ends {
        tokio::spawn(send_all(tx.clone(), sender, messages));
    }
    drop((tx, rx));
    let mut seen = HashSet::new();
    for received in receivers.join_all().await {
        let mut next = vec![0; ends];
        for (sender, n) in received {
            assert!(n >= next[sender], "{n} of {sender} came after a later one");
            next[sender] = n + 1;
            assert!(seen.insert((sender, n)), "{n} of {sender} came twice");
        }
    }
    assert_eq!(seen.len(), ends * messages, "messages were lost");
}

#[test]
fn streams_lose_nothing_at_any_capacity() {
    for workers in [1, 2] {
        for ends in [1, 4] {
            for capacity in [0, 1, 64] {
                on_tokio(workers, stream(chan(capacity), ends, 500));
            }
            on_tokio(workers, stream(unbounded(), ends, 500));
        }
    }
}

/// tokio's time limit drops receives at any moment, also after a value was handed to them.
#[test]
fn receives_that_tokio_drops_lose_nothing() {
    const MESSAGES: usize = 2000;
    on_tokio(2, async {
        let (tx, rx) = chan(0);
        // Started by the first receive that is dropped, so that there is one.
        let mut sender = Some(send_all(tx, 0, MESSAGES));
        let mut received = Vec::new();
        loop {
            tokio::select! {
                biased;
                message = rx.recv() => match message {
                    Some((_, n)) => received.push(n),
                    None => break,
                },
                () = tokio::task::yield_now() => {
                    if let Some(sender) = sender.take() {
                        tokio::spawn(sender);
                    }
                }
            }
        }
        received.sort_unstable();
        assert_eq!(received, (0..MESSAGES).collect::<Vec<_>>());
    });
}

#[test]
fn selects_send_and_receive_between_tokio_tasks() {
    const ROUNDS: usize = 1000;
    on_tokio(2, async {
        let (to, from) = (Chan::new(0), Chan::new(1));
        let (peer_in, peer_out) = (to.clone(), from.clone());
        let peer = tokio::spawn(async move {
            while let Some(n) = peer_in.recv().await {
                peer_out.send(n + 1).await.expect("open");
            }
        });
        let (mut sent, mut sum) = (0, 0);
        for _ in 0..2 * ROUNDS {
            select! {
                done = to.send(sent), if sent < ROUNDS => {
                    done.expect("open");
                    sent += 1;
                }
                answer = from.recv() => sum += answer.expect("open"),
            }
        }
        assert_eq!((sent, sum), (ROUNDS, (1..=ROUNDS).sum()));
        to.close();
        peer.await.expect("the peer ends");
    });
}
