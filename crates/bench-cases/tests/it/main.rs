//! Every case runs here with a tiny input, on real servers, and has its answers checked: a case that
//! nobody has looked at for a year still measures what it says.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "what cases left behind is looked for with a bare client"
)]

mod cases;
mod counts;
mod data;
mod endpoint;
mod failures;
mod instructions;
mod load;
mod scale_study;
mod surroundings;
mod tables;
mod under_load;
