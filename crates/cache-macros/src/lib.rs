#![doc = include_str!("../README.md")]

mod cached;
mod krate;
mod options;

use proc_macro::TokenStream;
use quote::quote;

/// Answers from the cache, and runs the function where the cache has nothing.
///
/// See the documentation of `ruleiq-cache`, "`#[cached]`".
#[proc_macro_attribute]
pub fn cached(options: TokenStream, function: TokenStream) -> TokenStream {
    expand(options, function, false)
}

/// [`macro@cached`], for what comes from a database: it also makes a function of the same name with
/// `_invalidate` at its end, which takes the same arguments but those in `skip(…)` that neither `owner` nor `cache` names.
#[proc_macro_attribute]
pub fn cached_query(options: TokenStream, function: TokenStream) -> TokenStream {
    expand(options, function, true)
}

fn expand(options: TokenStream, function: TokenStream, is_query: bool) -> TokenStream {
    cached::expand(options.into(), function.clone().into(), is_query)
        .unwrap_or_else(|error| {
            // The function stays, so that this error is the only one.
            let error = error.into_compile_error();
            let function = proc_macro2::TokenStream::from(function);
            quote! { #error #function }
        })
        .into()
}
