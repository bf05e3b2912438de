//! Drives the crate through its public API.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(
    clippy::disallowed_types,
    reason = "without tokio there is no clock that a test could pause"
)]

mod content;
mod determinism;
mod fuzz;
mod levels;
mod memo;
mod round_trip;
mod soak;
mod streams;
mod window;
