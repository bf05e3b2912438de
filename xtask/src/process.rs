//! Runs programs to their end, also when somebody presses Ctrl-C meanwhile.

use std::{
    fmt,
    process::{Child, Command, ExitCode, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};

/// What a shell reports of a program that Ctrl-C ended.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;
/// How often a running program and the request to stop are looked at.
const POLL: Duration = Duration::from_millis(50);
/// How long a program gets to end by itself: a terminal sends Ctrl-C to it as well.
const OWN_ACCORD: Duration = Duration::from_secs(3);
/// How long it gets after it was told.
const GRACE: Duration = Duration::from_secs(30);

/// Whether this process was told to stop, by Ctrl-C or SIGTERM.
///
/// Once it is installed the first of them does not end the process, so that whoever holds servers or
/// programs can end them first.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    seen: Arc<AtomicBool>,
}

/// The error of work that was given up because this process was told to stop.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl Interrupt {
    /// Begins to listen. The second signal ends this process at once, also where it waits for
    /// something long, such as packages that are installed: servers and programs that it holds by
    /// a pipe then end by themselves.
    pub(crate) fn install() -> anyhow::Result<Interrupt> {
        let seen = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let code = i32::from(EXIT_INTERRUPTED);
            signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&seen))
                .context("failed to listen for Ctrl-C")?;
        }
        Interrupt::listen(seen)
    }

    /// Begins to listen, and never ends this process.
    pub(crate) fn install_patient() -> anyhow::Result<Interrupt> {
        Interrupt::listen(Arc::new(AtomicBool::new(false)))
    }

    fn listen(seen: Arc<AtomicBool>) -> anyhow::Result<Interrupt> {
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&seen))
                .context("failed to listen for Ctrl-C")?;
        }
        Ok(Interrupt { seen })
    }

    /// Tells this process to stop.
    pub(crate) fn tell(&self) {
        self.seen.store(true, Ordering::Relaxed);
    }

    pub(crate) fn seen(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    /// Fails if this process was told to stop.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match self.seen() {
            true => Err(Interrupted.into()),
            false => Ok(()),
        }
    }

    /// Waits, but no longer than until this process is told to stop.
    pub(crate) fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.seen() && Instant::now() < end {
            thread::sleep(POLL.min(time));
        }
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Runs a program to its end, with this process's input and output.
pub(crate) fn status(command: &mut Command, interrupt: &Interrupt) -> anyhow::Result<ExitStatus> {
    interrupt.check()?;
    let mut child = spawn(command)?;
    wait(&mut child, interrupt)
}

/// Runs a program to its end, which has to be a good one.
pub(crate) fn run(command: &mut Command, interrupt: &Interrupt) -> anyhow::Result<()> {
    let status = status(command, interrupt)?;
    interrupt.check()?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Keeps the caller's settings of PostgreSQL's clients, such as `PGHOSTADDR` and `PGOPTIONS`, from a
/// program that is to work on servers of ours: they add to an address or win over it.
pub(crate) fn without_postgres_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    command
}

/// Starts a program.
pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    command
        .spawn()
        .with_context(|| format!("failed to run `{}`", shown(command)))
}

/// Waits for the end of a program. It is ended when this process is told to stop.
pub(crate) fn wait(child: &mut Child, interrupt: &Interrupt) -> anyhow::Result<ExitStatus> {
    if let Some(status) = wait_unless_told(child, interrupt)? {
        return Ok(status);
    }
    match ended_within(child, OWN_ACCORD)? {
        Some(status) => Ok(status),
        None => stop(child),
    }
}

/// Waits for the end of a program, but no longer than until this process is told to stop.
pub(crate) fn wait_unless_told(
    child: &mut Child,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<ExitStatus>> {
    while !interrupt.seen() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(POLL);
    }
    Ok(None)
}

/// Tells a program to stop, and kills it when it does not.
pub(crate) fn stop(child: &mut Child) -> anyhow::Result<ExitStatus> {
    stop_by(child, Signal::TERM, GRACE)
}

/// The same by another signal, and with another time for it.
pub(crate) fn stop_by(
    child: &mut Child,
    signal: Signal,
    grace: Duration,
) -> anyhow::Result<ExitStatus> {
    self::signal(child, signal)?;
    if let Some(status) = ended_within(child, grace)? {
        return Ok(status);
    }
    child.kill()?;
    Ok(child.wait()?)
}

/// Sends a signal to a program, if it still runs.
pub(crate) fn signal(child: &mut Child, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let (Some(pid), None) = (pid, child.try_wait()?) {
        kill_process(pid, signal)?;
    }
    Ok(())
}

/// The exit code to hand on. A program that a signal ended has none, which is a failure.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|it| u8::try_from(it).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The command line, for messages. Secrets travel in the environment, never here.
pub(crate) fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|it| it.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The end of a program, unless it takes longer than this.
pub(crate) fn ended_within(
    child: &mut Child,
    limit: Duration,
) -> anyhow::Result<Option<ExitStatus>> {
    ended_within_unless(child, limit, &|| false)
}

/// The same, unless nobody is to wait any longer.
pub(crate) fn ended_within_unless(
    child: &mut Child,
    limit: Duration,
    is_over: &dyn Fn() -> bool,
) -> anyhow::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > end || is_over() {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn not_told() -> Interrupt {
        Interrupt {
            seen: Arc::new(AtomicBool::new(false)),
        }
    }

    #[test]
    fn a_program_that_ends_hands_on_its_exit_code() {
        for (word, expect) in [("true", 0), ("false", 1)] {
            let status = status(&mut Command::new(word), &not_told()).unwrap();
            assert_eq!(status.code(), Some(expect), "{word}");
            assert_eq!(
                exit_code(status),
                ExitCode::from(u8::try_from(expect).unwrap())
            );
        }
        let error = run(&mut Command::new("false"), &not_told()).unwrap_err();
        assert!(error.to_string().contains("`false` failed"), "{error}");
    }

    #[test]
    fn a_program_that_runs_is_left_when_told_and_ends_when_stopped() {
        let interrupt = not_told();
        let mut child = spawn(Command::new("sleep").arg("600")).unwrap();
        interrupt.tell();
        assert!(wait_unless_told(&mut child, &interrupt).unwrap().is_none());
        let status = stop(&mut child).unwrap();
        assert_eq!(status.signal(), Some(SIGTERM));
        assert_eq!(exit_code(status), ExitCode::FAILURE);
    }

    #[test]
    fn nothing_is_started_after_an_interruption() {
        let interrupt = not_told();
        interrupt.tell();
        let error = run(&mut Command::new("true"), &interrupt).unwrap_err();
        assert!(error.is::<Interrupted>());
    }
}
