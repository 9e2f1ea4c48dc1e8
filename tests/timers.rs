//! Timers in the hands of those who are no goroutines, and of several at once.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use common::within_patience;
use futures::executor::block_on;
use gorin::Runtime;
use gorin::time::{Timer, after_func, ticker};

const SOON: Duration = Duration::from_millis(1);

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
