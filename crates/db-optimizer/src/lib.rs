#![doc = include_str!("../README.md")]

mod count;
mod doctor;
mod duration;
mod error;
mod explain;
mod finding;
mod foreign_keys;
mod generic_plan;
mod health;
mod index_definition;
mod index_name;
mod optimizer;
mod overview;
mod plan;
mod quantity;
mod read_only;
mod recommendation;
mod slow_queries;
mod statement_text;
mod statements_view;
mod table_name;
mod table_stats;

pub use crate::{
    doctor::{Case, Column, Runs, Table},
    error::Error,
    explain::{Diagnosis, ExplainAnalyze, ExplainError},
    finding::{Finding, Severity},
    generic_plan::NotPlanned,
    health::{DropReason, DroppableIndex, HealthLimits, HealthReport, Unseen},
    index_definition::{Identifier, IndexDefinition, Key, KeyOn, Method, QualifiedName},
    optimizer::DatabaseOptimizer,
    overview::DatabaseOverview,
    plan::{
        Buffers, Jit, JitTiming, Node, Plan, PlanError, Planning, SortGroups, SortSpace, Trigger,
        Worker,
    },
    recommendation::{ForeignKey, Recommendation},
    slow_queries::{Baseline, BaselineStatement, Degradation, Regression, SlowQueries, SlowQuery},
    table_stats::{IndexStats, TableStats},
};
