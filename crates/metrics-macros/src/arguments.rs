//! What stands in the attribute's parentheses.

use syn::{
    Error, Expr, LitStr, Token,
    ext::IdentExt as _,
    parse::{Parse, ParseStream},
    spanned::Spanned as _,
};

#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) name: Option<LitStr>,
    pub(crate) metrics: Option<Expr>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Arguments> {
        let mut arguments = Arguments::default();
        if input.peek(LitStr) {
            arguments.name = Some(input.parse()?);
            comma_or_end(input)?;
        }
        while !input.is_empty() {
            arguments.named(input)?;
            comma_or_end(input)?;
        }
        Ok(arguments)
    }
}

impl Arguments {
    fn named(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if !input.peek(syn::Ident::peek_any) {
            let message = "expected the operation's name as a string literal, or `metrics = ...`";
            let found: Expr = input.parse()?;
            return Err(Error::new(found.span(), message));
        }
        let key = input.call(syn::Ident::parse_any)?;
        if key != "metrics" {
            let message = format!(
                "unknown argument `{key}`: there are a name, as in \
                 `#[measure_performance(\"api.endpoint\")]`, and `metrics = ...`"
            );
            return Err(Error::new(key.span(), message));
        }
        if self.metrics.is_some() {
            return Err(Error::new(key.span(), "`metrics` is given twice"));
        }
        input.parse::<Token![=]>()?;
        self.metrics = Some(input.parse()?);
        Ok(())
    }
}

fn comma_or_end(input: ParseStream<'_>) -> syn::Result<()> {
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(())
}
