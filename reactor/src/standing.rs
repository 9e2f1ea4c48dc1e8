//! Standing polls: a socket for which a goroutine waits again and again is polled for once.
//!
//! A one-shot poll per wait costs some 0.4 µs: a request to set up, to complete and to take down.
//! Who waits for the same socket twice in a row on the same ring gets a *standing* poll there, which
//! reports each arrival until it is cancelled (a multishot poll). Later polls *ride* on it: nothing is
//! submitted for them, and the next report completes them. In a closed loop of 50 connections that
//! took 10 % off the server's CPU time per request at 64 bytes, 12 % at 4 KiB and 5 % at 64 KiB.
//!
//! Above the driver nobody knows: each poll that is armed completes once, under its own key, at once if
//! the socket is ready already, and can be cancelled and evacuated like any other.
//!
//! # What a rider misses
//!
//! A one-shot poll looks at its socket when it is submitted; a standing one reports arrivals only.
//! - *What came before the rider's call* was found by that call, if it has emptied the socket.
//! - *What came after it* is reported later: between a call and its poll no report is taken (`Worker::moment`).
//! - *What its call has left* (a short read ends at urgent data, or before a descriptor; a caller may say
//!   "would block" for reasons of its own) is not reported at all. So riders are
//!   [looked at](Standing::look) before their worker sleeps, or when it has polled for a millisecond before
//!   that, and after [`LOOK_EACH`] flushes if it does not sleep: all of them by one `poll(2)`. Those who only guess that nothing is left
//!   (`socket/habit.rs`) are looked at sooner, and taken over by who rescues the worker if it computes before
//!   that (`arms.rs`).
//! - *The end of the stream*, and errors, are reported once. After such a report the poll is ended, and
//!   whoever waits polls as before.
//!
//! Reports that nobody waits for cost, too (a long message is read, or the goroutine was taken by
//! another worker, whose ring polls by itself meanwhile): after [`MOST_STRAYS`] of them the poll is
//! cancelled.
//!
//! Rejected: standing polls from the first wait on (a connection that is served once pays for setting one
//! up and for cancelling it); readiness by edges, as with a shared set, on such polls (once more
//! everything that the words do, and nobody rescues what waits for no edge); `POLLPRI`, to learn of
//! urgent data (the kernel reports it with each arrival).
//!
//! Plain data of one ring's owner. That a socket has one at a time, and that its file stays open as long,
//! is the readiness table's part (`Table::start_standing` in `readiness.rs`).

use std::os::fd::RawFd;

/// Reports that nobody waited for, one after the other, by which a poll is ended.
const MOST_STRAYS: u8 = 4;
/// Flushes after which riders are looked at, if they have not been completed by then: 25 to 50 ms of work.
/// What a call has left is rare, and a look at 1,000 sockets costs as much as a few requests.
const LOOK_EACH: u32 = 256;
/// The same for those who wait by a guess, 1 to 3 ms: they are looked at when they have been there
/// for once to twice as many. Where clients answer within that time, nobody is.
const LOOK_AT_GUESSES_EACH: u32 = 8;

/// Why a call is not tried, or not again, and its poll is to be armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocks {
    /// It has blocked, or the last one has taken all that was there.
    Surely,
    /// The last one has filled its buffer, which always was all that was there (`socket/habit.rs`).
    Probably,
}

/// What a poll that is to be armed can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ride {
    /// It rides. `misled`: the one before waited by a guess that was wrong.
    Taken { misled: bool },
    /// It has to be submitted.
    Refused,
    /// Likewise, but a standing poll in its place would pay.
    Wanted,
}

/// What a report means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// The rider that it completes, by its generation.
    pub(crate) completes: Option<u32>,
    /// The poll has to be cancelled.
    pub(crate) cancel: bool,
}

/// The standing poll of one socket.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Of the poll that was armed here last; that one rides if `ridden`.
    generation: u32,
    state: State,
    ridden: bool,
    /// Reports since the last rider.
    strays: u8,
    guess: Guess,
}

/// What the last rider waited by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Guess {
    #[default]
    None,
    Made,
    /// A look has found what no report had told of then.
    Wrong,
}

/// A rider: slot, generation and descriptor.
type Rider = (usize, u32, RawFd);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// There is none.
    #[default]
    Absent,
    /// It is in flight.
    Standing,
    /// It was cancelled; its last completion is still to come.
    Ending,
}

/// The standing polls of one ring, by their sockets' slots. See the module text.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    entries: Vec<Entry>,
    /// Riders that nobody has looked at. Some may not ride any more.
    riders: Vec<Rider>,
    /// The same, of those who wait by a guess.
    guesses: Vec<Rider>,
    /// How many of `guesses` were there when it was last time to look at them.
    old_guesses: usize,
    /// For [`look`](Self::look).
    looked_at: Vec<Rider>,
    polled: Vec<libc::pollfd>,
    flushes: u32,
}

impl Entry {
    #[inline]
    fn rides(&self, generation: u32) -> bool {
        self.ridden && self.generation == generation
    }
}

impl Standing {
    #[inline]
    fn entry(&mut self, slot: usize) -> &mut Entry {
        if slot >= self.entries.len() {
            self.entries.resize(slot + 1, Entry::default());
        }
        &mut self.entries[slot]
    }

    /// The poll of generation `generation` is to be armed, since a call `blocks`. Second: polls that
    /// complete now, by their generations: an older rider, or this one.
    #[inline]
    pub(crate) fn ride(
        &mut self,
        slot: usize,
        generation: u32,
        fd: RawFd,
        blocks: Blocks,
    ) -> (Ride, Option<u32>) {
        let entry = self.entry(slot);
        let before = std::mem::replace(&mut entry.generation, generation);
        match entry.state {
            State::Absent if before.wrapping_add(1) == generation => (Ride::Wanted, None),
            State::Absent => (Ride::Refused, None),
            // Who rode was evacuated, or it could not be armed anew.
            State::Ending => {
                let evacuated = std::mem::take(&mut entry.ridden);
                (Ride::Refused, evacuated.then_some(before))
            }
            State::Standing => {
                let reported = std::mem::take(&mut entry.strays) > 0;
                let guess = match blocks {
                    Blocks::Surely => Guess::None,
                    Blocks::Probably => Guess::Made,
                };
                // What a report tells of is news: it had only not been told yet.
                let misled =
                    std::mem::replace(&mut entry.guess, guess) == Guess::Wrong && !reported;
                if misled && guess == Guess::Made {
                    return (Ride::Taken { misled }, Some(generation));
                }
                let evacuated = std::mem::replace(&mut entry.ridden, true);
                let riders = match blocks {
                    Blocks::Surely => &mut self.riders,
                    Blocks::Probably => &mut self.guesses,
                };
                riders.push((slot, generation, fd));
                (Ride::Taken { misled }, evacuated.then_some(before))
            }
        }
    }

    /// The standing poll is submitted in place of the poll for which it was [wanted](Ride::Wanted).
    pub(crate) fn start(&mut self, slot: usize) {
        let entry = self.entry(slot);
        entry.state = State::Standing;
        entry.ridden = true;
        entry.strays = 0;
        // It looks by itself.
        entry.guess = Guess::None;
    }

    /// The standing poll reports. `over`: the end of the stream, or an error; `more`: it goes on.
    #[inline]
    pub(crate) fn report(&mut self, slot: usize, over: bool, more: bool) -> Report {
        let entry = self.entry(slot);
        let ridden = std::mem::take(&mut entry.ridden);
        entry.strays = if ridden {
            0
        } else {
            entry.strays.saturating_add(1)
        };
        let ends = over || entry.strays >= MOST_STRAYS;
        let cancel = more && ends && entry.state == State::Standing;
        if !more {
            entry.state = State::Absent;
            entry.strays = 0;
        } else if cancel {
            entry.state = State::Ending;
        }
        Report {
            completes: ridden.then_some(entry.generation),
            cancel,
        }
    }

    /// Takes a rider off, if that poll rides: it is cancelled.
    pub(crate) fn take_off(&mut self, slot: usize, generation: u32) -> bool {
        let entry = self.entry(slot);
        let rides = entry.rides(generation);
        entry.ridden &= !rides;
        rides
    }

    /// The socket is closed: true if its poll has to be cancelled.
    pub(crate) fn end(&mut self, slot: usize) -> bool {
        let entry = self.entry(slot);
        let stands = entry.state == State::Standing;
        if stands {
            entry.state = State::Ending;
        }
        stands
    }

    /// True if riders that wait by a guess were not looked at yet.
    #[inline]
    pub(crate) fn guesses(&self) -> bool {
        !self.guesses.is_empty()
    }

    /// Counts a flush; true if it is time to [look](Self::look) at some.
    #[inline]
    pub(crate) fn is_time_to_look(&mut self) -> bool {
        self.flushes = self.flushes.wrapping_add(1);
        self.is_time_for_all() && !self.riders.is_empty()
            || self.flushes.is_multiple_of(LOOK_AT_GUESSES_EACH) && !self.guesses.is_empty()
    }

    fn is_time_for_all(&self) -> bool {
        self.flushes >= LOOK_EACH
    }

    /// Looks at riders that nobody has looked at, by `poll`, which is `poll(2)` without waiting: at all, or
    /// at those whose [time](Self::is_time_to_look) it is. Calls `found` with the slots and generations of
    /// those that complete now.
    pub(crate) fn look(
        &mut self,
        all: bool,
        poll: impl FnOnce(&mut [libc::pollfd]),
        mut found: impl FnMut(usize, u32),
    ) {
        self.choose(all);
        let entries = &mut self.entries;
        let looked_at = &mut self.looked_at;
        looked_at.retain(|&(slot, generation, _)| entries[slot].rides(generation));
        if looked_at.is_empty() {
            return;
        }
        let polled = &mut self.polled;
        polled.clear();
        polled.extend(looked_at.iter().map(|&(_, _, fd)| libc::pollfd {
            fd,
            events: libc::POLLIN | libc::POLLRDHUP,
            revents: 0,
        }));
        poll(polled);
        for ((slot, generation, _), polled) in looked_at.drain(..).zip(polled) {
            if polled.revents != 0 {
                let entry = &mut entries[slot];
                entry.ridden = false;
                if entry.guess == Guess::Made {
                    entry.guess = Guess::Wrong;
                }
                found(slot, generation);
            }
        }
    }

    /// Moves those to be looked at now to `looked_at`.
    fn choose(&mut self, all: bool) {
        let guesses = if all {
            self.guesses.len()
        } else {
            self.old_guesses
        };
        self.looked_at.extend(self.guesses.drain(..guesses));
        self.old_guesses = self.guesses.len();
        if all || self.is_time_for_all() {
            self.looked_at.append(&mut self.riders);
            self.flushes = 0;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const SLOT: usize = 3;
    const FD: RawFd = 7;
    const TAKEN: Ride = Ride::Taken { misled: false };

    fn ride(standing: &mut Standing, generation: u32) -> (Ride, Option<u32>) {
        standing.ride(SLOT, generation, FD, Blocks::Surely)
    }

    /// A standing poll with a rider of generation 2.
    fn ridden() -> Standing {
        let mut standing = Standing::default();
        assert_eq!(ride(&mut standing, 1), (Ride::Wanted, None));
        assert_eq!(ride(&mut standing, 2), (Ride::Wanted, None));
        standing.start(SLOT);
        standing
    }

    fn completes(generation: u32) -> Report {
        Report {
            completes: Some(generation),
            cancel: false,
        }
    }

    #[test]
    fn who_waits_twice_in_a_row_gets_a_standing_poll_and_rides_on_it() {
        let mut standing = Standing::default();
        assert_eq!(ride(&mut standing, 5), (Ride::Refused, None));
        // It was armed elsewhere meanwhile, or this is another socket.
        assert_eq!(ride(&mut standing, 7), (Ride::Refused, None));
        assert_eq!(ride(&mut standing, 8), (Ride::Wanted, None));
        standing.start(SLOT);
        assert_eq!(standing.report(SLOT, false, true), completes(8));
        assert_eq!(ride(&mut standing, 9), (TAKEN, None));
        assert_eq!(standing.report(SLOT, false, true), completes(9));
    }

    #[test]
    fn what_was_reported_before_its_call_is_no_news_to_a_rider() {
        let mut standing = ridden();
        assert_eq!(standing.report(SLOT, false, true), completes(2));
        assert_eq!(standing.report(SLOT, false, true), Report::default());
        assert_eq!(ride(&mut standing, 3), (TAKEN, None));
        assert_eq!(standing.report(SLOT, false, true), completes(3));
    }

    #[test]
    fn a_poll_that_nobody_waits_for_is_ended() {
        let mut standing = ridden();
        standing.report(SLOT, false, true);
        for _ in 1..MOST_STRAYS {
            assert_eq!(standing.report(SLOT, false, true), Report::default());
        }
        assert!(standing.report(SLOT, false, true).cancel);
        assert_eq!(ride(&mut standing, 3), (Ride::Refused, None));
        assert!(!standing.report(SLOT, false, true).cancel, "it was before");
        assert_eq!(standing.report(SLOT, true, false), Report::default());
        assert_eq!(ride(&mut standing, 4), (Ride::Wanted, None));
    }

    #[test]
    fn the_end_of_the_stream_and_of_the_poll_complete_the_rider() {
        let mut standing = ridden();
        let report = standing.report(SLOT, true, true);
        assert_eq!((report.completes, report.cancel), (Some(2), true));
        assert_eq!(ride(&mut standing, 3), (Ride::Refused, None));
        let mut standing = ridden();
        assert_eq!(standing.report(SLOT, false, false), completes(2));
        assert_eq!(ride(&mut standing, 3), (Ride::Wanted, None));
    }

    #[test]
    fn a_rider_that_was_evacuated_completes_when_it_is_cancelled_or_another_one_comes() {
        let mut standing = ridden();
        assert!(!standing.take_off(SLOT, 1));
        assert!(standing.take_off(SLOT, 2));
        assert!(!standing.take_off(SLOT, 2));
        let mut standing = ridden();
        assert_eq!(ride(&mut standing, 4), (TAKEN, Some(2)));
        assert!(standing.end(SLOT) && !standing.end(SLOT));
        assert_eq!(ride(&mut standing, 6), (Ride::Refused, Some(4)));
    }

    #[test]
    fn each_rider_is_looked_at_once() {
        let mut standing = ridden();
        standing.report(SLOT, false, true);
        ride(&mut standing, 3);
        standing.report(SLOT, false, true);
        ride(&mut standing, 4);
        let look = |standing: &mut Standing, revents| {
            let mut found = Vec::new();
            let poll = |polled: &mut [libc::pollfd]| {
                assert_eq!(polled.len(), 1);
                polled[0].revents = revents;
            };
            standing.look(true, poll, |slot, generation| {
                found.push((slot, generation))
            });
            found
        };
        assert_eq!(look(&mut standing, 0), []);
        assert!(!(0..LOOK_EACH).any(|_| standing.is_time_to_look()));
        assert_eq!(standing.report(SLOT, false, true), completes(4));
        ride(&mut standing, 5);
        assert!(standing.is_time_to_look());
        assert_eq!(look(&mut standing, libc::POLLIN), [(SLOT, 5)]);
        assert!(!standing.take_off(SLOT, 5));
    }

    fn guess(standing: &mut Standing, generation: u32) -> (Ride, Option<u32>) {
        standing.ride(SLOT, generation, FD, Blocks::Probably)
    }

    /// Looks at those whose time it is, or `all`, and finds each of them readable; gives how many.
    fn find(standing: &mut Standing, all: bool) -> usize {
        let mut found = 0;
        let poll = |polled: &mut [libc::pollfd]| {
            for polled in polled {
                polled.revents = libc::POLLIN;
            }
        };
        standing.look(all, poll, |_, _| found += 1);
        found
    }

    fn flush(standing: &mut Standing, count: u32) -> usize {
        let mut found = 0;
        for _ in 0..count {
            if standing.is_time_to_look() {
                found += find(standing, false);
            }
        }
        found
    }

    #[test]
    fn who_waits_by_a_guess_is_looked_at_soon_but_not_at_once() {
        let mut standing = ridden();
        standing.report(SLOT, false, true);
        flush(&mut standing, LOOK_AT_GUESSES_EACH - 1);
        assert_eq!(guess(&mut standing, 3), (TAKEN, None));
        assert_eq!(flush(&mut standing, LOOK_AT_GUESSES_EACH), 0);
        assert_eq!(flush(&mut standing, 1), 1);
        assert_eq!(flush(&mut standing, 3 * LOOK_AT_GUESSES_EACH), 0);
        assert_eq!(ride(&mut standing, 4).1, None);
        standing.report(SLOT, false, true);
        assert_eq!(guess(&mut standing, 5), (TAKEN, None));
        assert_eq!(find(&mut standing, true), 1, "the worker has nothing to do");
    }

    #[test]
    fn a_wrong_guess_is_told_once_and_the_next_one_does_not_wait() {
        let mut standing = ridden();
        standing.report(SLOT, false, true);
        let misled = Ride::Taken { misled: true };
        assert_eq!(guess(&mut standing, 3), (TAKEN, None));
        assert_eq!(find(&mut standing, true), 1);
        assert_eq!(guess(&mut standing, 4), (misled, Some(4)));
        assert_eq!(guess(&mut standing, 5), (TAKEN, None));
        assert_eq!(find(&mut standing, true), 1);
        assert_eq!(ride(&mut standing, 6), (misled, None));
    }

    #[test]
    fn what_a_report_tells_of_makes_no_guess_wrong() {
        let mut standing = ridden();
        standing.report(SLOT, false, true);
        assert_eq!(guess(&mut standing, 3), (TAKEN, None));
        assert_eq!(find(&mut standing, true), 1);
        standing.report(SLOT, false, true);
        assert_eq!(guess(&mut standing, 4), (TAKEN, None));
        assert_eq!(standing.report(SLOT, false, true), completes(4));
    }
}
