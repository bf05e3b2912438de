#![doc = include_str!("../README.md")]
#![allow(
    clippy::disallowed_types,
    reason = "what is measured here is the real clock; no test pauses it"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the controls are bare clients, which make their connections themselves"
)]

pub mod env;
pub mod plan;

pub use crate::{
    env::Env,
    plan::{Against, Options, Plan},
};
