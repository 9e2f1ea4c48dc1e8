//! Models of the threads for blocking code: jobs against the idle time, the maximum, and the end.
//!
//! A thread whose idle time is limited finds it over as soon as it waits, at every possible moment:
//! loom has no time. Every other one waits until it is called.
//!
//! Must not: need more than two threads of the pool.

use std::time::Duration;

use gorin_base::check::{block_on, model_bounded};
use gorin_base::primitive::{Arc, AtomicBool, AtomicUsize, Ordering, PlainArc, thread};

use crate::blocking::{BlockingConfig, Pool};
use crate::task::{self, JoinHandle, Readied, Schedule, Spec, TaskOf};

/// What a job needs of a scheduler: nothing.
struct Unscheduled;

impl Schedule for Unscheduled {
    fn schedule(_: TaskOf<Unscheduled>, _: Readied) {
        unreachable!("a job is owned from its making to its end");
    }
}

/// A pool of at most `max_threads`; `patient` threads wait until they are called.
fn pool(max_threads: usize, patient: bool) -> Arc<Pool> {
    Arc::new(Pool::new(BlockingConfig {
        max_threads,
        idle_timeout: (!patient).then_some(Duration::from_micros(10)),
        thread_name: "gorin-model".to_owned(),
        stack_bytes: None,
    }))
}

fn submit(pool: &Pool, run: impl FnOnce() -> u32 + Send + 'static) -> JoinHandle<u32> {
    let (job, handle) = task::build(Spec::new(), async move { run() }, Unscheduled);
    pool.submit(job).expect("a thread can be started");
    handle
}

/// Property: a job that is submitted while the only thread's idle time ends is run.
/// Bug: a thread that was called just then ends without another look at the queue.
#[test]
fn submit_vs_idle_end() {
    model_bounded("submit_vs_idle_end", 2, || {
        let pool = pool(1, false);
        drop(submit(&pool, || 1));
        assert_eq!(block_on(submit(&pool, || 2)).unwrap(), 2);
        pool.close();
        assert_eq!(pool.join(None), []);
        assert_eq!(pool.num_threads(), 0);
    });
}

/// Property: a job that is submitted while the pool closes gives its result or is cancelled, and none
/// runs once the end of the threads was waited for.
/// Bug: a closed pool takes the job, and starts a thread for it that nobody waits for.
#[test]
fn submit_vs_close() {
    model_bounded("submit_vs_close", 2, || {
        let pool = pool(1, true);
        let over = PlainArc::new(AtomicBool::new(false));
        let (submitting, seen) = (pool.clone(), over.clone());
        let submitter = thread::spawn(move || {
            submit(&submitting, move || {
                assert!(!seen.load(Ordering::Relaxed), "runs after the end");
                1
            })
        });
        pool.close();
        assert_eq!(pool.join(None), []);
        over.store(true, Ordering::Relaxed);
        match block_on(submitter.join().unwrap()) {
            Ok(value) => assert_eq!(value, 1),
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
    });
}

/// Property: a thread that sits down while the pool closes ends, and the one who joins learns it.
/// Bug: closing does not call those that wait.
#[test]
fn sit_vs_close() {
    model_bounded("sit_vs_close", 2, || {
        let pool = pool(2, true);
        let handle = submit(&pool, || 1);
        assert_eq!(block_on(handle).unwrap(), 1);
        pool.close();
        assert_eq!(pool.join(None), []);
    });
}

/// Property: jobs of two submitters on at most one thread are all run, one at a time.
#[test]
fn two_submitters_one_thread() {
    model_bounded("two_submitters_one_thread", 1, || {
        let pool = pool(1, true);
        let running = PlainArc::new(AtomicUsize::new(0));
        let job = |value: u32| {
            let running = running.clone();
            move || {
                assert_eq!(running.fetch_add(1, Ordering::Relaxed), 0);
                running.fetch_sub(1, Ordering::Relaxed);
                value
            }
        };
        let (other, job_of_other) = (pool.clone(), job(1));
        let submitter = thread::spawn(move || submit(&other, job_of_other));
        assert_eq!(block_on(submit(&pool, job(2))).unwrap(), 2);
        assert_eq!(block_on(submitter.join().unwrap()).unwrap(), 1);
        pool.close();
        assert_eq!(pool.join(None), []);
    });
}
