//! Builds `ruleiq-server`.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::Stdio,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::{cargo, process, process::Interrupt, progress};

const PACKAGE: &str = "ruleiq-server";

/// Builds the program and answers its file. Cargo shows its progress.
pub(super) fn build(debug: bool, interrupt: &Interrupt) -> anyhow::Result<PathBuf> {
    progress::line(&format!("building {PACKAGE}"));
    let mut command = cargo::command();
    command.args(["build", "--package", PACKAGE]);
    command.arg("--message-format=json-render-diagnostics");
    command.args((!debug).then_some("--release"));
    let mut child = process::spawn(command.stdout(Stdio::piped()))?;
    let output = child.stdout.take().context("cargo has no output")?;
    // It ends with cargo, whom Ctrl-C on the terminal ends.
    let program = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| executable(&line))
        .last();
    let status = process::wait(&mut child, interrupt)?;
    interrupt.check()?;
    ensure!(status.success(), "failed to build {PACKAGE}");
    program.with_context(|| format!("cargo did not say where it built {PACKAGE}"))
}

/// The program that one of cargo's messages speaks of.
fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_ours = message["target"]["name"] == PACKAGE && message["target"]["kind"][0] == "bin";
    let path = message["executable"].as_str().filter(|_| is_ours)?;
    Some(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_cargo_s_messages() {
        let check = |message: &str, expect: Option<&str>| {
            assert_eq!(executable(message), expect.map(PathBuf::from), "{message}");
        };
        check(
            r#"{"target":{"name":"ruleiq-server","kind":["bin"]},"executable":"/t/x"}"#,
            Some("/t/x"),
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
}
