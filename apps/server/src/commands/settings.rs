//! `settings`: every setting as it stands.

use std::process::ExitCode;

use crate::settings::{Settings, Sources};

/// Prints every setting, then all faults, if there are any.
#[expect(clippy::print_stdout, reason = "the list is what the command is for")]
pub(crate) fn settings(sources: &Sources) -> anyhow::Result<ExitCode> {
    for listing in Settings::list(sources) {
        println!("{listing}");
    }
    Settings::load(sources)?;
    Ok(ExitCode::SUCCESS)
}
