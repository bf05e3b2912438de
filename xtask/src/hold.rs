//! `hold` (hidden): runs a program for as long as somebody holds its standard input.
//!
//! However its parent ends, even by SIGKILL, the pipe closes and the program is told to stop, so
//! that it does not run on without anybody who knows of it.

use std::{
    ffi::OsString,
    io::{self, BufRead as _, BufReader, Write as _, stdin},
    os::unix::process::ExitStatusExt as _,
    process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::Signal;

use crate::{process, process::Interrupt};

/// How long a program that is interrupted gets to keep what it has, instead of the usual grace.
pub(crate) const INTERRUPTED_GRACE: Duration = Duration::from_secs(60);
/// The same for one that is to end at once.
const AT_ONCE: Duration = Duration::from_secs(5);
/// What a shell adds to the number of the signal that ended a program.
const SIGNALLED: i32 = 128;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Hand the first line of standard input on as the program's own. A second line tells the
    /// program to stop by SIGINT, after which it has a minute, unless the input ends before: then it
    /// is told again, to end at once. An end without a second line is like the line
    #[arg(long)]
    with_line: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Runs the program until it ends or standard input does, and hands on its exit code: of a program
/// that a signal ended, that which a shell reports.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install_patient()?;
    let (program, words) = arguments.command.split_first().context("no program")?;
    let mut command = Command::new(program);
    command.args(words);
    command.stdin(match arguments.with_line {
        true => Stdio::piped(),
        false => Stdio::null(),
    });
    let mut child = process::spawn(&mut command)?;
    let (input, listener) = (child.stdin.take(), interrupt.clone());
    let at_once = Arc::new(AtomicBool::new(false));
    let impatient = Arc::clone(&at_once);
    thread::spawn(move || {
        // Whether it ends or fails, nobody holds it any more.
        let is_told_twice = listen(input, &listener).unwrap_or(false);
        impatient.store(is_told_twice, Ordering::Relaxed);
        listener.tell();
    });
    let status = match process::wait_unless_told(&mut child, &interrupt)? {
        Some(status) => status,
        None if arguments.with_line => {
            interrupted(&mut child, &|| at_once.load(Ordering::Relaxed))?
        }
        None => process::stop(&mut child)?,
    };
    Ok(exit_code(status))
}

/// Tells the program to end, and once more when it is to end at once.
fn interrupted(child: &mut Child, at_once: &dyn Fn() -> bool) -> anyhow::Result<ExitStatus> {
    process::signal(child, Signal::INT)?;
    if let Some(status) = process::ended_within_unless(child, INTERRUPTED_GRACE, at_once)? {
        return Ok(status);
    }
    process::stop_by(child, Signal::INT, AT_ONCE)
}

/// Hands on the first line, if it is wanted, and reads to the end. A further line tells to stop.
/// Answers whether there was one.
fn listen(first_line_to: Option<ChildStdin>, listener: &Interrupt) -> io::Result<bool> {
    let mut input = BufReader::new(stdin());
    if let Some(mut program) = first_line_to {
        let mut line = Vec::new();
        input.read_until(b'\n', &mut line)?;
        // The program may have ended without it.
        drop(program.write_all(&line));
    }
    let is_told = input.skip_until(b'\n')? > 0;
    if is_told {
        listener.tell();
    }
    io::copy(&mut input, &mut io::sink())?;
    Ok(is_told)
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| Some(SIGNALLED + status.signal()?))
        .and_then(|it| u8::try_from(it).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_program_is_handed_on_as_a_shell_does() {
        let check = |raw: i32, expect: u8| {
            let code = exit_code(ExitStatus::from_raw(raw));
            assert_eq!(code, ExitCode::from(expect), "{raw}");
        };
        check(0, 0);
        check(3 << 8, 3);
        check(9, 137);
    }
}
