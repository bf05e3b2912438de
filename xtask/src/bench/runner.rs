//! Runs `bench-cases`.
//!
//! Ctrl-C on the terminal reaches this program alone: the other is in a process group of its own,
//! and told once. It ends with this program, however that ends (see `hold`).

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::servers::Servers;
use crate::{
    cargo,
    hold::INTERRUPTED_GRACE,
    process,
    process::{EXIT_INTERRUPTED, Interrupt},
    progress,
};

/// What the program ends with by its own decision; see the help of `bench`.
const VERDICTS: &[i32] = &[0, 1, 2, 3, EXIT_INTERRUPTED as i32];
/// Longer than the holder waits before it kills.
const STOP_LIMIT: Duration = INTERRUPTED_GRACE.saturating_add(Duration::from_secs(10));

/// Lets the program do what the plan says on these servers, and hands on its exit code.
pub(super) fn run(
    program: &Path,
    words: &[&str],
    plan: &Value,
    servers: &Servers,
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    interrupt.check()?;
    let xtask = std::env::current_exe().context("failed to find this program's own file")?;
    let mut command = Command::new(xtask);
    command.args(["hold", "--with-line"]).arg(program);
    command.args(words).current_dir(cargo::root());
    servers.tell(&mut command)?;
    let mut holder = process::spawn(command.stdin(Stdio::piped()).process_group(0))?;
    let mut input = holder.stdin.take().context("the holder has no input")?;
    writeln!(input, "{plan}").context("failed to hand the plan over")?;
    let status = match process::wait_unless_told(&mut holder, interrupt)? {
        Some(status) => status,
        None => {
            progress::line(
                "stopping: what is measured is kept; Ctrl-C again ends everything at once",
            );
            // A line tells the holder; the pipe's end, with this program, tells it a second time.
            // One that has ended needs no telling.
            drop(writeln!(input));
            let status = ended(&mut holder)?;
            drop(input);
            status
        }
    };
    verdict(status)
}

/// The names of the cases that the plan chooses, as the program lists them.
pub(super) fn chosen(
    program: &Path,
    plan: &Value,
    interrupt: &Interrupt,
) -> anyhow::Result<Result<Vec<String>, ExitCode>> {
    interrupt.check()?;
    let mut command = Command::new(program);
    Servers::None.tell(&mut command)?;
    let mut child = process::spawn(
        command
            .arg("run")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped()),
    )?;
    let mut input = child.stdin.take().context("the program has no input")?;
    writeln!(input, "{plan}").context("failed to hand the plan over")?;
    drop(input);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Ok(Err(verdict(output.status)?));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let cases: Vec<String> = text.lines().filter_map(case).collect();
    ensure!(!cases.is_empty(), "`bench-cases` lists no case");
    Ok(Ok(cases))
}

/// The case that a line of the list begins with, as `component/case`. Indented lines tell of it.
fn case(line: &str) -> Option<String> {
    let word = line.split(' ').next()?;
    let (component, case) = word.split_once('/')?;
    let plain = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|it| it.is_ascii_alphanumeric() || it == '_')
    };
    (plain(component) && !case.is_empty()).then(|| word.to_owned())
}

fn ended(holder: &mut Child) -> anyhow::Result<ExitStatus> {
    match process::ended_within(holder, STOP_LIMIT)? {
        Some(status) => Ok(status),
        None => process::stop(holder),
    }
}

fn verdict(status: ExitStatus) -> anyhow::Result<ExitCode> {
    match status.code() {
        Some(code) if VERDICTS.contains(&code) => Ok(process::exit_code(status)),
        _ => bail!("`bench-cases` broke down: {status}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn cases_are_found_in_a_list() {
        let check = |line: &str, expect: Option<&str>| {
            assert_eq!(case(line).as_deref(), expect, "{line}");
        };
        check(
            "pools/point_select  a row by its key",
            Some("pools/point_select"),
        );
        check("http/GET", Some("http/GET"));
        check("    pgbench/prepared is a side", None);
        check("3 cases, about 5 min", None);
        check("https://example.com", None);
        check("", None);
    }

    #[test]
    fn only_a_verdict_is_handed_on() {
        for code in [0, 1, 2, 3, 130] {
            let status = ExitStatus::from_raw(code << 8);
            let expect = ExitCode::from(u8::try_from(code).unwrap());
            assert_eq!(verdict(status).unwrap(), expect);
        }
        for raw in [101 << 8, 137 << 8, 9] {
            assert!(verdict(ExitStatus::from_raw(raw)).is_err(), "{raw}");
        }
    }
}
