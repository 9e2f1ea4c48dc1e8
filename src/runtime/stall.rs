//! The stall report: which goroutine has computed for how long without an await point.
//!
//! The reactor's workers find each other computing (`gorin_reactor::OnHog`); this file asks the
//! executor who it is, and says so once for each such poll.
//!
//! Must not: stop anybody, or look by itself.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use gorin_base::mishap;
use gorin_base::primitive::{AtomicU64, Ordering};
use gorin_executor::TaskInfo;
use gorin_reactor::{Hog, OnHog};

use super::environment::STALL_MS;

/// A worker whose goroutine computes, or blocks its thread, and does not come to an await point.
/// What [`Builder::on_stall`](super::Builder::on_stall) is told.
///
/// [`Display`](fmt::Display) gives a line for people:
/// `goroutine 7 "parser" started at src/main.rs:3:5 has kept worker 0 for 104 ms`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stall {
    /// The worker.
    pub worker: usize,
    /// For how long it has not had control.
    pub lasted: Duration,
    /// Who runs there; `None` if it is the future given to `run`, or has come back this moment.
    pub goroutine: Option<TaskInfo>,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.goroutine {
            Some(goroutine) => write!(f, "{goroutine}")?,
            None => f.write_str("the main future, or a goroutine that has just come back,")?,
        }
        let millis = self.lasted.as_millis();
        write!(f, " has kept worker {} for {millis} ms", self.worker)
    }
}

/// Whom to tell of stalls, and from how long on.
#[derive(Clone)]
pub(super) struct Report {
    limit: Duration,
    tell: Arc<dyn Fn(&Stall) + Send + Sync>,
}

impl Report {
    pub(super) fn new(limit: Duration, tell: impl Fn(&Stall) + Send + Sync + 'static) -> Report {
        Report {
            limit,
            tell: Arc::new(tell),
        }
    }

    /// What `GORIN_STALL_MS` asks for.
    pub(super) fn from_environment() -> io::Result<Option<Report>> {
        let limit = STALL_MS.get()?;
        Ok(limit
            .map(|limit| Report::new(limit, |stall| mishap::tell(format_args!("gorin: {stall}")))))
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// What a worker does that finds another one computing: has the executor take over its goroutines,
/// and reports.
pub(super) fn on_hog(workers: usize, report: Option<Report>) -> OnHog {
    // The latest poll of each worker that was reported; a later one has a greater name. So one that
    // was seen by two workers, of which the slower one comes after a report of the next poll, is not
    // reported twice, nor is the next one. Relaxed: the exchange decides who reports.
    let reported: Box<[AtomicU64]> = (0..workers).map(|_| AtomicU64::new(0)).collect();
    OnHog::new(move |hog: Hog| {
        let relieved = gorin_executor::relieve(hog.worker);
        let due = report.as_ref().filter(|report| hog.lasted >= report.limit);
        if let Some(report) = due
            && reported[hog.worker].fetch_max(hog.poll, Ordering::Relaxed) < hog.poll
        {
            // The executor of this thread, which is a worker of the same runtime.
            let executor = gorin_executor::current();
            (report.tell)(&Stall {
                worker: hog.worker,
                lasted: hog.lasted,
                goroutine: executor.and_then(|executor| executor.running_on(hog.worker)),
            });
        }
        relieved
    })
}
