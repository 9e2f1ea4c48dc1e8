//! G68–G73: contexts.
//!
//! Races step by step are `src/context/models.rs`'s, and every order of small programs `tests/context.rs`'s;
//! here are goroutines on real runtimes.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures::future::join_all;
use gorin::context::{CancelGuard, CtxError};
use gorin::prelude::*;
use gorin::time::{after, timeout};

use super::common::{PATIENCE, within_patience};
use super::everywhere;

const CANCELED: Option<CtxError> = Some(CtxError::Canceled);
const EXCEEDED: Option<CtxError> = Some(CtxError::DeadlineExceeded);

/// So long that no test sees the end of it.
const HOUR: Duration = Duration::from_secs(3600);

fn cancelable() -> (Context, CancelGuard) {
    Context::background().with_cancel()
}

/// True if it has ended for whoever looks in whichever way, and false if for none.
#[track_caller]
fn has_ended(ctx: &Context) -> bool {
    let ended = ctx.err().is_some();
    let mut done = pin!(ctx.done());
    let polled = done
        .as_mut()
        .poll(&mut std::task::Context::from_waker(Waker::noop()));
    assert_eq!(polled.is_ready(), ended);
    assert_eq!(ctx.cause().is_some(), ended);
    ended
}

fn cause_of(ctx: &Context) -> String {
    ctx.cause().expect("it has ended").to_string()
}

#[test]
fn g68_a_cancel_goes_down_and_neither_up_nor_aside() {
    everywhere(|| async {
        let (top, _top_guard) = cancelable();
        let (left, left_guard) = top.with_cancel();
        let (right, _right_guard) = top.with_cancel();
        let (below, _below_guard) = left.with(1).with_timeout(HOUR);
        let (bottom, _bottom_guard) = below.with_cancel();
        let waiting = [&left, &below, &bottom].map(|ctx| go(ctx.done()));
        left_guard.cancel();
        for ctx in [&left, &below, &bottom] {
            assert!(has_ended(ctx));
            assert_eq!(ctx.err(), CANCELED);
        }
        assert!(!has_ended(&top) && !has_ended(&right));
        for waits in waiting {
            assert_eq!(waits.await.unwrap(), CtxError::Canceled);
        }
    });
}

#[test]
fn g68_a_child_that_ends_first_leaves_its_parent_and_the_parents_cancel_finds_no_more() {
    everywhere(|| async {
        let (parent, guard) = cancelable();
        let (child, child_guard) = parent.with_cancel();
        child_guard.cancel_with("the child's own");
        assert!(has_ended(&child) && !has_ended(&parent));
        guard.cancel_with("the parent's");
        assert_eq!(cause_of(&child), "the child's own");
        assert_eq!(cause_of(&parent), "the parent's");
    });
}

#[test]
fn g68_cancelling_again_and_from_everywhere_is_cancelling_once() {
    everywhere(|| async {
        for _ in 0..50 {
            let (parent, guard) = cancelable();
            let (child, _child_guard) = parent.with_cancel();
            let waiting: Vec<_> = (0..8)
                .map(|n| {
                    go(if n % 2 == 0 {
                        parent.done()
                    } else {
                        child.done()
                    })
                })
                .collect();
            let guard = Arc::new(guard);
            let cancelling: Vec<_> = (0..4)
                .map(|_| {
                    let (guard, child) = (guard.clone(), child.clone());
                    go(async move {
                        guard.cancel();
                        // Whoever of the four was first.
                        assert_eq!(child.err(), CANCELED);
                    })
                })
                .collect();
            for one in cancelling {
                one.await.unwrap();
            }
            for one in waiting {
                assert_eq!(one.await.unwrap(), CtxError::Canceled);
            }
        }
    });
}

#[test]
fn g68_a_child_of_a_cancelled_parent_is_born_cancelled() {
    everywhere(|| async {
        let (parent, guard) = cancelable();
        guard.cancel_with("no more");
        let (child, _guard) = parent.with(1).with_cancel();
        let (timed, _guard) = child.with_deadline(Instant::now() - Duration::from_secs(1));
        assert!(has_ended(&child) && has_ended(&timed));
        // Cancelled before its deadline could end it.
        assert_eq!((child.err(), timed.err()), (CANCELED, CANCELED));
        assert_eq!(
            (cause_of(&child), cause_of(&timed)),
            ("no more".into(), "no more".into())
        );
        assert_eq!(timed.done().await, CtxError::Canceled);
    });
}

#[test]
fn g68_children_that_are_made_while_the_parent_is_cancelled_all_end() {
    everywhere(|| async {
        for _ in 0..50 {
            let (parent, guard) = cancelable();
            let makers: Vec<_> = (0..4)
                .map(|_| {
                    let parent = parent.clone();
                    go(async move {
                        let (child, _guard) = parent.with_cancel();
                        yield_now().await;
                        let (grandchild, _guard) = child.with_timeout(HOUR);
                        (child.done().await, grandchild.done().await)
                    })
                })
                .collect();
            yield_now().await;
            go(async move { drop(guard) });
            for maker in makers {
                let both = timeout(PATIENCE, maker).await.expect("no child is missed");
                assert_eq!(both.unwrap(), (CtxError::Canceled, CtxError::Canceled));
            }
        }
    });
}

/// One waits for the child and cancels the parent, the other cancels the child.
#[test]
fn g68_who_is_told_of_a_cancel_may_cancel_above() {
    everywhere(|| async {
        let (parent, parent_guard) = cancelable();
        let (child, child_guard) = parent.with_cancel();
        let upward = go(async move {
            child.done().await;
            parent_guard.cancel();
        });
        child_guard.cancel();
        assert_eq!(parent.done().await, CtxError::Canceled);
        upward.await.unwrap();
    });
}

/// A foreign waker, called inside of the cancel, may use the tree: no lock is held there.
#[test]
fn g68_a_waker_may_come_back() {
    struct ComesBack {
        ctx: Context,
        guard: CancelGuard,
        woken: AtomicU32,
    }

    impl Wake for ComesBack {
        fn wake(self: Arc<Self>) {
            assert_eq!(self.ctx.err(), CANCELED);
            self.guard.cancel();
            let (child, _guard) = self.ctx.with_cancel();
            assert!(has_ended(&child));
            self.woken.fetch_add(1, Ordering::SeqCst);
        }
    }

    within_patience(|| {
        let (parent, guard) = cancelable();
        let (ctx, child_guard) = parent.with_cancel();
        let back = Arc::new(ComesBack {
            ctx: ctx.clone(),
            guard: child_guard,
            woken: AtomicU32::new(0),
        });
        let waker = Waker::from(back.clone());
        let mut done = pin!(ctx.done());
        let mut cx = std::task::Context::from_waker(&waker);
        assert!(done.as_mut().poll(&mut cx).is_pending());
        guard.cancel();
        assert_eq!(back.woken.load(Ordering::SeqCst), 1);
        assert!(done.as_mut().poll(&mut cx).is_ready());
    });
}

#[test]
fn g68_the_background_never_ends_and_nothing_else_ends_by_itself() {
    everywhere(|| async {
        let background = Context::background();
        let (child, _guard) = background.with_cancel();
        for ctx in [background, child] {
            assert!(!has_ended(&ctx));
            assert_eq!(ctx.deadline(), None);
            let silence = timeout(Duration::from_millis(5), ctx.done()).await;
            assert!(silence.is_err());
        }
    });
}

#[test]
fn g68_the_guard_cancels_when_it_is_dropped_also_with_an_aborted_goroutine() {
    everywhere(|| async {
        let (ctx, guard) = cancelable();
        let (disarmed, its_guard) = ctx.with_cancel();
        its_guard.disarm();
        assert!(!has_ended(&disarmed));
        let holder = go(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        assert!(!has_ended(&ctx));
        holder.abort();
        assert_eq!(ctx.done().await, CtxError::Canceled);
        assert!(has_ended(&disarmed), "it still ends with its parent");
    });
}

/// In a parent that lives for ever; if each left something, or looked along its siblings, this would not end.
#[test]
fn g68_a_hundred_thousand_children_come_and_go_and_a_hundred_thousand_end_at_once() {
    within_patience(|| {
        let (parent, guard) = cancelable();
        for _ in 0..100_000 {
            let (child, own) = parent.with_cancel();
            own.disarm();
            drop(child);
        }
        let mut wide: Vec<_> = (0..100_000).map(|_| parent.with_cancel()).collect();
        // Their drops come in an order that is neither that of their making nor its reverse.
        for index in (0..100_000).step_by(2).rev() {
            drop(wide.swap_remove(index));
        }
        guard.cancel();
        assert!(wide.iter().all(|(ctx, _)| ctx.err() == CANCELED));
    });
}

#[test]
fn g68_a_chain_of_a_hundred_thousand_is_cancelled_and_dropped_without_a_stack() {
    within_patience(|| {
        for cancels in [true, false] {
            let (top, guard) = cancelable();
            let mut last = top;
            for _ in 0..100_000 {
                let (child, own) = last.with_cancel();
                own.disarm();
                last = child;
            }
            match cancels {
                true => guard.cancel(),
                false => guard.disarm(),
            }
            assert_eq!(last.err().is_some(), cancels);
            drop(last);
        }
    });
}

#[test]
fn g69_a_deadline_is_at_most_the_parents() {
    everywhere(|| async {
        let now = Instant::now();
        let (near, far) = (now + HOUR, now + 2 * HOUR);
        let (early, _guard) = Context::background().with_deadline(near);
        let (late, _guard) = Context::background().with_deadline(far);
        let deadline = |ctx: &Context, at| ctx.with_deadline(at).0.deadline();
        assert_eq!(deadline(&early, far), Some(near));
        assert_eq!(deadline(&late, near), Some(near));
        let (plain, _guard) = early.with(1).with_cancel();
        assert_eq!(plain.deadline(), Some(near), "inherited");
        let (longer, _guard) = Context::background().with_timeout(Duration::MAX);
        assert_eq!(longer.deadline(), None, "beyond the clock");
        assert!(!has_ended(&longer));
    });
}

#[test]
fn g69_a_deadline_ends_its_context_and_all_below_and_wakes_who_waits() {
    everywhere(|| async {
        let start = Instant::now();
        let limit = Duration::from_millis(10);
        let (ctx, _guard) = Context::background().with_timeout(limit);
        let (child, _guard) = ctx.with_cancel();
        let (longer, _guard) = child.with_timeout(HOUR);
        let waiting = [&ctx, &child, &longer].map(|ctx| go(ctx.done()));
        for waits in waiting {
            assert_eq!(waits.await.unwrap(), CtxError::DeadlineExceeded);
        }
        assert!(start.elapsed() >= limit);
        for ctx in [&ctx, &child, &longer] {
            assert!(has_ended(ctx));
            assert_eq!(ctx.err(), EXCEEDED);
        }
    });
}

#[test]
fn g69_the_first_by_time_ends_it() {
    everywhere(|| async {
        let limit = Duration::from_millis(3);
        let (cancelled, guard) = Context::background().with_timeout(HOUR);
        guard.cancel();
        assert_eq!(cancelled.err(), CANCELED);

        // Nobody has looked or waited: the deadline has passed by the clock alone.
        let (passed, guard) = Context::background().with_timeout(limit);
        let (below, below_guard) = passed.with_cancel();
        after(2 * limit).await;
        below_guard.cancel_with("too late");
        guard.cancel_with("too late");
        assert_eq!((passed.err(), below.err()), (EXCEEDED, EXCEEDED));
        assert_eq!(cause_of(&below), CtxError::DeadlineExceeded.to_string());

        let (late, _guard) = passed.with_timeout(HOUR);
        assert_eq!(late.err(), EXCEEDED, "a child of what has passed");
        let (past, _guard) = Context::background().with_deadline(Instant::now());
        assert!(has_ended(&past));
        assert_eq!(past.err(), EXCEEDED);
    });
}

#[test]
fn g69_a_cancel_comes_before_a_deadline_for_who_waits_for_both() {
    everywhere(|| async {
        let (ctx, guard) = Context::background().with_timeout(HOUR);
        let waits = go(ctx.done());
        yield_now().await;
        guard.cancel();
        assert_eq!(waits.await.unwrap(), CtxError::Canceled);
    });
}

#[test]
fn g69_the_errors_say_what_go_says_and_are_errors_of_io() {
    let io = |error: CtxError| io::Error::from(error);
    assert_eq!(CtxError::Canceled.to_string(), "context canceled");
    assert_eq!(
        CtxError::DeadlineExceeded.to_string(),
        "context deadline exceeded"
    );
    assert_eq!(
        io(CtxError::DeadlineExceeded).kind(),
        io::ErrorKind::TimedOut
    );
    assert_ne!(io(CtxError::Canceled).kind(), io::ErrorKind::Interrupted);
    for error in [CtxError::Canceled, CtxError::DeadlineExceeded] {
        let io = io(error);
        let inside = io.get_ref().and_then(|inside| inside.downcast_ref());
        assert_eq!(inside, Some(&error));
    }
}

#[test]
fn g70_the_first_cause_stays_and_is_inherited() {
    everywhere(|| async {
        let (parent, guard) = cancelable();
        let (child, child_guard) = parent.with(1).with_timeout(HOUR);
        assert!(parent.cause().is_none() && child.cause().is_none());
        guard.cancel_with(io::Error::from(io::ErrorKind::StorageFull));
        guard.cancel_with("a second one");
        child_guard.cancel_with("the child's, too late");
        for ctx in [&parent, &child, &child.with_cancel().0] {
            let cause = ctx.cause().unwrap();
            let cause: &io::Error = cause.downcast_ref().expect("the error that was given");
            assert_eq!(cause.kind(), io::ErrorKind::StorageFull);
            assert_eq!(ctx.err(), CANCELED, "whatever the cause");
        }
    });
}

#[test]
fn g70_without_a_cause_it_is_the_error() {
    everywhere(|| async {
        let (ctx, guard) = cancelable();
        guard.cancel();
        guard.cancel_with("too late");
        let cause = ctx.cause().unwrap();
        assert_eq!(cause.downcast_ref(), Some(&CtxError::Canceled));
        let (past, _guard) = Context::background().with_deadline(Instant::now());
        let cause = past.cause().unwrap();
        assert_eq!(cause.downcast_ref(), Some(&CtxError::DeadlineExceeded));
    });
}

#[test]
fn g70_the_cause_of_a_deadline_is_that_of_the_one_that_comes_first() {
    everywhere(|| async {
        let soon = Instant::now() + Duration::from_millis(3);
        let background = Context::background();
        let (parent, _guard) = background.with_deadline_cause(soon, "the parent's");
        let (late, _guard) = parent.with_timeout_cause(HOUR, "of one that never comes");
        let (early, _guard) = background.with_timeout_cause(HOUR, "of one that never comes");
        let (early, _guard) = early.with_deadline_cause(soon, "the child's");
        let (plain, _guard) = early.with_cancel();
        for ctx in [&parent, &late, &early, &plain] {
            assert_eq!(ctx.done().await, CtxError::DeadlineExceeded);
        }
        let causes = [&parent, &late, &early, &plain].map(cause_of);
        assert_eq!(
            causes,
            ["the parent's", "the parent's", "the child's", "the child's"]
        );

        let (cancelled, guard) = background.with_timeout_cause(HOUR, "of one that never comes");
        guard.cancel();
        assert_eq!(cause_of(&cancelled), CtxError::Canceled.to_string());
    });
}

#[test]
fn g71_the_innermost_value_of_a_type_is_found_through_everything_below() {
    everywhere(|| async {
        #[derive(Debug, PartialEq)]
        struct User(&'static str);
        #[derive(Debug, PartialEq)]
        struct Trace(u64);

        let outer = Context::background().with(User("ann")).with(Trace(1));
        let (child, _guard) = outer.with_cancel();
        let inner = child.with(User("bob"));
        let (bottom, _guard) = inner.with_timeout(HOUR);
        assert_eq!(
            (bottom.get(), bottom.get()),
            (Some(&User("bob")), Some(&Trace(1)))
        );
        assert_eq!(
            child.get(),
            Some(&User("ann")),
            "what is below does not come up"
        );
        assert_eq!(
            bottom.get::<u64>(),
            None,
            "a type is a key, not what it is made of"
        );
        let there = go(async move { bottom.get() == Some(&User("bob")) });
        assert!(there.await.unwrap());
    });
}

#[test]
fn g71_a_value_lives_as_long_as_a_context_that_has_it() {
    everywhere(|| async {
        let value = Arc::new(());
        let (ctx, guard) = Context::background().with(value.clone()).with_cancel();
        let without = ctx.with(Arc::new(()));
        let kept = ctx.clone();
        drop(ctx);
        assert_eq!(Arc::strong_count(&value), 2);
        // Neither the guard nor a context that has another in its place keeps it.
        drop(kept);
        assert_eq!(Arc::strong_count(&value), 1);
        drop(guard);
        assert!(has_ended(&without));
    });
}

#[test]
fn g72_without_cancel_keeps_the_values_and_nothing_else() {
    everywhere(|| async {
        let (ctx, guard) = Context::background().with(7).with_timeout(HOUR);
        let free = ctx.without_cancel();
        guard.cancel_with("over");
        assert!(has_ended(&ctx) && !has_ended(&free));
        assert_eq!((free.get(), free.deadline()), (Some(&7), None));
        assert!(!has_ended(&ctx.without_cancel()), "also when it comes late");
        let (own, own_guard) = free.with_cancel();
        own_guard.cancel();
        assert_eq!((own.err(), free.err()), (CANCELED, None));
    });
}

#[test]
fn g72_after_func_runs_once_in_a_goroutine_of_its_own_when_the_context_ends() {
    everywhere(|| async {
        let (parent, guard) = cancelable();
        let (child, _guard) = parent.with_timeout(HOUR);
        let runs = Arc::new(AtomicU32::new(0));
        let count = || {
            let runs = runs.clone();
            async move { runs.fetch_add(1, Ordering::SeqCst) }
        };
        let functions = [parent.after_func(count()), child.after_func(count())];
        drop(child.after_func(count())); // runs all the same
        yield_now().await;
        assert_eq!(runs.load(Ordering::SeqCst), 0);
        guard.cancel();
        for function in join_all(functions).await {
            assert!(function.unwrap().is_some());
        }
        // Ended already: at once, and not inside of the call.
        let (tx, rx) = chan::<()>(0);
        let late = child.after_func(async move { rx.recv().await });
        drop(tx);
        assert_eq!(late.await.unwrap(), Some(None));
        while runs.load(Ordering::SeqCst) < 3 {
            yield_now().await;
        }
        let (soon, _guard) = Context::background().with_timeout(Duration::from_millis(2));
        assert_eq!(
            soon.after_func(async { 1 }).await.unwrap(),
            Some(1),
            "by a deadline"
        );
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn g72_stop_says_whether_it_prevented_the_function() {
    everywhere(|| async {
        let (ctx, guard) = cancelable();
        let owned = Arc::new(());
        let held = owned.clone();
        let mut prevented = ctx.after_func(async move { drop(held) });
        assert!(prevented.stop());
        assert_eq!(Arc::strong_count(&owned), 1, "it is dropped");
        assert!(!prevented.stop(), "nothing is left to prevent");

        let (tx, rx) = chan(0);
        let mut begun = ctx.after_func(async move { tx.send(()).await });
        guard.cancel();
        assert_eq!(prevented.await.unwrap(), None);
        rx.recv().await.unwrap();
        assert!(!begun.stop(), "it has begun");
        assert_eq!(begun.await.unwrap(), Some(Ok(())));
    });
}

/// Drops count.
struct Dropped(Arc<AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn g73_run_drops_the_future_when_the_context_ends() {
    everywhere(|| async {
        let (ctx, guard) = cancelable();
        let drops = Arc::new(AtomicU32::new(0));
        let (tx, rx) = chan(0);
        let inside = Dropped(drops.clone());
        let working = go(ctx.run(async move {
            let _inside = inside;
            tx.send(()).await.unwrap();
            pending::<()>().await;
        }));
        rx.recv().await.unwrap();
        assert_eq!(drops.load(Ordering::SeqCst), 0);
        guard.cancel();
        assert_eq!(working.await.unwrap(), Err(CtxError::Canceled));
        assert_eq!(drops.load(Ordering::SeqCst), 1);

        let (soon, _guard) = Context::background().with_timeout(Duration::from_millis(2));
        assert_eq!(
            soon.run(pending::<()>()).await,
            Err(CtxError::DeadlineExceeded)
        );
        assert_eq!(Context::background().run(async { 1 }).await, Ok(1));
    });
}

#[test]
fn g73_run_loses_nothing_that_was_finished_and_begins_nothing_that_is_too_late() {
    everywhere(|| async {
        let (ctx, guard) = cancelable();
        let guard = Arc::new(guard);
        // Is ready in the poll after the one in which it has cancelled: in its last chance.
        let mut guard = Some(guard);
        let finished = poll_fn(move |cx| match guard.take() {
            None => Poll::Ready("finished"),
            Some(guard) => {
                guard.cancel();
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        });
        assert_eq!(ctx.run(finished).await, Ok("finished"));
        assert_eq!(ctx.err(), CANCELED);
        let too_late = ctx.run(async { unreachable!("it is not begun") });
        assert_eq!(too_late.await, Err::<(), _>(CtxError::Canceled));
    });
}

#[test]
fn g73_a_loop_over_what_is_always_ready_ends_with_its_context() {
    everywhere(|| async {
        let (ctx, guard) = cancelable();
        let (tx, rx) = chan(1);
        let looping = go(async move {
            loop {
                ctx.run(async {
                    tx.send(()).await.unwrap();
                    rx.recv().await
                })
                .await?;
            }
            #[expect(unreachable_code, reason = "gives the block its type")]
            Ok::<(), CtxError>(())
        });
        yield_now().await;
        drop(guard);
        let ended = timeout(PATIENCE, looping).await.expect("it ends");
        assert_eq!(ended.unwrap(), Err(CtxError::Canceled));
    });
}

#[test]
fn g73_a_callee_that_looks_at_done_cleans_up_by_itself() {
    everywhere(|| async {
        let (ctx, guard) = cancelable();
        let (work, jobs) = chan(0);
        let (bye, byes) = chan(1);
        let callee = go({
            let ctx = ctx.clone();
            async move {
                let mut done = ctx.done();
                let mut sum = 0;
                loop {
                    select! {
                        job = jobs.recv() => sum += job.unwrap_or(0),
                        _ = &mut done => break,
                    }
                }
                bye.send(sum).await.unwrap();
                // Done stays done, for new waits and the old one.
                (done.await, ctx.done().await)
            }
        });
        for job in 1..=3 {
            work.send(job).await.unwrap();
        }
        guard.cancel();
        assert_eq!(byes.recv().await, Some(6));
        assert_eq!(
            callee.await.unwrap(),
            (CtxError::Canceled, CtxError::Canceled)
        );
        // A loop that computes asks.
        let mut rounds = 0;
        while ctx.err().is_none() {
            rounds += 1;
        }
        assert_eq!(rounds, 0);
    });
}

#[test]
fn g73_who_asks_for_what_is_done_again_and_again_lets_others_run() {
    everywhere(|| async {
        let (ctx, guard) = cancelable();
        guard.cancel();
        let (tx, rx) = chan(1);
        go(async move { tx.send("me too").await });
        let received = loop {
            ctx.done().await;
            let _ = ctx.run(pending::<()>()).await;
            if let Ok(received) = rx.try_recv() {
                break received;
            }
        };
        assert_eq!(received, "me too");
    });
}

/// Random trees whose parts are made, cancelled, left to their deadlines and dropped by several goroutines: all
/// that wait end.
#[test]
fn trees_of_all_kinds_end_below_what_ends() {
    everywhere(|| async {
        let growing = (0..20).map(|seed| {
            go(async move {
                let mut random = fastrand::Rng::with_seed(seed);
                let (root, root_guard) = cancelable();
                let mut tree = vec![root];
                let mut guards = Vec::new();
                for _ in 0..30 {
                    let parent = tree[random.usize(..tree.len())].clone();
                    let (child, guard) = match random.u8(..4) {
                        0 => parent.with(random.u8(..)).with_cancel(),
                        1 => parent.with_timeout(Duration::from_micros(random.u64(..3000))),
                        2 => parent.with_timeout(HOUR),
                        _ => parent.with_cancel(),
                    };
                    tree.push(child);
                    match random.u8(..4) {
                        0 => drop(go(async move { drop(guard) })),
                        1 => guard.disarm(),
                        _ => guards.push(guard),
                    }
                }
                let waiting: Vec<_> = tree.iter().map(|ctx| go(ctx.done())).collect();
                go(async move { root_guard.cancel_with("all over") });
                for (ctx, waits) in tree.iter().zip(waiting) {
                    let told = timeout(PATIENCE, waits).await.expect("it ends").unwrap();
                    assert_eq!(ctx.err(), Some(told));
                }
            })
        });
        for one in join_all(growing.collect::<Vec<_>>()).await {
            one.unwrap();
        }
    });
}
