//! The attribute macros of gorin: `#[gorin::main]` and `#[gorin::test]`.
//!
//! Users reach them through the root package, which re-exports them. Both turn an `async fn` into
//! a plain one that runs it on a gorin runtime; `args.rs` reads what stands in the parentheses and
//! `entry.rs` writes the new function.
//!
//! Invariants:
//! - The expansion names exactly two things of the root package, `run` and `Runtime::builder()`,
//!   by absolute path (or by the path that `crate = "…"` gives), so that nothing the user has in
//!   scope can change its meaning.
//! - The body is passed on token by token and never parsed here: what is wrong in it is reported
//!   by the compiler, at the place where it stands.
//! - Wrong use gives one error, at the tokens that are wrong, and it says what to write instead.

mod args;
mod entry;

use proc_macro::TokenStream;

use entry::Kind;

/// Runs an `async fn main` on a gorin runtime; the calling thread is worker 0.
///
/// What `main` returns is returned to the system as from any `main`, `Result` included.
///
/// | argument | meaning |
/// |---|---|
/// | `workers = n` | number of worker threads, any expression of type `usize`; else the runtime's default |
/// | `crate = "path"` | where the root package is found, if it was renamed; else `::gorin` |
///
/// ```
/// #[gorin::main]
/// async fn main() -> std::io::Result<()> {
///     let (tx, rx) = gorin::chan(0);
///     gorin::go(async move { tx.send("hello").await });
///     assert_eq!(rx.recv().await, Some("hello"));
///     Ok(())
/// }
/// ```
///
/// This stands for a plain `fn main` with the body as an `async fn` inside, handed to
/// `gorin::run`, or, with `#[gorin::main(workers = 4)]`, to
/// `gorin::Runtime::builder().workers(4).run(…)`.
///
/// # Errors
/// At compile time, if the function is not `async`, has parameters or type parameters, or an
/// argument is unknown, given twice, or `workers = 0`.
///
/// # Panics
/// The expanded function panics if the runtime cannot start; the text names cause and cure.
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(Kind::Main, args.into(), item.into()).into()
}

/// Makes an `async fn` a unit test that runs on a gorin runtime of its own.
///
/// The test passes, fails, or is ignored by the rules of `#[test]`: it may return `()` or a
/// `Result`, and `#[should_panic]` and `#[ignore]` work. The arguments are those of
/// [`macro@main`].
///
/// ```
/// #[gorin::test(workers = 2)]
/// async fn a_value_arrives() {
///     let (tx, rx) = gorin::chan(1);
///     tx.send(7).await.unwrap();
///     assert_eq!(rx.recv().await, Some(7));
/// }
/// # fn main() {}
/// ```
///
/// Under `--cfg loom` there is no runtime: put `#[cfg(not(loom))]` before such tests in a crate
/// whose models run under loom.
///
/// # Errors
/// At compile time, as for [`macro@main`], and if the function also has `#[test]`, which would
/// run it twice.
///
/// # Panics
/// The test panics if the runtime cannot start; the text names cause and cure.
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(Kind::Test, args.into(), item.into()).into()
}
