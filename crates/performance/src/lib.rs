#![doc = include_str!("../README.md")]

pub mod benchmark;
mod builder;
mod commit;
mod openapi;
mod performance;
mod problem;
mod routes;

pub use ruleiq_cache as cache;
pub use ruleiq_compression as compression;
pub use ruleiq_db_optimizer as db_optimizer;
pub use ruleiq_metrics as metrics;
pub use ruleiq_pools as pools;
pub use ruleiq_query as query;
pub use ruleiq_scope as scope;
pub use ruleiq_web as web;

pub use crate::{
    builder::{BuildError, Builder},
    commit::commit_and_invalidate,
    openapi::openapi,
    performance::Performance,
};
