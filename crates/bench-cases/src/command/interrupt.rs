//! Ctrl-C: once, the run ends after the slice under way; twice, at once.

use ruleiq_bench::run::Stop;
use tokio::signal::unix::{SignalKind, signal};

use super::output;

/// Listens from now on. A request to terminate counts as Ctrl-C.
pub(super) fn listen() -> anyhow::Result<Stop> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = Stop::default();
    let asked = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked.is_asked() {
                asked.end_workers();
                std::process::exit(super::INTERRUPTED.into());
            }
            asked.ask();
            output::complain("ending after this slice; what was measured is kept");
        }
    });
    Ok(stop)
}
