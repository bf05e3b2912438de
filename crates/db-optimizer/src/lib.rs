#![doc = include_str!("../README.md")]

mod advice;
mod advise;
mod candidates;
mod catalogue;
mod builder;
mod change_error;
mod count;
mod create_index;
mod duration;
mod error;
mod expression;
mod foreign_keys;
mod index_definition;
mod index_name;
mod maintenance;
pub mod n_plus_one;
mod optimizer;
mod overview;
mod plan;
mod recommendation;
mod search;
mod size;
mod slow_queries;
mod statements_view;
mod table_name;
mod table_stats;
mod usage;
mod whatif;
mod workload;

pub use crate::{
    advice::{Advice, IndexAdvice},
    advise::{AdviseOptions, Budget, SearchProgress, Sizes},
    candidates::Rule,
    error::{AdviseError, Error},
    builder::Builder,
    change_error::{ChangeError, Failure},
    create_index::{
        Analyzed, Blocker, CreateIndexOptions, CreateIndexPlan, CreatedIndex, ExistingIndex,
        IndexCreation, Observation, Obstacle, Progress,
    },
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
    workload::{Unplanned, Workload, WorkloadError, WorkloadStatement},
};
