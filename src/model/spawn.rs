//! Goroutines of a model: tasks whose scheduler is the execution.
//!
//! A goroutine is a task of gorin-executor, with the same join handle, the same abort and the same
//! treatment of panics as in production; only who runs it when differs. `main` is no task, because
//! its future need not be `Send`.
//!
//! Invariants: the program's future is dropped on the goroutine's own stack, also when an execution
//! is given up; [`GiveUp`] never leaves this file. Must not decide who runs.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Wake, Waker};

use gorin_base::hook::{self, Access};
use gorin_base::mishap;
use gorin_base::primitive::PlainArc;
use gorin_executor::task::{self, Payload, Readied, Runnable, Schedule, TaskOf, TaskRef};
use gorin_executor::{JoinHandle, Spec};

use super::Goroutine;
use super::coroutine::Started;
use super::execution::{self, GiveUp, Wakeup, Wakeups};
use super::footprint::MAIN;
use super::member::Member;
use super::report::Cause;

/// True while a model runs on this thread.
#[inline]
pub(crate) fn is_running() -> bool {
    hook::is_active()
}

/// Starts `future` as a goroutine of the execution that runs on this thread.
#[track_caller]
pub(crate) fn spawn<F>(spec: Spec, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let execution = execution::current().expect("a checker is installed while a model runs");
    let goroutine = {
        let mut names = execution.session.names.borrow_mut();
        execution.state.borrow_mut().child(&mut names)
    };
    let body = Body {
        goroutine,
        future: Some(Box::pin(future)),
        alarm: None,
    };
    let scheduler = Scheduler {
        goroutine,
        wakeups: execution.wakeups.clone(),
    };
    let (runnable, handle) = task::build(spec, body, scheduler);
    let info = runnable.info();
    let coroutine = Started::new(move || run_task(goroutine));
    let member = Member::new(coroutine, info.name, Some(info.site));
    {
        let mut names = execution.session.names.borrow_mut();
        let mut state = execution.state.borrow_mut();
        state.add(goroutine, member);
        state.add_task(hook::task(info.id.get()), goroutine, info.site, &mut names);
    }
    wake_up(&execution.wakeups, goroutine, Some(runnable));
    handle
}

fn wake_up(wakeups: &Wakeups, goroutine: Goroutine, task: Option<Runnable>) {
    wakeups.lock().push_back(Wakeup { goroutine, task });
}

/// The stack of a task: polls whenever the execution lets it.
fn run_task(goroutine: Goroutine) {
    let execution = execution::current().expect("coroutines run inside an execution");
    loop {
        let task = execution
            .state
            .borrow_mut()
            .member_mut(goroutine)
            .runnable
            .take();
        if let Some(task) = task {
            task.run();
        }
        let over = {
            let mut state = execution.state.borrow_mut();
            state.ending || state.member_mut(goroutine).finished
        };
        if over {
            return;
        }
        execution.wait();
    }
}

/// The stack of `main`.
pub(super) fn run_main<F: Future<Output = ()>>(main: impl FnOnce() -> F) {
    let execution = execution::current().expect("coroutines run inside an execution");
    let waker = Alarm::waker(MAIN, execution.wakeups.clone(), None);
    execution.state.borrow_mut().member_mut(MAIN).waker = Some(waker.clone());
    let mut context = Context::from_waker(&waker);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let mut future = pin!(main());
        while future.as_mut().poll(&mut context).is_pending() {
            let mut state = execution.state.borrow_mut();
            if std::mem::take(&mut state.member_mut(MAIN).woken_meanwhile) {
                wake_up(&execution.wakeups, MAIN, None);
            }
            drop(state);
            execution.wait();
            if execution.state.borrow().ending {
                return;
            }
        }
    }));
    if let Err(payload) = ended {
        if !payload.is::<GiveUp>() {
            note_panic(MAIN, &*payload);
        }
        mishap::discard(payload);
    }
}

/// Makes an unwinding goroutine the cause of a failure.
fn note_panic(goroutine: Goroutine, payload: &(dyn Any + Send)) {
    let Some(execution) = execution::current() else {
        return;
    };
    if execution.session.limits.panics && goroutine != MAIN {
        return;
    }
    let text = payload.downcast_ref::<&str>().copied();
    let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let mut state = execution.state.borrow_mut();
    let number = state.number(goroutine);
    state.fail(Cause::Panic {
        number,
        message: message.unwrap_or("(no text)").to_owned(),
    });
}

/// Gives a task that can run to its goroutine.
struct Scheduler {
    goroutine: Goroutine,
    wakeups: PlainArc<Wakeups>,
}

impl Schedule for Scheduler {
    fn schedule(task: TaskOf<Self>, _: Readied) {
        let wakeups = task.scheduler().wakeups.clone();
        let goroutine = task.scheduler().goroutine;
        wake_up(&wakeups, goroutine, Some(task.into_runnable()));
    }

    fn finished(&self, _: TaskRef<'_>) {
        if let Some(execution) = execution::current() {
            let mut state = execution.state.borrow_mut();
            let waker = state.member_mut(self.goroutine).finish();
            drop(state);
            drop(waker);
        }
    }

    fn panicked(&self, _: TaskRef<'_>, payload: Payload) {
        // Noted when it happened.
        mishap::discard(payload);
    }
}

/// Wakes a goroutine and notices when that is the goroutine itself.
struct Alarm {
    goroutine: Goroutine,
    wakeups: PlainArc<Wakeups>,
    /// The task's own waker; `main` has none.
    task: Option<Waker>,
}

impl Alarm {
    fn waker(goroutine: Goroutine, wakeups: PlainArc<Wakeups>, task: Option<Waker>) -> Waker {
        Waker::from(PlainArc::new(Alarm {
            goroutine,
            wakeups,
            task,
        }))
    }
}

impl Wake for Alarm {
    fn wake(self: PlainArc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &PlainArc<Self>) {
        if let Some(execution) = execution::current() {
            let mut state = execution.state.borrow_mut();
            if state.current == Some(self.goroutine) {
                state.member_mut(self.goroutine).woke_itself = true;
            }
        }
        match &self.task {
            Some(waker) => waker.wake_by_ref(),
            None => wake_up(&self.wakeups, self.goroutine, None),
        }
    }
}

/// The program's future, with an announcement at its end.
struct Body<F> {
    goroutine: Goroutine,
    /// `None` once it has ended or was given up.
    future: Option<Pin<Box<F>>>,
    alarm: Option<Waker>,
}

impl<F: Future> Body<F> {
    /// The waker that the future is polled with.
    fn alarm(&mut self, task: &Waker) -> Waker {
        let goroutine = self.goroutine;
        let new = || {
            let execution = execution::current().expect("coroutines run inside an execution");
            let wakeups = execution.wakeups.clone();
            let waker = Alarm::waker(goroutine, wakeups, Some(task.clone()));
            execution.state.borrow_mut().member_mut(goroutine).waker = Some(waker.clone());
            waker
        };
        self.alarm.get_or_insert_with(new).clone()
    }

    fn poll_future(&mut self, waker: &Waker) -> Poll<F::Output> {
        let future = self.future.as_mut().expect("a task ends once");
        let value = std::task::ready!(future.as_mut().poll(&mut Context::from_waker(waker)));
        self.future = None;
        self.announce_end();
        Poll::Ready(value)
    }

    /// The end of a goroutine is a step: whoever looks at its handle sees it or not.
    fn announce_end(&self) {
        let execution = execution::current().expect("coroutines run inside an execution");
        let object = execution.session.names.borrow_mut().task(self.goroutine);
        execution.announce_step(
            "end of the goroutine",
            vec![(object, Access::Write)],
            None,
            false,
        );
    }
}

impl<F: Future> Future for Body<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let given_up = execution::current().is_none_or(|one| one.state.borrow().ending);
        if given_up {
            self.future = None;
            return Poll::Pending;
        }
        let waker = self.alarm(cx.waker());
        match catch_unwind(AssertUnwindSafe(|| self.poll_future(&waker))) {
            Ok(poll) => poll,
            Err(payload) if payload.is::<GiveUp>() => {
                self.future = None;
                Poll::Pending
            }
            Err(payload) => {
                note_panic(self.goroutine, &*payload);
                resume_unwind(payload)
            }
        }
    }
}
