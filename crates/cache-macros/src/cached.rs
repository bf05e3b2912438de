//! The expansion of `#[cached]`.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::{
    Attribute, Error, Expr, FnArg, GenericParam, ItemFn, Pat, Result, ReturnType, Signature, Type,
    Visibility, punctuated::Punctuated, spanned::Spanned as _,
};

use crate::options::Options;

/// `is_query` also makes the function's `_invalidate`.
pub(crate) fn expand(
    options: TokenStream,
    function: TokenStream,
    is_query: bool,
) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    let krate = &options.krate;
    let ItemFn {
        attrs,
        vis,
        sig,
        block,
        ..
    } = syn::parse2(function)?;
    if sig.asyncness.is_none() {
        return Err(Error::new(
            sig.fn_token.span(),
            "a cached function is `async`: it asks Redis",
        ));
    }
    let returned = returned(&sig)?;
    let key = key(&options, &sig)?;
    let cache = cache(&options);
    let invalidate = match is_query {
        true => Some(invalidate(&options, &attrs, &vis, &sig, &key)?),
        false => None,
    };
    let policy = policy(&options);
    let (cache_name, key_name, body_name) = (name("cache"), name("key"), name("body"));
    let policy_name = name("policy");
    // Where a bound does not hold, the message points at the type.
    let load = quote_spanned! {returned.span()=>
        #krate::__macro::Output::<#returned>::new()
            .load(&#cache_name, &#key_name, #policy_name, #body_name)
            .await
    };
    Ok(quote! {
        #(#attrs)*
        #[allow(unused_braces, reason = "those of the body are not ours")]
        #vis #sig {
            let #cache_name: ::core::option::Option<#krate::CacheManager> = #cache;
            let #key_name: ::core::option::Option<::std::string::String> = match &#cache_name {
                ::core::option::Option::Some(_) => #key,
                ::core::option::Option::None => ::core::option::Option::None,
            };
            // Before the body takes the arguments.
            let #policy_name = #key_name.as_ref().map(|_| #policy);
            let #body_name = async move {
                // Tells `?` and `return` in the body what it returns.
                #[allow(
                    unreachable_code,
                    clippy::diverging_sub_expression,
                    clippy::empty_loop,
                    clippy::let_unit_value,
                    clippy::needless_return,
                    reason = "it never runs"
                )]
                if false {
                    let returned: #returned = loop {};
                    return returned;
                }
                #block
            };
            match (#cache_name, #key_name, #policy_name) {
                (
                    ::core::option::Option::Some(#cache_name),
                    ::core::option::Option::Some(#key_name),
                    ::core::option::Option::Some(#policy_name),
                ) => {
                    #[allow(unused_imports, reason = "a result has a method of its own")]
                    use #krate::__macro::Plain as _;
                    #load
                }
                _ => #body_name.await,
            }
        }
        #invalidate
    })
}

/// The cache, as an `Option`.
fn cache(options: &Options) -> TokenStream {
    let krate = &options.krate;
    match &options.cache {
        // The body takes the arguments, of which this may be one.
        Some(cache) => quote!(#krate::__macro::given(
            <#krate::CacheManager as ::core::clone::Clone>::clone(&#cache)
        )),
        None => quote!({
            static PLAIN: #krate::__macro::Plainly = #krate::__macro::Plainly::new();
            #krate::__macro::ambient(&PLAIN)
        }),
    }
}

/// A function that takes away what the cached one has kept for the same arguments.
fn invalidate(
    options: &Options,
    attrs: &[Attribute],
    vis: &Visibility,
    sig: &Signature,
    key: &TokenStream,
) -> Result<TokenStream> {
    let krate = &options.krate;
    let cache = match &options.cache {
        Some(cache) => quote!(::core::option::Option::Some(
            <#krate::CacheManager as ::core::clone::Clone>::clone(&#cache)
        )),
        None => quote!(#krate::installed().cloned()),
    };
    let named = [
        options.cache.to_token_stream(),
        options.key.to_token_stream(),
        options.owner.to_token_stream(),
    ];
    let mut own = sig.clone();
    own.ident = format_ident!("{}_invalidate", sig.ident);
    own.output = ReturnType::Default;
    own.inputs = Punctuated::new();
    for argument in &sig.inputs {
        let name = argument_name(argument)?;
        let is_needed = named.iter().any(|it| mentions(it.clone(), &name));
        if name == "self" || is_needed || !options.skip.contains(&name) {
            own.inputs.push(argument.clone());
        }
    }
    let conditions = attrs.iter().filter(|it| it.path().is_ident("cfg"));
    let doc = format!(
        "Takes away what [`{0}`](fn@{0}) has kept for these arguments.",
        sig.ident
    );
    let doc = match sig.receiver() {
        Some(_) => doc.replace("(fn@", "(Self::"),
        None => doc,
    };
    let (cache_name, key_name) = (name("cache"), name("key"));
    Ok(quote! {
        #(#conditions)*
        #[doc = #doc]
        #[allow(unused_variables, dead_code, reason = "it has the arguments of the cached function")]
        #vis #own {
            let #cache_name: ::core::option::Option<#krate::CacheManager> = #cache;
            if let ::core::option::Option::Some(#cache_name) = #cache_name {
                let #key_name: ::core::option::Option<::std::string::String> = #key;
                if let ::core::option::Option::Some(#key_name) = #key_name {
                    #cache_name.delete(&[::std::string::String::as_str(&#key_name)]).await;
                }
            }
        }
    })
}

/// Whether a name stands somewhere in it.
fn mentions(tokens: TokenStream, name: &Ident) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(it) => it == *name,
        TokenTree::Group(it) => mentions(it.stream(), name),
        // As in `format!("{name}")`.
        TokenTree::Literal(it) => it.to_string().contains(&format!("{{{name}")),
        TokenTree::Punct(_) => false,
    })
}

/// How long the value is kept, and what it falls with.
fn policy(options: &Options) -> TokenStream {
    let krate = &options.krate;
    let ttl = &options.ttl;
    let negative_ttl = options.negative_ttl.iter();
    let stale_if_error = options.stale_if_error.iter();
    let (tables, tags) = (&options.invalidate_on, options.tags.iter());
    quote! {
        #krate::Policy::new(#ttl)
            #(.negative_ttl(#negative_ttl))*
            #(.stale_if_error(#stale_if_error))*
            #(.tags(#tags))*
            .tables(&[#(#tables),*])
    }
}

/// What the function returns, if that can be cached at all.
fn returned(sig: &Signature) -> Result<&Type> {
    let refused = |at: Span, why| Err(Error::new(at, why));
    match &sig.output {
        ReturnType::Default => refused(sig.ident.span(), "the function returns nothing to cache"),
        ReturnType::Type(_, returned) => match &**returned {
            Type::ImplTrait(hidden) => refused(
                hidden.span(),
                "name the type: a value comes back from the cache as what it is",
            ),
            Type::Reference(reference) => refused(
                reference.span(),
                "a cached value is owned: return the value, or an `Arc` of it",
            ),
            _ => Ok(returned),
        },
    }
}

/// An `Option<String>`: `None` where an argument cannot be a part of it.
fn key(options: &Options, sig: &Signature) -> Result<TokenStream> {
    let (krate, prefix) = (&options.krate, &options.prefix);
    if let Some(key) = &options.key {
        let text = quote!(::std::string::String::from(#key));
        return Ok(match prefix {
            Some(prefix) => quote! {
                ::core::option::Option::Some([#prefix, ":", ::std::string::String::as_str(&#text)].concat())
            },
            None => quote!(::core::option::Option::Some(#text)),
        });
    }
    let mut parts = Vec::new();
    for parameter in &sig.generics.params {
        match parameter {
            // The same arguments mean something else for another type.
            GenericParam::Type(it) => {
                let it = &it.ident;
                parts.push(quote!(.with(::core::any::type_name::<#it>())));
            }
            GenericParam::Const(it) => {
                let it = &it.ident;
                parts.push(quote!(.with(&#it)));
            }
            _ => {}
        }
    }
    let mut skipped: Vec<&Ident> = options.skip.iter().collect();
    for argument in &sig.inputs {
        let it = argument_name(argument)?;
        let is_owner =
            matches!(&options.owner, Some(Expr::Path(owner)) if owner.path.is_ident(&it));
        if is_owner && !skipped.contains(&&it) {
            continue;
        }
        if let Some(at) = skipped.iter().position(|skipped| **skipped == it) {
            skipped.swap_remove(at);
        } else if it == "self" {
            return Err(Error::new(
                argument.span(),
                "instances would share their entries: say that they may by `skip(self)`, or give a key \
                 that tells them apart by `key = ...`",
            ));
        } else if hides_its_type(argument.to_token_stream()) {
            return Err(Error::new(
                argument.span(),
                "arguments of different types would share entries: name the type by a parameter, as in \
                 `<T: Serialize>`, which becomes a part of the key",
            ));
        } else {
            parts.push(quote_spanned!(argument.span()=> .with(&#it)));
        }
    }
    if let Some(unknown) = skipped.first() {
        return Err(Error::new(
            unknown.span(),
            format!("`{unknown}` is no argument of `{}`", sig.ident),
        ));
    }
    let begun = match &options.owner {
        Some(owner) => quote!(#krate::__macro::Key::of_owner(#prefix, &#owner)),
        None => quote!(#krate::__macro::Key::new(#prefix)),
    };
    Ok(quote!(#begun #(#parts)* .finish()))
}

fn argument_name(argument: &FnArg) -> Result<Ident> {
    match argument {
        FnArg::Receiver(it) => Ok(Ident::new("self", it.span())),
        FnArg::Typed(it) => match &*it.pat {
            Pat::Ident(pattern) => Ok(pattern.ident.clone()),
            pattern => Err(Error::new(
                pattern.span(),
                "give this argument a name, or the function a key by `key = ...`",
            )),
        },
    }
}

/// Whether `impl Trait` stands somewhere in the argument.
fn hides_its_type(argument: TokenStream) -> bool {
    argument.into_iter().any(|token| match token {
        TokenTree::Ident(it) => it == "impl",
        TokenTree::Group(it) => hides_its_type(it.stream()),
        _ => false,
    })
}

/// A name that the function's body cannot see.
fn name(text: &str) -> Ident {
    Ident::new(text, Span::mixed_site())
}
