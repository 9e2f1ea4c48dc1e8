//! Which steps happen before which: vector clocks over goroutines.
//!
//! Must not know what a step is.

use super::Goroutine;

/// For each goroutine, how many of its steps happen before something. Missing entries are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock(Vec<u32>);

impl Clock {
    /// Steps of `goroutine` that happen before.
    pub(super) fn get(&self, goroutine: Goroutine) -> u32 {
        self.0.get(goroutine).copied().unwrap_or(0)
    }

    /// One more step of `goroutine`; returns which.
    pub(super) fn tick(&mut self, goroutine: Goroutine) -> u32 {
        if self.0.len() <= goroutine {
            self.0.resize(goroutine + 1, 0);
        }
        self.0[goroutine] += 1;
        self.0[goroutine]
    }

    /// What happens before `other` happens before this, too.
    pub(super) fn join(&mut self, other: &Clock) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = (*mine).max(*theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_knows_what_either_side_knew() {
        let (mut a, mut b) = (Clock::default(), Clock::default());
        assert_eq!((a.tick(0), a.tick(0), b.tick(2)), (1, 2, 1));
        b.join(&a);
        assert_eq!((b.get(0), b.get(1), b.get(2), b.get(9)), (2, 0, 1, 0));
        assert_eq!(a.get(2), 0);
    }
}
