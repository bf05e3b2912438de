//! Runs a program to its end, within a limit.

use std::{
    io::{self, Read},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{Error, process::wait_until};

/// What a program said, and whether it was content.
pub(crate) struct Finished {
    pub(crate) is_success: bool,
    pub(crate) output: String,
}

impl Finished {
    /// The last lines, which say why something failed.
    pub(crate) fn tail(&self) -> String {
        tail(&self.output)
    }
}

/// Runs the program with nothing on its standard input.
pub(crate) fn run(
    command: &mut Command,
    step: &'static str,
    limit: Duration,
) -> Result<Finished, Error> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|source| Error::Io {
            step: format!("start `{}`", command.get_program().display()),
            source,
        })?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    thread::scope(|scope| {
        let stdout = scope.spawn(|| read(stdout));
        let stderr = scope.spawn(|| read(stderr));
        let in_time = wait_until(limit, || !matches!(child.try_wait(), Ok(None)));
        if !in_time && let Some(group) = group {
            // It has not been waited for, so the number is still its own.
            kill_process_group(group, Signal::KILL).ok();
        }
        let status = child.wait().map_err(|source| Error::Io {
            step: format!("wait for {step}"),
            source,
        })?;
        if !in_time {
            return Err(Error::TimedOut { step, after: limit });
        }
        let mut output = stdout.join().unwrap_or_default();
        output.push_str(&stderr.join().unwrap_or_default());
        Ok(Finished {
            is_success: status.success(),
            output,
        })
    })
}

/// The last lines of a log.
pub(crate) fn tail(log: &str) -> String {
    const LINES: usize = 12;
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn read(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What was read before an error is still worth showing.
        drop::<io::Result<usize>>(stream.read_to_end(&mut bytes));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_outputs_and_the_verdict_are_told() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; false"]);
        let finished = run(&mut command, "testing", Duration::from_secs(30)).unwrap();
        assert!(!finished.is_success);
        assert_eq!(finished.output, "one\ntwo\n");
    }

    #[test]
    fn what_takes_too_long_is_killed_with_its_children() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & sleep 600"]);
        let error = run(&mut command, "testing", Duration::from_millis(20)).err();
        assert!(matches!(error, Some(Error::TimedOut { .. })));
    }

    #[test]
    fn the_tail_is_short_and_has_no_empty_lines() {
        let log: String = (0..100).map(|n| format!("{n}\n\n")).collect();
        let tail = tail(&log);
        assert_eq!(tail.lines().count(), 12);
        assert!(tail.ends_with("98\n99"));
    }
}
