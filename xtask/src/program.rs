//! Builds programs of this repository.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::{cargo, process, process::Interrupt, progress};

/// The package and the program of the server.
pub(crate) const SERVER: &str = "ruleiq-server";

/// What is built, and of which sources.
#[derive(Clone, Debug)]
pub(crate) struct Build<'a> {
    /// The package, all of whose programs are built.
    pub(crate) package: &'a str,
    /// Without optimization, which is quicker to build.
    pub(crate) debug: bool,
    /// With the versions of the lock file, or not at all.
    pub(crate) locked: bool,
    /// Another checkout of this repository, and the folder into which it is built.
    pub(crate) elsewhere: Option<(&'a Path, PathBuf)>,
}

/// Builds the server and answers its file.
pub(crate) fn server(debug: bool, interrupt: &Interrupt) -> anyhow::Result<PathBuf> {
    let build = Build {
        package: SERVER,
        debug,
        locked: false,
        elsewhere: None,
    };
    named(&build.run(interrupt)?, SERVER)
}

/// The program of this name among those that were built.
pub(crate) fn named(programs: &BTreeMap<String, PathBuf>, name: &str) -> anyhow::Result<PathBuf> {
    programs
        .get(name)
        .cloned()
        .with_context(|| format!("cargo did not say where it built {name}"))
}

impl Build<'_> {
    /// Builds the programs and answers their files by name. Cargo shows its progress.
    pub(crate) fn run(&self, interrupt: &Interrupt) -> anyhow::Result<BTreeMap<String, PathBuf>> {
        interrupt.check()?;
        let package = self.package;
        progress::line(&format!("building {package}"));
        let mut child = process::spawn(self.command().stdout(Stdio::piped()))?;
        let output = child.stdout.take().context("cargo has no output")?;
        // It ends with cargo, whom Ctrl-C on the terminal ends.
        let programs = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| program(&line))
            .collect();
        let status = process::wait(&mut child, interrupt)?;
        interrupt.check()?;
        ensure!(status.success(), "failed to build {package}");
        Ok(programs)
    }

    /// Cargo with its arguments, in the folder of the sources.
    pub(crate) fn command(&self) -> Command {
        let mut command = cargo::command();
        command.args(["build", "--package", self.package]);
        command.arg("--message-format=json-render-diagnostics");
        command.args((!self.debug).then_some("--release"));
        command.args(self.locked.then_some("--locked"));
        if let Some((sources, target)) = &self.elsewhere {
            command.arg("--target-dir").arg(target).current_dir(sources);
        }
        command
    }
}

/// The program that one of cargo's messages speaks of, and its file.
fn program(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let target = &message["target"];
    let path = message["executable"]
        .as_str()
        .filter(|_| target["kind"][0] == "bin")?;
    Some((target["name"].as_str()?.to_owned(), path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_cargo_s_messages() {
        let check = |message: &str, expect: Option<(&str, &str)>| {
            let expect = expect.map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
            assert_eq!(program(message), expect, "{message}");
        };
        check(
            r#"{"target":{"name":"ruleiq-server","kind":["bin"]},"executable":"/t/x"}"#,
            Some(("ruleiq-server", "/t/x")),
        );
        check(
            r#"{"target":{"name":"ruleiq-server","kind":["bin"]},"executable":null}"#,
            None,
        );
        check(
            r#"{"target":{"name":"serde","kind":["lib"]},"executable":null}"#,
            None,
        );
        check(r#"{"reason":"build-finished","success":true}"#, None);
        check("", None);
    }

    #[test]
    fn a_program_that_was_not_built_is_missed_by_name() {
        let programs = BTreeMap::from([("a".to_owned(), PathBuf::from("/t/a"))]);
        assert_eq!(named(&programs, "a").ok(), Some("/t/a".into()));
        let error = named(&programs, "b").map_err(|it| it.to_string());
        assert_eq!(error, Err("cargo did not say where it built b".to_owned()));
    }
}
