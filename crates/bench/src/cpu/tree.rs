//! A process with its children.
//!
//! The time of a child that ends moves into its parent's account of waited-for children, which the
//! kernel tells in ticks of 10 ms. While no child comes or goes, that account does not move, and
//! nothing is lost to ticks.

use std::{collections::BTreeMap, fs};

use nix::{errno::Errno, time::ClockId, unistd::Pid};

use super::{CpuError, seconds};

/// What is said of one.
pub(super) const AUTOVACUUM: &str = "autovacuum ran";

/// `USER_HZ`: what `/proc` counts in, 100 on all architectures but alpha and ia64.
const TICKS_PER_SECOND: f64 = 100.0;
/// Readings of a tree in which a child ends meanwhile are thrown away, this often at most.
const TRIES: usize = 3;

/// A process and its children.
#[derive(Debug)]
pub struct Tree {
    pid: u32,
}

/// What a [`Tree`] had used at one moment.
#[derive(Clone, Debug)]
pub struct TreeReading {
    main: f64,
    children: BTreeMap<u32, f64>,
    waited_for: f64,
}

impl Tree {
    /// The tree of `pid`.
    pub fn new(pid: u32) -> Tree {
        Tree { pid }
    }

    /// Reads its clocks.
    ///
    /// # Errors
    ///
    /// When its root is gone.
    pub fn read(&self) -> Result<TreeReading, CpuError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let waited_before = self.waited_for()?;
            let (children, vanished) = self.children()?;
            let waited_for = self.waited_for()?;
            let is_whole = !vanished && waited_before == waited_for;
            if is_whole || tries == TRIES {
                return Ok(TreeReading {
                    main: cpu_s(self.pid)?,
                    children,
                    waited_for,
                });
            }
        }
    }

    /// What came or went between two readings and may have blurred them.
    pub(super) fn changes(name: &str, then: &TreeReading, now: &TreeReading) -> Vec<String> {
        let mut flags = Vec::new();
        let titles: BTreeMap<u32, String> = now
            .children
            .keys()
            .filter_map(|pid| Some((*pid, title(*pid)?)))
            .collect();
        if titles.values().any(|it| it.contains("autovacuum worker")) {
            flags.push(AUTOVACUUM.to_owned());
        }
        let passing = ["autovacuum", "parallel worker"];
        let came = titles
            .iter()
            .filter(|(pid, _)| !then.children.contains_key(pid));
        let connections = came
            .filter(|(_, title)| !passing.iter().any(|it| title.contains(it)))
            .count();
        if connections > 0 {
            flags.push(format!("{connections} processes of {name} began"));
        }
        let went = then.children.keys();
        let ended = went.filter(|it| !now.children.contains_key(it)).count();
        if ended > 0 {
            flags.push(format!("{ended} processes of {name} ended"));
        }
        let moved = now.waited_for - then.waited_for;
        if moved > 0.0 {
            flags.push(format!(
                "{:.0} ms of {name} are of processes that ended, in ticks of 10 ms",
                moved * 1e3
            ));
        }
        flags
    }

    /// The time of each child, and whether one ended while it was read. A child is listed with the
    /// thread that started it.
    fn children(&self) -> Result<(BTreeMap<u32, f64>, bool), CpuError> {
        let gone = || CpuError::Gone { pid: self.pid };
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).map_err(|_| gone())?;
        let mut list = String::new();
        for thread in threads.flatten() {
            // The children of a thread that ends pass to another one.
            if let Ok(its) = fs::read_to_string(thread.path().join("children")) {
                list.push_str(&its);
                list.push(' ');
            }
        }
        let mut times = BTreeMap::new();
        let mut vanished = false;
        for pid in list.split_whitespace().filter_map(|it| it.parse().ok()) {
            match cpu_s(pid) {
                Ok(time) => {
                    times.insert(pid, time);
                }
                Err(CpuError::Gone { .. }) => vanished = true,
                Err(other) => return Err(other),
            }
        }
        Ok((times, vanished))
    }

    fn waited_for(&self) -> Result<f64, CpuError> {
        let gone = || CpuError::Gone { pid: self.pid };
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).map_err(|_| gone())?;
        waited_ticks(&stat)
            .map(|ticks| ticks / TICKS_PER_SECOND)
            .ok_or_else(gone)
    }
}

impl TreeReading {
    /// CPU seconds used since an earlier reading. Never negative: what ticks blur is at least 0.
    pub fn since(&self, earlier: &TreeReading) -> f64 {
        (self.total() - earlier.total()).max(0.0)
    }

    fn total(&self) -> f64 {
        self.main + self.waited_for + self.children.values().sum::<f64>()
    }
}

/// `cutime` and `cstime` of `/proc/PID/stat`. The name in its second field may hold blanks and
/// parentheses, so that fields are counted from the last parenthesis on.
fn waited_ticks(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(13);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn cpu_s(pid: u32) -> Result<f64, CpuError> {
    let raw = i32::try_from(pid).map_err(|_| CpuError::Gone { pid })?;
    ClockId::pid_cpu_clock_id(Pid::from_raw(raw))
        .and_then(ClockId::now)
        .map(seconds)
        .map_err(|source| match source {
            // `clock_gettime` says EINVAL when the process ended after its clock was found.
            Errno::ESRCH | Errno::EINVAL => CpuError::Gone { pid },
            source => CpuError::Clock { pid, source },
        })
}

/// What a process calls itself, as PostgreSQL's do: `postgres: autovacuum worker ruleiq`.
fn title(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&line).replace('\0', " "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 200 0 0 11 12 13 14 20 0 1 0 5 6";
        assert_eq!(waited_ticks(stat), Some(27.0));
        assert_eq!(waited_ticks("7 (a) S 1"), None);
    }

    /// A test runs on a thread that is not its process's first.
    #[test]
    fn children_of_all_threads_are_seen() {
        let mut child = Command::new("sh")
            .args(["-c", "read x"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let reading = Tree::new(std::process::id()).read().unwrap();
        assert!(reading.children.contains_key(&child.id()), "{reading:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    /// A shell whose child works; then the child ends, and the shell waits for it.
    #[test]
    fn the_time_of_children_stays_when_they_end() {
        let script = "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo worked; \
                      read x' ; echo ended; read x";
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = shell.stdin.take().unwrap();
        let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        let tree = Tree::new(shell.id());
        assert_eq!(lines.next().unwrap().unwrap(), "worked");
        let while_it_lives = tree.read().unwrap();
        assert_eq!(while_it_lives.children.len(), 1);
        input.write_all(b"\n").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "ended");
        let after = tree.read().unwrap();
        assert!(after.children.is_empty());
        let worked: f64 = while_it_lives.children.values().sum();
        // Two ticks: user and system time are cut off apart.
        assert!(
            after.total() >= worked - 0.02,
            "{after:?} {while_it_lives:?}"
        );
        let flags = Tree::changes("server", &while_it_lives, &after);
        assert_eq!(flags.len(), 2, "{flags:?}");
        assert_eq!(flags[0], "1 processes of server ended");
        assert!(flags[1].contains("in ticks"), "{flags:?}");
        assert_eq!(Tree::changes("server", &after, &after), [""; 0]);
        drop(input);
        shell.wait().unwrap();
    }
}
