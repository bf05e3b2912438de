#![doc = include_str!("../README.md")]

mod scope;
mod statements;
mod token;

pub use crate::{
    scope::{
        Builder, OpenTransaction, Scope, Summary, Times, deadline, is_reading_primary,
        record_cache_hit, record_cache_miss,
    },
    statements::{MAX_DISTINCT, StatementUse, Statements},
    token::CausalToken,
};
