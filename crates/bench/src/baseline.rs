//! A run held against a stored one.
//!
//! A stored run is of another hour, so its figures are compared through the controls of both runs,
//! and with room for what differs between two runs of one program. That is weaker than measuring
//! both revisions in the same blocks, which sees differences a third as large; and it is refused
//! where anything differs that changes figures.

mod comparison;
mod facts;
mod refusal;

pub use self::{
    comparison::compare_with,
    refusal::{Refusal, Refused, may_be_saved, refusals, warnings},
};

#[cfg(test)]
mod tests;
