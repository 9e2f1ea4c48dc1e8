//! From the operand of a case to the case: operations of this crate by value become channel cases,
//! everything else that is a future becomes a foreign case.
//!
//! The decision falls at compile time, by the type that the operand has where `select!` is written.
//! `select!` calls `(&operand).case()`, and method lookup takes the first that fits:
//!
//! | `case` of | operand | case |
//! |---|---|---|
//! | `Operand<SendFut>` and the like, inherent | `tx.send(v)`, `rx.recv()`, `tx.reserve()`, `tx.closed()`, or an `Option` of these | channel |
//! | `Operand<Option<F>>`, by [`OptionalForeign`] | an `Option` of another future | foreign, off if `None` |
//! | `&Operand<F>`, by [`ForeignOperand`] | any other future | foreign |

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;

use super::case::{ChannelCase, ForeignCase};
use crate::closed::{ClosedFut, ClosedOp};
use crate::receiver::Receiver;
use crate::recv::{RecvFut, RecvOp};
use crate::reserve::{ReserveFut, ReserveOp};
use crate::send::{SendFut, SendOp};
use crate::sender::Sender;

/// An operand that `select!` has pinned.
#[expect(
    missing_debug_implementations,
    reason = "lives for one expression of a macro"
)]
pub struct Operand<'p, X>(Cell<Option<Pin<&'p mut X>>>);

impl<'p, X> Operand<'p, X> {
    /// Wraps a pinned operand.
    #[inline(always)]
    pub fn new(pinned: Pin<&'p mut X>) -> Self {
        Self(Cell::new(Some(pinned)))
    }

    #[inline(always)]
    fn pinned(&self) -> Pin<&'p mut X> {
        self.0.take().expect("an operand is converted once")
    }
}

/// The two inherent conversions of one kind of channel operation. The channel may be borrowed for
/// longer than the select lasts (`'a: 's`).
macro_rules! channel_operand {
    ($future:ident, $operation:ty, $make:ident) => {
        #[inline(always)]
        fn $make<'a: 's, 's, T>(future: &mut $future<'a, T>) -> ChannelCase<'s, T, $operation> {
            ChannelCase::new(future.shared, future.withdraw())
        }

        impl<'a, T> Operand<'_, $future<'a, T>> {
            /// The channel case of this operation.
            #[inline(always)]
            pub fn case<'s>(&self) -> ChannelCase<'s, T, $operation>
            where
                'a: 's,
            {
                $make(self.pinned().get_mut())
            }
        }

        impl<'a, T> Operand<'_, Option<$future<'a, T>>> {
            /// The channel case of this operation; off if there is none.
            #[inline(always)]
            pub fn case<'s>(&self) -> Option<ChannelCase<'s, T, $operation>>
            where
                'a: 's,
            {
                self.pinned().get_mut().as_mut().map($make)
            }
        }
    };
}

channel_operand!(SendFut, SendOp<T>, send_case);
channel_operand!(RecvFut, RecvOp, recv_case);
channel_operand!(ReserveFut, ReserveOp, reserve_case);
channel_operand!(ClosedFut, ClosedOp, closed_case);

/// The conversion of an `Option` of a future that is none of ours.
pub trait OptionalForeign<'p> {
    /// The future.
    type Future: Future;

    /// The foreign case; off if there is no future.
    fn case(&self) -> Option<ForeignCase<'p, Self::Future>>;
}

impl<'p, F: Future> OptionalForeign<'p> for Operand<'p, Option<F>> {
    type Future = F;

    fn case(&self) -> Option<ForeignCase<'p, F>> {
        self.pinned().as_pin_mut().map(ForeignCase::new)
    }
}

/// The conversion of a future that is none of ours.
pub trait ForeignOperand<'p> {
    /// The future.
    type Future: Future;

    /// The foreign case.
    fn case(&self) -> ForeignCase<'p, Self::Future>;
}

impl<'p, F: Future> ForeignOperand<'p> for &Operand<'p, F> {
    type Future = F;

    fn case(&self) -> ForeignCase<'p, F> {
        ForeignCase::new(self.pinned())
    }
}

/// What may stand to the right of `=` in a case: the compiler's message if it may not.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a case of `select!`",
    label = "not a channel operation, not a future, and not an `Option` of one",
    note = "a case is `pattern = rx.recv()`, `tx.send(value)`, `tx.reserve()` or any future, \
            without `.await`"
)]
pub trait SelectOperand<Kind> {}

/// The operand is a future.
#[derive(Debug)]
pub struct Plain;

/// The operand is an `Option` of a future.
#[derive(Debug)]
pub struct Optional;

impl<F: Future> SelectOperand<Plain> for F {}
impl<F: Future> SelectOperand<Optional> for Option<F> {}

/// Passes a valid operand on; says what is wrong with another one.
#[inline(always)]
pub fn operand<Kind, X: SelectOperand<Kind>>(operand: X) -> X {
    operand
}

/// Inside `select!` an `Option` of a receiver can be received from: `None` is Go's nil channel.
pub trait OptionalReceiver<T> {
    /// The receive, if there is a receiver.
    fn recv(&self) -> Option<RecvFut<'_, T>>;
}

impl<T> OptionalReceiver<T> for Option<Receiver<T>> {
    #[track_caller]
    fn recv(&self) -> Option<RecvFut<'_, T>> {
        Some(self.as_ref()?.recv())
    }
}

impl<T> OptionalReceiver<T> for Option<&Receiver<T>> {
    #[track_caller]
    fn recv(&self) -> Option<RecvFut<'_, T>> {
        Some((*self)?.recv())
    }
}

/// Inside `select!` an `Option` of a sender can be sent to: `None` is Go's nil channel.
pub trait OptionalSender<T> {
    /// The send, if there is a sender; else the value is dropped.
    fn send(&self, value: T) -> Option<SendFut<'_, T>>;

    /// The reservation, if there is a sender.
    fn reserve(&self) -> Option<ReserveFut<'_, T>>;

    /// The wait for the end, if there is a sender.
    fn closed(&self) -> Option<ClosedFut<'_, T>>;
}

impl<T> OptionalSender<T> for Option<Sender<T>> {
    #[track_caller]
    fn send(&self, value: T) -> Option<SendFut<'_, T>> {
        Some(self.as_ref()?.send(value))
    }

    #[track_caller]
    fn reserve(&self) -> Option<ReserveFut<'_, T>> {
        Some(self.as_ref()?.reserve())
    }

    #[track_caller]
    fn closed(&self) -> Option<ClosedFut<'_, T>> {
        Some(self.as_ref()?.closed())
    }
}

impl<T> OptionalSender<T> for Option<&Sender<T>> {
    #[track_caller]
    fn send(&self, value: T) -> Option<SendFut<'_, T>> {
        Some((*self)?.send(value))
    }

    #[track_caller]
    fn reserve(&self) -> Option<ReserveFut<'_, T>> {
        Some((*self)?.reserve())
    }

    #[track_caller]
    fn closed(&self) -> Option<ClosedFut<'_, T>> {
        Some((*self)?.closed())
    }
}
