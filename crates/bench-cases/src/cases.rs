//! The cases, one file for each group of them.

pub mod cache;
pub mod compression;
pub mod database;
pub mod http;
pub mod optimizer;
pub mod pools;

use ruleiq_bench::Case;

use crate::{Env, Options};

/// All cases, in the order in which reports show them.
pub fn all(options: &Options) -> Vec<Case<Env>> {
    let groups = [
        database::cases(options),
        cache::cases(options),
        compression::cases(options),
        pools::cases(options),
        optimizer::cases(options),
        http::cases(options),
    ];
    groups.into_iter().flatten().collect()
}
