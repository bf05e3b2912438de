//! A program that runs in slices: it is stopped (`SIGSTOP`) between them, so that no slice holds its
//! start.
//!
//! It ends with its value. Where this process is killed, the kernel ends a stopped one, whose process
//! group is orphaned then.

use std::{fs, io, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use ruleiq_bench::Fault;
use tokio::{
    process::{Child, ChildStderr, ChildStdin, Command},
    time::timeout,
};

const STOP_LIMIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

/// A program between its slices.
#[derive(Debug)]
pub(crate) struct Paused {
    name: String,
    child: Child,
    pid: Pid,
}

impl Paused {
    /// Starts it, running, in a process group of its own. What it prints is not read.
    pub(crate) fn start(name: &str, mut command: Command) -> Result<Paused, Fault> {
        let child = command
            .stdout(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(Fault::failed)?;
        let pid = child.id().and_then(|it| i32::try_from(it).ok());
        let pid = pid.ok_or_else(|| Fault::Failed(format!("{name} has ended")))?;
        Ok(Paused {
            name: name.to_owned(),
            child,
            pid: Pid::from_raw(pid),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    pub(crate) fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    pub(crate) fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Lets it run.
    pub(crate) fn go_on(&self) -> Result<(), Fault> {
        self.signal(Signal::SIGCONT)
    }

    /// Stops it, and waits until it stands still.
    pub(crate) async fn pause(&self) -> Result<(), Fault> {
        self.signal(Signal::SIGSTOP)?;
        let stopped = async {
            while !self.is_stopped()? {
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        let stopped = timeout(STOP_LIMIT, stopped).await;
        stopped.map_err(|_| Fault::Failed(format!("{} does not stop", self.name)))?
    }

    /// Whether it stands still.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(crate) fn is_stopped(&self) -> Result<bool, Fault> {
        is_stopped(self.pid).map_err(|_| self.ended())
    }

    fn signal(&self, signal: Signal) -> Result<(), Fault> {
        kill(self.pid, signal).map_err(|_| self.ended())
    }

    fn ended(&self) -> Fault {
        Fault::Failed(format!("{} has ended", self.name))
    }
}

fn is_stopped(pid: Pid) -> io::Result<bool> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name stands in brackets and may hold anything; the state comes after it.
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    match state {
        Some('T') => Ok(true),
        Some('Z' | 'X') | None => Err(io::ErrorKind::NotFound.into()),
        Some(_) => Ok(false),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn start(program: &str, argument: &str) -> Paused {
        let mut command = Command::new(program);
        command.arg(argument).stdin(Stdio::null());
        Paused::start(program, command).unwrap()
    }

    #[tokio::test]
    async fn it_stands_still_until_it_is_told_to_go_on_and_ends_with_its_value() {
        let paused = start("sleep", "60");
        paused.pause().await.unwrap();
        assert!(paused.is_stopped().unwrap());
        paused.go_on().unwrap();
        while paused.is_stopped().unwrap() {
            tokio::time::sleep(POLL).await;
        }
        let pid = paused.pid();
        drop(paused);
        // The kernel kills it before it is waited for.
        for _ in 0..400 {
            if is_stopped(pid).is_err() {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("it still runs");
    }

    #[tokio::test]
    async fn one_that_has_ended_says_so() {
        let mut paused = start("true", "");
        paused.child.wait().await.unwrap();
        let told = paused.pause().await.unwrap_err().to_string();
        assert_eq!(told, "true has ended");
    }
}
