//! The parts of `ci`, in the order in which they run: what is quick and fails often comes first.

use std::{fmt, process::ExitCode};

use anyhow::ensure;
use clap::ValueEnum;

use super::libclang;
use crate::{
    cargo, process,
    process::Interrupt,
    progress, test, tidy,
    workspace::{Member, Workspace},
};

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Part {
    /// The rules about the shape of the repository
    Tidy,
    /// The formatting
    Fmt,
    /// The lints, warnings denied
    Clippy,
    /// The documentation, warnings denied
    Docs,
    /// Each crate by itself, as somebody who imports it alone compiles it
    Alone,
    /// The licences, sources and known faults of dependencies, where cargo-deny is installed
    Deny,
    /// The tests
    Test,
}

impl Part {
    pub(super) const ALL: &[Part] = &[
        Part::Tidy,
        Part::Fmt,
        Part::Deny,
        Part::Clippy,
        Part::Docs,
        Part::Alone,
        Part::Test,
    ];

    pub(super) fn run(self, workspace: &Workspace, interrupt: &Interrupt) -> anyhow::Result<()> {
        let cargo = |arguments: &[&str]| {
            let mut command = cargo::command();
            process::run(command.args(arguments), interrupt)
        };
        match self {
            Part::Tidy => passed(tidy::run()?),
            Part::Fmt => cargo(&["fmt", "--all", "--check"]),
            Part::Clippy => cargo(&[
                "clippy",
                "--locked",
                "--workspace",
                "--all-targets",
                "--",
                "--deny",
                "warnings",
            ]),
            Part::Docs => {
                let mut command = cargo::command();
                command.args(["doc", "--locked", "--workspace", "--no-deps", "--quiet"]);
                process::run(command.env("RUSTDOCFLAGS", "--deny warnings"), interrupt)
            }
            Part::Alone => {
                let has_libclang = libclang::is_there();
                if !has_libclang {
                    progress::line("libclang is not installed; what needs it is left out");
                }
                let members = workspace.members.iter();
                let mut commands = members.flat_map(|it| feature_sets(it, has_libclang));
                commands.try_for_each(|arguments| {
                    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    cargo(&arguments)
                })
            }
            Part::Deny if cargo::has("deny") => cargo(&["deny", "--workspace", "check"]),
            Part::Deny => {
                progress::line("cargo-deny is not installed; left out");
                Ok(())
            }
            Part::Test => passed(test::run_until(&test::Arguments::default(), interrupt)?),
        }
    }
}

/// The commands that check a crate as it is by default, and with each of its features alone.
/// Within the workspace, its dependencies would get the features that other crates ask for.
///
/// What needs libclang is not among the other tests, so it is tested here.
fn feature_sets(member: &Member, has_libclang: bool) -> Vec<Vec<String>> {
    let command = |verb: &str, more: &[&str]| -> Vec<String> {
        [verb, "--locked", "--quiet", "--package", &member.package]
            .iter()
            .chain(more)
            .map(|it| (*it).to_owned())
            .collect()
    };
    let features = member.features.iter().filter(|it| *it != "default");
    let features = features.filter(|it| has_libclang || *it != libclang::FEATURE);
    let mut commands = vec![command("check", &[])];
    commands
        .extend(features.map(|it| command("check", &["--no-default-features", "--features", it])));
    let uses_libclang = member
        .dependencies
        .iter()
        .any(|it| it.package == libclang::FEATURE);
    if has_libclang && uses_libclang {
        commands.push(command("test", &["--lib", "--features", libclang::FEATURE]));
    }
    commands
}

fn passed(code: ExitCode) -> anyhow::Result<()> {
    ensure!(code == ExitCode::SUCCESS, "it ended with a failure");
    Ok(())
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", |it| it.get_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    #[test]
    fn every_part_has_its_place() {
        for part in Part::value_variants() {
            assert!(Part::ALL.contains(part), "{part}");
        }
    }

    #[test]
    fn a_crate_is_checked_with_each_feature_alone() {
        let member = Member {
            name: "a".to_owned(),
            package: "ruleiq-a".to_owned(),
            dir: "/".into(),
            dependencies: vec![Dependency {
                package: "pg_query".to_owned(),
                member: None,
                dev: false,
            }],
            features: ["default", "pg_query", "x"].map(str::to_owned).into(),
            has_library: true,
        };
        let lines = |has_libclang| -> Vec<String> {
            let commands = feature_sets(&member, has_libclang);
            commands.iter().map(|it| it.join(" ")).collect()
        };
        let (plain, x) = (
            "check --locked --quiet --package ruleiq-a",
            "check --locked --quiet --package ruleiq-a --no-default-features --features x",
        );
        assert_eq!(lines(false), [plain, x]);
        assert_eq!(
            lines(true),
            [
                plain,
                "check --locked --quiet --package ruleiq-a --no-default-features --features pg_query",
                x,
                "test --locked --quiet --package ruleiq-a --lib --features pg_query",
            ]
        );
    }
}
