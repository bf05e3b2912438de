//! The crate as a stranger sees it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod file;
mod sample;
mod sample_rows;
mod schema;
