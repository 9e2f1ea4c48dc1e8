//! What an execution knows of its goroutines: stages, waits, timers, the steps so far.
//!
//! Plain data under one borrow. Must not run, wake or drop anything of the program: what is to be
//! woken or dropped is returned to the caller, who has given the borrow back by then.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::task::Waker;
use std::time::Instant;

use gorin_base::hook::{Access, Site, Wait};
use gorin_base::seeded;
use gorin_executor::task::Runnable;

use super::coroutine::Started;
use super::execution::Wakeup;
use super::footprint::{Awaited, Footprint, MAIN, Names};
use super::member::{Announced, Member, Stage};
use super::report::{Cause, Failure, Member as Reported, Status, Step, TASK, Thing};
use super::schedule::Shown;
use super::strategy::Decision;
use super::timers::Timers;
use super::usage::Usage;
use super::{Goroutine, Object};

/// What is said of an object when it is made.
pub(super) struct Made {
    pub(super) kind: &'static str,
    pub(super) capacity: Option<usize>,
    pub(super) site: Site,
}

/// See the module text.
pub(super) struct State {
    /// By number; `None` are goroutines of other executions.
    members: Vec<Option<Member>>,
    /// Numbers in the order in which they were started: what reports and schedules show.
    started: Vec<Goroutine>,
    pub(super) current: Option<Goroutine>,
    /// By process-wide id.
    objects: HashMap<u64, Object>,
    /// Those of the process-wide ids that are tasks'.
    tasks: HashSet<u64>,
    /// In the order in which they were made.
    things: Vec<Thing>,
    pub(super) usage: Usage,
    pub(super) steps: Vec<Step>,
    pub(super) schedule: Vec<Decision>,
    /// The footprint of the step that runs.
    footprint: Footprint,
    /// The step that runs has dropped values that nobody received.
    pub(super) loses: bool,
    pub(super) timers: Timers,
    /// The execution is over; whoever still has a stack is unwound.
    pub(super) ending: bool,
    pub(super) cause: Option<Cause>,
}

impl State {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            members: Vec::new(),
            started: Vec::new(),
            current: None,
            tasks: HashSet::new(),
            objects: HashMap::new(),
            things: Vec::new(),
            usage: Usage::default(),
            steps: Vec::new(),
            schedule: Vec::new(),
            footprint: Footprint::default(),
            loses: false,
            timers: Timers::new(start),
            ending: false,
            cause: None,
        }
    }

    /// A goroutine that has not run yet.
    pub(super) fn add(&mut self, goroutine: Goroutine, member: Member) {
        if self.members.len() <= goroutine {
            self.members.resize_with(goroutine + 1, || None);
        }
        self.members[goroutine] = Some(member);
        self.started.push(goroutine);
    }

    fn member(&self, goroutine: Goroutine) -> &Member {
        self.members[goroutine]
            .as_ref()
            .expect("only goroutines of this execution are asked for")
    }

    pub(super) fn member_mut(&mut self, goroutine: Goroutine) -> &mut Member {
        self.members[goroutine]
            .as_mut()
            .expect("only goroutines of this execution are asked for")
    }

    /// Number of `goroutine` in this execution.
    pub(super) fn number(&self, goroutine: Goroutine) -> usize {
        let position = self.started.iter().position(|&one| one == goroutine);
        position.expect("every goroutine was started")
    }

    pub(super) fn is_done(&self, goroutine: Goroutine) -> bool {
        matches!(self.member(goroutine).stage, Stage::Done)
    }

    /// Notes why the execution fails; the first reason counts.
    pub(super) fn fail(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
    }

    /// The goroutines that can take a step, and the one that took the last, if it is one of them.
    pub(super) fn options(&self) -> (Vec<Goroutine>, Option<Goroutine>) {
        let mut ready = Vec::new();
        let mut yielded = Vec::new();
        for (goroutine, member) in self.members.iter().enumerate() {
            let Some(member) = member else { continue };
            match &member.stage {
                Stage::Woken(next) if next.yielded_at == Some(self.steps.len()) => {
                    yielded.push(goroutine);
                }
                Stage::Announced(_) | Stage::Woken(_) => ready.push(goroutine),
                Stage::New | Stage::Waiting | Stage::Done => {}
            }
        }
        let enabled = if ready.is_empty() { yielded } else { ready };
        let running = self.steps.last().map(|step| step.goroutine);
        let running = running.filter(|goroutine| enabled.contains(goroutine));
        (enabled, running)
    }

    /// What `goroutines` are about to do, as one number: the same wherever the program has come here by
    /// the same decisions.
    pub(super) fn about(&self, goroutines: &[Goroutine]) -> u64 {
        let mut hasher = DefaultHasher::new();
        for &goroutine in goroutines {
            if let Stage::Announced(next) | Stage::Woken(next) = &self.member(goroutine).stage {
                let place = next.site.map(|site| (site.line(), site.column()));
                (next.operation, next.object, place).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// Makes the step that `goroutine` announced the current one.
    pub(super) fn begin_step(&mut self, goroutine: Goroutine) -> Announced {
        let number = self.number(goroutine);
        let (Stage::Announced(next) | Stage::Woken(next)) = self.member(goroutine).stage.clone()
        else {
            unreachable!("a strategy picks among those that can take a step");
        };
        self.schedule.push(Decision::Run(number));
        self.steps.push(Step {
            goroutine,
            number,
            operation: next.operation,
            site: next.site,
            object: next.object,
        });
        self.footprint = next.footprint.clone();
        self.usage.begin_step();
        self.loses = false;
        next
    }

    /// True if `goroutine` waits for one thing and nothing else, not even a time.
    pub(super) fn waits_alone(&self, goroutine: Goroutine) -> bool {
        let member = self.member(goroutine);
        matches!(member.stage, Stage::Waiting)
            && member.waits.len() == 1
            && !member.woke_itself
            && !self.timers.has(goroutine)
    }

    /// The running goroutine uses `objects` without having announced it, in the step of whoever let it
    /// go on.
    pub(super) fn use_unannounced(&mut self, objects: Vec<(Object, Access)>) {
        if self.current.is_some() && !self.ending && !seeded::bug("model.unwinding_uses_nothing") {
            self.usage.unannounced(objects);
        }
    }

    /// True if `goroutine` has given up its turn of its own accord.
    pub(super) fn yields(&self, goroutine: Goroutine) -> bool {
        let member = self.member(goroutine);
        member.woke_itself
            && matches!(member.stage, Stage::Waiting)
            && !seeded::bug("model.yield_uses_nothing")
    }

    /// True if `goroutine` has begun to wait in the current step.
    pub(super) fn has_parked(&self, goroutine: Goroutine) -> bool {
        let now = self.steps.len();
        let waits = &self.member(goroutine).waits;
        waits.last().is_some_and(|(_, since)| *since == now)
    }

    /// Recognizes the operation that the running goroutine announces at `site`.
    pub(super) fn awaited(&mut self, site: Site) -> Option<Awaited> {
        let goroutine = self.current?;
        let member = self.member_mut(goroutine);
        member.turn(site);
        Some((goroutine, site, member.way))
    }

    /// Takes the coroutine of `goroutine`, which runs from now on.
    pub(super) fn enter(&mut self, goroutine: Goroutine) -> Option<Started> {
        self.current = Some(goroutine);
        let member = self.member_mut(goroutine);
        member.woke_itself = false;
        member.timer_fired = false;
        member.coroutine.take()
    }

    /// The coroutine handed control back; `None` if it has ended.
    pub(super) fn leave(&mut self, goroutine: Goroutine, rest: Option<Started>) {
        self.current = None;
        let member = self.member_mut(goroutine);
        if rest.is_none() {
            member.stage = Stage::Done;
        }
        member.coroutine = rest;
    }

    /// Where the running goroutine stops.
    pub(super) fn stop_at(&mut self, stage: Stage) {
        let current = self.current.expect("only a running goroutine stops");
        self.member_mut(current).stage = stage;
    }

    /// Takes note of a wake-up; true if the goroutine goes on at once, which it never does if `lazy`:
    /// where goroutines are aborted, one may be between its wake-up and its next poll.
    pub(super) fn wake(&mut self, wakeup: Wakeup, names: &mut Names, lazy: bool) -> bool {
        let goroutine = wakeup.goroutine;
        let last = self.footprint.clone();
        let objects = self.waited_for(goroutine, names);
        let yielded_at = Some(self.steps.len());
        let member = self.member_mut(goroutine);
        if wakeup.task.is_some() {
            member.runnable = wakeup.task;
        }
        match member.stage {
            Stage::New if !lazy => return true,
            Stage::New => {}
            Stage::Waiting => {}
            Stage::Announced(_) => {
                member.woken_meanwhile =
                    goroutine == MAIN && !seeded::bug("model.wake_inside_lost");
                return false;
            }
            Stage::Woken(_) | Stage::Done => return false,
        }
        let is_new = matches!(member.stage, Stage::New);
        let opaque = objects.is_empty() && !member.timer_fired && !is_new;
        let local = !lazy && !member.woke_itself;
        let alone = objects.len() == 1 || seeded::bug("model.eager_multi");
        if local && alone && objects.iter().any(|&object| last.touches(object)) {
            return true;
        }
        let footprint = if opaque && !seeded::bug("model.opaque_uses_nothing") {
            Footprint::everything()
        } else {
            let reads = objects.iter().map(|&object| (object, Access::Read));
            Footprint::new(reads.chain([(names.task(goroutine), Access::Write)]))
        };
        member.stage = Stage::Woken(Announced {
            operation: match (is_new, member.woke_itself) {
                (true, _) => "start",
                (false, true) => "yield",
                (false, false) => "wake-up",
            },
            site: member.waits.first().map(|(wait, _)| wait.site),
            object: objects.first().copied(),
            footprint,
            awaited: None,
            yielded_at: yielded_at.filter(|_| member.woke_itself),
        });
        false
    }

    /// The objects that `goroutine` waits for.
    fn waited_for(&mut self, goroutine: Goroutine, names: &mut Names) -> Vec<Object> {
        let waits = self.member(goroutine).waits.iter();
        let ids: Vec<_> = waits.map(|(wait, _)| wait.object).collect();
        ids.into_iter().map(|id| self.object(id, names)).collect()
    }

    /// The object that the process knows as `id`.
    pub(super) fn object(&mut self, id: u64, names: &mut Names) -> Object {
        let outside = || names.outside(id);
        *self.objects.entry(id).or_insert_with(outside)
    }

    /// The running goroutine made an object.
    pub(super) fn made(&mut self, id: u64, thing: Made, names: &mut Names) {
        let Made {
            kind,
            capacity,
            site,
        } = thing;
        let maker = self.current.unwrap_or(MAIN);
        let member = self.member_mut(maker);
        let nth = member.made;
        member.made += 1;
        let object = names.made(maker, nth);
        self.objects.insert(id, object);
        if let Some(capacity) = capacity {
            self.usage.made(object, capacity);
        }
        let same_kind = self.things.iter().filter(|thing| thing.kind == kind);
        let number = same_kind.count() + 1;
        self.things.push(Thing {
            object,
            kind,
            number,
            site,
        });
    }

    /// The goroutine as an object that others wait for.
    pub(super) fn add_task(
        &mut self,
        id: u64,
        goroutine: Goroutine,
        site: Site,
        names: &mut Names,
    ) {
        let object = names.task(goroutine);
        self.tasks.insert(id);
        self.objects.insert(id, object);
        self.things.push(Thing {
            object,
            kind: TASK,
            number: self.number(goroutine),
            site,
        });
    }

    /// True if `id` is that of a task.
    pub(super) fn is_task(&self, id: u64) -> bool {
        self.tasks.contains(&id)
    }

    /// The running goroutine starts another one; returns its number.
    pub(super) fn child(&mut self, names: &mut Names) -> Goroutine {
        let parent = self.current.unwrap_or(MAIN);
        let member = self.member_mut(parent);
        let nth = member.children;
        member.children += 1;
        names.child(parent, nth)
    }

    /// The running goroutine's operation waits in a queue.
    pub(super) fn park(&mut self, wait: Wait) {
        let since = self.steps.len();
        let Some(current) = self.current else { return };
        if let Some(&object) = self.objects.get(&wait.object) {
            self.usage.waited_for(object);
        }
        let waits = &mut self.member_mut(current).waits;
        let same = |(one, _): &(Wait, usize)| (one.object, one.key) == (wait.object, wait.key);
        if !waits.iter().any(same) {
            waits.push((wait, since));
        }
    }

    /// The operation waits no more.
    pub(super) fn unpark(&mut self, object: u64, key: usize) {
        let Some(current) = self.current else { return };
        let waits = &mut self.member_mut(current).waits;
        waits.retain(|(wait, _)| (wait.object, wait.key) != (object, key));
    }

    /// The running goroutine was told that `object` is closed. If it has been told before, and has
    /// begun to send since, it has not listened.
    pub(super) fn refused(&mut self, object: Object, at_once: bool) {
        let now = self.steps.len();
        let Some(current) = self.current else { return };
        let number = self.number(current);
        let told = &mut self.member_mut(current).refused;
        match told.iter().find(|(closed, _)| *closed == object) {
            None if seeded::bug("model.refusal_forgotten") => {}
            None => told.push((object, now)),
            Some(&(_, since)) if at_once => self.fail(Cause::IgnoredSend {
                number,
                object,
                since,
            }),
            Some(_) => {}
        }
    }

    /// The running goroutine has dropped `values` that nobody received. That matters while `main`
    /// waits, because then the program goes on.
    pub(super) fn lost(&mut self, object: Object, values: usize) {
        let Some(current) = self.current else { return };
        self.loses = !seeded::bug("model.loss_commutes");
        if current != MAIN && matches!(self.member(MAIN).stage, Stage::Waiting) {
            let number = self.number(current);
            self.fail(Cause::LostValue {
                number,
                object,
                values,
            });
        }
    }

    /// Moves the time to the next deadline; returns whom to wake.
    pub(super) fn take_due_timers(&mut self) -> Vec<Waker> {
        let due = self.timers.take_due();
        if !due.is_empty() {
            // No step made these wake-ups: none of them completes what a goroutine waits for.
            self.footprint = Footprint::default();
        }
        let mut wakers = Vec::new();
        for timer in due {
            self.member_mut(timer.goroutine).timer_fired = true;
            wakers.push(timer.waker);
        }
        wakers
    }

    /// Takes over a task that was woken while the execution is given up; returns what to drop.
    pub(super) fn accept(&mut self, wakeup: Wakeup) -> Option<Runnable> {
        let member = self.members.get_mut(wakeup.goroutine)?.as_mut()?;
        if member.coroutine.is_none() {
            return wakeup.task;
        }
        wakeup.task.and_then(|task| member.runnable.replace(task))
    }

    /// Wakers of all who have a stack.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        let members = self.members.iter_mut().flatten();
        members.filter_map(|member| member.waker.take()).collect()
    }

    /// A goroutine whose coroutine has not ended.
    pub(super) fn any_with_a_stack(&self) -> Option<Goroutine> {
        self.members.iter().position(|member| {
            member
                .as_ref()
                .is_some_and(|member| member.coroutine.is_some())
        })
    }

    /// Why nobody can go on, unless everybody has ended.
    pub(super) fn stuck(&self) -> Option<Cause> {
        if !self.is_done(MAIN) {
            return Some(Cause::Deadlock);
        }
        let left = self.members.iter().flatten();
        left.filter(|member| !matches!(member.stage, Stage::Done))
            .count()
            .gt(&0)
            .then_some(Cause::Leak)
    }

    /// What to report.
    pub(super) fn failure(&self, cause: Cause, shown: Shown) -> Failure {
        let members = self.started.iter().map(|&goroutine| {
            let member = self.member(goroutine);
            Reported {
                name: member.name.clone(),
                site: member.site,
                status: match &member.stage {
                    Stage::Done => Status::Done,
                    Stage::Waiting if member.waits.is_empty() && self.timers.has(goroutine) => {
                        Status::Sleeping
                    }
                    Stage::Waiting => Status::Waiting(self.reported_waits(member)),
                    Stage::New => Status::Ready("its first step", None),
                    Stage::Announced(next) | Stage::Woken(next) => {
                        Status::Ready(next.operation, next.site)
                    }
                },
            }
        });
        Failure {
            cause,
            members: members.collect(),
            things: self.things.clone(),
            steps: self.steps.clone(),
            schedule: super::schedule::write(&self.schedule, shown),
        }
    }

    fn reported_waits(&self, member: &Member) -> Vec<(Wait, Option<Object>, Option<usize>)> {
        let with_object = |&(wait, since): &(Wait, usize)| {
            (wait, self.objects.get(&wait.object).copied(), Some(since))
        };
        member.waits.iter().map(with_object).collect()
    }
}
