//! The servers as whoever needs them sees them, started through a small program like xtask.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test connects by itself")]
#![allow(
    clippy::disallowed_types,
    reason = "without tokio there is no clock that a test could pause"
)]

mod client;
mod companions;
mod crash;
mod home;
mod neighbours;
mod outage;
mod services;
mod start;
