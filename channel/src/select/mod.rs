//! Choosing among operations: `select!`, and [`Select`] for a number of cases known at run time.
//!
//! | file | holds |
//! |---|---|
//! | `engine.rs` | the protocol: one look under all locks, one claim |
//! | `case.rs` | what the engine knows of a case |
//! | `list.rs`, `operand.rs`, `macros.rs` | `select!`: a typed list of cases, made from operands |
//! | `builder.rs` | `Select`: a vector of cases |

mod builder;
mod case;
mod engine;
mod list;
mod macros;
mod operand;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

pub use builder::{Outcome, Select, SelectWait};
use engine::{Engine, Options};
use list::TypedCases;

/// What `select!` expands to; not for use by hand.
#[doc(hidden)]
pub mod support {
    pub use super::list::{Default, Either, End, List};
    pub use super::operand::{
        ForeignOperand, Operand, OptionalForeign, OptionalReceiver, OptionalSender, operand,
    };
    pub use super::{SelectFuture, select};
}

/// The future inside `select!`.
#[must_use = "futures do nothing unless polled"]
pub struct SelectFuture<'a, L: TypedCases<'a>> {
    cases: L,
    engine: Engine,
    ended: bool,
    _channels: PhantomData<&'a ()>,
}

/// Nothing in it is pinned: foreign futures are pinned outside, channel operations need not be.
impl<'a, L: TypedCases<'a>> Unpin for SelectFuture<'a, L> {}

/// A select over `cases`.
#[inline(always)]
#[track_caller]
pub fn select<'a, L: TypedCases<'a>>(cases: L, biased: bool) -> SelectFuture<'a, L> {
    let options = Options {
        biased,
        default: L::DEFAULT,
        site: Location::caller(),
    };
    SelectFuture {
        cases,
        engine: Engine::new(options),
        ended: false,
        _channels: PhantomData,
    }
}

impl<'a, L: TypedCases<'a>> Future for SelectFuture<'a, L> {
    type Output = L::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        assert!(!this.ended, "a select was polled after it had ended");
        let chosen = std::task::ready!(this.engine.poll(&mut this.cases, cx));
        this.ended = true;
        Poll::Ready(this.cases.take(chosen))
    }
}

impl<'a, L: TypedCases<'a>> Drop for SelectFuture<'a, L> {
    #[inline]
    fn drop(&mut self) {
        self.engine.cancel(&mut self.cases);
    }
}

impl<'a, L: TypedCases<'a>> fmt::Debug for SelectFuture<'a, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelectFuture")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
