//! The lookout: which of the workers that rest is told when a socket is ready.
//!
//! A worker rests while it sleeps, or looks for something to do before it sleeps. Among those that
//! rest there is exactly one lookout, the one that came last: it ran most recently, so what it needs
//! is in its cache. When it goes to work the one that came before it becomes the lookout, *without
//! being woken*: a switch in the kernel is turned for it. So a socket never waits for a worker that
//! computes while another one sleeps, and no worker is woken only to keep watch.
//!
//! # Invariants
//!
//! 1. Of the workers that rest, the last one of `resting` is switched on and no other.
//! 2. A switch is level-triggered: what was ready before it was turned on is told of at once. So
//!    nothing is lost between two turns, or between a last look and the hand-over.
//!
//! A worker that does not rest may be switched on: nobody listens to it, and it is spared the turn
//! when it rests again. But for the one that sleeps without resting, the spare one: it is switched off.
//!
//! This file knows no epoll: what is switched is a [`Switch`].

use gorin_base::primitive::Mutex;
use gorin_base::seeded;

/// What tells workers of sockets.
pub(crate) trait Switch {
    /// From now on `worker` is told of sockets that are or become ready, or not.
    fn set(&self, worker: usize, on: bool);
}

/// See the module text.
#[derive(Debug)]
pub(crate) struct Lookout {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// In the order in which they came.
    resting: Vec<usize>,
    /// Who is switched on, resting or not.
    switched_on: Vec<usize>,
}

impl State {
    fn switch(&mut self, worker: usize, on: bool, switch: &impl Switch) {
        let place = self.switched_on.iter().position(|&other| other == worker);
        match place {
            None if on => self.switched_on.push(worker),
            Some(place) if !on => {
                self.switched_on.swap_remove(place);
            }
            _ => return,
        }
        switch.set(worker, on);
    }
}

impl Lookout {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                resting: Vec::new(),
                switched_on: Vec::new(),
            }),
        }
    }

    /// `worker` rests from now on, and is the lookout.
    pub(crate) fn rest(&self, worker: usize, switch: &impl Switch) {
        let state = &mut *self.state.lock();
        debug_assert!(!state.resting.contains(&worker), "it rests already");
        let before = state.resting.last().copied();
        state.resting.push(worker);
        if !seeded::bug("lookout.nobody_told") {
            state.switch(worker, true, switch);
        }
        if let Some(before) = before
            && !seeded::bug("lookout.everybody_told")
        {
            state.switch(before, false, switch);
        }
    }

    /// `worker` goes to work; whoever rested last is the lookout.
    pub(crate) fn resume(&self, worker: usize, switch: &impl Switch) {
        let state = &mut *self.state.lock();
        state.resting.retain(|&other| other != worker);
        if let Some(&next) = state.resting.last()
            && !seeded::bug("lookout.no_hand_over")
        {
            state.switch(next, true, switch);
        }
    }

    /// `worker`, which does not rest, will sleep without resting: it hears of nothing from now on, until it
    /// rests again.
    pub(crate) fn retire(&self, worker: usize, switch: &impl Switch) {
        let state = &mut *self.state.lock();
        debug_assert!(!state.resting.contains(&worker), "it rests");
        state.switch(worker, false, switch);
    }
}

#[cfg(test)]
mod models;
