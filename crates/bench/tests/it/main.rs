//! The crate as a stranger sees it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod file;
#[cfg(feature = "run")]
mod html;
#[cfg(feature = "load")]
mod load;
mod sample;
mod sample_rows;
mod schema;
#[cfg(feature = "run")]
mod terminal;
