//! `seed`: demo data in the development database, or in another on request.

use std::process::ExitCode;

use crate::{dev, process, process::Interrupt};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// How much there is to be
    #[arg(long, value_enum, default_value_t)]
    scale: dev::Scale,
    #[command(flatten)]
    target: dev::Target,
    #[command(flatten)]
    ownership: dev::Ownership,
}

/// Runs `ruleiq-server seed`.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let database = arguments.target.open(&interrupt)?;
    let mut command = database.seed_command(arguments.scale.word())?;
    command.args(arguments.ownership.words());
    let status = process::status(&mut command, &interrupt)?;
    Ok(process::exit_code(status))
}
