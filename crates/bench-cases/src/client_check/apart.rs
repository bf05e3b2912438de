//! The server on one processor and its clients on another.

use ruleiq_bench::host::Processors;

/// While this lives, a server has one processor and this process another, with all that either
/// starts: a scheduler that moves them to one now and then adds more to a request than any client
/// does.
#[derive(Debug)]
pub(super) struct Apart(Processors);

impl Apart {
    /// None where there is one processor alone, or the system does not let them be chosen.
    pub(super) fn keep(server: u32) -> Option<Apart> {
        let apart = Apart(Processors::of_this_process()?);
        apart.0.keep(server, 0).ok()?;
        apart.0.keep(std::process::id(), 1).ok()?;
        Some(apart)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // Nothing but the speed of what follows depends on it.
        drop(self.0.free(std::process::id()));
    }
}
