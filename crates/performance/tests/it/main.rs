//! Asks the endpoints over real servers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod benchmark;
mod cache;
mod database;
mod document;
mod health;
mod metrics;
mod n_plus_one;
mod pool;
mod service;
