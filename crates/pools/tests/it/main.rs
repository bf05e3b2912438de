//! Pools as a stranger uses them, on real servers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test looks at the server from outside the pool"
)]

mod bulkheads;
mod cancellation;
mod checkout;
mod deadlines;
mod examples;
mod fixture;
mod holders;
mod lifetimes;
mod log;
mod metrics;
mod outages;
mod pgbouncer;
mod reader;
mod redis;
mod replicas;
mod secrets;
mod statements;
mod storms;
mod tls;
mod transactions;
mod tuning;
