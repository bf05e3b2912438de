//! What both loops count.

use std::time::Duration;

use crate::{Fault, Histogram, Tally};

/// Counts outcomes. One for all connections: a histogram each would be 200 MB for a thousand.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) tally: Tally,
    /// From sending to the answer, right answers only: an error may well be fast.
    pub(super) service: Histogram,
    pub(super) reconnects: u64,
    begun: u64,
}

impl Recorder {
    /// How many requests have begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// Counts a request that begins.
    pub(super) fn begin(&mut self) {
        self.begun += 1;
    }

    /// Takes an outcome; answers whether it was right.
    pub(super) fn end(&mut self, outcome: &Result<(), Fault>, service: Duration) -> bool {
        match outcome {
            Ok(()) => {
                self.tally.operations += 1;
                self.service.record(service);
                true
            }
            Err(fault) => {
                self.tally.fail(fault);
                false
            }
        }
    }
}
