#![doc = include_str!("../README.md")]

mod cached;
mod options;

use proc_macro::TokenStream;
use quote::quote;

/// Answers from the cache, and runs the function where the cache has nothing.
///
/// See the documentation of `ruleiq-cache`, "`#[cached]`".
#[proc_macro_attribute]
pub fn cached(options: TokenStream, function: TokenStream) -> TokenStream {
    cached::expand(options.into(), function.clone().into())
        .unwrap_or_else(|error| {
            // The function stays, so that this error is the only one.
            let error = error.into_compile_error();
            let function = proc_macro2::TokenStream::from(function);
            quote! { #error #function }
        })
        .into()
}
