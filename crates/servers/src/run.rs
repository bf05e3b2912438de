//! Runs a program to its end, within a limit.

use std::{
    io::Read,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{Error, process::wait_until};

/// How long a program that has ended, or was killed, may take to be gone with its last words.
const REST_LIMIT: Duration = Duration::from_secs(2);

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
    let outputs = [
        Output::read(child.stdout.take()),
        Output::read(child.stderr.take()),
    ];
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if !wait_until(limit, || !matches!(child.try_wait(), Ok(None))) {
        if let Some(group) = group {
            // It has not been waited for, so the number is still its own. What sudo has started is
            // root's and cannot be killed: it is left to end by itself.
            kill_process_group(group, Signal::KILL).ok();
        }
        wait_until(REST_LIMIT, || !matches!(child.try_wait(), Ok(None)));
        return Err(Error::TimedOut { step, after: limit });
    }
    let status = child.wait().map_err(|source| Error::Io {
        step: format!("wait for {step}"),
        source,
    })?;
    // A service that a package has started may hold the outputs open for ever.
    wait_until(REST_LIMIT, || outputs.iter().all(Output::is_whole));
    Ok(Finished {
        is_success: status.success(),
        output: outputs.iter().map(Output::text).collect(),
    })
}

/// What a program has said so far.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Output {
    fn read(stream: Option<impl Read + Send + 'static>) -> Output {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let Some(mut stream) = stream else { return };
            let mut chunk = [0; 4096];
            // What was read before an error is still worth showing.
            while let Ok(count @ 1..) = stream.read(&mut chunk) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&chunk[..count]);
            }
        });
        Output { bytes, reader }
    }

    fn is_whole(&self) -> bool {
        self.reader.is_finished()
    }

    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &str) -> String {
    const LINES: usize = 12;
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Process;

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
    fn a_service_that_was_started_is_left_running_and_not_waited_for() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!"]);
        let finished = run(&mut command, "testing", Duration::from_secs(30)).unwrap();
        let service = Process::of(finished.output.trim().parse().unwrap()).unwrap();
        service.kill();
        assert!(finished.is_success);
    }

    #[test]
    fn the_tail_is_short_and_has_no_empty_lines() {
        let log: String = (0..100).map(|n| format!("{n}\n\n")).collect();
        let tail = tail(&log);
        assert_eq!(tail.lines().count(), 12);
        assert!(tail.ends_with("98\n99"));
    }
}
