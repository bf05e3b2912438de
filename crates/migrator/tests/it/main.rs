//! Drives migrations on a real server.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod concurrent;
mod files;
mod ownership;
mod roles;
mod schema;
mod seen;
mod storm;
