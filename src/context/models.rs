//! Models of the tree of contexts: cancels, new children, waits and drops against each other.

use std::pin::pin;

use gorin_base::check::{block_on, model, poll_once};
use gorin_base::primitive::{AtomicU8, Ordering, PlainArc, thread};

use super::{CancelGuard, Context, CtxError};

fn background() -> (Context, CancelGuard) {
    Context::background().with_cancel()
}

/// Property: who waits is woken, whether he looked before the cancel or came between. Bug it is for: a look
/// that is old when the line is entered.
#[test]
fn a_cancel_wakes_who_waits_or_is_seen_by_him() {
    model("context: cancel, wait", || {
        let (ctx, guard) = background();
        let canceller = thread::spawn(move || guard.cancel());
        assert_eq!(block_on(ctx.done()), CtxError::Canceled);
        canceller.join().unwrap();
    });
}

/// Property: a wait at a child ends by the parent's cancel, and one that is dropped meanwhile leaves the other
/// one in the line. Bug it is for: a cancel that ends nodes and forgets who waits there.
#[test]
fn a_cancel_above_wakes_who_waits_below_beside_one_who_leaves() {
    model("context: cancel above, wait, leave", || {
        let (parent, guard) = background();
        let (child, _guard) = parent.with_cancel();
        let theirs = child.clone();
        let canceller = thread::spawn(move || drop(guard));
        let leaver = thread::spawn(move || {
            let mut done = pin!(theirs.done());
            let _ = poll_once(done.as_mut());
        });
        assert_eq!(block_on(child.done()), CtxError::Canceled);
        canceller.join().unwrap();
        leaver.join().unwrap();
    });
}

/// Property: a child that is made while its parent is cancelled has ended when both are done. Bug it is for: a
/// child that is put among those of a parent which has looked there already.
#[test]
fn no_child_is_missed() {
    model("context: cancel, new child", || {
        let (parent, guard) = background();
        let canceller = thread::spawn(move || guard.cancel());
        let (child, _guard) = parent.with_cancel();
        let (grandchild, _guard) = child.with_cancel();
        canceller.join().unwrap();
        assert_eq!(child.err(), Some(CtxError::Canceled));
        assert_eq!(grandchild.err(), Some(CtxError::Canceled));
        assert_eq!(block_on(grandchild.done()), CtxError::Canceled);
    });
}

/// Property: all below have ended when a cancel returns, also the second one. Bug it is for: a second one that
/// does not wait for the first.
#[test]
fn all_below_have_ended_when_any_cancel_returns() {
    model("context: two cancels", || {
        let (parent, guard) = background();
        let (child, _guard) = parent.with_cancel();
        let guard = PlainArc::new(guard);
        let theirs = guard.clone();
        let other = thread::spawn(move || theirs.cancel());
        guard.cancel();
        assert_eq!(child.err(), Some(CtxError::Canceled));
        other.join().unwrap();
    });
}

/// Property: of two causes one is the first, for everybody and for ever. Bug it is for: a second one that
/// replaces it.
#[test]
fn all_are_told_the_same_cause() {
    model("context: two causes", || {
        let (parent, outer) = background();
        let (child, inner) = parent.with_cancel();
        let cause = |ctx: &Context| ctx.cause().expect("it has been cancelled").to_string();
        let theirs = child.clone();
        let other = thread::spawn(move || {
            outer.cancel_with("from above");
            cause(&theirs)
        });
        inner.cancel_with("by itself");
        let told = cause(&child);
        assert_eq!(other.join().unwrap(), told);
        assert_eq!(cause(&parent), "from above");
    });
}

/// Property: who sees the end sees what was done before it. Bug it is for: an end that publishes nothing.
#[test]
fn what_was_done_before_the_cancel_is_seen_after_it() {
    model("context: what happens before", || {
        let (ctx, guard) = background();
        let done = PlainArc::new(AtomicU8::new(0));
        let theirs = done.clone();
        let canceller = thread::spawn(move || {
            theirs.store(1, Ordering::Relaxed);
            guard.cancel();
        });
        if ctx.err().is_some() {
            assert_eq!(done.load(Ordering::Relaxed), 1);
        }
        canceller.join().unwrap();
    });
}

/// Property: children that are dropped while others come, and while the parent is cancelled, are no more in it.
/// Bug it is for: a child that nobody has stays in a parent that lives for ever.
#[test]
fn a_dropped_child_leaves_nothing_behind() {
    model("context: drop, cancel", || {
        let (parent, guard) = background();
        let (child, _) = parent.with_cancel();
        let theirs = parent.clone();
        let dropper = thread::spawn(move || drop(child));
        let (other, _) = theirs.with_cancel();
        drop(other);
        dropper.join().unwrap();
        assert_eq!(parent.children(), 0);

        let (child, _) = parent.with_cancel();
        let canceller = thread::spawn(move || drop(guard));
        drop(child);
        canceller.join().unwrap();
        assert_eq!(parent.children(), 0);
    });
}
