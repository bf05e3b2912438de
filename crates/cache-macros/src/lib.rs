#![doc = include_str!("../README.md")]

mod cached;
mod options;

use proc_macro::TokenStream;

/// Answers from the cache, and runs the function where the cache has nothing.
///
/// See the documentation of `ruleiq-cache`, "`#[cached]`".
#[proc_macro_attribute]
pub fn cached(options: TokenStream, function: TokenStream) -> TokenStream {
    cached::expand(options.into(), function.into())
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
