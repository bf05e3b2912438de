//! The RuleIQ API. `ruleiq-server --help` lists what it does; without a subcommand it serves.

mod app;
mod auth;
mod commands;
mod error;
mod logging;
mod routes;
mod seed;
mod serve;
mod settings;
mod store;

use std::{process::ExitCode, time::Duration};

use clap::Parser;

use crate::{
    commands::{Cli, Command},
    settings::{Faults, Sources},
};

/// The exit code for faulty settings: `EX_USAGE` of `sysexits.h`.
const EXIT_SETTINGS: u8 = 64;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command.unwrap_or(Command::Serve)) {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let sources = Sources::of_process()?;
    // Connections live on this runtime, not on those of the workers that serve requests: a worker
    // that has finished at shutdown takes nothing away from the others.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Serve => commands::serve(&sources).await,
            Command::Migrate(arguments) => commands::migrate(&sources, arguments).await,
            Command::Seed(arguments) => commands::seed(&sources, arguments).await,
            Command::User(arguments) => commands::user(&sources, arguments).await,
            Command::Settings => commands::settings(&sources),
            Command::Advise(arguments) => commands::advise(*arguments).await,
            Command::Check => commands::check(&sources).await,
        }
    });
    // A name look-up that hangs in a thread of its own does not hold the program up.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Says what went wrong, with its causes.
#[expect(
    clippy::print_stderr,
    reason = "this is where a program's last words go"
)]
fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(faults) = error.downcast_ref::<Faults>() {
        eprintln!("{faults}");
        return EXIT_SETTINGS.into();
    }
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
