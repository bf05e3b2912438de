//! Drives the crate through its public API.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod content;
mod determinism;
mod levels;
mod memo;
mod round_trip;
mod streams;
mod window;
