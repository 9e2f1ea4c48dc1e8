//! The row over a mutex that tasks wait for.

use super::{Outcome, Setup, measure};
use crate::rt;
use std::sync::Arc;
use std::time::Instant;

/// Tasks that want the lock.
const LOCKERS: u64 = 16;

/// After so many locks a task lets others run, without the lock.
const RUN: u64 = 8;

/// After so many it does so with the lock.
const HOLD: u64 = 64;

/// Tasks lock, add one and unlock, and let others run now and then.
pub(crate) fn mutex(setup: &Setup) -> Outcome {
    if let Some(reason) = rt::NO_MUTEX.or(rt::NO_YIELD) {
        return super::unsupported(reason);
    }
    measure(setup, "lock", LOCKERS * HOLD, |count| async move {
        let each = count.div_ceil(LOCKERS);
        let mutex = Arc::new(rt::Mutex::new(0));
        let start = Instant::now();
        let tasks: Vec<_> = (0..LOCKERS)
            .map(|_| rt::spawn(add(mutex.clone(), each)))
            .collect();
        for task in tasks {
            rt::join(task).await;
        }
        let elapsed = start.elapsed();
        let sum = *mutex.lock().await;
        assert_eq!(sum, each * LOCKERS, "an addition was lost");
        // The tasks may have locked a few times more than counted.
        elapsed.mul_f64(count as f64 / sum as f64)
    });
    Ok(())
}

async fn add(mutex: Arc<rt::Mutex<u64>>, times: u64) {
    for n in 1..=times {
        let mut sum = mutex.lock().await;
        *sum += 1;
        if n % HOLD == 0 {
            rt::yield_now().await;
        }
        drop(sum);
        if n % RUN == 0 {
            rt::yield_now().await;
        }
    }
}
