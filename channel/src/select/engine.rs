//! The engine of a select: one atomic look, one claim.
//!
//! ```text
//!   first poll   lock all channels in creation order, look which cases are ready, draw one of them,
//!                make it take effect: done. None ready: take the default, or stand in line in all
//!                channels under the same locks, sharing one claim.
//!   later polls  has a partner served a case? take its result, leave the other lines: done.
//!   dropped      withdraw the claim and leave all lines; if a partner was faster, undo that case.
//! ```
//!
//! With foreign futures among the cases, whether they or the channels go first is drawn by their
//! number, so neither can starve the other. A poll of a waiting select first closes its claim
//! (POLLING), polls the foreign futures in random order, and then looks at the channels again under
//! all their locks before it reopens the claim: what a partner did meanwhile, it did to a select
//! that seemed absent, and is found here.
//!
//! Invariants
//!
//! 1. Exactly one case takes effect: either this code commits it while the claim is not open, or a
//!    partner does after winning the claim.
//! 2. While the claim is open every channel case stands in line, and none was ready when it opened.
//! 3. When the select has ended or is dropped, none of its waiters is left in any channel.
//!
//! Must not: wake, clone or drop a waker, poll a foreign future, or drop a value under the locks.

use std::task::{Context, Poll, ready};

use gorin_base::hook::{self, Access, Site};
use gorin_base::primitive::PlainArc;
use gorin_base::{coop, primitive, rng, seeded};

use super::case::{Commit, Kind, OnChannel};
use crate::claim::{Claim, Status};
use crate::few::Few;
use crate::lock::LockSet;
use crate::waiter::Wakeup;

/// The cases of one select, by index.
pub trait Cases<'a> {
    /// How many there are.
    fn len(&self) -> usize;

    /// The case at `index`.
    fn kind(&mut self, index: usize) -> Kind<'_, 'a>;
}

/// What a select does and where it stands. Whoever owns one calls [`cancel`](Self::cancel) with the
/// same cases before dropping it.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) options: Options,
    /// Present while the select stands in line.
    claim: Option<PlainArc<Claim>>,
    /// The channel cases in the order in which to lock their channels, and behind them the foreign
    /// cases. Numbers only, and both in one list: the future of a select is moved before it is polled.
    order: Few<u32>,
    /// How many channel cases there are.
    channels: usize,
}

/// What a report calls it.
const SELECT: &str = "select";

/// How a select chooses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// The first ready case in source order, instead of a draw among the ready ones.
    pub(crate) biased: bool,
    /// Do not wait.
    pub(crate) default: bool,
    pub(crate) site: Site,
}

/// How a select ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chosen {
    /// The case with this index took effect.
    Case(usize),
    /// Nothing was ready, and the select has a default.
    Default,
}

/// What a look at the channels is to do if no case is ready.
enum Otherwise<'c> {
    /// Nothing.
    Return,
    /// Stand in line.
    Enter(&'c PlainArc<Claim>),
    /// The cases stand in line already: open the claim again.
    Reopen(&'c Claim),
}

impl Engine {
    #[inline]
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            claim: None,
            order: Few::new(),
            channels: 0,
        }
    }

    /// The channel cases, in the order in which to lock their channels.
    #[inline]
    fn locking(&self) -> impl Iterator<Item = usize> + '_ {
        self.order[..self.channels]
            .iter()
            .map(|&index| index as usize)
    }

    /// The foreign cases.
    #[inline]
    fn foreign(&self) -> &[u32] {
        &self.order[self.channels..]
    }

    pub(crate) fn poll<'a, C>(&mut self, cases: &mut C, cx: &mut Context<'_>) -> Poll<Chosen>
    where
        C: Cases<'a> + ?Sized,
    {
        ready!(coop::poll_ready(cx));
        let chosen = match self.claim.take() {
            None => self.first(cases, cx),
            Some(claim) => self.again(cases, claim, cx),
        };
        match chosen {
            Some(chosen) => {
                coop::spend();
                Poll::Ready(chosen)
            }
            None => Poll::Pending,
        }
    }

    fn first<'a, C>(&mut self, cases: &mut C, cx: &mut Context<'_>) -> Option<Chosen>
    where
        C: Cases<'a> + ?Sized,
    {
        self.arrange(cases);
        self.announce_step(cases, SELECT);
        let mut steps = hook::steps();
        let index = if self.foreign().is_empty() {
            None
        } else if self.options.biased {
            self.in_source_order(cases, cx, &mut steps)
        } else if rng::below(self.order.len()) < self.foreign().len() {
            self.poll_foreign(cases, cx)
        } else {
            self.look(cases, cases.len(), Otherwise::Return)
                .or_else(|| self.poll_foreign(cases, cx))
        };
        if let Some(index) = index {
            return Some(Chosen::Case(index));
        }
        self.announce_again(cases, &mut steps);
        if self.options.default {
            let index = self.look(cases, cases.len(), Otherwise::Return);
            return Some(index.map_or(Chosen::Default, Chosen::Case));
        }
        self.look_or_enter(cases, cx)
    }

    /// The last look of the first poll.
    fn look_or_enter<'a, C>(&mut self, cases: &mut C, cx: &mut Context<'_>) -> Option<Chosen>
    where
        C: Cases<'a> + ?Sized,
    {
        let claim = Claim::obtain();
        if let Some(index) = self.look(cases, cases.len(), Otherwise::Enter(&claim)) {
            Claim::release(claim);
            return Some(Chosen::Case(index));
        }
        // A partner may serve the select from here on; it wakes nobody before the waker is set.
        claim.set_first_waker(cx.waker());
        if !seeded::bug("select.waker_set_without_second_look")
            && let Status::Served(index) = claim.status()
        {
            return Some(self.collect(cases, claim, index));
        }
        self.wait(cases, claim)
    }

    fn again<'a, C>(
        &mut self,
        cases: &mut C,
        claim: PlainArc<Claim>,
        cx: &mut Context<'_>,
    ) -> Option<Chosen>
    where
        C: Cases<'a> + ?Sized,
    {
        if let Status::Served(index) = claim.status() {
            return Some(self.collect(cases, claim, index));
        }
        claim.set_waker(cx.waker());
        if self.foreign().is_empty() {
            if !seeded::bug("select.replaced_waker_no_second_look")
                && let Status::Served(index) = claim.status()
            {
                return Some(self.collect(cases, claim, index));
            }
            self.claim = Some(claim);
            return None;
        }
        if let Status::Served(index) = claim.begin_polling() {
            return Some(self.collect(cases, claim, index));
        }
        // If a foreign future panics, `cancel` finds the claim and withdraws it.
        let claim = &*self.claim.insert(claim);
        let claim = claim.clone();
        let mut steps = hook::steps();
        let polled = self.poll_foreign(cases, cx);
        self.announce_again(cases, &mut steps);
        let index = match polled {
            Some(index) => Some(index),
            None if seeded::bug("select.no_look_after_polling") => {
                claim.reopen();
                None
            }
            None => self.look(cases, cases.len(), Otherwise::Reopen(&claim)),
        };
        let index = index?;
        self.claim = None;
        let _ = claim.withdraw();
        self.leave_all(cases, None);
        Claim::release(claim);
        Some(Chosen::Case(index))
    }

    /// Sorts the cases into channel cases in locking order, and foreign ones.
    fn arrange<'a, C>(&mut self, cases: &mut C)
    where
        C: Cases<'a> + ?Sized,
    {
        self.order.clear();
        let len = u32::try_from(cases.len()).expect("fewer than 2^32 cases");
        let (mut foreign, mut sorted, mut last) = (false, true, 0);
        for index in 0..len {
            match cases.kind(index as usize) {
                Kind::Off => {}
                Kind::Channel(case) => {
                    let id = case.channel();
                    sorted &= last <= id;
                    last = id;
                    self.order.push(index);
                }
                Kind::Foreign(_) => foreign = true,
            }
        }
        self.channels = self.order.len();
        if !sorted && !seeded::bug("select.locks_in_case_order") {
            self.sort(cases);
        }
        if foreign {
            let is_foreign = |&index: &u32| matches!(cases.kind(index as usize), Kind::Foreign(_));
            (0..len)
                .filter(is_foreign)
                .for_each(|index| self.order.push(index));
        }
    }

    /// Sorts the channel cases by the numbers of their channels; two of one channel stay in order.
    #[cold]
    fn sort<'a, C>(&mut self, cases: &mut C)
    where
        C: Cases<'a> + ?Sized,
    {
        let mut numbered = Few::new();
        for index in self.locking() {
            numbered.push((channel(cases, index).channel(), index));
        }
        numbered.sort_unstable();
        for (place, &(_, index)) in self.order.iter_mut().zip(numbered.iter()) {
            *place = index as u32;
        }
    }

    #[inline]
    fn announce_step<'a, C>(&self, cases: &mut C, operation: &'static str)
    where
        C: Cases<'a> + ?Sized,
    {
        let site = self.options.site;
        let access = |index| (channel(cases, index).channel(), Access::Write);
        hook::step_all(operation, || self.locking().map(access), site);
    }

    /// A foreign case may have taken steps of its own since there were `steps`: what comes next happens
    /// after others could have gone on, and is a step, too.
    #[inline]
    fn announce_again<'a, C>(&self, cases: &mut C, steps: &mut usize)
    where
        C: Cases<'a> + ?Sized,
    {
        let taken = hook::steps() != *steps && self.channels > 0;
        if taken && !seeded::bug("select.looks_in_a_foreign_step") {
            self.announce_step(cases, SELECT);
            *steps = hook::steps();
        }
    }

    /// Polls the foreign cases in random order until one ends.
    fn poll_foreign<'a, C>(&self, cases: &mut C, cx: &mut Context<'_>) -> Option<usize>
    where
        C: Cases<'a> + ?Sized,
    {
        let mut left = Few::new();
        self.foreign().iter().for_each(|&index| left.push(index));
        while !left.is_empty() {
            let drawn = if self.options.biased {
                0
            } else {
                rng::below(left.len())
            };
            let index = left.remove(drawn) as usize;
            if let Kind::Foreign(case) = cases.kind(index)
                && case.poll(cx)
            {
                return Some(index);
            }
        }
        None
    }

    /// The first ready case of a biased select with foreign cases: before each foreign case is
    /// polled, the channel cases in front of it are looked at.
    fn in_source_order<'a, C>(
        &mut self,
        cases: &mut C,
        cx: &mut Context<'_>,
        steps: &mut usize,
    ) -> Option<usize>
    where
        C: Cases<'a> + ?Sized,
    {
        for position in 0..self.foreign().len() {
            let foreign = self.foreign()[position] as usize;
            self.announce_again(cases, steps);
            let before = self.look(cases, foreign, Otherwise::Return);
            if before.is_some() {
                return before;
            }
            if let Kind::Foreign(case) = cases.kind(foreign)
                && case.poll(cx)
            {
                return Some(foreign);
            }
        }
        None
    }

    /// One atomic look at the channel cases with an index below `limit`: makes one of the ready
    /// ones take effect, or else does what `otherwise` says, all under the same locks.
    fn look<'a, C>(&self, cases: &mut C, limit: usize, otherwise: Otherwise<'_>) -> Option<usize>
    where
        C: Cases<'a> + ?Sized,
    {
        let mut locks = LockSet::new();
        for index in self.locking().filter(|&index| index < limit) {
            channel(cases, index).lock(&mut locks);
        }
        let mut ready = Few::new();
        for index in 0..limit {
            if let Kind::Channel(case) = cases.kind(index)
                && case.is_ready(&mut locks)
            {
                ready.push(index as u32);
            }
        }
        while !ready.is_empty() {
            let drawn = if self.options.biased {
                0
            } else {
                rng::below(ready.len())
            };
            let index = ready.remove(drawn) as usize;
            match channel(cases, index).commit(&mut locks) {
                Commit::Done(wakeup) => {
                    drop(locks);
                    Wakeup::wake_any(wakeup);
                    return Some(index);
                }
                Commit::Missed => {}
                Commit::NoMemory => {
                    drop(locks);
                    channel(cases, index).no_memory();
                }
            }
        }
        match otherwise {
            Otherwise::Return => {}
            Otherwise::Reopen(claim) => claim.reopen(),
            Otherwise::Enter(claim) => {
                for index in self.locking() {
                    if index > 0 && seeded::bug("select.unlocks_between_entries") {
                        drop(std::mem::replace(&mut locks, LockSet::new()));
                        self.locking()
                            .for_each(|index| channel(cases, index).lock(&mut locks));
                    }
                    channel(cases, index).enter(&mut locks, claim, index);
                }
            }
        }
        None
    }

    /// The select stands in line.
    fn wait<'a, C>(&mut self, cases: &mut C, claim: PlainArc<Claim>) -> Option<Chosen>
    where
        C: Cases<'a> + ?Sized,
    {
        self.claim = Some(claim);
        if hook::is_observed() {
            for index in self.locking() {
                channel(cases, index).announce_wait(self.options.site);
            }
        }
        None
    }

    /// A partner has served the case `index`.
    fn collect<'a, C>(&mut self, cases: &mut C, claim: PlainArc<Claim>, index: usize) -> Chosen
    where
        C: Cases<'a> + ?Sized,
    {
        channel(cases, index).collect();
        self.leave_all(cases, Some(index));
        Claim::release(claim);
        Chosen::Case(index)
    }

    /// Takes all waiters but that of `except` out of their channels.
    fn leave_all<'a, C>(&self, cases: &mut C, except: Option<usize>)
    where
        C: Cases<'a> + ?Sized,
    {
        for index in self.locking() {
            if Some(index) != except && !seeded::bug("select.leaves_waiters_behind") {
                channel(cases, index).leave();
            }
        }
    }

    /// Ends a select that is dropped, or whose result nobody wants.
    pub(crate) fn cancel<'a, C>(&mut self, cases: &mut C)
    where
        C: Cases<'a> + ?Sized,
    {
        let Some(claim) = self.claim.take() else {
            return;
        };
        if primitive::unwinding() {
            return;
        }
        self.announce_step(cases, "withdrawal");
        let mut served = None;
        if let Status::Served(index) = claim.withdraw() {
            served = Some(index);
            if seeded::bug("select.dropped_after_commit_not_undone") {
                channel(cases, index).leave();
            } else {
                channel(cases, index).undo();
            }
        }
        self.leave_all(cases, served);
        Claim::release(claim);
    }
}

/// The channel case at `index`, of which the caller knows that it is one.
fn channel<'c, 'a, C>(cases: &'c mut C, index: usize) -> &'c mut dyn OnChannel<'a>
where
    C: Cases<'a> + ?Sized,
{
    match cases.kind(index) {
        Kind::Channel(case) => case,
        _ => unreachable!("the locking order names channel cases only"),
    }
}
