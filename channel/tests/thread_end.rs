//! What belongs to a thread ends with it: an operation that lies in a thread-local variable is dropped
//! when those of this crate may be gone already.
#![cfg(not(loom))]

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::thread;

use gorin_channel::{Receiver, chan, select};

type Kept = RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>;

thread_local! {
    static FIRST: Kept = const { RefCell::new(None) };
    static SECOND: Kept = const { RefCell::new(None) };
}

fn keep_waiting(kept: &'static thread::LocalKey<Kept>, rx: Receiver<u8>) {
    let mut wait: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
        select! {
            _ = rx.recv() => {}
            () = std::future::pending() => {}
        }
    });
    kept.set(None);
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(wait.as_mut().poll(cx).is_pending());
    kept.set(Some(wait));
}

#[test]
fn a_select_may_be_dropped_at_the_end_of_its_thread() {
    let (tx, rx) = chan(0);
    let (first, second) = (rx.clone(), rx);
    let thread = thread::spawn(move || {
        FIRST.set(None);
        keep_waiting(&SECOND, second);
        // One that has ended, so that the thread keeps what it used; and one that it leaves behind.
        SECOND.set(None);
        keep_waiting(&FIRST, first.clone());
        keep_waiting(&SECOND, first);
    });
    thread.join().unwrap();
    assert!(tx.is_closed(), "both are dropped, with their receivers");
}
