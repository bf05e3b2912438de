//! PostgreSQL: a pool of deadpool's, with admission in front and a rule for what comes back.

mod admission;
mod autosize;
mod bulkhead;
mod cancel;
mod checkin;
mod checkout;
mod config;
mod connect;
mod connection;
mod counters;
mod endpoint;
mod engine;
mod error;
mod holders;
mod keeper;
mod opening;
mod place;
mod pool;
mod pooler;
mod ready;
mod run;
mod session;
mod statements;
mod transaction;
mod unverified;
mod wire;

pub use self::{
    autosize::autosized,
    bulkhead::{Bulkhead, BulkheadStats},
    config::{BulkheadConfig, PostgresConfig},
    error::{CheckoutError, ConnectError, ResizeError},
    holders::{HeldConnection, Holders},
    session::Session,
    transaction::Transaction,
};
pub(crate) use self::{
    counters::Counters,
    pool::{DEFAULT_CLASS, Pool},
};
