//! Holds the promises that other crates' tests are built on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "these tests look at connections from outside"
)]

mod database;
mod eventually;
mod own_servers;
mod proxy;
mod redis;
