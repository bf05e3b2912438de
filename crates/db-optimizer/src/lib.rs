#![doc = include_str!("../README.md")]

mod count;
mod duration;
mod error;
mod foreign_keys;
mod index_definition;
mod index_name;
mod optimizer;
mod overview;
mod plan;
mod recommendation;
mod slow_queries;
mod statements_view;
mod table_name;
mod table_stats;

pub use crate::{
    error::Error,
    index_definition::{Identifier, IndexDefinition, Key, KeyOn, Method, QualifiedName},
    optimizer::DatabaseOptimizer,
    overview::DatabaseOverview,
    plan::{
        Buffers, Jit, JitTiming, Node, Plan, PlanError, Planning, SortGroups, SortSpace, Trigger,
        Worker,
    },
    recommendation::{ForeignKey, Recommendation},
    slow_queries::{Degradation, SlowQueries, SlowQuery},
    table_stats::{IndexStats, TableStats},
};
