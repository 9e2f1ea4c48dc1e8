//! The macro `select!`.
//!
//! It reads the cases one by one into `{ (pattern) (operand) (guard) (body) }`, then expands to two
//! steps: a block that evaluates the operands in source order, pins them and awaits the select; and
//! a `match` on its result with the bodies, after everything that the select borrowed is gone. So
//! bodies are part of the enclosing function. Each case gets its own local `operand`: the name is
//! written by a separate expansion each time, and hygiene keeps them apart.

/// Waits until one of several operations can happen, and does exactly that one.
///
/// ```
/// # use gorin_channel::{chan, select};
/// # futures::executor::block_on(async {
/// let (tx, rx) = chan::<u32>(1);
/// let (log, _reader) = chan::<&str>(1);
/// tx.send(1).await.unwrap();
/// let chosen = select! {
///     value = rx.recv() => format!("received {value:?}"),
///     result = log.send("hello") => format!("sent: {}", result.is_ok()),
/// };
/// assert!(["received Some(1)", "sent: true"].contains(&chosen.as_str()));
/// # });
/// ```
///
/// Each case is `pattern = operation => body,`. The comma after a body in braces may be left out.
/// Patterns must fit every result (`value`, `_`, a tuple): match on the value in the body.
///
/// # What is chosen
/// One of the cases that are ready, each with the same chance; if none is, the first that becomes
/// ready. All channels are looked at in one atomic step. The other cases have no effect: no value is
/// taken or sent, and a select in a loop leaves nothing behind. Two selects may meet; the send and
/// the receive of one select on the same channel do not.
///
/// With `biased;` in front of the cases, the first ready one in source order is chosen.
///
/// # Operations
/// | operation | result | |
/// |---|---|---|
/// | `rx.recv()` | `Option<T>` | `None`: closed and drained, which counts as ready |
/// | `tx.send(value)` | `Result<(), SendError<T>>` | a closed channel counts as ready; the value of a case that is not chosen is dropped |
/// | `tx.closed()` | `()` | nobody will take it any more: no need to make it |
/// | `tx.reserve()` | `Result<Permit<T>, SendError<()>>` | for values that are dear to make: `permit = tx.reserve() => permit?.send(make())` |
/// | any other future | its output | polled in random order, dropped if it is not chosen; pass `&mut future` to keep it |
///
/// Operations of this crate written out like this are *channel cases*: one atomic choice. Everything
/// else is a *foreign* case, also an operation behind `&mut`, in an `async` block, in a generic
/// wrapper or in a box: it is polled like any future, and an operation that is polled like that
/// stands in line in its own right. While foreign futures are being polled the select is absent from
/// its channels for a moment, so that another goroutine's `try_send` may find nobody there; what came
/// meanwhile is found right after. A ready channel and a ready future have their chances by number.
///
/// # Guards, missing operands, default
/// ```
/// # use gorin_channel::{chan, select, Receiver};
/// # futures::executor::block_on(async {
/// # let (_tx, rx) = chan::<u32>(1);
/// # let (quota, maybe): (u32, Option<Receiver<u32>>) = (0, None);
/// let got = select! {
///     value = rx.recv(), if quota > 0 => value,
///     value = maybe.recv() => value,
///     default => None,
/// };
/// assert_eq!(got, None);
/// # });
/// ```
/// A case whose guard is false is off, and its operation is not evaluated. An operand may be an
/// `Option` of an operation, and within `select!` an `Option` of a [`Receiver`](crate::Receiver) or
/// [`Sender`](crate::Sender) has `recv`, `send`, `reserve` and `closed`: with `None` the case is off, as
/// on Go's nil channel. `default` is chosen if nothing else is ready. Without it, a select whose cases
/// are all off waits for ever.
///
/// # Bodies
/// run after the select is over, in the enclosing function: `?`, `return`, `break` and `continue`
/// work, and nothing is borrowed any more. `select!` itself can only be used in `async` code.
///
/// # Cancel safety
/// A select that is dropped has either had no effect, or its one case is undone like a cancelled
/// [`recv`](crate::Receiver::recv) or [`send`](crate::Sender::send). For foreign futures only they
/// themselves can promise anything.
#[macro_export]
macro_rules! select {
    // The result of the select, case by case: `This` is the first one.
    (@arms $output:ident {} {}) => {
        match $output {}
    };
    (@arms $output:ident {} { ($body:expr) }) => {{
        let () = $output;
        $body
    }};
    (@arms $output:ident { { ($pattern:pat) $operand:tt $guard:tt ($body:expr) } $($cases:tt)* } $default:tt) => {
        match $output {
            $crate::select_support::Either::This(value) => {
                let $pattern = value;
                $body
            }
            $crate::select_support::Either::Rest(rest) => {
                $crate::select!(@arms rest { $($cases)* } $default)
            }
        }
    };

    // The typed list of cases, from the pinned operands.
    (@list {} {}) => { $crate::select_support::End };
    (@list {} { $default:tt }) => { $crate::select_support::Default };
    (@list { { $operand:ident () } $($operands:tt)* } $default:tt) => {
        $crate::select_support::List::new(
            (&$crate::select_support::Operand::new($operand)).case(),
            $crate::select!(@list { $($operands)* } $default),
        )
    };
    (@list { { $operand:ident $guard:tt } $($operands:tt)* } $default:tt) => {
        $crate::select_support::List::new(
            $operand.as_pin_mut().map(|operand| {
                (&$crate::select_support::Operand::new(operand)).case()
            }),
            $crate::select!(@list { $($operands)* } $default),
        )
    };

    // The operands, each in a local of its own.
    (@operands $biased:tt {} { $($operand:ident $guard:tt ($value:expr))* } $cases:tt $default:tt) => {{
        let output = {
            #[allow(unused_imports, reason = "which of them is needed depends on the operands")]
            use $crate::select_support::{
                ForeignOperand as _, OptionalForeign as _, OptionalReceiver as _,
                OptionalSender as _,
            };
            $(let $operand = ::core::pin::pin!($value);)*
            let cases = $crate::select!(@list { $({ $operand $guard })* } $default);
            $crate::select_support::select(cases, $biased).await
        };
        $crate::select!(@arms output $cases $default)
    }};
    (@operands $biased:tt { { $pattern:tt ($operand:expr) () $body:tt } $($more:tt)* } { $($done:tt)* } $cases:tt $default:tt) => {
        $crate::select!(@operands $biased { $($more)* } {
            $($done)*
            operand () ($crate::select_support::operand($operand))
        } $cases $default)
    };
    (@operands $biased:tt { { $pattern:tt ($operand:expr) ($guard:expr) $body:tt } $($more:tt)* } { $($done:tt)* } $cases:tt $default:tt) => {
        $crate::select!(@operands $biased { $($more)* } {
            $($done)*
            operand (guarded) (if $guard {
                ::core::option::Option::Some($crate::select_support::operand($operand))
            } else {
                ::core::option::Option::None
            })
        } $cases $default)
    };

    // The cases, one by one.
    (@cases $biased:tt { $($cases:tt)* } $default:tt) => {
        $crate::select!(@operands $biased { $($cases)* } {} { $($cases)* } $default)
    };
    (@cases $biased:tt $cases:tt {} default => $body:block $(, $($more:tt)*)?) => {
        $crate::select!(@cases $biased $cases { ($body) } $($($more)*)?)
    };
    (@cases $biased:tt $cases:tt {} default => $body:block $($more:tt)*) => {
        $crate::select!(@cases $biased $cases { ($body) } $($more)*)
    };
    (@cases $biased:tt $cases:tt {} default => $body:expr $(, $($more:tt)*)?) => {
        $crate::select!(@cases $biased $cases { ($body) } $($($more)*)?)
    };
    (@cases $biased:tt $cases:tt { $default:tt } default => $($more:tt)*) => {
        ::core::compile_error!("select! has two `default` cases; it can have one")
    };
    (@cases $biased:tt { $($cases:tt)* } $default:tt $pattern:pat = $operand:expr, if $guard:expr => $body:block, $($more:tt)*) => {
        $crate::select!(@cases $biased { $($cases)* { ($pattern) ($operand) ($guard) ($body) } } $default $($more)*)
    };
    (@cases $biased:tt { $($cases:tt)* } $default:tt $pattern:pat = $operand:expr, if $guard:expr => $body:block $($more:tt)*) => {
        $crate::select!(@cases $biased { $($cases)* { ($pattern) ($operand) ($guard) ($body) } } $default $($more)*)
    };
    (@cases $biased:tt { $($cases:tt)* } $default:tt $pattern:pat = $operand:expr, if $guard:expr => $body:expr $(, $($more:tt)*)?) => {
        $crate::select!(@cases $biased { $($cases)* { ($pattern) ($operand) ($guard) ($body) } } $default $($($more)*)?)
    };
    (@cases $biased:tt { $($cases:tt)* } $default:tt $pattern:pat = $operand:expr => $body:block, $($more:tt)*) => {
        $crate::select!(@cases $biased { $($cases)* { ($pattern) ($operand) () ($body) } } $default $($more)*)
    };
    (@cases $biased:tt { $($cases:tt)* } $default:tt $pattern:pat = $operand:expr => $body:block $($more:tt)*) => {
        $crate::select!(@cases $biased { $($cases)* { ($pattern) ($operand) () ($body) } } $default $($more)*)
    };
    (@cases $biased:tt { $($cases:tt)* } $default:tt $pattern:pat = $operand:expr => $body:expr $(, $($more:tt)*)?) => {
        $crate::select!(@cases $biased { $($cases)* { ($pattern) ($operand) () ($body) } } $default $($($more)*)?)
    };
    (@cases $biased:tt $cases:tt $default:tt $($wrong:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "select! expects `pattern = operation => body,`, `pattern = operation, if guard => \
             body,` or `default => body,` here: `",
            ::core::stringify!($($wrong)*),
            "`"
        ))
    };

    (biased; $($cases:tt)*) => { $crate::select!(@cases true {} {} $($cases)*) };
    ($($cases:tt)*) => { $crate::select!(@cases false {} {} $($cases)*) };
}
