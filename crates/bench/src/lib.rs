#![doc = include_str!("../README.md")]
#![allow(
    clippy::disallowed_types,
    reason = "what is measured here is the real clock; no test pauses it"
)]

mod arm;
pub mod baseline;
mod case;
#[cfg(feature = "run")]
pub mod cpu;
pub mod growth;
mod histogram;
#[cfg(feature = "run")]
pub mod host;
#[cfg(feature = "load")]
pub mod load;
mod measured;
mod order;
pub mod report;
#[cfg(feature = "run")]
pub mod run;
mod slice;
pub mod stats;
pub mod summarise;
pub mod verdict;
#[cfg(feature = "run")]
pub mod worker;

pub use crate::{
    arm::{Arm, Budget, Doing, Fault, Piece, Tally, concurrent, repeat, threads},
    case::{Case, CaseBuilder, CaseName, Prepared, Process, Role, Side, Target, TargetOf},
    histogram::Histogram,
    measured::{ArmOf, Block, Measured, SideInfo},
    order::Orders,
    slice::{Beside, Slice},
    summarise::summarise,
    verdict::Rules,
};
