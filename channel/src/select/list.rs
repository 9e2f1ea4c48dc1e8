//! The cases of `select!`: a list of unlike types, so that the future is `Send` exactly if its
//! cases are, and needs no allocation.

use std::convert::Infallible;
use std::future::Future;

use super::case::{Case, ChannelCase, ForeignCase, Kind};
use super::engine::{Cases, Chosen};
use crate::operation::Operation;

/// A list of cases, from the first to the [`End`].
#[derive(Debug)]
pub struct List<C, Rest> {
    case: C,
    rest: Rest,
}

impl<C, Rest> List<C, Rest> {
    /// `case` in front of `rest`.
    #[inline(always)]
    pub fn new(case: C, rest: Rest) -> Self {
        Self { case, rest }
    }
}

/// The end of the list of a select without `default`.
#[derive(Debug)]
pub struct End;

/// The end of the list of a select with `default`.
#[derive(Debug)]
pub struct Default;

/// The result of a select: that of its first case, or of the rest.
#[derive(Debug)]
pub enum Either<A, B> {
    /// The first case was chosen.
    This(A),
    /// One of the others was.
    Rest(B),
}

/// A case whose result can be taken out.
pub trait TypedCase<'a>: Case<'a> {
    /// The type of the result.
    type Output;

    /// The result, if this is the case that was chosen.
    fn take(&mut self) -> Option<Self::Output>;
}

impl<'a, T, O: Operation<'a, T>> TypedCase<'a> for ChannelCase<'a, T, O> {
    type Output = O::Output;

    fn take(&mut self) -> Option<O::Output> {
        self.take_output()
    }
}

impl<'a, F: Future> TypedCase<'a> for ForeignCase<'_, F> {
    type Output = F::Output;

    fn take(&mut self) -> Option<F::Output> {
        self.take_output()
    }
}

impl<'a, C: TypedCase<'a>> TypedCase<'a> for Option<C> {
    type Output = C::Output;

    fn take(&mut self) -> Option<C::Output> {
        self.as_mut().and_then(C::take)
    }
}

/// A list whose result can be taken out.
pub trait TypedCases<'a>: Cases<'a> {
    /// An [`Either`] for each case.
    type Output;

    /// Whether the select has a `default`.
    const DEFAULT: bool;

    /// The result of the case that was chosen.
    fn take(&mut self, chosen: Chosen) -> Self::Output;
}

impl<'a, C: Case<'a>, Rest: Cases<'a>> Cases<'a> for List<C, Rest> {
    fn len(&self) -> usize {
        1 + self.rest.len()
    }

    #[inline]
    fn kind(&mut self, index: usize) -> Kind<'_, 'a> {
        match index.checked_sub(1) {
            None => self.case.kind(),
            Some(index) => self.rest.kind(index),
        }
    }
}

impl<'a, C: TypedCase<'a>, Rest: TypedCases<'a>> TypedCases<'a> for List<C, Rest> {
    type Output = Either<C::Output, Rest::Output>;
    const DEFAULT: bool = Rest::DEFAULT;

    fn take(&mut self, chosen: Chosen) -> Self::Output {
        match chosen {
            Chosen::Case(0) => Either::This(self.case.take().expect("the chosen case has ended")),
            Chosen::Case(index) => Either::Rest(self.rest.take(Chosen::Case(index - 1))),
            Chosen::Default => Either::Rest(self.rest.take(chosen)),
        }
    }
}

impl<'a> Cases<'a> for End {
    fn len(&self) -> usize {
        0
    }

    fn kind(&mut self, _index: usize) -> Kind<'_, 'a> {
        Kind::Off
    }
}

impl<'a> TypedCases<'a> for End {
    type Output = Infallible;
    const DEFAULT: bool = false;

    fn take(&mut self, _chosen: Chosen) -> Infallible {
        unreachable!("a select without default ends by one of its cases")
    }
}

impl<'a> Cases<'a> for Default {
    fn len(&self) -> usize {
        0
    }

    fn kind(&mut self, _index: usize) -> Kind<'_, 'a> {
        Kind::Off
    }
}

impl<'a> TypedCases<'a> for Default {
    type Output = ();
    const DEFAULT: bool = true;

    fn take(&mut self, _chosen: Chosen) {}
}
