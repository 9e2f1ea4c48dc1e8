//! Signals: streams of them, several of those, and what cannot be had. Signals concern the whole
//! process, so each test has one of its own.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::future::Future;
use std::io::ErrorKind;
use std::time::Duration;

use futures::StreamExt;
use gorin::Runtime;
use gorin::prelude::*;
use gorin::signal::{Signal, Signals, shutdown_requested, signals};
use gorin::time::timeout;
use signal_hook::low_level::raise;

/// Runs `program` on a runtime with two workers.
fn on_two_workers<F: Future<Output = ()> + 'static>(program: fn() -> F) {
    common::within_patience(move || {
        let run = Runtime::builder().workers(2).run(program());
        run.expect("a runtime can be started");
    });
}

fn send(signal: Signal) {
    raise(signal.as_raw()).expect("a process may signal itself");
}

/// What is there without waiting for more.
async fn rest(stream: &mut Signals) -> Vec<Signal> {
    let mut rest = Vec::new();
    while let Ok(signal) = timeout(Duration::from_millis(20), stream.recv()).await {
        rest.push(signal.unwrap());
    }
    rest
}

#[test]
fn each_stream_gets_each_signal_that_it_asked_for() {
    on_two_workers(|| async {
        let mut both = signals([Signal::USER1, Signal::USER2]).unwrap();
        let mut one = signals([Signal::USER2]).unwrap();
        for _ in 0..50 {
            send(Signal::USER2);
            assert_eq!(both.recv().await.unwrap(), Signal::USER2);
            assert_eq!(one.next().await.unwrap().unwrap(), Signal::USER2);
            send(Signal::USER1);
            assert_eq!(both.recv().await.unwrap(), Signal::USER1);
        }
        assert_eq!(rest(&mut both).await, []);
        assert_eq!(rest(&mut one).await, []);
    });
}

#[test]
fn signals_that_nobody_has_received_yet_become_one_and_dropped_receives_lose_none() {
    on_two_workers(|| async {
        let mut stream = signals([Signal::WINDOW_CHANGE, Signal::HANGUP]).unwrap();
        for _ in 0..1000 {
            send(Signal::WINDOW_CHANGE);
        }
        send(Signal::HANGUP);
        let quiet = timeout(Duration::ZERO, std::future::pending::<()>());
        select! {
            biased;
            _ = quiet => {}
            _ = stream.recv() => unreachable!("the first case was ready"),
        }
        let mut got = [(); 2].map(|()| Signal::QUIT);
        for signal in &mut got {
            *signal = stream.recv().await.unwrap();
        }
        assert_eq!(got, [Signal::HANGUP, Signal::WINDOW_CHANGE]);
        assert_eq!(rest(&mut stream).await, []);
    });
}

#[test]
fn a_signal_wakes_a_goroutine_that_waits() {
    on_two_workers(|| async {
        let mut stream = signals([Signal::ALARM]).unwrap();
        let (ready, is_ready) = chan(0);
        let waiter = go(async move {
            ready.send(()).await.unwrap();
            stream.recv().await.unwrap()
        });
        is_ready.recv().await;
        // Sent by a thread that no runtime knows.
        std::thread::spawn(|| send(Signal::ALARM)).join().unwrap();
        assert_eq!(waiter.await.unwrap(), Signal::ALARM);
    });
}

#[test]
fn both_requests_to_end_are_heard() {
    on_two_workers(|| async {
        for signal in [Signal::TERMINATE, Signal::INTERRUPT] {
            let requested = shutdown_requested();
            send(signal);
            assert_eq!(requested.await.unwrap(), signal);
        }
    });
}

#[test]
fn what_cannot_be_waited_for_is_refused_with_the_reason() {
    on_two_workers(|| async {
        for (number, name) in [
            (
                9,
                "SIGKILL cannot be waited for: the system lets no process",
            ),
            (19, "SIGSTOP cannot"),
            (11, "SIGSEGV cannot be waited for: it tells of an error"),
            (0, "signal 0 cannot"),
            (-3, "signal -3 cannot"),
            (65, "signal 65 cannot be waited for: Linux numbers"),
        ] {
            let error = signals([number]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().starts_with(name), "{error}");
        }
        // The C library keeps this one for itself, and says so.
        assert_eq!(signals([32]).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn without_a_runtime_the_error_says_what_to_do() {
    let error = signals([Signal::CHILD]).unwrap_err();
    assert!(error.to_string().contains("gorin::run"), "{error}");
}

#[test]
fn a_thousand_streams_leave_no_descriptors() {
    on_two_workers(|| async {
        let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = count();
        for _ in 0..1000 {
            drop(signals([Signal::QUIT]).unwrap());
        }
        // Other tests of this process hold some, each some tens.
        assert!(count() < before + 900);
    });
}
