//! What the tests of programs under `gorin::model` share: searches that take their time, their verdicts,
//! and all that a program can end with. For the explorer and for loom.

// Each test file compiles its own copy and uses a part of it.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gorin::model::{Builder, Coverage, Failure, Report};

/// Explores as long as it takes: by itself it gives up after a minute, which a slow and busy machine needs for
/// some programs.
pub(crate) fn patient() -> Builder {
    Builder::new().max_duration(Duration::from_secs(3600))
}

/// Checks a program that is right; all of it must be explored, under loom within its bound.
#[track_caller]
pub(crate) fn completes<F: Future<Output = ()> + 'static>(
    builder: Builder,
    program: impl Fn() -> F + Send + Sync + 'static,
) -> Report {
    let report = builder.check(program);
    match report.coverage {
        Coverage::Complete => report,
        Coverage::Bounded(_) if cfg!(loom) => report,
        other => panic!("not explored to the end: {other}"),
    }
}

/// Checks a program that is right: all of it must be explored.
#[track_caller]
pub(crate) fn passes<F: Future<Output = ()> + 'static>(
    program: impl Fn() -> F + Send + Sync + 'static,
) -> Report {
    let report = completes(patient(), program);
    // The explorer may find that nothing can be interleaved; loom always has something.
    assert!(cfg!(not(loom)) || report.executions > 1);
    report
}

/// Checks a program that is wrong.
#[track_caller]
pub(crate) fn fails<F: Future<Output = ()> + 'static>(
    program: impl Fn() -> F + Send + Sync + 'static,
) -> Failure {
    let failure = patient().explore(program).expect_err("it has a bug");
    println!("{failure}");
    *failure
}

/// What the executions of `program` end with: all of them, each once.
#[track_caller]
pub(crate) fn ends<E, F>(
    builder: Builder,
    program: impl Fn() -> F + Send + Sync + 'static,
) -> BTreeSet<E>
where
    E: Ord + Send + 'static,
    F: Future<Output = E> + 'static,
{
    // std's lock: it is taken when an execution has ended.
    let ends = Arc::new(Mutex::new(BTreeSet::new()));
    let inside = ends.clone();
    let report = completes(builder, move || {
        let (inside, run) = (inside.clone(), program());
        async move {
            let end = run.await;
            inside.lock().unwrap().insert(end);
        }
    });
    println!("{report}");
    std::mem::take(&mut *ends.lock().unwrap())
}

/// The same by a search with the reduction of orders that make no difference, which must lose none, and
/// without. (loom has none.)
#[track_caller]
pub(crate) fn ends_of<E, F>(
    builder: impl Fn() -> Builder,
    program: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> BTreeSet<E>
where
    E: Ord + std::fmt::Debug + Send + 'static,
    F: Future<Output = E> + 'static,
{
    let reduced = ends(builder(), program.clone());
    if cfg!(not(loom)) {
        let all = ends(builder().without_reduction(), program);
        assert_eq!(reduced, all, "with and without reduction");
    }
    reduced
}
