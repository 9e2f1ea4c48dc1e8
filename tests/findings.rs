//! What `gorin::model` finds beside deadlocks, leaks and panics: values that nobody will see, and
//! answers that nobody looked at. Each bug is found, and the program that mends it passes.

#![cfg(not(loom))]

mod explore;

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use explore::{fails, passes, patient};
use gorin::Spec;
use gorin::channel::Sender;
use gorin::model::Coverage;
use gorin::prelude::*;
use gorin::sync::{Notify, WaitGroup};
use gorin_base::check::poll_once;

/// A server with a queue of jobs, told to quit by another channel. If it does not look into the queue
/// once more, the jobs in it are lost: the bug.
async fn server(drains: bool) {
    let (job, jobs) = chan(2);
    let (quit, quits) = chan::<()>(0);
    let server = go_with(Spec::new().name("server"), async move {
        let mut sum = 0;
        loop {
            select! {
                job = jobs.recv() => sum += job.unwrap_or(0),
                _ = quits.recv() => break,
            }
        }
        while drains && let Ok(job) = jobs.try_recv() {
            sum += job;
        }
        sum
    });
    job.send(1).await.unwrap();
    job.send(2).await.unwrap();
    quit.close();
    let sum = server.await.unwrap();
    assert!(!drains || sum == 3);
}

#[test]
fn jobs_that_a_server_leaves_in_its_queue_are_lost() {
    let failure = fails(|| server(false));
    assert!(failure.is_lost_value());
    let text = failure.to_string();
    for part in [
        "goroutine 1 dropped the last receiver of channel 1, made at tests/findings.rs:",
        "in it, which w",
        "it was started at tests/findings.rs:",
        "goroutine 0, main\n    blocked in join of goroutine 1",
        "close by the last receiver, channel 1",
        "schedule: ",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    passes(|| server(true));
}

/// As the server, but found out by nobody who waits for it: `main` waits for another goroutine.
async fn forgetful(drains: bool) {
    let (tx, rx) = chan(1);
    let all = WaitGroup::new();
    let token = all.add();
    go(async move {
        tx.send(String::from("precious")).await.unwrap();
        drop(token);
    });
    go(async move {
        while drains && rx.recv().await.is_some() {}
        drop(rx);
    });
    all.wait().await;
}

#[test]
fn a_value_is_lost_if_main_waits_for_somebody_else_too() {
    // The receiver may also go before the send, which then fails: both are found.
    let builder = patient().allow_panics();
    let failure = builder.explore(|| forgetful(false)).unwrap_err();
    assert!(failure.is_lost_value(), "{failure}");
    passes(|| forgetful(true));
}

/// A receive that is given up after a value was handed to it: the value goes back to the channel,
/// which is then dropped. The sender was told that its value is received.
async fn gives_up(looks_again: bool) {
    let (tx, rx) = chan(0);
    let (stop, stops) = chan::<()>(0);
    let sender = go(async move { tx.send(7).await.is_ok() });
    let receiver = go(async move {
        let received = {
            let (one, other) = (pin!(rx.recv()), pin!(stops.recv()));
            match futures::future::select(other, one).await {
                futures::future::Either::Left(_) => None,
                futures::future::Either::Right((value, _)) => value,
            }
        };
        match received {
            None if looks_again => rx.try_recv().ok(),
            other => other,
        }
    });
    drop(stop);
    let sent = sender.await.unwrap();
    let received = receiver.await.unwrap();
    assert!(!looks_again || sent == received.is_some());
}

#[test]
fn a_value_put_back_by_a_receive_that_was_given_up_can_be_lost() {
    assert!(fails(|| gives_up(false)).is_lost_value());
    passes(|| gives_up(true));
}

#[test]
fn losses_that_are_meant_can_be_allowed() {
    let report = patient().allow_lost_values().check(|| server(false));
    assert_eq!(report.coverage, Coverage::Complete);
}

#[test]
fn a_loss_is_found_without_the_reduction_and_at_random_too() {
    let without = patient().without_reduction();
    assert!(
        without
            .explore(|| server(false))
            .unwrap_err()
            .is_lost_value()
    );
    let random = patient().seed(1).max_iterations(1000);
    assert!(
        random
            .explore(|| server(false))
            .unwrap_err()
            .is_lost_value()
    );
}

#[test]
fn what_main_leaves_behind_is_not_lost() {
    // The first of two results, and a buffer that main looks at.
    passes(|| async {
        let (tx, rx) = chan(2);
        for n in 0..2 {
            let tx = tx.clone();
            go(async move { tx.send(n).await.is_ok() });
        }
        drop(tx);
        rx.recv().await.unwrap();
    });
}

#[test]
fn what_goes_because_main_has_ended_is_not_lost() {
    // The worker leaves, with a job in its queue, because nobody takes its results any more.
    passes(|| async {
        let (job, jobs) = chan(2);
        let (result, results) = chan(0);
        go(async move {
            while let Some(n) = jobs.recv().await {
                if result.send(n).await.is_err() {
                    return;
                }
            }
        });
        job.send(1).await.unwrap();
        job.send(2).await.unwrap();
        assert_eq!(results.recv().await, Some(1));
    });
}

#[test]
fn a_signal_that_nobody_hears_is_no_value() {
    passes(|| async {
        let (stop, stopped) = chan::<()>(1);
        let worker = go(async move { drop(stopped) });
        let _ = stop.send(()).await;
        worker.await.unwrap();
    });
}

/// A producer whose consumer leaves after one value.
async fn producer(looks: bool) {
    let (tx, rx) = chan(0);
    let producer = go(async move {
        for n in 0..4 {
            let sent = tx.send(n).await;
            if looks && sent.is_err() {
                return;
            }
        }
    });
    assert_eq!(rx.recv().await, Some(0));
    drop(rx);
    producer.await.unwrap();
}

#[test]
fn sending_on_after_being_told_that_the_channel_is_closed_is_found() {
    let failure = fails(|| producer(false));
    assert!(failure.is_ignored_send());
    let text = failure.to_string();
    for part in [
        "goroutine 1 was told in step ",
        "that channel 1, made at tests/findings.rs:",
        "is closed, and sends on it again",
        "after its step at tests/findings.rs:",
        "it was started at tests/findings.rs:",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    passes(|| producer(true));
    let report = patient().allow_ignored_sends().check(|| producer(false));
    assert_eq!(report.coverage, Coverage::Complete);
}

#[test]
fn every_way_to_send_can_be_ignored() {
    assert!(
        fails(|| async {
            let (tx, rx) = chan(1);
            drop(rx);
            let _ = tx.try_send(1);
            let _ = tx.try_send(2);
        })
        .is_ignored_send()
    );
    assert!(
        fails(|| async {
            let (tx, rx) = chan::<u8>(1);
            drop(rx);
            let _ = tx.reserve().await.is_ok();
            let _ = tx.send(1).await;
        })
        .is_ignored_send()
    );
    assert!(
        fails(|| async {
            let (tx, rx) = chan(1);
            let permit = tx.reserve().await.unwrap();
            let _ = rx.close();
            let _ = permit.send(1);
            let _ = tx.try_send(2);
        })
        .is_ignored_send()
    );
    assert!(
        fails(|| async {
            let (tx, rx) = chan(0);
            let (other, others) = chan::<u8>(0);
            drop(rx);
            for n in 0..2 {
                select! {
                    _ = tx.send(n) => {}
                    _ = others.recv() => {}
                }
            }
            drop(other);
        })
        .is_ignored_send()
    );
}

#[test]
fn two_sends_that_wait_when_the_channel_is_closed_are_both_told_for_the_first_time() {
    passes(|| async {
        let (tx, rx) = chan(0);
        let (mut first, mut second) = (pin!(tx.send(1)), pin!(tx.send(2)));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        drop(rx);
        assert!(first.await.is_err());
        assert!(second.await.is_err());
    });
}

/// Fails in the step in which `main` learns of the end of goroutine 1.
async fn fails_after_a_join() {
    let joined = go(async {});
    joined.await.unwrap();
    panic!("on purpose");
}

#[test]
fn a_report_names_no_file_of_gorin() {
    let text = fails(fails_after_a_join).to_string();
    assert!(!text.contains("join.rs"), "{text}");
}

#[test]
fn where_a_goroutine_was_aborted_is_told() {
    let text = fails(|| async {
        let aborted = go(std::future::pending::<()>());
        aborted.abort();
        let _ = aborted.await;
        panic!("on purpose");
    })
    .to_string();
    let line = text.lines().find(|line| line.contains("abort")).unwrap();
    assert!(line.contains("at tests/findings.rs:"), "{text}");
}

#[test]
fn a_goroutine_that_sleeps_is_said_to() {
    let text = fails(|| async {
        go(gorin::time::sleep(std::time::Duration::from_secs(1)));
        yield_now().await;
        panic!("on purpose");
    })
    .to_string();
    assert!(text.contains("sleeps: the time it waits for"), "{text}");
    assert!(!text.contains("not gorin's"), "{text}");
}

#[test]
fn a_wait_for_a_notification_names_what_it_is_for() {
    let failure = fails(|| async { Notify::new().notified().await });
    assert!(failure.is_deadlock());
    let text = failure.to_string();
    assert!(
        text.contains("on notify 1 made at tests/findings.rs:"),
        "{text}"
    );
}

/// Uses the channels in one way or another.
type Uses = fn(&Sender<u8>, &Sender<u8>, bool);

/// Uses one channel in every other execution, and another one in between.
async fn does_not_repeat_itself(uses: Uses) {
    static EXECUTIONS: AtomicUsize = AtomicUsize::new(0);
    let other_way = EXECUTIONS.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
    let ((one, from_one), (two, from_two)) = (chan(4), chan(4));
    let (one_too, two_too) = (one.clone(), two.clone());
    let user = go(async move { uses(&one_too, &two_too, other_way) });
    uses(&one, &two, false);
    user.await.unwrap();
    drop((from_one, from_two));
}

#[test]
fn a_program_that_does_not_repeat_itself_is_told_so() {
    let kinds: [Uses; 3] = [
        |one, two, other_way| if other_way { one } else { two }.try_send(1).unwrap(),
        |one, _, other_way| match other_way {
            true => assert!(!one.is_full()),
            false => one.try_send(1).unwrap(),
        },
        |one, _, other_way| {
            for _ in 0..1 + usize::from(other_way) {
                one.try_send(1).unwrap();
            }
        },
    ];
    for uses in kinds {
        let text = fails(move || does_not_repeat_itself(uses)).to_string();
        assert!(text.contains("the program did not repeat itself"), "{text}");
    }
}
