//! Runs the traits on the driver's own types, on a real server.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod copy;
mod lost;
mod statements;
