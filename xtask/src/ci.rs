//! `ci`: everything that has to pass before a change is merged, part by part.

mod libclang;
mod memory;
mod parts;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use self::{memory::PeakMemory, parts::Part};
use crate::{process::Interrupt, progress, workspace::Workspace};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Run these parts alone (may be repeated)
    #[arg(long, value_name = "PART", conflicts_with = "skip")]
    only: Vec<Part>,
    /// Leave these parts out (may be repeated)
    #[arg(long, value_name = "PART")]
    skip: Vec<Part>,
}

/// What a part took.
struct Cost {
    part: Part,
    time: Duration,
    peak_bytes: Option<u64>,
    failed: bool,
}

/// Runs the parts in order, up to the first that fails, and prints what each took.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let workspace = Workspace::load()?;
    let is_wanted = |part: &Part| match arguments.only.is_empty() {
        true => !arguments.skip.contains(part),
        false => arguments.only.contains(part),
    };
    let mut costs = Vec::new();
    let mut outcome = Ok(());
    for part in Part::ALL.iter().copied().filter(is_wanted) {
        progress::line(&format!("ci: {part}"));
        let (started, peak) = (Instant::now(), PeakMemory::watch());
        outcome = part.run(&workspace, &interrupt);
        costs.push(Cost {
            part,
            time: started.elapsed(),
            peak_bytes: peak.end(),
            failed: outcome.is_err(),
        });
        if outcome.is_err() {
            break;
        }
    }
    print(&costs);
    outcome.with_context(|| match costs.last() {
        Some(cost) => format!("ci stopped at {}", cost.part),
        None => "ci ran nothing".to_owned(),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn print(costs: &[Cost]) {
    progress::line("ci: part, time, peak memory of all its processes");
    for cost in costs {
        let memory = match cost.peak_bytes {
            Some(bytes) => format!("{:>6} MB", bytes / 1_000_000),
            None => "        -".to_owned(),
        };
        let verdict = if cost.failed { "  FAILED" } else { "" };
        let (part, time) = (cost.part.to_string(), progress::seconds(cost.time));
        progress::line(&format!("ci: {part:8} {time:>8} {memory}{verdict}"));
    }
    let total = costs.iter().map(|it| it.time).sum();
    progress::line(&format!(
        "ci: {:8} {:>8}",
        "total",
        progress::seconds(total)
    ));
}
