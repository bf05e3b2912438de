#![doc = include_str!("../README.md")]

mod arguments;
mod expand;

use proc_macro::TokenStream;
use quote::quote;

use crate::expand::expand;

/// Measures a function, async or not: how often it ran, how long it took, how it ended.
///
/// ```text
/// #[measure_performance("assessment.load")]
/// #[measure_performance("assessment.load", metrics = self.metrics)]
/// #[measure_performance]
/// ```
///
/// - The first argument is the operation's name: a string literal of 1 to 100 bytes. Without one it
///   is the path of the module and the name of the function.
/// - `metrics = …` is an expression of type `Metrics`, or a reference to one, that may name the
///   function's parameters. It is evaluated at each call, and the operation is looked up in it by
///   name, which takes a read lock. Without it the function records into the metrics that the
///   program installed, without a lock; as long as there are none it runs plainly.
///
/// `Err` of a `Result`, under whatever alias, counts as an error; everything else that is returned
/// as ok. A panic counts as an error. An async function that was polled and is dropped before it is
/// done counts as cancelled. Time runs from the first poll.
///
/// On a method below another attribute that rewrites functions, such as `async_trait`, it would see
/// what that attribute made of it, and refuses a function that merely returns a future.
#[proc_macro_attribute]
pub fn measure_performance(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments.into(), item.clone().into())
        .unwrap_or_else(|error| {
            // The function stays, so that this error is the only one.
            let error = error.into_compile_error();
            let item = proc_macro2::TokenStream::from(item);
            quote! { #error #item }
        })
        .into()
}
