//! `advise`: indexes for a workload, on any PostgreSQL database.

use std::{
    ffi::OsString,
    process::{Command, ExitCode},
};

use crate::{
    process::{self, Interrupt},
    program,
};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// `--database-url URL [--workload FILE] [--budget 50%|500MB] [--seconds S] [--explains N] [--sizes own|hypopg]
    /// [--sql FILE] [--json]`; `--` and `--help` list them
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "ARGUMENTS"
    )]
    words: Vec<OsString>,
}

/// Runs `ruleiq-server advise` here, where files are named from.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    // The search is optimized in every build.
    let server = program::server(true, &interrupt)?;
    let mut command = Command::new(server);
    command.arg("advise").args(&arguments.words);
    let status = process::status(&mut command, &interrupt)?;
    Ok(process::exit_code(status))
}
