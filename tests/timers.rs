//! Timers in the hands of those who are no goroutines, of several at once, and of nobody.
//!
//! One test looks at the memory of the process, so the others must need little.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::Duration;

use common::{on_each_count, resident_bytes, within_patience};
use gorin::Runtime;
use gorin::time::{Timer, after_func, ticker};
use gorin_base::check::block_on;

const SOON: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// What was made on a thread that had entered a runtime is served by that one, wherever it is waited for,
/// also if it had no deadline for some time.
#[test]
fn a_timer_stays_with_its_runtime_when_it_is_stopped_and_set_anew() {
    within_patience(|| {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let entered = runtime.enter();
        let (mut stopped, mut unset) = (Timer::new(SOON), Timer::new(Duration::MAX));
        let mut ticks = ticker(SOON);
        drop(entered);

        assert!(stopped.stop());
        stopped.reset(SOON);
        block_on(&mut stopped);
        stopped.reset(Duration::MAX);
        stopped.reset(SOON);
        block_on(&mut stopped);

        unset.reset(SOON);
        block_on(&mut unset);

        ticks.stop();
        ticks.reset(SOON);
        block_on(ticks.tick());
    });
}

#[test]
fn a_reset_outside_of_a_runtime_loses_nothing() {
    within_patience(|| {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let entered = runtime.enter();
        let mut alarm = after_func(Duration::MAX, async { 7 });
        drop(entered);
        let refused = catch_unwind(AssertUnwindSafe(|| alarm.reset(SOON)));
        assert!(refused.is_err() && !alarm.stop());
        let _entered = runtime.enter();
        assert!(alarm.reset(SOON));
        assert_eq!(block_on(alarm).unwrap(), Some(7));
    });
}

#[test]
fn who_waits_for_what_runs_later_waits_also_for_what_was_reset() {
    within_patience(|| {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let _entered = runtime.enter();
        let alarm = Arc::new(Mutex::new(after_func(Duration::MAX, async { 7 })));
        let (tell, polled) = mpsc::channel();
        let waits = runtime.go({
            let alarm = alarm.clone();
            poll_fn(move |cx| {
                let polled = Pin::new(&mut *alarm.lock().unwrap()).poll(cx);
                let _ = tell.send(());
                polled
            })
        });
        polled.recv().unwrap();
        assert!(alarm.lock().unwrap().reset(SOON));
        assert_eq!(block_on(waits).unwrap().unwrap(), Some(7));
    });
}

/// G56.
#[test]
fn timers_that_nobody_holds_leave_nothing_behind() {
    on_each_count(|| async {
        // Were each kept until its hour is over, a round would leave some 20 MB. Other tests of this process
        // start a runtime meanwhile, so it is the median that counts.
        let mut grown = [0; 5];
        for round in &mut grown {
            let before = resident_bytes();
            for _ in 0..200_000 / 64 {
                let mut armed: Vec<_> = (0..64).map(|_| Timer::new(HOUR)).collect();
                for timer in &mut armed {
                    let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *timer).poll(cx)));
                    assert!(polled.await.is_pending());
                }
            }
            *round = resident_bytes().saturating_sub(before);
        }
        grown.sort_unstable();
        assert!(grown[2] < 6 << 20, "{grown:?} bytes more");
    });
}
