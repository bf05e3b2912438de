//! Processes known by more than their number, which the system gives away again.

use std::{
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

const POLL: Duration = Duration::from_millis(5);

/// A process id together with the time at which the process began: no other process has both.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Process {
    pid: u32,
    began: String,
}

impl Process {
    /// The process that has the number now. A dead one that nobody has waited for is none.
    pub(crate) fn of(pid: u32) -> Option<Process> {
        table::began(pid).map(|began| Process { pid, began })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn is_alive(&self) -> bool {
        table::began(self.pid).as_ref() == Some(&self.began)
    }

    /// Sends one signal after the other until the process has ended. Answers whether it has.
    pub(crate) fn ask_to_end(&self, signals: &[(Signal, Duration)]) -> bool {
        if !signals.is_empty() {
            // A halted process heeds nothing else.
            self.resume();
        }
        signals.iter().any(|(signal, limit)| {
            self.signal(*signal);
            wait_until(*limit, || !self.is_alive())
        })
    }

    /// Sends a signal, unless the process has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        table::signal(self, signal);
    }

    /// Halts the process and its children. A halted parent starts no further ones.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        for child in self.children() {
            child.signal(Signal::STOP);
        }
    }

    /// Lets the process and its children go on.
    pub(crate) fn resume(&self) {
        for child in self.children() {
            child.signal(Signal::CONT);
        }
        self.signal(Signal::CONT);
    }

    /// Kills the process and its children, which PostgreSQL puts into process groups of their own.
    /// None of them can do anything about it.
    pub(crate) fn kill(&self) {
        self.signal(Signal::STOP);
        let children = self.children();
        self.signal(Signal::KILL);
        for child in &children {
            child.signal(Signal::KILL);
        }
        let limit = Duration::from_secs(5);
        wait_until(limit, || {
            !self.is_alive() && !children.iter().any(Process::is_alive)
        });
    }

    fn children(&self) -> Vec<Process> {
        table::children(self.pid)
            .into_iter()
            .filter_map(Process::of)
            .collect()
    }

    fn raw(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.pid).ok()?)
    }
}

/// A line of a file: the number, a blank, the beginning.
impl FromStr for Process {
    type Err = ();

    fn from_str(line: &str) -> Result<Process, ()> {
        let (pid, began) = line.trim_end().split_once(' ').ok_or(())?;
        Ok(Process {
            pid: pid.parse().map_err(drop)?,
            began: began.to_owned(),
        })
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}", self.pid, self.began)
    }
}

/// Looks again and again until the condition holds or the limit is reached. Answers whether it
/// holds.
pub(crate) fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if start.elapsed() >= limit {
            return false;
        }
        thread::sleep(POLL);
    }
}

#[cfg(target_os = "linux")]
pub(crate) mod table {
    //! The process table, from `/proc`: minimal systems have no `ps`.

    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    use super::Process;

    /// When the process began: the boot, and clock ticks since then.
    pub(super) fn began(pid: u32) -> Option<String> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, _, ticks) = fields(&stat)?;
        if matches!(state, "Z" | "X") {
            return None;
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(format!("{}/{ticks}", boot.trim_end()))
    }

    pub(super) fn children(parent: u32) -> Vec<u32> {
        let is_child = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| fields(&stat).is_some_and(|(_, it, _)| it == parent))
        };
        pids().filter(is_child).collect()
    }

    /// Processes of the program `name` that work in `folder`.
    pub(crate) fn working_in(folder: &Path, name: &str) -> Vec<Process> {
        let works_here = |pid: &u32| {
            let proc = PathBuf::from(format!("/proc/{pid}"));
            fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd == folder)
                && fs::read_to_string(proc.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
        };
        pids().filter(works_here).filter_map(Process::of).collect()
    }

    /// The descriptor names the process and not its number, so nobody else can be hit between the
    /// look and the signal.
    pub(super) fn signal(process: &Process, signal: Signal) {
        let Some(pid) = process.raw() else { return };
        let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else {
            return;
        };
        if process.is_alive() {
            // The one error that remains is that it has ended in the meantime.
            pidfd_send_signal(descriptor, signal).ok();
        }
    }

    fn pids() -> impl Iterator<Item = u32> {
        fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
    }

    /// State, parent and beginning. The program's name before them may hold blanks and brackets.
    fn fields(stat: &str) -> Option<(&str, u32, &str)> {
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        Some((state, parent, fields.nth(17)?))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
            let stat = "7 (a) b) S 4 7 7 0 -1 4194560 1 0 0 0 5 6 0 0 20 0 1 0 8899 1 2";
            assert_eq!(fields(stat), Some(("S", 4, "8899")));
            assert_eq!(fields("7 (a) S 4"), None);
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) mod table {
    //! The process table, from `ps`.

    use std::{path::Path, process::Command};

    use rustix::process::{Signal, kill_process};

    use super::Process;

    pub(super) fn began(pid: u32) -> Option<String> {
        let line = ps(&["-o", "stat=,lstart=", "-p", &pid.to_string()])?;
        let (state, began) = line.trim().split_once(char::is_whitespace)?;
        (!state.starts_with('Z')).then(|| began.trim().to_owned())
    }

    pub(super) fn children(parent: u32) -> Vec<u32> {
        let lines = ps(&["-A", "-o", "pid=,ppid="]).unwrap_or_default();
        let child = |line: &str| {
            let (pid, its_parent) = line.trim().split_once(char::is_whitespace)?;
            let is_child = its_parent.trim().parse() == Ok(parent);
            is_child.then(|| pid.parse().ok()).flatten()
        };
        lines.lines().filter_map(child).collect()
    }

    /// Where a process works cannot be learnt without further programs: the records suffice.
    pub(crate) fn working_in(_: &Path, _: &str) -> Vec<Process> {
        Vec::new()
    }

    pub(super) fn signal(process: &Process, signal: Signal) {
        if let Some(pid) = process.raw()
            && process.is_alive()
        {
            // The one error that remains is that it has ended in the meantime.
            kill_process(pid, signal).ok();
        }
    }

    fn ps(arguments: &[&str]) -> Option<String> {
        let output = Command::new("ps")
            .args(arguments)
            .env("LC_ALL", "C")
            .output()
            .ok()?;
        String::from_utf8(output.stdout).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, id};

    use super::*;

    #[test]
    fn a_process_is_known_by_its_beginning() {
        let this = Process::of(id()).unwrap();
        assert!(this.is_alive());
        assert_eq!(this.to_string().parse(), Ok(this.clone()));

        let recycled = Process {
            began: "another boot/1".to_owned(),
            ..this
        };
        assert!(!recycled.is_alive());
        // Nothing happens to this process, which has the number now.
        recycled.signal(Signal::KILL);
    }

    #[test]
    fn killing_a_process_kills_its_children() {
        let mut parent = Command::new("sh")
            .args(["-c", "sleep 600 & sleep 600; true"])
            .spawn()
            .unwrap();
        let process = Process::of(parent.id()).unwrap();
        let limit = Duration::from_secs(30);
        assert!(wait_until(limit, || process.children().len() == 2));
        let children = process.children();

        process.kill();

        assert!(!process.is_alive());
        assert!(wait_until(limit, || !children
            .iter()
            .any(Process::is_alive)));
        assert!(!parent.wait().unwrap().success());
    }

    #[test]
    fn a_dead_process_that_nobody_waited_for_counts_as_gone() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id();
        assert!(wait_until(Duration::from_secs(30), || Process::of(pid).is_none()));
        child.wait().unwrap();
    }
}
