#![doc = include_str!("../README.md")]

mod advice;
mod advise;
mod builder;
mod candidates;
mod catalogue;
mod change_error;
mod count;
mod create_index;
mod doctor;
mod duration;
mod error;
mod estimate;
mod explain;
mod expression;
mod finding;
mod foreign_keys;
mod generic_plan;
mod health;
mod index_definition;
mod index_name;
mod literal;
mod maintenance;
pub mod n_plus_one;
mod optimizer;
mod overview;
mod plan;
mod quantity;
mod read_only;
mod recommendation;
mod search;
mod size;
mod slow_queries;
mod statement_text;
mod statements_view;
mod table_name;
mod table_stats;
mod transaction;
mod trial;
mod usage;
mod whatif;
mod workload;

pub use crate::{
    advice::{
        Advice, Confidence, HelpedStatement, IndexAdvice, ReplacedIndex, SampledCost, StatementCost,
    },
    advise::{AdviseOptions, Budget, SearchProgress, Sizes},
    builder::Builder,
    candidates::Rule,
    change_error::{ChangeError, Failure},
    create_index::{
        Analyzed, Blocker, CreateIndexOptions, CreateIndexPlan, CreatedIndex, ExistingIndex,
        IndexCreation, Observation, Obstacle, Progress,
    },
    doctor::{Case, Column, Runs, Table},
    error::{AdviseError, Error},
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
    trial::{
        DiscardReason, DiscardedIndex, NotRun, NotRunReason, Trial, TrialError, TrialOptions,
        TrialProgress, TrialStep, TriedStatement,
    },
    workload::{Unplanned, Workload, WorkloadError, WorkloadStatement},
};
