//! The cache as a stranger sees it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod backplane;
mod cached;
mod cluster;
mod example;
mod fencing;
mod fleet;
mod flight;
mod metrics;
mod model;
mod outage;
mod pattern;
mod place;
mod prefixes;
mod response;
mod sentinel;
mod soak;
mod stale;
mod storm;
mod tags;
mod tracking;
mod values;
