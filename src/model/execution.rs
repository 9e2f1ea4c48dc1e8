//! One execution of a model: its goroutines, what they use and wait for, and the virtual time.
//!
//! A *step* is an announced operation and what the goroutine does after it, up to its next
//! announcement, its next wait, or its end. Code before the first announcement, and code after an
//! operation that a partner completed, is local: no other goroutine can tell when it runs. It runs
//! at once, as part of the step that started or woke the goroutine, and is no step of its own.
//!
//! | state | means | left by |
//! |---|---|---|
//! | `New` | started, has not run | `settle` |
//! | `Announced` | suspended before an operation | a step |
//! | `Woken` | may go on, and when it does can matter | a step |
//! | `Waiting` | its future returned `Pending` | a wake-up |
//! | `Done` | its future is gone | – |
//!
//! A woken goroutine goes on at once if the step completed the only operation it waits for. In all
//! other cases (it waits for several things at once, for a timer, for something that never
//! announced itself, or it yielded) going on is a step: what it finds depends on when it looks.
//!
//! Invariants: everything runs on one thread; `state` is not borrowed while a coroutine runs; no
//! waker is called and no future dropped under the borrow. Must not decide who runs: that is the
//! [`Strategy`]'s.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use gorin_base::hook::{self, Access};
use gorin_base::primitive::{Mutex, PlainArc};
use gorin_base::seeded;
use gorin_executor::task::Runnable;

use super::Goroutine;
use super::coroutine::Started;
use super::footprint::{Footprint, MAIN, Names};
use super::member::{Announced, Member, Stage};
use super::report::{Cause, Failure};
use super::schedule::Shown;
use super::state::State;
use super::strategy::{Decision, Options, Strategy};

/// A goroutine was woken.
pub(super) struct Wakeup {
    pub(super) goroutine: Goroutine,
    /// `None` for `main`, which is no task.
    pub(super) task: Option<Runnable>,
}

/// What became of a wake-up.
struct Woken {
    goroutine: Goroutine,
    /// It went on at once, as a part of the step that woke it.
    went_on: bool,
}

/// The wake-ups since they were looked at last. Shared with wakers, hence behind a lock.
pub(super) type Wakeups = Mutex<VecDeque<Wakeup>>;

/// What bounds one execution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Steps of an execution that does not end.
    pub(super) steps: usize,
    /// Goroutines may be left when `main` ends.
    pub(super) leaks: bool,
    /// Goroutines may panic.
    pub(super) panics: bool,
    /// Values may be lost.
    pub(super) lost_values: bool,
    /// Goroutines may send on channels that they know to be closed.
    pub(super) ignored_sends: bool,
}

/// How an execution ended, unless it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Every goroutine has ended.
    Finished,
    /// What would follow is known already.
    Redundant,
    /// What the search had believed was wrong: it must start again.
    Misled,
}

/// What the executions of one model share.
pub(super) struct Session {
    pub(super) limits: Limits,
    pub(super) names: RefCell<Names>,
    pub(super) strategy: RefCell<Box<dyn Strategy>>,
    /// Where the virtual time begins in each execution.
    pub(super) start: Instant,
    /// Steps of all executions.
    pub(super) steps: Cell<usize>,
    /// What the program was seen to do so far.
    pub(super) shown: Cell<Shown>,
}

impl Session {
    pub(super) fn new(limits: Limits, strategy: Box<dyn Strategy>, start: Instant) -> Self {
        Self {
            limits,
            names: RefCell::default(),
            strategy: RefCell::new(strategy),
            start,
            steps: Cell::new(0),
            shown: Cell::default(),
        }
    }

    /// The program has done something that makes more of its operations steps.
    pub(super) fn show(&self, note: impl FnOnce(&mut Shown)) {
        let mut shown = self.shown.get();
        note(&mut shown);
        self.shown.set(shown);
    }
}

/// One execution.
pub(super) struct Execution {
    pub(super) session: Rc<Session>,
    pub(super) state: RefCell<State>,
    pub(super) wakeups: PlainArc<Wakeups>,
}

std::thread_local! {
    static CURRENT: RefCell<Option<Rc<Execution>>> = const { RefCell::new(None) };
}

/// The execution that runs on this thread.
pub(super) fn current() -> Option<Rc<Execution>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Forgets the execution of this thread when dropped.
struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        drop(CURRENT.take());
    }
}

impl Execution {
    /// Runs `main` and all it starts, once, as the session's strategy decides.
    pub(super) fn run(session: &Rc<Session>, main: Box<dyn FnOnce()>) -> Result<End, Box<Failure>> {
        let execution = Rc::new(Execution {
            session: session.clone(),
            state: RefCell::new(State::new(session.start)),
            wakeups: PlainArc::default(),
        });
        let _hook = hook::install(execution.clone());
        CURRENT.set(Some(execution.clone()));
        let _entered = Entered;
        let main = Started::new(main);
        execution
            .state
            .borrow_mut()
            .add(MAIN, Member::new(main, None, None));
        execution.resume(MAIN);
        let end = execution.run_steps();
        let result = match end {
            Ok(end) => Ok(end),
            Err(cause) => {
                let shown = session.shown.get();
                Err(Box::new(execution.state.borrow().failure(cause, shown)))
            }
        };
        execution.give_up();
        result
    }

    fn run_steps(&self) -> Result<End, Cause> {
        let shown = self.session.shown.get();
        // `main` has ended, and the others may be left. They go on all the same: what they do next
        // they could have done before, and only who takes a step can be found to race. What becomes
        // of them is of no interest any more.
        let mut over = false;
        loop {
            self.settle();
            if shown != self.session.shown.get() && !seeded::bug("model.abort_not_seen") {
                // Until here nobody knew that the program aborts: steps said less than they use, and
                // goroutines went on at once whose going on is a step. Or drops were none.
                return Ok(End::Misled);
            }
            let cause = self.state.borrow_mut().cause.take();
            if let Some(cause) = cause.filter(|_| !over) {
                return Err(cause);
            }
            over = self.session.limits.leaks && self.state.borrow().is_done(MAIN);
            if over && seeded::bug("model.stops_with_main") {
                return Ok(End::Finished);
            }
            let (enabled, running) = self.state.borrow().options();
            if enabled.is_empty() {
                // What comes with the time comes after all that went before, and races with nothing.
                if over {
                    return Ok(End::Finished);
                }
                if self.advance_time() {
                    continue;
                }
                return self.state.borrow().stuck().map_or(Ok(End::Finished), Err);
            }
            if self.state.borrow().steps.len() >= self.session.limits.steps {
                if over {
                    return Ok(End::Finished);
                }
                return Err(Cause::Endless(self.session.limits.steps));
            }
            let options = Options {
                enabled: &enabled,
                running,
                about: self.state.borrow().about(&enabled),
            };
            let picked = self.session.strategy.borrow_mut().pick(&options);
            match picked.map_err(Cause::Nondeterministic)? {
                Some(goroutine) if self.step(goroutine) => {}
                Some(_) => return Ok(End::Misled),
                None => return Ok(End::Redundant),
            }
        }
    }

    /// `goroutine` takes the step that it is about to take; false if the step shows that an earlier
    /// belief was wrong, so that the search must start again.
    fn step(&self, goroutine: Goroutine) -> bool {
        let announced = self.state.borrow_mut().begin_step(goroutine);
        self.session.steps.update(|steps| steps + 1);
        self.resume(goroutine);
        // What was left out before, because less seemed to matter, may not come again. No program is known
        // that loses an end only if this is ignored, nor is it proved that there is none: of 4,000 random
        // ones, those that lost one had done so by what `Member::way` leaves out, or were too large to be
        // compared with it.
        let consistent = self.learn(goroutine, &announced);
        let footprint = self.footprint(goroutine, &announced);
        let woken = self.settle();
        let footprint = self.with_what_followed(footprint, goroutine, &woken);
        let mut strategy = self.session.strategy.borrow_mut();
        strategy.step(goroutine, &footprint);
        // Only those: a goroutine that goes on in a step of its own may have been woken by any of
        // several, and what its step uses orders it after them.
        for woken in woken.iter().filter(|woken| woken.went_on) {
            strategy.follows(woken.goroutine);
        }
        consistent
    }

    /// What `goroutine` has used in the step that it announced, as far as can be said before others go on.
    fn footprint(&self, goroutine: Goroutine, announced: &Announced) -> Footprint {
        let names = self.session.names.borrow();
        let alone = announced
            .awaited
            .is_some_and(|one| names.is_awaited_alone(one));
        // Who had to wait can be aborted before it sees that it need not any more.
        let abortable = self.is_abortable(goroutine);
        let alone = alone && (!abortable || seeded::bug("model.aborted_alone"));
        let mut state = self.state.borrow_mut();
        let footprint = state.usage.effective(announced, alone);
        if state.usage.has_looked_at_an_end() {
            self.session.show(|shown| shown.drops = true);
        }
        if state.yields(goroutine) {
            // When it goes on depends on whether anybody has taken a step since.
            return Footprint::everything();
        }
        footprint
    }

    /// What the step uses beside, now that those have gone on who do so as a part of it.
    fn with_what_followed(
        &self,
        mut footprint: Footprint,
        goroutine: Goroutine,
        woken: &[Woken],
    ) -> Footprint {
        let mut names = self.session.names.borrow_mut();
        let mut state = self.state.borrow_mut();
        for (object, access) in state.usage.take_unannounced() {
            footprint = footprint.and_uses(object, access);
        }
        if self.is_abortable(goroutine) {
            // A goroutine that stops to wait sees whether it was aborted, and may end there.
            footprint = footprint.and_uses(names.task(goroutine), Access::Read);
        }
        if !self.session.limits.lost_values {
            // Whether a loss matters depends on whether `main` waits.
            let program = names.program();
            if state.loses {
                footprint = footprint.and_uses(program, Access::Read);
            }
            if goroutine == MAIN || woken.iter().any(|woken| woken.goroutine == MAIN) {
                footprint = footprint.and_uses(program, Access::Commute);
            }
        }
        footprint
    }

    /// True if `goroutine` may be aborted.
    fn is_abortable(&self, goroutine: Goroutine) -> bool {
        self.session.shown.get().aborts && goroutine != MAIN
    }

    /// Learns from a waiting operation that had to wait whether it is awaited alone.
    fn learn(&self, goroutine: Goroutine, announced: &Announced) -> bool {
        let state = self.state.borrow();
        match announced.awaited {
            Some(awaited) if state.has_parked(goroutine) => {
                let alone = state.waits_alone(goroutine);
                self.session.names.borrow_mut().learn(awaited, alone)
            }
            _ => true,
        }
    }

    /// Runs whoever the last step started, or woke by completing what it waited for. Returns all who
    /// were woken.
    fn settle(&self) -> Vec<Woken> {
        let mut all = Vec::new();
        loop {
            let woken = self.wakeups.lock().pop_front();
            let Some(wakeup) = woken else { return all };
            let goroutine = wakeup.goroutine;
            let went_on = {
                let mut names = self.session.names.borrow_mut();
                let lazy = self.session.shown.get().aborts && !seeded::bug("model.aborted_in_step");
                let mut state = self.state.borrow_mut();
                state.wake(wakeup, &mut names, lazy)
            };
            all.push(Woken { goroutine, went_on });
            if went_on {
                self.resume(goroutine);
            }
        }
    }

    /// Lets `goroutine` run until its next announcement, its next wait or its end.
    fn resume(&self, goroutine: Goroutine) {
        let started = self.state.borrow_mut().enter(goroutine);
        let rest = started.and_then(|started| started.resume());
        self.state.borrow_mut().leave(goroutine, rest);
    }

    /// Moves the virtual time to the next timer and wakes whoever waits for it; false without one.
    fn advance_time(&self) -> bool {
        let due = self.state.borrow_mut().take_due_timers();
        if due.is_empty() {
            return false;
        }
        self.session.strategy.borrow_mut().barrier();
        for waker in due {
            waker.wake();
        }
        true
    }

    /// Suspends the running goroutine before the operation that it announces.
    pub(super) fn announce(&self, announced: Announced) {
        self.state.borrow_mut().stop_at(Stage::Announced(announced));
        super::coroutine::suspend();
        if self.state.borrow().ending {
            std::panic::resume_unwind(Box::new(GiveUp));
        }
    }

    /// Suspends the running goroutine until it is woken.
    pub(super) fn wait(&self) {
        self.state.borrow_mut().stop_at(Stage::Waiting);
        super::coroutine::suspend();
    }

    /// A choice among `n` inside the current step.
    pub(super) fn choose(&self, n: usize) -> usize {
        if self.state.borrow().ending {
            return 0;
        }
        let chosen = self.session.strategy.borrow_mut().choose(n);
        let mut state = self.state.borrow_mut();
        match chosen {
            Ok(choice) => {
                state.schedule.push(Decision::Choose(choice));
                if let Some(goroutine) = state.current {
                    state.member_mut(goroutine).turn(choice);
                }
                choice
            }
            Err(reason) => {
                state.fail(Cause::Nondeterministic(reason));
                0
            }
        }
    }

    /// Unwinds or drops what is left of every goroutine, so that each destructor has run.
    fn give_up(&self) {
        self.state.borrow_mut().ending = true;
        loop {
            let wakers = self.state.borrow_mut().take_wakers();
            wakers.into_iter().for_each(std::task::Waker::wake);
            self.drain();
            let suspended = self.state.borrow().any_with_a_stack();
            let Some(goroutine) = suspended else { break };
            self.resume(goroutine);
        }
        self.drain();
    }

    /// Hands the tasks that were woken to their goroutines; those that have ended are dropped.
    fn drain(&self) {
        loop {
            let woken = self.wakeups.lock().pop_front();
            let Some(wakeup) = woken else { return };
            let unused = self.state.borrow_mut().accept(wakeup);
            drop(unused);
        }
    }
}

/// Unwinds the stack of a goroutine whose execution is over.
pub(super) struct GiveUp;
