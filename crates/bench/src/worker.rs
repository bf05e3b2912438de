//! A worker process: it has the cases, sets their sides up, and runs slices when asked.
//!
//! The coordinator never runs a case itself: two revisions can be measured in the same blocks, a
//! crash costs one case, and layout luck can be drawn anew by a restart.

mod failure;
mod process;
mod protocol;
mod ready;
mod serve;

pub use failure::WorkerError;
pub use process::{WorkerProcess, WorkerProgram};
pub use protocol::{
    Answer, ArmCounts, ArmState, CaseInfo, Length, PROTOCOL, Request, SetUp, StatedFault,
};
pub use serve::{Allocated, Worker};
