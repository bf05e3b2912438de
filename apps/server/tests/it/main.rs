//! Drives the program as its users do: over HTTP, signals and the command line.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a failed test shows the server's log")]

mod access;
mod advise;
mod assessments;
mod auth;
mod benchmark;
mod docs;
mod input;
mod logs;
mod migrate;
mod monitoring;
mod n_plus_one;
mod outages;
mod program;
mod seed;
mod server;
mod shutdown;
