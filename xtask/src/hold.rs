//! `hold` (hidden): runs a program for as long as somebody holds its standard input.
//!
//! However its parent ends, even by SIGKILL, the pipe closes and the program is told to stop, so
//! that it does not run on without anybody who knows of it.

use std::{
    ffi::OsString,
    io::{self, stdin},
    process::{Command, ExitCode, Stdio},
    thread,
};

use anyhow::Context as _;

use crate::{process, process::Interrupt};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Runs the program until it ends or standard input does, and hands on its exit code.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install_patient()?;
    let (program, arguments) = arguments.command.split_first().context("no program")?;
    let mut command = Command::new(program);
    let mut child = process::spawn(command.args(arguments).stdin(Stdio::null()))?;
    let listener = interrupt.clone();
    thread::spawn(move || {
        // Whether it ends or fails, nobody holds it any more.
        drop(io::copy(&mut stdin().lock(), &mut io::sink()));
        listener.tell();
    });
    let status = match process::wait_unless_told(&mut child, &interrupt)? {
        Some(status) => status,
        None => process::stop(&mut child)?,
    };
    Ok(process::exit_code(status))
}
