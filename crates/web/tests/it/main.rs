//! Drives the middlewares through services, as actix-web does.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod answer;
#[cfg(feature = "cache")]
mod cached;
mod catch_panic;
mod compression;
mod log;
mod n_plus_one;
mod problem;
mod request_id;
mod request_scope;
mod soak;
mod storm;
mod timing;
mod wire;
