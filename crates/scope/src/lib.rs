#![doc = include_str!("../README.md")]

#[doc(hidden)]
pub mod __macro;
mod assert_statements;
mod pattern;
mod scope;
mod statements;
mod token;

pub use crate::{
    pattern::ArgumentPattern,
    scope::{
        Builder, OpenTransaction, Scope, Summary, Times, deadline, is_reading_primary,
        record_cache_hit, record_cache_miss,
    },
    statements::{MAX_DISTINCT, StatementRun, StatementUse, Statements},
    token::CausalToken,
};
