//! Contexts inside `gorin::model`: cancels at every moment that makes a difference, deadlines in virtual time.
//!
//! The programs run under the explorer (`cargo test --test context`) and, where they need no time, under loom
//! (`cargo loom`). Those on real runtimes are in `tests/go_semantics/context.rs`.

mod explore;

use std::collections::BTreeSet;

use explore::{ends_of, patient};
use gorin::context::CtxError;
use gorin::prelude::*;

/// A worker that takes jobs until it is told to stop; gives what it has done and what was not taken.
async fn cancelled_worker() -> (u32, u32) {
    let (ctx, guard) = Context::background().with_cancel();
    let (job, jobs) = chan(1);
    let worker = go({
        let jobs = jobs.clone();
        async move {
            let mut taken = 0;
            loop {
                select! {
                    job = jobs.recv() => taken += u32::from(job.is_some()),
                    _ = ctx.done() => break taken,
                }
            }
        }
    });
    job.send(()).await.unwrap();
    guard.cancel();
    let taken = worker.await.unwrap();
    (taken, jobs.len() as u32)
}

#[test]
fn a_cancel_comes_before_and_after_the_job_and_loses_none() {
    let ends = ends_of(patient, cancelled_worker);
    assert_eq!(ends, BTreeSet::from([(0, 1), (1, 0)]));
}

#[test]
fn run_gives_up_or_has_its_value() {
    let ends = ends_of(patient, || async {
        let (ctx, guard) = Context::background().with_cancel();
        let (tx, rx) = chan(1);
        go(async move { guard.cancel() });
        go(async move { tx.send(1).await.unwrap() });
        let received = ctx.run(rx.recv()).await;
        // What a run that was given up was handed is still there.
        let left = match received {
            Ok(_) => None,
            Err(_) => rx.recv().await,
        };
        (received.ok().flatten(), left)
    });
    assert_eq!(ends, BTreeSet::from([(Some(1), None), (None, Some(1))]));
}

#[test]
fn a_child_is_made_before_and_after_its_parent_ends_and_ends_in_either_case() {
    let ends = ends_of(patient, || async {
        let (parent, guard) = Context::background().with_cancel();
        let canceller = go(async move { guard.cancel() });
        let (child, _guard) = parent.with_cancel();
        let born_ended = child.err().is_some();
        assert_eq!(child.done().await, CtxError::Canceled);
        canceller.await.unwrap();
        born_ended
    });
    assert_eq!(ends, BTreeSet::from([false, true]));
}

#[test]
fn whoever_of_two_cancels_is_the_first_gives_the_cause_and_both_have_ended_what_is_below() {
    let ends = ends_of(patient, || async {
        let (parent, outer) = Context::background().with_cancel();
        let (child, inner) = parent.with_cancel();
        let (below, _guard) = child.with_cancel();
        let theirs = below.clone();
        let other = go(async move {
            outer.cancel_with("above");
            assert!(theirs.err().is_some());
        });
        inner.cancel_with("here");
        assert!(below.err().is_some());
        other.await.unwrap();
        assert_eq!(parent.cause().unwrap().to_string(), "above");
        below.cause().unwrap().to_string()
    });
    assert_eq!(ends, BTreeSet::from(["above".into(), "here".into()]));
}

#[test]
fn stop_prevents_or_comes_too_late() {
    let ends = ends_of(patient, || async {
        let (ctx, guard) = Context::background().with_cancel();
        let mut function = ctx.after_func(async { 1 });
        let canceller = go(async move { guard.cancel() });
        let stopped = function.stop();
        canceller.await.unwrap();
        (stopped, function.await.unwrap())
    });
    assert_eq!(ends, BTreeSet::from([(false, Some(1)), (true, None)]));
}

#[test]
fn who_waits_for_a_context_that_nobody_ends_is_named() {
    let failure = patient().explore(|| async {
        let (ctx, guard) = Context::background().with_cancel();
        let holder = go(async move {
            // Cancels when it ends, which it does when it is cancelled.
            let _guard = guard;
            Context::background().done().await;
        });
        ctx.done().await;
        drop(holder);
    });
    let failure = failure.expect_err("it is a deadlock");
    let text = failure.to_string();
    assert!(failure.is_deadlock(), "{text}");
    for part in [
        "goroutine 0, main\n    blocked in context done at tests/context.rs:",
        "on context 1 made at tests/context.rs:",
        "goroutine 1, started at tests/context.rs:",
        "on context 2 made at tests/context.rs:",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
}

/// What needs time.
#[cfg(not(loom))]
mod timed {
    use std::time::{Duration, Instant};

    use gorin::time::sleep;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// All happens at the same hour: the value comes, and somebody cancels. The deadline is later.
    #[test]
    fn a_cancel_and_the_work_race_and_the_deadline_is_too_late() {
        let ends = ends_of(patient, || async {
            let (ctx, guard) = Context::background().with_timeout(2 * HOUR);
            let (tx, rx) = chan(1);
            let theirs = rx.clone();
            let working = go(async move { ctx.run(theirs.recv()).await });
            let giver = go(async move {
                sleep(HOUR).await;
                tx.send(1).await.unwrap();
            });
            sleep(HOUR).await;
            guard.cancel();
            giver.await.unwrap();
            let received = working.await.unwrap();
            assert_eq!(received.is_ok(), rx.is_empty());
            received.map_err(|error| error.to_string())
        });
        let cancelled = Err(CtxError::Canceled.to_string());
        assert_eq!(ends, BTreeSet::from([Ok(Some(1)), cancelled]));
    }

    #[test]
    fn a_deadline_follows_the_virtual_time_for_who_waits_and_for_who_looks() {
        let ends = ends_of(patient, || async {
            let (ctx, _guard) = Context::background().with_timeout_cause(2 * HOUR, "two hours");
            let (child, _guard) = ctx.with_timeout(3 * HOUR);
            let (parent_waits, child_waits) = (go(ctx.done()), go(child.done()));
            sleep(HOUR).await;
            assert_eq!(child.err(), None);
            sleep(HOUR).await;
            // Others are woken at this very time; who looks sees it all the same.
            assert_eq!(child.err(), Some(CtxError::DeadlineExceeded));
            let waited = [parent_waits.await.unwrap(), child_waits.await.unwrap()];
            assert_eq!(waited, [CtxError::DeadlineExceeded; 2]);
            child.cause().unwrap().to_string()
        });
        assert_eq!(ends, BTreeSet::from(["two hours".to_owned()]));
    }

    /// For: an end that nobody had looked for did not count, and a deadline still further back was told.
    #[test]
    fn a_child_of_one_that_has_ended_unseen_ends_for_the_same() {
        let past = Instant::now();
        let (ctx, _guard) = Context::background().with_deadline_cause(past, "of the parent");
        let (child, guard) = ctx.with_deadline_cause(past - Duration::from_nanos(1), "its own");
        guard.cancel_with("a cancel");
        assert_eq!(child.cause().unwrap().to_string(), "of the parent");
    }

    #[test]
    fn a_cancel_at_the_deadline_or_after_it_is_too_late() {
        let ends = ends_of(patient, || async {
            let (ctx, guard) = Context::background().with_timeout(HOUR);
            let waits = go(ctx.done());
            let canceller = go(async move {
                sleep(HOUR).await;
                guard.cancel_with("too late");
            });
            let told = waits.await.unwrap();
            canceller.await.unwrap();
            assert_eq!(ctx.err(), Some(told));
            told == CtxError::DeadlineExceeded
        });
        assert_eq!(ends, BTreeSet::from([true]));
    }

    /// For: a loop that tries again, of which the end of the context made one that keeps its worker.
    #[test]
    fn who_runs_again_and_again_what_is_not_wanted_lets_others_run() {
        let others = gorin::Runtime::builder().workers(1).run(async {
            let (ctx, guard) = Context::background().with_cancel();
            guard.cancel();
            let other = go(async {});
            let tries = (0..10_000).filter(|_| !other.is_finished());
            for _ in tries {
                let given_up = ctx.run(std::future::pending::<()>()).await;
                assert_eq!(given_up, Err(CtxError::Canceled));
            }
            other.is_finished()
        });
        assert!(others.unwrap(), "they did not run");
    }

    #[test]
    fn who_waits_for_a_deadline_is_no_deadlock() {
        gorin::model(|| async {
            let (ctx, guard) = Context::background().with_timeout(HOUR);
            guard.disarm();
            let (_tx, rx) = chan::<()>(0);
            assert_eq!(ctx.run(rx.recv()).await, Err(CtxError::DeadlineExceeded));
        });
    }
}
