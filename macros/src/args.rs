//! The arguments of the entry macros: `workers = n` and `crate = "path"`.
//!
//! Must not decide what they expand to; that is [`entry`](crate::entry)'s.

use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, ExprLit, Ident, Lit, LitStr, Path, Result, Token};

/// What the user wrote in the parentheses of the attribute.
pub(crate) struct Args {
    /// Number of workers; `None` leaves the choice to the runtime.
    pub(crate) workers: Option<Expr>,
    /// Path of the root package as seen from the user's code.
    pub(crate) root: Path,
}

impl Parse for Args {
    fn parse(input: ParseStream<'_>) -> Result<Args> {
        let mut workers = None;
        let mut root = None;
        while !input.is_empty() {
            // `crate` is a keyword, hence `parse_any`.
            let name = input.call(Ident::parse_any)?;
            match name.to_string().as_str() {
                "workers" => set(&mut workers, &name, parse_workers(input)?)?,
                "crate" => set(&mut root, &name, parse_root(input)?)?,
                other => {
                    return Err(Error::new(
                        name.span(),
                        format!(
                            "unknown argument `{other}`: there are `workers = n` and `crate = \"path\"`"
                        ),
                    ));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(Args {
            workers,
            root: root.unwrap_or_else(|| syn::parse_quote!(::gorin)),
        })
    }
}

/// Stores `value` in `slot`, or reports that the argument `name` came twice.
fn set<T>(slot: &mut Option<T>, name: &Ident, value: T) -> Result<()> {
    if slot.replace(value).is_some() {
        return Err(Error::new(name.span(), format!("`{name}` is given twice")));
    }
    Ok(())
}

/// `= expression`. Zero is refused here, where its place is known; what an expression yields is
/// checked by the runtime's builder.
fn parse_workers(input: ParseStream<'_>) -> Result<Expr> {
    input.parse::<Token![=]>()?;
    let workers: Expr = input.parse()?;
    if let Expr::Lit(ExprLit {
        lit: Lit::Int(number),
        ..
    }) = &workers
        && number.base10_parse::<usize>()? == 0
    {
        return Err(Error::new(
            number.span(),
            "a runtime needs at least one worker; leave `workers` out for the default",
        ));
    }
    Ok(workers)
}

/// `= "path"`, in quotes as in serde's and tokio's macros.
fn parse_root(input: ParseStream<'_>) -> Result<Path> {
    input.parse::<Token![=]>()?;
    let text: LitStr = input.parse().map_err(|error| {
        Error::new(
            error.span(),
            "write the path in quotes: `crate = \"my_gorin\"`",
        )
    })?;
    text.parse_with(Path::parse_mod_style)
}
