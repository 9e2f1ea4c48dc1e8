//! What the spare worker does (`spare.rs` says what it is): it stands by, looks whether all others compute,
//! and is on duty for a while if they do.
//!
//! | | standing by | on duty |
//! |---|---|---|
//! | comes to look | after [`LONG`] in which all were awake | every [`OFTEN`] |
//! | takes over what waits for others | if all have computed for [`LONG`] | if all have for [`HOG`] |
//! | keeps the time, hears of shared sockets and looks for them | no | as any worker |
//! | what wakes on its own ring | runs | runs |
//!
//! It stays on duty for [`SHIFT`] after the last time that it found all others computing. The sockets that it
//! has taken over stay until one of the others is awake when a goroutine waits for them again, as with all
//! workers that stand down (`crowd.rs`).
//!
//! To the timers it is no worker when it adds one: whoever does must go to sleep by way of
//! [`Timers::park`](crate::timer::Timers::park), which it may not.

use std::cell::Cell;
use std::time::Duration;

use gorin_base::clock;

use super::{Worker, expect_enter};
use crate::pulse::HOG;
use crate::rescue::{Duty, Guard};

/// Others must compute for so long for the spare to go on duty; Go preempts after the same time.
const LONG: Duration = Duration::from_millis(10);
/// How often it looks while it is on duty, if nothing else wakes it.
const OFTEN: Duration = Duration::from_millis(1);
/// The shortest time between two looks.
const LEAST: Duration = HOG;
/// How long it stays on duty.
const SHIFT: Duration = Duration::from_millis(200);

/// The spare's hours, in the reactor's nanoseconds. Its own.
#[derive(Debug, Default)]
pub(crate) struct Shift {
    /// Until when it is on duty; 0 if it has stood by since.
    until: Cell<u64>,
    looked_at: Cell<u64>,
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

impl Worker {
    pub(crate) fn is_spare(&self) -> bool {
        self.shared.spare() == Some(self.index)
    }

    /// It is the spare, and stands by.
    pub(crate) fn stands_by(&self) -> bool {
        self.is_spare() && self.shift.until.get() <= self.shared.number(self.now.get())
    }

    /// To be called when the worker's pulse says that it runs what is not ours.
    pub(super) fn call_spare(&self) {
        let Some(guard) = &self.shared.guard else {
            return;
        };
        let Some(spare) = &guard.spare else {
            return;
        };
        if spare.index == self.index || !spare.call(|| guard.watch.sleeps()) {
            return;
        }
        if let Some(alarm) = self.shared.posts[spare.index].alarm.get() {
            alarm.start(LONG);
        }
    }

    /// To be called when the worker is counted as asleep.
    pub(crate) fn recall_spare(&self, guard: &Guard) {
        if let Some(spare) = guard.spare.as_ref().filter(|spare| spare.recall())
            && let Some(alarm) = self.shared.posts[spare.index].alarm.get()
        {
            alarm.take_back();
        }
    }

    /// The longest that the spare may sleep.
    pub(crate) fn spare_nap(&self, guard: &Guard) -> Option<Duration> {
        if !self.stands_by() {
            return Some(OFTEN);
        }
        let now = self.shared.number(self.now.get());
        let runs = |index: usize| self.shared.posts[index].pulse.silence(now).is_some();
        let busy = || (0..self.shared.config.workers).all(runs);
        let stays = guard.spare.as_ref().is_some_and(|spare| spare.relax(busy));
        stays.then_some(LONG)
    }

    /// Sleeps without being anything to the others.
    pub(super) fn stand_by(&self) {
        if self.shift.until.take() != 0 {
            // It may have kept the time.
            self.shared.timers.leave(self.index);
            if let Some(poller) = &self.shared.poller {
                poller.retire(self.index);
            }
        }
        let core = &mut *self.core.borrow_mut();
        if self.shared.poller.is_none() {
            core.driver.rest();
        }
        let slept = self.sleep(core, None);
        expect_enter(slept);
    }

    /// Whether worker `index` has computed for `least`, or will block.
    fn is_stuck(&self, index: usize, now: u64, least: Duration) -> bool {
        let silence = self.shared.posts[index].pulse.silence(now);
        silence.is_some_and(|episode| episode.lasted >= least || episode.is_expected())
    }

    /// For a worker that will block: the spare one, if it has to come at once, for all others are stuck. Who
    /// blocks for a moment now and then calls nobody, while others have control.
    pub(crate) fn spare_if_all_are_stuck(&self) -> Option<usize> {
        let spare = self.shared.spare()?;
        let now = self.shared.number(clock::now());
        let mut others = (0..self.shared.config.workers).filter(|&other| other != self.index);
        others
            .all(|other| self.is_stuck(other, now, LONG))
            .then_some(spare)
    }

    /// Whether it is time to look, and all others compute: then the spare is on duty.
    pub(crate) fn is_needed(&self, now: u64) -> bool {
        let more = self.duty.take() == Duty::Look;
        let since = now.saturating_sub(self.shift.looked_at.get());
        let stands_by = self.stands_by();
        // To look whether it has to begin costs little, and it may have been called.
        if !more && !stands_by && since < nanos(LEAST) {
            return false;
        }
        let least = if stands_by { LONG } else { HOG };
        self.shift.looked_at.set(now);
        let needed = (0..self.shared.config.workers).all(|index| self.is_stuck(index, now, least));
        if needed {
            self.shift.until.set(now + nanos(SHIFT));
        }
        needed
    }
}
