#![doc = include_str!("../README.md")]
#![allow(
    clippy::disallowed_types,
    reason = "what is measured here is the real clock; no test pauses it"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the controls are bare clients, which make their connections themselves"
)]

mod around;
pub mod cases;
pub mod client_check;
pub mod command;
pub mod curve;
mod draws;
pub mod env;
pub mod http_server;
pub mod instructions;
mod judged;
mod nginx;
mod paused;
mod pgbench;
pub mod plain_server;
pub mod plan;
mod postgres;
mod redis_benchmark;
pub mod scale_study;
mod seeded;
pub mod self_test;

pub use crate::{
    env::Env,
    plan::{Against, Options, Plan},
};
