//! Tasks that `cargo` alone cannot express. `cargo xtask --help` lists them.
//!
//! Each task is a file with its arguments and a `run`. They are thin: what needs the product is
//! asked of its programs, so that the first command in a fresh checkout compiles in seconds.

#![expect(
    clippy::disallowed_types,
    reason = "without tokio there is no clock that a test could pause"
)]

mod advise;
mod bench;
mod cargo;
mod ci;
mod database;
mod dev;
mod hold;
mod home;
mod migrate;
mod process;
mod program;
mod progress;
mod random;
mod seed;
mod services;
mod soak;
mod supervise;
mod test;
mod test_servers;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::process::{EXIT_INTERRUPTED, Interrupted};

/// Develop, test and check RuleIQ.
///
/// Tasks that need PostgreSQL or Redis start private ones and stop them at the end.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run RuleIQ on this machine: servers, schema, demo data and the API
    Dev(dev::Arguments),
    /// Run every test, on a PostgreSQL and a Redis started for it
    Test(test::Arguments),
    /// Run the storms of the tests at full size, and hold their figures against their bars
    Soak(soak::Arguments),
    /// Measure it: against its limits, its targets and its past
    Bench(Box<bench::Arguments>),
    /// Find the indexes that serve a workload best, on any PostgreSQL database; it is only read
    Advise(advise::Arguments),
    /// Change the schema of the development database, or begin a migration
    Migrate(migrate::Arguments),
    /// Load demo data into the development database
    Seed(seed::Arguments),
    /// Keep a PostgreSQL and a Redis running for tests that are run by hand
    Services(services::Arguments),
    /// Check the rules about the shape of the repository
    Tidy,
    /// Run everything that has to pass before a change is merged
    Ci(ci::Arguments),
    #[command(hide = true)]
    Hold(hold::Arguments),
    #[command(hide = true)]
    Supervise(supervise::Arguments),
}

#[expect(
    clippy::print_stderr,
    reason = "this is where a program's last words go"
)]
fn main() -> ExitCode {
    let outcome = match &Cli::parse().task {
        Task::Dev(arguments) => dev::run(arguments),
        Task::Test(arguments) => test::run(arguments),
        Task::Soak(arguments) => soak::run(arguments),
        Task::Bench(arguments) => bench::run(arguments),
        Task::Advise(arguments) => advise::run(arguments),
        Task::Migrate(arguments) => migrate::run(arguments),
        Task::Seed(arguments) => seed::run(arguments),
        Task::Services(arguments) => services::run(arguments).map(|()| ExitCode::SUCCESS),
        Task::Tidy => tidy::run(),
        Task::Ci(arguments) => ci::run(arguments),
        Task::Hold(arguments) => hold::run(arguments),
        Task::Supervise(arguments) => supervise::run(arguments).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| match error.is::<Interrupted>() {
        true => EXIT_INTERRUPTED.into(),
        false => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn command_lines_are_understood_or_refused() {
        let check = |line: &str, is_understood: bool| {
            let words = std::iter::once("xtask").chain(line.split(' '));
            let parsed = Cli::try_parse_from(words);
            assert_eq!(parsed.is_ok(), is_understood, "{line}");
        };
        check("dev --fresh --scale small --debug", true);
        check("dev --scale large", false);
        check("test", true);
        check(
            "test -p pools -p cache cut heal --no-fail-fast -- --retries 2",
            true,
        );
        check("test --retries 2", false);
        check("soak storm_of_checkouts -p pools", true);
        check(
            "migrate down --all --i-own ruleiq --database-url postgres://h/ruleiq",
            true,
        );
        check("migrate down --all --to 1", false);
        check("migrate up --i-own ruleiq", false);
        check("migrate new add_tags --concurrently", true);
        check("migrate", false);
        check("seed --scale demo --i-own ruleiq", true);
        check("bench", true);
        check(
            "advise --database-url postgres://h/x --budget 25% --json",
            true,
        );
        check("advise", false);
        check(
            "bench --quick --component pools --component cache --case l1_*",
            true,
        );
        check("bench --component gardening", false);
        for zero in ["blocks", "concurrency", "iterations"] {
            check(&format!("bench --{zero} 1"), true);
            check(&format!("bench --{zero} 0"), false);
        }
        check("bench --baseline a.json --against HEAD", false);
        check("bench --seconds 60", false);
        check("bench --scale-study --seconds 60", true);
        check("bench --allow-dirty", false);
        check("bench report a.json --html a.html", true);
        check("bench report", false);
        check("bench --quick report a.json", false);
        check("bench self-test", true);
        check("bench self-test --only client", true);
        check("bench self-test --only luck", false);
        check("services up", true);
        check("ci --skip test", true);
        check("ci --skip test --only fmt", false);
        check("hold program --option", true);
        check("hold --with-line program --option", true);
    }
}
