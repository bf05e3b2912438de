//! `migrate`: the schema of the database.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use ruleiq_migrator::{Migrator, Ownership, Report, Status, Target};
use secrecy::ExposeSecret as _;

use crate::{
    logging,
    settings::{OwnerSettings, Sources},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Apply what is missing; any number of programs may do so at once
    Up,
    /// Revert the last migration, or more
    Down(Down),
    /// List the migrations, and whether they are applied
    Status,
}

#[derive(Args, Debug)]
struct Down {
    /// Revert all migrations: drops every table
    #[arg(long, conflicts_with = "to")]
    all: bool,
    /// Revert all that came after this version
    #[arg(long, value_name = "VERSION")]
    to: Option<i64>,
    /// The name of the database, where it is not marked as made by this program
    #[arg(long, value_name = "NAME")]
    i_own: Option<String>,
}

impl Down {
    fn target(&self) -> Target {
        match (self.all, self.to) {
            (true, _) => Target::Zero,
            (false, Some(version)) => Target::To(version),
            (false, None) => Target::One,
        }
    }
}

/// Runs the command.
pub(crate) async fn migrate(sources: &Sources, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let settings = OwnerSettings::load(sources)?;
    logging::install(settings.environment, &settings.log_filter)?;
    let url = settings.database_url.expose_secret();
    let migrator = Migrator::embedded();
    match arguments.action {
        Action::Up => print_report("applied", &migrator.up(url).await?),
        Action::Down(down) => {
            let target = down.target();
            let ownership = Ownership { i_own: down.i_own };
            print_report("reverted", &migrator.down(url, target, &ownership).await?);
        }
        Action::Status => print_status(&migrator.status(url).await?),
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(
    clippy::print_stdout,
    reason = "the outcome is what the command is for"
)]
fn print_report(done: &str, report: &Report) {
    for version in &report.versions {
        println!("{done} {version}");
    }
    if report.versions.is_empty() {
        println!("nothing to do");
    }
    if let Some(newer) = report.newer {
        println!("the database is newer than this program: it has migration {newer}");
    }
}

#[expect(clippy::print_stdout, reason = "the list is what the command is for")]
fn print_status(all: &[Status]) {
    for status in all {
        let state = match (status.applied, status.changed) {
            (true, true) => "applied, and changed since",
            (true, false) => "applied",
            (false, _) => "missing",
        };
        let name = status
            .name
            .as_deref()
            .unwrap_or("(unknown to this program)");
        println!("{} {name}: {state}", status.version);
    }
}
