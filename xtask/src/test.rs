//! `test`: everything that can be tested, on servers of its own.
//!
//! Tests run under cargo-nextest where it is installed, else under `cargo test`. The first runs
//! each test in a process of its own, the second all tests of a binary in one; both have to pass.

use std::process::{Command, ExitCode};

use crate::{
    cargo, process,
    process::Interrupt,
    progress,
    test_servers::TestServers,
    workspace::{Member, Workspace},
};

#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Arguments {
    /// Test this package alone (may be repeated), such as `pools`
    #[arg(short, long = "package", value_name = "CRATE")]
    packages: Vec<String>,
    /// Run the tests whose name contains one of these; documentation is left out
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
    /// Go on after a failure
    #[arg(long)]
    no_fail_fast: bool,
    /// Further arguments for `cargo nextest run`, or `cargo test` where that is missing
    #[arg(last = true, value_name = "ARGUMENT")]
    more: Vec<String>,
}

/// Runs the tests and answers their exit code.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    run_until(arguments, &Interrupt::install()?)
}

/// Runs the tests until they end or somebody interrupts.
pub(crate) fn run_until(arguments: &Arguments, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::load()?;
    let packages = arguments
        .packages
        .iter()
        .map(|it| workspace.member(it))
        .collect::<anyhow::Result<Vec<&Member>>>()?;
    let with_nextest = cargo::has("nextest");
    let mut commands = Vec::new();
    if with_nextest {
        // Documentation comes first, so that the last lines are the tests' own.
        commands.extend(documentation(arguments, &packages));
        commands.push(nextest(arguments, &packages));
    } else {
        progress::line("cargo-nextest is not installed; `cargo test` takes its place");
        commands.push(cargo_test(arguments, &packages));
    }

    let servers = TestServers::up()?;
    let mut code = ExitCode::SUCCESS;
    for mut command in commands {
        servers.tell(&mut command);
        progress::line(&process::shown(&command));
        let status = process::status(&mut command, interrupt)?;
        interrupt.check()?;
        if !status.success() {
            code = process::exit_code(status);
            if !arguments.no_fail_fast {
                break;
            }
        }
    }
    servers.down()?;
    Ok(code)
}

fn nextest(arguments: &Arguments, packages: &[&Member]) -> Command {
    let mut command = cargo::command();
    command.args(["nextest", "run"]);
    select(&mut command, packages);
    if arguments.no_fail_fast {
        command.arg("--no-fail-fast");
    }
    command.args(&arguments.filters).args(&arguments.more);
    command
}

/// The examples in the documentation, which nextest does not run. `None` where a filter names
/// tests or no package is a library.
fn documentation(arguments: &Arguments, packages: &[&Member]) -> Option<Command> {
    let libraries: Vec<&Member> = packages
        .iter()
        .copied()
        .filter(|it| it.has_library)
        .collect();
    let none = libraries.is_empty() && !packages.is_empty();
    if none || !arguments.filters.is_empty() {
        return None;
    }
    let mut command = cargo::command();
    command.args(["test", "--doc", "--quiet"]);
    select(&mut command, &libraries);
    if arguments.no_fail_fast {
        command.arg("--no-fail-fast");
    }
    Some(command)
}

fn cargo_test(arguments: &Arguments, packages: &[&Member]) -> Command {
    let mut command = cargo::command();
    command.arg("test");
    select(&mut command, packages);
    if arguments.no_fail_fast {
        command.arg("--no-fail-fast");
    }
    command.args(&arguments.more);
    if !arguments.filters.is_empty() {
        command.arg("--").args(&arguments.filters);
    }
    command
}

fn select(command: &mut Command, packages: &[&Member]) {
    if packages.is_empty() {
        command.arg("--workspace");
    }
    for member in packages {
        command.args(["--package", &member.package]);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn member(package: &str, has_library: bool) -> Member {
        Member {
            name: package.to_owned(),
            package: package.to_owned(),
            dir: "/".into(),
            dependencies: Vec::new(),
            features: Vec::new(),
            has_library,
        }
    }

    fn arguments(filters: &[&str], no_fail_fast: bool) -> Arguments {
        Arguments {
            filters: filters.iter().map(|it| (*it).to_owned()).collect(),
            no_fail_fast,
            ..Arguments::default()
        }
    }

    #[test]
    fn both_runners_are_told_the_same() {
        let check = |arguments: &Arguments, packages: &[&Member], nextest_line, cargo_line| {
            assert_eq!(process::shown(&nextest(arguments, packages)), nextest_line);
            assert_eq!(process::shown(&cargo_test(arguments, packages)), cargo_line);
        };
        check(
            &arguments(&[], false),
            &[],
            "cargo nextest run --workspace",
            "cargo test --workspace",
        );
        check(
            &arguments(&["pool", "cut"], true),
            &[&member("a", true), &member("b", false)],
            "cargo nextest run --package a --package b --no-fail-fast pool cut",
            "cargo test --package a --package b --no-fail-fast -- pool cut",
        );
    }

    #[test]
    fn documentation_is_tested_where_there_is_some() {
        let check = |filters: &[&str], packages: &[&Member], expect: Option<&str>| {
            let command = documentation(&arguments(filters, false), packages);
            assert_eq!(command.map(|it| process::shown(&it)).as_deref(), expect);
        };
        let (library, program) = (member("a", true), member("b", false));
        check(&[], &[], Some("cargo test --doc --quiet --workspace"));
        check(
            &[],
            &[&program, &library],
            Some("cargo test --doc --quiet --package a"),
        );
        check(&[], &[&program], None);
        check(&["pool"], &[&library], None);
    }
}
