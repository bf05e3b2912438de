//! From a function to a measured one.
//!
//! All that is generated has mixed-site spans: its variables cannot be seen from the function's
//! body, and the compiler's and clippy's lints take it for a macro's. The one item stands in a block
//! of its own, because items have no such hygiene.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote_spanned};
use syn::{
    Error, GenericArgument, ItemFn, PathArguments, ReturnType, Type, TypeParamBound, parse_quote,
    spanned::Spanned as _,
    visit_mut::{VisitMut, visit_type_mut},
};

use crate::arguments::Arguments;

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let arguments: Arguments = syn::parse2(arguments)?;
    let mut function: ItemFn =
        syn::parse2(item.clone()).map_err(|error| refuse_item(item, &error))?;
    check(&function)?;

    let start = start(&arguments, &function);
    let run = run(&function);
    let site = Span::mixed_site();
    *function.block = syn::parse2(quote_spanned! { site=> {
        #start
        let returned = #run;
        let outcome = ::ruleiq_metrics::__macro::Returned(&returned).outcome();
        ::ruleiq_metrics::__macro::finish(timer, outcome);
        returned
    }})?;
    Ok(function.into_token_stream())
}

/// Statements that leave `timer`, an `Option<Timer>`, behind.
fn start(arguments: &Arguments, function: &ItemFn) -> TokenStream {
    let name = match &arguments.name {
        Some(name) => quote_spanned! { name.span()=>
            const { ::ruleiq_metrics::__macro::checked(#name) }
        },
        None => {
            let ident = &function.sig.ident;
            let name = ident.to_string();
            let name = name.trim_start_matches("r#");
            quote_spanned! { ident.span().resolved_at(Span::mixed_site())=>
                const { ::ruleiq_metrics::__macro::checked(::ruleiq_metrics::__macro::concat!(
                    ::ruleiq_metrics::__macro::module_path!(), "::", #name
                )) }
            }
        }
    };
    let site = Span::mixed_site();
    match &arguments.metrics {
        Some(metrics) => {
            // At the expression, so that a wrong type is reported there.
            let metrics = quote_spanned! { metrics.span()=> &(#metrics) };
            quote_spanned! { site=>
                let operation = ::ruleiq_metrics::Metrics::operation(#metrics, #name);
                let timer = ::core::option::Option::Some(operation.start());
            }
        }
        None => quote_spanned! { site=>
            let timer = {
                static OPERATION: ::ruleiq_metrics::__macro::Ambient =
                    ::ruleiq_metrics::__macro::Ambient::new(#name);
                OPERATION.start()
            };
        },
    }
}

/// An expression that runs the body, in which `return` and `?` leave no more than the body.
fn run(function: &ItemFn) -> TokenStream {
    let site = Span::mixed_site();
    let block = &function.block;
    let returned = match &function.sig.output {
        ReturnType::Default => None,
        ReturnType::Type(_, returned) => Some(inferrable(returned)),
    };
    if function.sig.asyncness.is_none() {
        let returned = returned.map(|returned| quote_spanned! { site=> -> #returned });
        return quote_spanned! { site=>
            ::ruleiq_metrics::__macro::call(move || #returned #block)
        };
    }
    // An async block cannot say what it returns, and `?` needs to know. This does.
    let hint = returned.map(|returned| {
        quote_spanned! { site=>
            if false {
                return ::ruleiq_metrics::__macro::never_called::<#returned>();
            }
        }
    });
    let statements = &block.stmts;
    quote_spanned! { site=> async move { #hint #(#statements)* }.await }
}

/// The type with `_` for each `impl Trait`, which may stand in signatures only.
fn inferrable(returned: &Type) -> Type {
    struct Infer;

    impl VisitMut for Infer {
        fn visit_type_mut(&mut self, visited: &mut Type) {
            if matches!(visited, Type::ImplTrait(_)) {
                *visited = parse_quote!(_);
            } else {
                visit_type_mut(self, visited);
            }
        }
    }

    let mut returned = returned.clone();
    Infer.visit_type_mut(&mut returned);
    returned
}

/// Refuses what could not be measured honestly.
fn check(function: &ItemFn) -> syn::Result<()> {
    if let Some(constness) = &function.sig.constness {
        let message = "a `const fn` cannot read the clock: measure the function that calls it";
        return Err(Error::new(constness.span(), message));
    }
    if let Some(track) = function
        .attrs
        .iter()
        .find(|attribute| attribute.path().is_ident("track_caller"))
    {
        let message = "a measured function would lose its caller's line: measure what it calls";
        return Err(Error::new(track.span(), message));
    }
    match &function.sig.output {
        ReturnType::Type(_, returned) if matches!(**returned, Type::Never(_)) => {
            let message = "a function that never returns has no end to measure: measure its parts";
            Err(Error::new(returned.span(), message))
        }
        ReturnType::Type(_, returned) if is_future(returned) => {
            let message = "only the making of this future would be measured: write `async fn`, or \
                           measure an async function that it calls";
            Err(Error::new(returned.span(), message))
        }
        _ => Ok(()),
    }
}

fn is_future(returned: &Type) -> bool {
    match returned {
        Type::ImplTrait(it) => it.bounds.iter().any(is_future_bound),
        Type::TraitObject(it) => it.bounds.iter().any(is_future_bound),
        Type::Path(it) => it.path.segments.last().is_some_and(|last| {
            let is_wrapper = last.ident == "Pin" || last.ident == "Box";
            last.ident == "BoxFuture"
                || last.ident == "LocalBoxFuture"
                || is_wrapper && wraps_future(&last.arguments)
        }),
        _ => false,
    }
}

fn wraps_future(arguments: &PathArguments) -> bool {
    let PathArguments::AngleBracketed(arguments) = arguments else {
        return false;
    };
    let is_future = |argument: &GenericArgument| match argument {
        GenericArgument::Type(wrapped) => is_future(wrapped),
        _ => false,
    };
    arguments.args.iter().any(is_future)
}

fn is_future_bound(bound: &TypeParamBound) -> bool {
    match bound {
        TypeParamBound::Trait(bound) => bound
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == "Future"),
        _ => false,
    }
}

fn refuse_item(item: TokenStream, error: &Error) -> Error {
    if syn::parse2::<syn::TraitItemFn>(item.clone()).is_ok() {
        let message = "there is no body to measure: put the attribute on the implementations";
        return Error::new_spanned(item, message);
    }
    match syn::parse2::<syn::Item>(item.clone()) {
        Ok(_) => Error::new_spanned(item, "only functions and methods can be measured"),
        // The function's own syntax error says more.
        Err(_) => error.clone(),
    }
}

#[cfg(test)]
mod tests;
