//! What stands in the brackets of `#[cached(...)]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::{
    Error, Expr, ExprLit, Lit, LitStr, Path, Result, Token, ext::IdentExt as _,
    meta::ParseNestedMeta, parse::Parser as _, punctuated::Punctuated,
};

use crate::krate;

/// The options of one function.
pub(crate) struct Options {
    /// Of type `Duration`, like the next two.
    pub(crate) ttl: TokenStream,
    pub(crate) negative_ttl: Option<TokenStream>,
    pub(crate) stale_if_error: Option<TokenStream>,
    /// Tables.
    pub(crate) invalidate_on: Vec<LitStr>,
    /// Something to go through.
    pub(crate) tags: Option<Expr>,
    pub(crate) prefix: Option<LitStr>,
    /// What stands between the prefix and the arguments.
    pub(crate) owner: Option<Expr>,
    /// Instead of the arguments.
    pub(crate) key: Option<Expr>,
    /// Instead of the ambient cache.
    pub(crate) cache: Option<Expr>,
    /// Where `ruleiq_cache` is.
    pub(crate) krate: TokenStream,
    /// Arguments that are no part of the key.
    pub(crate) skip: Vec<Ident>,
}

#[derive(Default)]
struct Given {
    ttl: Option<Expr>,
    negative_ttl: Option<Expr>,
    stale_if_error: Option<Expr>,
    invalidate_on: Vec<LitStr>,
    tags: Option<Expr>,
    prefix: Option<LitStr>,
    owner: Option<Expr>,
    key: Option<Expr>,
    cache: Option<Expr>,
    krate: Option<Path>,
    skip: Vec<Ident>,
}

impl Options {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Options> {
        let mut given = Given::default();
        syn::meta::parser(|meta| given.take(&meta)).parse2(tokens)?;
        let ttl = given.ttl.ok_or_else(|| {
            Error::new(
                Span::call_site(),
                "`ttl` is missing: give seconds, as in `#[cached(ttl = 3600, prefix = \"user_profile\")]`, or a `Duration`",
            )
        })?;
        if given.prefix.is_none() && given.key.is_none() {
            return Err(Error::new(
                Span::call_site(),
                "`prefix` is missing: it tells this function's keys from others, as in \
                 `#[cached(ttl = 3600, prefix = \"user_profile\")]`",
            ));
        }
        if let (Some(key), Some(_)) = (&given.key, &given.owner) {
            let message = "`owner` has no effect beside `key`, which says all";
            return Err(Error::new_spanned(key, message));
        }
        if let (Some(_), Some(skipped)) = (&given.key, given.skip.first()) {
            return Err(Error::new(
                skipped.span(),
                "`skip` has no effect beside `key`, which takes the place of all arguments",
            ));
        }
        Ok(Options {
            ttl: duration("ttl", &ttl)?,
            negative_ttl: optional_duration("negative_ttl", given.negative_ttl)?,
            stale_if_error: optional_duration("stale_if_error", given.stale_if_error)?,
            invalidate_on: given.invalidate_on,
            tags: given.tags,
            prefix: given.prefix,
            owner: given.owner,
            key: given.key,
            cache: given.cache,
            krate: given.krate.map_or_else(krate::found, |path| quote!(#path)),
            skip: given.skip,
        })
    }
}

impl Given {
    fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("ttl") {
            once(&mut self.ttl, meta)
        } else if meta.path.is_ident("negative_ttl") {
            once(&mut self.negative_ttl, meta)
        } else if meta.path.is_ident("stale_if_error") {
            once(&mut self.stale_if_error, meta)
        } else if meta.path.is_ident("invalidate_on") {
            let tables;
            let list = meta.value()?;
            syn::bracketed!(tables in list);
            self.invalidate_on
                .extend(Punctuated::<LitStr, Token![,]>::parse_terminated(&tables)?);
            match self.invalidate_on.iter().find(|it| it.value().is_empty()) {
                Some(table) => Err(Error::new(table.span(), "a table has a name")),
                None => Ok(()),
            }
        } else if meta.path.is_ident("tags") {
            once(&mut self.tags, meta)
        } else if meta.path.is_ident("prefix") {
            once(&mut self.prefix, meta)?;
            match &self.prefix {
                Some(prefix) if prefix.value().is_empty() => {
                    Err(Error::new(prefix.span(), "`prefix` is empty"))
                }
                _ => Ok(()),
            }
        } else if meta.path.is_ident("owner") {
            once(&mut self.owner, meta)
        } else if meta.path.is_ident("key") {
            once(&mut self.key, meta)
        } else if meta.path.is_ident("cache") {
            once(&mut self.cache, meta)
        } else if meta.path.is_ident("crate") {
            once(&mut self.krate, meta)
        } else if meta.path.is_ident("skip") {
            let names;
            syn::parenthesized!(names in meta.input);
            // `self` is a name here.
            let names =
                Punctuated::<Ident, Token![,]>::parse_terminated_with(&names, Ident::parse_any)?;
            self.skip.extend(names);
            Ok(())
        } else {
            Err(meta.error(
                "unknown option: there are `ttl`, `negative_ttl`, `stale_if_error`, `invalidate_on`, `tags`, `prefix`, `owner`, `key`, \
                 `cache`, `crate` and `skip`",
            ))
        }
    }
}

fn once<T: syn::parse::Parse>(slot: &mut Option<T>, meta: &ParseNestedMeta<'_>) -> Result<()> {
    if slot.is_some() {
        return Err(meta.error("given twice"));
    }
    *slot = Some(meta.value()?.parse()?);
    Ok(())
}

fn optional_duration(name: &str, time: Option<Expr>) -> Result<Option<TokenStream>> {
    time.map(|it| duration(name, &it)).transpose()
}

/// Whole seconds as a literal, or any expression for a `Duration`.
fn duration(name: &str, time: &Expr) -> Result<TokenStream> {
    let Expr::Lit(ExprLit { lit, .. }) = time else {
        return Ok(quote!(#time));
    };
    match lit {
        Lit::Int(seconds) => match seconds.base10_parse::<u64>()? {
            0 => Err(Error::new(
                seconds.span(),
                format!("a `{name}` of zero keeps nothing"),
            )),
            seconds => Ok(quote!(::core::time::Duration::from_secs(#seconds))),
        },
        _ => Err(Error::new(
            lit.span(),
            format!("`{name}` is a whole number of seconds or a `Duration`"),
        )),
    }
}
