//! PostgreSQL: a pool of deadpool's, with admission in front and a rule for what comes back.

mod admission;
mod autosize;
mod checkin;
mod config;
mod connect;
mod connection;
mod counters;
mod engine;
mod error;
mod ledger;
mod pool;
mod run;
mod session;
mod statements;
mod transaction;
mod unverified;

pub use self::{
    autosize::autosized,
    config::PostgresConfig,
    error::{CheckoutError, ConnectError},
    session::Session,
    transaction::Transaction,
};
pub(crate) use self::{counters::Counters, pool::Pool};
