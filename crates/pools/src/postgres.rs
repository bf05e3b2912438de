//! PostgreSQL: a pool of deadpool's, with admission in front and a rule for what comes back.

mod admission;
mod autosize;
mod bulkhead;
mod cancel;
mod checkin;
mod checkout;
mod cluster;
mod config;
mod connect;
mod connection;
mod counters;
mod endpoint;
mod engine;
mod error;
mod holders;
mod keeper;
mod kind;
mod opening;
mod place;
mod pool;
mod pooler;
mod read_session;
mod reader;
mod ready;
mod recent;
mod run;
mod session;
mod statements;
mod transaction;
mod tune;
mod tuning;
mod unverified;
mod usage;
mod wire;

pub use self::{
    autosize::autosized,
    bulkhead::{Bulkhead, BulkheadStats},
    config::{BulkheadConfig, PostgresConfig, ReaderConfig, ReplicaConfig, TuningConfig},
    error::{CheckoutError, ConnectError, OptimizeError, ResizeError},
    holders::{HeldConnection, Holders},
    read_session::ReadSession,
    reader::Reader,
    session::Session,
    transaction::Transaction,
    tuning::{
        ConnectionShare, PoolOptimization, PoolRecommendation, PoolSetting, PoolStep, StepOutcome,
    },
    usage::PoolUsage,
};
pub(crate) use self::{
    cluster::{Cluster, read_session},
    counters::Counters,
    pool::{DEFAULT_CLASS, Pool},
};
