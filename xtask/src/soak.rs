//! `soak`: the storms of the tests at full size, each figure beside its bar.
//!
//! A storm is a test like any other, whose name has a segment that begins with `storm` (a module
//! `storm`, a function `storm_of_checkouts`). It is small when `cargo xtask test` runs it, and
//! takes its full size when the environment says `RULEIQ_SOAK=full`. At either size it prints each
//! of its figures in a line of its own,
//!
//! ```text
//! soak <name> <figure> <unit> bar <bar> <ok|MISSED>
//! soak pools_checkouts 81234 checkouts/s bar >=50000 ok
//! ```
//!
//! where name, unit and bar are one word each and the figure is a number. It asserts what must
//! hold at any speed; a missed bar is only printed, and fails the soak, not the test.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, bail, ensure};

use crate::{
    cargo, process,
    process::Interrupt,
    progress,
    test_servers::TestServers,
    workspace::{Member, Workspace},
};

/// What the name of a storm looks like to nextest.
const STORMS: &str = "test(/(^|::)storm/)";

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Run the storms whose name, or whose package's, contains this
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Build and run the storms of this package alone (may be repeated)
    #[arg(short, long = "package", value_name = "CRATE")]
    packages: Vec<String>,
}

/// One line of a storm.
#[derive(Debug, Eq, PartialEq)]
struct Figure {
    name: String,
    figure: String,
    unit: String,
    bar: String,
    missed: bool,
}

/// Runs the storms and prints their figures.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let mut command = command(arguments)?;
    let servers = TestServers::up()?;
    servers.tell(&mut command);
    command.env("RULEIQ_SOAK", "full").stdout(Stdio::piped());
    progress::line(&process::shown(&command));

    let mut child = process::spawn(&mut command)?;
    let output = child.stdout.take().context("the storms have no output")?;
    let reader = std::thread::spawn(move || collect(BufReader::new(output)));
    let status = process::wait(&mut child, &interrupt)?;
    let figures = reader
        .join()
        .ok()
        .context("failed to read the output of the storms")?;
    servers.down()?;
    interrupt.check()?;

    print_table(&figures);
    ensure!(status.success(), "a storm failed or none matched: {status}");
    ensure!(
        !figures.is_empty(),
        "the storms printed no figure, or none matched"
    );
    let missed = figures.iter().filter(|it| it.missed).count();
    ensure!(
        missed == 0,
        "{missed} of {} figures missed their bar",
        figures.len()
    );
    Ok(ExitCode::SUCCESS)
}

fn command(arguments: &Arguments) -> anyhow::Result<Command> {
    let workspace = Workspace::load()?;
    let mut command = cargo::command();
    let with_nextest = cargo::has("nextest");
    match with_nextest {
        true => command.args(["nextest", "run", "--profile", "soak"]),
        false => command.arg("test"),
    };
    // One bar that is missed keeps no other one from being looked at.
    command.args(["--release", "--no-fail-fast"]);
    if arguments.packages.is_empty() {
        command.arg("--workspace");
    }
    for name in &arguments.packages {
        command.args(["--package", &workspace.member(name)?.package]);
    }
    match with_nextest {
        true => {
            // Only of those that are built: nextest refuses a filter that no package matches.
            let is_built = |it: &&Member| {
                let chosen = &arguments.packages;
                chosen.is_empty()
                    || chosen
                        .iter()
                        .any(|name| *name == it.name || *name == it.package)
            };
            let built = workspace.members.iter().filter(is_built);
            let packages: Vec<&str> = built.map(|it| it.package.as_str()).collect();
            let filter = filter(arguments.name.as_deref(), &packages)?;
            command.args(["--no-capture", "-E", &filter]);
        }
        false => {
            let name = arguments.name.as_deref().unwrap_or("storm");
            command.args(["--tests", "--", name, "--nocapture", "--test-threads=1"]);
        }
    }
    Ok(command)
}

/// The expression that chooses the storms for nextest.
fn filter(name: Option<&str>, packages: &[&str]) -> anyhow::Result<String> {
    let Some(name) = name else {
        return Ok(STORMS.to_owned());
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':');
    if !name.chars().all(plain) {
        bail!("`{name}` is no part of a test's name: letters, digits, `_`, `-` and `:`");
    }
    Ok(match packages.iter().any(|it| it.contains(name)) {
        true => format!("{STORMS} & (test(~{name}) | package(~{name}))"),
        false => format!("{STORMS} & test(~{name})"),
    })
}

/// Passes the output on and picks the figures from it.
#[expect(clippy::print_stdout, reason = "it is the output of the storms")]
fn collect(output: impl std::io::Read) -> Vec<Figure> {
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    lines
        .inspect(|line| println!("{line}"))
        .filter_map(|line| Figure::parse(&line))
        .collect()
}

impl Figure {
    /// Reads a line. The test runner may have begun it with the name of the test.
    fn parse(line: &str) -> Option<Figure> {
        let line = line
            .split_once(" ... ")
            .map_or(line, |(_, printed)| printed);
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["soak", name, figure, unit, "bar", bar, verdict] = words.as_slice() else {
            return None;
        };
        figure.parse::<f64>().ok()?;
        Some(Figure {
            name: (*name).to_owned(),
            figure: (*figure).to_owned(),
            unit: (*unit).to_owned(),
            bar: (*bar).to_owned(),
            missed: match *verdict {
                "ok" => false,
                "MISSED" => true,
                _ => return None,
            },
        })
    }
}

#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
fn print_table(figures: &[Figure]) {
    let width = |of: fn(&Figure) -> &str| {
        figures
            .iter()
            .map(|it| of(it).len())
            .max()
            .unwrap_or_default()
    };
    let (name, figure) = (width(|it| &it.name), width(|it| &it.figure));
    let (unit, bar) = (width(|it| &it.unit), width(|it| &it.bar));
    for it in figures {
        let verdict = if it.missed { "MISSED" } else { "ok" };
        println!(
            "{:name$}  {:>figure$} {:unit$}  bar {:bar$}  {verdict}",
            it.name, it.figure, it.unit, it.bar
        );
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_among_other_lines() {
        let check = |line: &str, expect: Option<(&str, bool)>| {
            let figure = Figure::parse(line);
            let found = figure.as_ref().map(|it| (it.name.as_str(), it.missed));
            assert_eq!(found, expect, "{line}");
        };
        check("soak a_b 12.5 ms bar <=20 ok", Some(("a_b", false)));
        check("soak a_b 25 ms bar <=20 MISSED", Some(("a_b", true)));
        check(
            "test storm::x ... soak a_b 1 ms bar <=20 ok",
            Some(("a_b", false)),
        );
        check("soak a_b many ms bar <=20 ok", None);
        check("soak a_b 1 ms bar <=20 fine", None);
        check("soak a_b 1 ms", None);
        check("running 1 test", None);
    }

    #[test]
    fn a_name_narrows_the_filter_and_cannot_widen_it() {
        let packages = ["ruleiq-pools", "ruleiq-cache"];
        assert_eq!(filter(None, &packages).unwrap(), STORMS);
        let narrowed = format!("{STORMS} & (test(~pools) | package(~pools))");
        assert_eq!(filter(Some("pools"), &packages).unwrap(), narrowed);
        let narrowed = format!("{STORMS} & test(~outage)");
        assert_eq!(filter(Some("outage"), &packages).unwrap(), narrowed);
        assert!(filter(Some("a) | all("), &packages).is_err());
    }
}
