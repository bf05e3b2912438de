//! Does the harness see what is there, and nothing else? A case against itself must never be
//! flagged; the same case made 10 % slower in one hot path must always be.

mod burn;
mod cases;
mod neighbour;
mod trial;

pub use cases::{Planted, cases};
pub(crate) use neighbour::{Neighbour, burn_until_told};
pub(crate) use trial::{Bench, Seen, Trial};
