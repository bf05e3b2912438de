//! Where the expansion finds the cache.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

/// The crate itself under the name that it has in the user's `Cargo.toml`, or the facade that exports it.
pub(crate) fn found() -> TokenStream {
    let absolute = |name: &str| {
        let name = format_ident!("{name}");
        quote!(::#name)
    };
    match crate_name("ruleiq-cache") {
        Ok(FoundCrate::Name(name)) => return absolute(&name),
        // Its tests and examples know it by its name.
        Ok(FoundCrate::Itself) => return quote!(::ruleiq_cache),
        Err(_) => {}
    }
    match crate_name("ruleiq-performance") {
        Ok(FoundCrate::Name(name)) => {
            let facade = absolute(&name);
            quote!(#facade::cache)
        }
        Ok(FoundCrate::Itself) => quote!(::ruleiq_performance::cache),
        // The compiler says that there is none.
        Err(_) => quote!(::ruleiq_cache),
    }
}
