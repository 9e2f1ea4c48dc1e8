//! Models that look inside: no operation leaves a waiter behind.

use std::pin::pin;

use gorin_base::check::{block_on, model, poll_once};
use gorin_base::primitive::thread;

use crate::chan::Shared;
use crate::{chan, select};

fn waiters<T>(shared: &Shared<T>) -> usize {
    shared.state.lock().waiters.len()
}

/// A select that was served by one channel has no waiter in the other. For: losers that pile up in
/// quiet channels.
#[test]
fn a_select_leaves_no_waiter_behind() {
    model("a select leaves no waiter behind", || {
        let (tx, rx) = chan(0);
        let (_quiet, quiet_rx) = chan::<u8>(0);
        let sender = thread::spawn(move || {
            block_on(tx.send(1)).unwrap();
            tx
        });
        let received = block_on(async {
            select! {
                value = rx.recv() => value,
                value = quiet_rx.recv() => value,
            }
        });
        assert_eq!(received, Some(1));
        let tx = sender.join().unwrap();
        assert_eq!((waiters(&tx.shared), waiters(&quiet_rx.shared)), (0, 0));
    });
}

/// Dropped operations leave none either, whether a partner was faster or not.
#[test]
fn dropped_operations_leave_no_waiter_behind() {
    model("dropped operations leave no waiter behind", || {
        let (tx, rx) = chan(0);
        let other = rx.clone();
        let dropper = thread::spawn(move || {
            let received = poll_once(pin!(other.recv()));
            (received, other)
        });
        let sent = poll_once(pin!(tx.send(1)));
        let (received, other) = dropper.join().unwrap();
        assert_eq!(waiters(&tx.shared), 0);
        let put_back = usize::from(sent.is_ready() && received.is_pending());
        assert_eq!(rx.len(), put_back);
        drop(other);
    });
}
