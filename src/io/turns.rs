//! [`Turns`]: who of several goroutines writes to a stream, so that whole messages do not mix.
//!
//! A write of much data is several calls, between which another goroutine's could come. Go's `Write`
//! holds a lock from the first to the last; so does `write_all` here.
//!
//! | state | means | who moves it on |
//! |---|---|---|
//! | `FREE` | nobody writes | who comes: to `HELD` |
//! | `HELD` | one writes, nobody waits | the writer: to `FREE`; who comes: to `BY_TOKEN` |
//! | `BY_TOKEN` | the turn is a token in a channel of one place | nobody, for good |
//!
//! A stream that one goroutine writes to never gets beyond `HELD`, and pays two exchanges per message;
//! the channel is made when two meet for the first time. It hands the token on in the order in which
//! they came, also past those that were dropped while they waited, which are its own properties and
//! proved there.
//!
//! Invariant: there is one token. In `HELD` it is the writer; who finds `BY_TOKEN` at its end puts it
//! into the channel, and who has received it has the turn.
//!
//! Rejected: a lock that wakes and lets whoever comes first have it: a goroutine that writes message
//! after message takes it again before the one that was woken has run, each time.

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};

use gorin_base::primitive::{self, AtomicU32, Ordering};
use gorin_base::seeded;

use crate::channel::{Chan, RecvFut};

const FREE: u32 = 0;
const HELD: u32 = 1;
const BY_TOKEN: u32 = 2;

/// A lock around nothing, for one direction of a stream. See the module text.
#[derive(Debug)]
pub(crate) struct Turns {
    /// See the table. Written by who comes and who is done. Acquire where a turn begins pairs with
    /// Release where one ends; who finds `BY_TOKEN` also acquires the channel that was made before.
    state: AtomicU32,
    /// Made before `state` becomes `BY_TOKEN`.
    tokens: OnceLock<Box<Chan<()>>>,
}

/// Waits for the turn.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Take<'a> {
    turns: &'a Turns,
    /// Its place in the line. Boxed: it is seldom needed, and large.
    waits: Option<Box<RecvFut<'a, ()>>>,
}

/// The turn; it ends when this is dropped.
#[must_use = "the turn ends when this is dropped"]
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
}

impl Turns {
    pub(crate) fn new() -> Turns {
        Turns {
            state: AtomicU32::new(FREE),
            tokens: OnceLock::new(),
        }
    }

    /// Waits until it is the caller's turn.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it leaves the line.
    #[inline]
    pub(crate) fn take(&self) -> Take<'_> {
        Take {
            turns: self,
            waits: None,
        }
    }

    #[inline]
    fn exchange(&self, from: u32, to: u32) -> Result<u32, u32> {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.state.compare_exchange(from, to, success, failure)
    }

    /// Somebody writes: from now on the turn is a token. `None` if the caller has it after all.
    fn meet(&self) -> Option<&Chan<()>> {
        let tokens = self.tokens.get_or_init(|| Box::new(Chan::new(1)));
        loop {
            if self.exchange(HELD, BY_TOKEN) != Err(FREE) {
                return Some(tokens);
            }
            if self.exchange(FREE, HELD).is_ok() {
                return None;
            }
        }
    }

    #[inline]
    fn give_back(&self) {
        if seeded::bug("turns.token_forgotten") {
            self.state.store(FREE, Ordering::Release);
            return;
        }
        if self.exchange(HELD, FREE).is_ok() {
            return;
        }
        let tokens = self.tokens.get().expect("it was made before the state");
        let put = tokens.try_send(());
        debug_assert!(put.is_ok(), "there is one token");
    }
}

impl Take<'_> {
    /// Joins the line; ready if there is none after all.
    #[cold]
    fn join(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waits.is_none() {
            let Some(tokens) = self.turns.meet() else {
                return Poll::Ready(());
            };
            if seeded::bug("turns.token_for_everybody") {
                return Poll::Ready(());
            }
            self.waits = Some(Box::new(tokens.recv()));
        }
        let place = self.waits.as_mut().expect("it was just made");
        ready!(Pin::new(place).poll(cx));
        self.waits = None;
        Poll::Ready(())
    }
}

impl<'a> Future for Take<'a> {
    type Output = Turn<'a>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn<'a>> {
        let turns = self.turns;
        if self.waits.is_some() || turns.exchange(FREE, HELD).is_err() {
            ready!(self.join(cx));
        }
        Poll::Ready(Turn { turns })
    }
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        if !primitive::unwinding() {
            self.turns.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use gorin_base::check::{block_on, model, poll_once};
    use gorin_base::primitive::{AtomicUsize, PlainArc, thread};
    use std::pin::pin;

    use super::*;

    /// Takes the turn and holds it for two steps, between which nobody else may come.
    async fn message(turns: &Turns, inside: &AtomicUsize) {
        let _turn = turns.take().await;
        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "two at a time");
        inside.fetch_sub(1, Ordering::Relaxed);
    }

    /// Two messages each of two goroutines do not mix, and all get their turn. For: a token that
    /// nobody puts back, one that is there twice.
    #[test]
    fn messages_do_not_mix_and_nobody_waits_for_ever() {
        model("turns: messages do not mix", || {
            let shared = PlainArc::new((Turns::new(), AtomicUsize::new(0)));
            let theirs = shared.clone();
            let other = thread::spawn(move || block_on(message(&theirs.0, &theirs.1)));
            block_on(message(&shared.0, &shared.1));
            block_on(message(&shared.0, &shared.1));
            other.join().unwrap();
            block_on(message(&shared.0, &shared.1));
        });
    }

    /// Who gives up waiting, before or after it was given the turn, does not keep it. For: a turn that
    /// is lost with who waited for it.
    #[test]
    fn a_turn_is_not_lost_with_who_waited_for_it() {
        model("turns: a dropped wait", || {
            let turns = PlainArc::new(Turns::new());
            let held = block_on(turns.take());
            let theirs = turns.clone();
            let other = thread::spawn(move || {
                let mut waiting = pin!(theirs.take());
                let _given_up = poll_once(waiting.as_mut());
            });
            drop(held);
            drop(block_on(turns.take()));
            other.join().unwrap();
            drop(block_on(turns.take()));
        });
    }

    /// The one in the line is not passed by who comes again and again. (One thread: no model.)
    #[cfg(not(loom))]
    #[test]
    fn the_line_is_kept() {
        let turns = Turns::new();
        let held = block_on(turns.take());
        let mut first = pin!(turns.take());
        assert!(poll_once(first.as_mut()).is_pending());
        drop(held);
        let mut again = pin!(turns.take());
        assert!(poll_once(again.as_mut()).is_pending(), "it is the first's");
        let turn = poll_once(first.as_mut());
        assert!(turn.is_ready());
        drop(turn);
        assert!(poll_once(again.as_mut()).is_ready());
    }
}
