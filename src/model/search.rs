//! The exhaustive search: dynamic partial-order reduction with source sets and sleep sets.
//!
//! Two executions that differ only in the order of steps that do not conflict end in the same state;
//! one of each such class is enough. The search runs one execution, finds its *races* (conflicting
//! steps of two goroutines that nothing else orders) and asks, at the point before the earlier step
//! of each race, for an execution in which the later one comes first. What is asked for is a member
//! of the *source set* (Abdulla, Aronis, Jonsson, Sagonas: "Optimal dynamic partial order reduction",
//! POPL 2014, algorithm 1): if a step that begins such an execution is asked for already, nothing is
//! added. *Sleep sets* cut off an execution as soon as all it could do is known.
//!
//! | part | invariant |
//! |---|---|
//! | `path` | the decisions of the execution that runs now; those before `fresh` are being repeated |
//! | `Node::wanted` | goroutines to be run from here, sooner or later: the source set |
//! | `Node::known` | goroutines from which nothing new can be found here: explored, or asleep |
//! | `clocks` | per goroutine, how many steps of each goroutine happen before its next one |
//!
//! With a bound on preemptions there is no reduction: of two executions that end in the same state
//! one may lie within the bound and the other one not. Rejected: asking also where the block of steps
//! of the earlier goroutine began (Coons, Musuvathi, McKinley: "Bounded partial-order reduction",
//! OOPSLA 2013). It saved a quarter of the executions of random programs, and with values that are
//! handed over in either order it lost an end in one of a thousand of them.
//!
//! Must not know what goroutines are made of: it sees numbers and footprints.

use gorin_base::seeded;

use super::Goroutine;
use super::footprint::Footprint;
use super::order::Clock;
use super::strategy::{Options, Strategy};

/// What the search may leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reduction {
    /// Explore every order of all steps instead of one of each class. Only to measure and to test
    /// the reduction: the number of executions is exponential in the number of steps.
    pub(super) none: bool,
    /// Explore only executions with at most so many preemptions.
    pub(super) preemption_bound: Option<usize>,
}

impl Reduction {
    fn is_on(self) -> bool {
        !self.none && self.preemption_bound.is_none()
    }
}

/// A place where the next step was chosen.
#[derive(Debug)]
struct Node {
    enabled: Vec<Goroutine>,
    running: Option<Goroutine>,
    /// What the enabled goroutines are about to do.
    about: u64,
    /// Preemptions before this decision.
    preemptions: usize,
    chosen: Goroutine,
    /// What the chosen goroutine's step uses.
    footprint: Footprint,
    wanted: Vec<Goroutine>,
    known: Vec<(Goroutine, Footprint)>,
}

impl Node {
    fn preempts(&self, next: Goroutine) -> bool {
        self.running.is_some_and(|running| running != next)
    }

    fn want(&mut self, goroutine: Goroutine) {
        if !self.wanted.contains(&goroutine) {
            self.wanted.push(goroutine);
        }
    }

    fn is_known(&self, goroutine: Goroutine) -> bool {
        self.known.iter().any(|(known, _)| *known == goroutine)
    }
}

#[derive(Debug)]
enum Place {
    Step(Node),
    Choice { n: usize, taken: usize },
}

/// A step of the execution that runs now.
#[derive(Debug)]
struct Event {
    goroutine: Goroutine,
    /// How many steps of its goroutine there are up to and with this one.
    nth: u32,
    footprint: Footprint,
    /// Which steps happen before this one, itself included.
    clock: Clock,
    /// Where in `path` it was chosen.
    place: usize,
}

impl Event {
    fn happens_before(&self, clock: &Clock) -> bool {
        clock.get(self.goroutine) >= self.nth
    }
}

/// The search and what it remembers between executions.
#[derive(Debug)]
pub(super) struct Search {
    reduction: Reduction,
    path: Vec<Place>,
    /// How much of `path` the execution that runs now has used.
    position: usize,
    /// Where in `path` the current step was chosen.
    place: usize,
    /// From here on `path` differs from that of the execution before.
    fresh: usize,
    events: Vec<Event>,
    clocks: Vec<Clock>,
    /// What may stay asleep at the next node.
    asleep: Vec<(Goroutine, Footprint)>,
}

impl Search {
    pub(super) fn new(reduction: Reduction) -> Self {
        Self {
            reduction,
            path: Vec::new(),
            position: 0,
            place: 0,
            fresh: 0,
            events: Vec::new(),
            clocks: Vec::new(),
            asleep: Vec::new(),
        }
    }

    /// The decision to make where `path` ends; `None` if all that can run is asleep.
    fn first_choice(&mut self, options: &Options<'_>) -> Option<Goroutine> {
        let awake = |goroutine: &Goroutine| !self.asleep.iter().any(|(g, _)| g == goroutine);
        // Going on with the same goroutine costs no preemption and keeps schedules readable.
        let chosen = options
            .running
            .filter(awake)
            .or_else(|| options.enabled.iter().copied().find(awake))?;
        let preemptions = self.preemptions_so_far();
        let wanted = if self.reduction.is_on() {
            vec![chosen]
        } else {
            options.enabled.to_vec()
        };
        self.path.push(Place::Step(Node {
            enabled: options.enabled.to_vec(),
            running: options.running,
            about: options.about,
            preemptions,
            chosen,
            footprint: Footprint::default(),
            wanted,
            known: std::mem::take(&mut self.asleep),
        }));
        Some(chosen)
    }

    fn preemptions_so_far(&self) -> usize {
        self.last_node().map_or(0, |node| {
            node.preemptions + usize::from(node.preempts(node.chosen))
        })
    }

    fn last_node(&self) -> Option<&Node> {
        let places = self.path[..self.position.min(self.path.len())].iter();
        places.rev().find_map(|place| match place {
            Place::Step(node) => Some(node),
            Place::Choice { .. } => None,
        })
    }

    fn node(&mut self, place: usize) -> &mut Node {
        match &mut self.path[place] {
            Place::Step(node) => node,
            Place::Choice { .. } => unreachable!("an event is chosen at a node"),
        }
    }

    fn clock(&mut self, goroutine: Goroutine) -> &mut Clock {
        if self.clocks.len() <= goroutine {
            self.clocks.resize_with(goroutine + 1, Clock::default);
        }
        &mut self.clocks[goroutine]
    }

    /// Adds the step to `events`; returns the events that it races with.
    fn order(&mut self, goroutine: Goroutine, footprint: &Footprint) -> Vec<usize> {
        let mut clock = std::mem::take(self.clock(goroutine));
        let mut races = Vec::new();
        // Backwards, so that of two conflicting events the one in between is seen first and makes
        // the earlier one no race but a consequence.
        for (index, event) in self.events.iter().enumerate().rev() {
            if event.happens_before(&clock) || !event.footprint.conflicts(footprint) {
                continue;
            }
            races.push(index);
            if !seeded::bug("model.conflict_orders_nothing") {
                clock.join(&event.clock);
            }
        }
        let nth = clock.tick(goroutine);
        *self.clock(goroutine) = clock.clone();
        self.events.push(Event {
            goroutine,
            nth,
            footprint: footprint.clone(),
            clock,
            place: self.place,
        });
        races
    }

    /// Asks for an execution in which the newest event comes before `earlier`.
    fn reverse(&mut self, earlier: usize) {
        let first = &self.events[earlier];
        let last = self.events.len() - 1;
        // What can happen before `earlier`: everything after it that does not depend on it, and the
        // newest event. Its initials are the goroutines whose first step there needs no other.
        let mut firsts: Vec<&Event> = Vec::new();
        let mut initials = Vec::new();
        for (index, event) in self.events.iter().enumerate().skip(earlier + 1) {
            if index != last
                && first.happens_before(&event.clock)
                && !seeded::bug("model.initials_with_consequences")
            {
                continue;
            }
            if firsts.iter().any(|one| one.goroutine == event.goroutine) {
                continue;
            }
            if !firsts.iter().any(|one| one.happens_before(&event.clock)) {
                initials.push(event.goroutine);
            }
            firsts.push(event);
        }
        let newest = self.events[last].goroutine;
        let place = first.place;
        // Whoever cannot run there is enabled by `earlier` itself, and no order is to be reversed.
        let enabled = &self.node(place).enabled;
        initials.retain(|initial| enabled.contains(initial));
        let node = self.node(place);
        if initials.iter().any(|initial| node.wanted.contains(initial)) {
            return;
        }
        if initials.contains(&newest) {
            node.want(newest);
        } else if let Some(&initial) = initials.first()
            && !seeded::bug("model.newest_or_nobody")
        {
            node.want(initial);
        }
    }

    /// Another goroutine for `node` that has to be tried.
    fn another(&self, node: &Node) -> Option<Goroutine> {
        node.wanted.iter().copied().find(|&goroutine| {
            let within_bound = self.reduction.preemption_bound.is_none_or(|bound| {
                node.preemptions + usize::from(node.preempts(goroutine)) <= bound
            });
            within_bound && !node.is_known(goroutine)
        })
    }
}

impl Strategy for Search {
    fn pick(&mut self, options: &Options<'_>) -> Result<Option<Goroutine>, String> {
        let chosen = match self.path.get(self.position) {
            None => self.first_choice(options),
            Some(Place::Step(node)) if node.enabled != options.enabled => {
                return Err(different(options, "can run where others could before"));
            }
            Some(Place::Step(node)) if node.about != options.about => {
                return Err(different(
                    options,
                    "are about to do something else than before",
                ));
            }
            Some(Place::Step(node)) => Some(node.chosen),
            Some(Place::Choice { .. }) => {
                return Err(different(
                    options,
                    "can run where there was a choice before",
                ));
            }
        };
        self.place = self.position;
        self.position += usize::from(chosen.is_some());
        Ok(chosen)
    }

    fn choose(&mut self, n: usize) -> Result<usize, String> {
        if self.position == self.path.len() {
            self.path.push(Place::Choice { n, taken: 0 });
        }
        self.position += 1;
        match self.path[self.position - 1] {
            Place::Choice { n: known, taken } if known == n => Ok(taken),
            _ => Err(format!("a choice among {n} was not there before")),
        }
    }

    fn step(&mut self, goroutine: Goroutine, footprint: &Footprint) {
        let place = self.place;
        let is_fresh = place >= self.fresh;
        let races = self.order(goroutine, footprint);
        if is_fresh && self.reduction.is_on() {
            for earlier in races {
                self.reverse(earlier);
            }
        }
        let node = self.node(place);
        node.footprint = footprint.clone();
        let asleep: Vec<_> = node
            .known
            .iter()
            .filter(|(other, theirs)| {
                let disturbed =
                    theirs.is_disturbed_by(footprint) && !seeded::bug("model.sleeps_too_long");
                *other != goroutine && !disturbed
            })
            .cloned()
            .collect();
        if self.reduction.is_on() {
            self.asleep = asleep;
        }
    }

    fn follows(&mut self, goroutine: Goroutine) {
        if let Some(last) = self.events.last() {
            let clock = last.clock.clone();
            self.clock(goroutine).join(&clock);
        }
    }

    fn barrier(&mut self) {
        let mut all = Clock::default();
        for event in &self.events {
            all.join(&event.clock);
        }
        for clock in &mut self.clocks {
            clock.join(&all);
        }
    }

    fn restart(&mut self) {
        *self = Self::new(self.reduction);
    }

    fn next(&mut self) -> bool {
        self.events.clear();
        self.clocks.clear();
        self.asleep.clear();
        self.position = 0;
        while let Some(mut place) = self.path.pop() {
            let more = match &mut place {
                Place::Choice { n, taken } => {
                    *taken += 1;
                    taken < n && !seeded::bug("model.one_answer")
                }
                Place::Step(node) => {
                    let footprint = std::mem::take(&mut node.footprint);
                    node.known.push((node.chosen, footprint));
                    self.another(node).is_some_and(|next| {
                        node.chosen = next;
                        true
                    })
                }
            };
            if more {
                self.fresh = self.path.len();
                self.path.push(place);
                return true;
            }
        }
        false
    }
}

fn different(options: &Options<'_>, how: &str) -> String {
    format!(
        "repeating the beginning of an execution, goroutines {:?} {how}",
        options.enabled
    )
}
