//! From `async fn f() -> T { body }` to a plain `fn f() -> T` that runs it.
//!
//! ```text
//! #[gorin::main]                       fn main() -> T {
//! async fn main() -> T { body }   →        async fn main() -> T { body }
//!                                          ::gorin::run(main())
//!                                      }
//! ```
//!
//! The user's function goes inside as it is, and not as an `async` block: so its return type is
//! known to the compiler, and `?` and `return` infer as the user expects.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Result, Signature, Visibility};

use crate::args::Args;

/// Which of the two macros is being expanded.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Main,
    Test,
}

impl Kind {
    /// As the user writes it.
    fn name(self) -> &'static str {
        match self {
            Kind::Main => "#[gorin::main]",
            Kind::Test => "#[gorin::test]",
        }
    }
}

/// A function whose body stays unparsed.
struct Function {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    signature: Signature,
    body: TokenTree,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> Result<Function> {
        let function = Function {
            attributes: input.call(Attribute::parse_outer)?,
            visibility: input.parse()?,
            signature: input.parse()?,
            body: input.parse()?,
        };
        match &function.body {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Ok(function),
            other => Err(Error::new(other.span(), "the function needs a body")),
        }
    }
}

/// Expands one of the macros; an error becomes tokens that make the compiler report it.
pub(crate) fn expand(kind: Kind, args: TokenStream, item: TokenStream) -> TokenStream {
    let function: Function = match syn::parse2(item) {
        Ok(function) => function,
        Err(error) => {
            let text = format!("{} stands before an `async fn`: {error}", kind.name());
            return Error::new(error.span(), text).into_compile_error();
        }
    };
    match check(kind, &function).and_then(|()| syn::parse2::<Args>(args)) {
        Ok(args) => write(kind, &args, &function),
        Err(error) => {
            // A stand-in of the same name, so that the one error is not followed by a second one
            // about a missing `main`.
            let (visibility, name) = (&function.visibility, &function.signature.ident);
            let error = error.into_compile_error();
            quote!(#error #visibility fn #name() {})
        }
    }
}

/// Refuses what cannot be run.
fn check(kind: Kind, function: &Function) -> Result<()> {
    let signature = &function.signature;
    if signature.asyncness.is_none() {
        return Err(Error::new(
            signature.fn_token.span(),
            format!("write `async fn`: {} runs a future", kind.name()),
        ));
    }
    if !signature.inputs.is_empty() {
        return Err(Error::new(
            signature.inputs.span(),
            format!("a function under {} takes no parameters", kind.name()),
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(
            signature.generics.span(),
            format!("a function under {} has no type parameters", kind.name()),
        ));
    }
    let second = (function.attributes.iter())
        .find(|attribute| kind == Kind::Test && attribute.path().is_ident("test"));
    match second {
        Some(attribute) => Err(Error::new(
            attribute.span(),
            "remove `#[test]`: #[gorin::test] adds it, and with both the test would run twice",
        )),
        None => Ok(()),
    }
}

/// The new function, for input that [`check`] has let pass.
fn write(kind: Kind, args: &Args, function: &Function) -> TokenStream {
    let Function {
        attributes,
        visibility,
        signature: inner,
        body,
    } = function;
    let test = (kind == Kind::Test).then(|| quote!(#[::core::prelude::v1::test]));
    let (name, output) = (&inner.ident, &inner.output);
    let run = run(args, &quote!(#name()));
    quote! {
        #test
        #(#attributes)*
        #visibility fn #name() #output {
            #inner #body
            #run
        }
    }
}

/// The expression that runs `future` to its end and yields its output.
fn run(args: &Args, future: &TokenStream) -> TokenStream {
    let root = &args.root;
    match &args.workers {
        None => quote!(#root::run(#future)),
        // `panic!` with the error's own text, as `run` does: it names cause and cure, while
        // `expect` would print its Debug form.
        Some(workers) => quote! {
            match #root::Runtime::builder().workers(#workers).run(#future) {
                ::core::result::Result::Ok(output) => output,
                ::core::result::Result::Err(error) => ::core::panic!("{error}"),
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expansion of `item` under `#[gorin::main(args)]` or `#[gorin::test(args)]`, as text.
    fn text(kind: Kind, args: &str, item: &str) -> String {
        let parse = |text: &str| text.parse::<TokenStream>().expect("a sample of Rust");
        expand(kind, parse(args), parse(item)).to_string()
    }

    /// `code` in the spelling that `TokenStream::to_string` uses.
    fn spelled(code: &str) -> String {
        code.parse::<TokenStream>().expect("Rust").to_string()
    }

    #[track_caller]
    fn assert_error(kind: Kind, args: &str, item: &str, message: &str) {
        let text = text(kind, args, item);
        assert!(text.contains("compile_error !"), "expands to: {text}");
        assert!(text.contains(message), "expands to: {text}");
    }

    #[test]
    fn main_runs_the_function_on_the_default_runtime() {
        assert_eq!(
            text(
                Kind::Main,
                "",
                "/// Doc.\nasync fn main() -> Result<(), E> { f()? }"
            ),
            spelled(
                "/// Doc.\nfn main() -> Result<(), E> {
                    async fn main() -> Result<(), E> { f()? }
                    ::gorin::run(main())
                }"
            )
        );
    }

    #[test]
    fn workers_and_the_crate_s_path_are_passed_through() {
        let text = text(
            Kind::Main,
            r#"workers = 2 * N, crate = "a::b""#,
            "async fn main() {}",
        );
        assert!(
            text.contains("a :: b :: Runtime :: builder () . workers (2 * N) . run (main ())"),
            "{text}"
        );
        assert!(!text.contains("gorin"), "{text}");
    }

    #[test]
    fn a_test_keeps_its_attributes_and_visibility() {
        let text = text(Kind::Test, "", "#[ignore] pub(crate) async fn t() { x }");
        let head = spelled("#[::core::prelude::v1::test] #[ignore] pub(crate) fn t()");
        assert!(text.starts_with(&head), "{text}");
    }

    #[test]
    fn a_body_that_does_not_parse_is_left_to_the_compiler() {
        let text = text(Kind::Main, "", "async fn main() { let = ; }");
        assert!(text.contains("{ let = ; }"), "{text}");
    }

    #[test]
    fn wrong_functions_are_refused_with_what_to_write() {
        let case = |kind, item, message| assert_error(kind, "", item, message);
        case(
            Kind::Main,
            "fn main() {}",
            "write `async fn`: #[gorin::main] runs a future",
        );
        case(
            Kind::Test,
            "fn t() {}",
            "write `async fn`: #[gorin::test] runs a future",
        );
        case(Kind::Main, "async fn main(n: u8) {}", "takes no parameters");
        case(Kind::Test, "async fn t<T>() {}", "has no type parameters");
        case(Kind::Test, "#[test] async fn t() {}", "remove `#[test]`");
        case(
            Kind::Main,
            "struct Main;",
            "#[gorin::main] stands before an `async fn`",
        );
        case(Kind::Main, "async fn main();", "the function needs a body");
    }

    #[test]
    fn wrong_arguments_are_refused_with_what_to_write() {
        let case = |args, message| assert_error(Kind::Main, args, "async fn main() {}", message);
        case(
            "threads = 4",
            "unknown argument `threads`: there are `workers = n`",
        );
        case("workers = 0", "at least one worker");
        case("workers = 1, workers = 2", "`workers` is given twice");
        case("crate = gorin", "write the path in quotes");
        case("workers", "expected `=`");
        case("workers = 1 crate", "expected `,`");
    }

    #[test]
    fn an_error_leaves_a_stand_in_so_that_main_is_not_missing_too() {
        let text = text(Kind::Main, "threads = 4", "pub async fn main() { x }");
        assert!(text.ends_with("pub fn main () { }"), "{text}");
    }
}
