#![doc = include_str!("../README.md")]
#![allow(
    clippy::disallowed_types,
    reason = "without tokio there is no clock that a test could pause"
)]

mod account;
mod addresses;
mod companions;
mod error;
mod install;
mod instance;
mod pgbouncer;
mod port;
mod postgres;
mod process;
mod programs;
mod redis;
mod run;
mod secret;
mod server;
mod services;
mod shared_memory;
mod spec;
mod supervised;
mod supervisor;
mod which;

pub use crate::{
    addresses::Addresses,
    error::Error,
    instance::remove_kept,
    programs::psql,
    services::{Running, Services, State},
    spec::{DataDir, PostgresSpec, RedisSpec, Spec},
    supervised::Supervised,
    supervisor::supervise,
    which::Which,
};

/// The environment variable with the address of the tests' PostgreSQL, a superuser's.
pub const DATABASE_URL_VARIABLE: &str = "TEST_DATABASE_URL";
/// The environment variable with the address of the tests' Redis.
pub const REDIS_URL_VARIABLE: &str = "TEST_REDIS_URL";
/// The environment variable with the path of the program that has the subcommand `supervise`.
pub const XTASK_VARIABLE: &str = "RULEIQ_XTASK";
