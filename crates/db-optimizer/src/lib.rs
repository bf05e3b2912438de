#![doc = include_str!("../README.md")]

mod builder;
mod change_error;
mod count;
mod create_index;
mod duration;
mod error;
mod foreign_keys;
mod index_definition;
mod index_name;
mod maintenance;
mod optimizer;
mod overview;
mod recommendation;
mod slow_queries;
mod statements_view;
mod table_name;
mod table_stats;

pub use crate::{
    builder::Builder,
    change_error::{ChangeError, Failure},
    create_index::{
        Analyzed, Blocker, CreateIndexOptions, CreateIndexPlan, CreatedIndex, ExistingIndex,
        IndexCreation, Observation, Obstacle, Progress,
    },
    error::Error,
    index_definition::{Identifier, IndexDefinition, Key, KeyOn, Method, QualifiedName},
    optimizer::DatabaseOptimizer,
    overview::DatabaseOverview,
    recommendation::{ForeignKey, Recommendation},
    slow_queries::{Degradation, SlowQueries, SlowQuery},
    table_stats::{IndexStats, TableStats},
};
