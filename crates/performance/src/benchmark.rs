//! What a running service is measured by.
//!
//! The statements are the application's: it says what it asks its database, with which values, and
//! what a right answer looks like.

mod case;
mod parameter;
mod ruleiq;

pub use self::{
    case::{DatabaseCase, Key, MAX_KEYS, WrongAnswer},
    parameter::Parameter,
    ruleiq::ruleiq_cases,
};
