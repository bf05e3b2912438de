//! How much CPU time processes have used, to the nanosecond.
//!
//! A process's own clock includes its threads that ended, but not its children. A server's is
//! therefore read as a tree: the process, its children, and those that it waited for.

mod tree;

use std::collections::{BTreeMap, BTreeSet};

use nix::time::ClockId;

use crate::Process;
pub use tree::{Tree, TreeReading};

/// What a reading of the clocks can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CpuError {
    /// It is not there, or no longer.
    #[error("process {pid} is not there; was it restarted?")]
    Gone {
        /// Its process id.
        pid: u32,
    },
    /// The system refused.
    #[error("failed to read the CPU clock of process {pid}")]
    Clock {
        /// Its process id.
        pid: u32,
        /// Why.
        #[source]
        source: nix::Error,
    },
}

/// The servers whose CPU time counts beside the own one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Servers {
    /// PostgreSQL's postmaster.
    pub postgres: Option<u32>,
    /// Redis.
    pub redis: Option<u32>,
}

/// The clocks of all processes that one side needs.
#[derive(Debug)]
pub struct Clocks {
    trees: Vec<(Process, Tree)>,
    /// Those whose time is judged; none: all of them.
    judged: Option<BTreeSet<Process>>,
}

/// What [`Clocks`] showed at one moment.
#[derive(Debug)]
pub struct Reading {
    own: f64,
    trees: Vec<TreeReading>,
}

/// What was used between two readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Used {
    /// CPU seconds by the name of the process.
    pub cpu_s: BTreeMap<String, f64>,
    /// What makes them less certain, in words.
    pub flags: Vec<String>,
}

impl Clocks {
    /// The clocks of this process, the servers, and the processes that belong to one side.
    pub fn new(servers: Servers, of_the_side: &[(Process, u32)]) -> Clocks {
        let postgres = servers.postgres.map(|pid| (Process::Postgres, pid));
        let redis = servers.redis.map(|pid| (Process::Redis, pid));
        let all = postgres.into_iter().chain(redis);
        let all: BTreeSet<_> = all.chain(of_the_side.iter().copied()).collect();
        Clocks {
            trees: all
                .into_iter()
                .map(|(process, pid)| (process, Tree::new(pid)))
                .collect(),
            judged: None,
        }
    }

    /// The same, of which the time of these processes alone is judged: what comes and goes among the
    /// others blurs nothing, but for an autovacuum, which takes time from everybody.
    #[must_use]
    pub fn judging(mut self, processes: &[Process]) -> Clocks {
        self.judged = Some(processes.iter().copied().collect());
        self
    }

    /// Reads all of them, the own one first.
    ///
    /// # Errors
    ///
    /// When one of the processes is gone.
    pub fn before(&self) -> Result<Reading, CpuError> {
        let trees = self.read_trees()?;
        let own = own_cpu_s()?;
        Ok(Reading { own, trees })
    }

    /// Reads all of them, the own one first, so that reading is not measured.
    ///
    /// # Errors
    ///
    /// When one of the processes is gone.
    pub fn since(&self, before: &Reading) -> Result<Used, CpuError> {
        let own = own_cpu_s()?;
        let trees = self.read_trees()?;
        let mut used = Used::default();
        let client = Process::Client.word().to_owned();
        used.cpu_s.insert(client, own - before.own);
        for (((process, _), now), then) in self.trees.iter().zip(&trees).zip(&before.trees) {
            let name = process.word();
            *used.cpu_s.entry(name.to_owned()).or_default() += now.since(then);
            let is_judged = self.judged.as_ref().is_none_or(|it| it.contains(process));
            let flags = Tree::changes(name, then, now).into_iter();
            let tells = |it: &String| is_judged || it == tree::AUTOVACUUM;
            used.flags.extend(flags.filter(tells));
        }
        Ok(used)
    }

    fn read_trees(&self) -> Result<Vec<TreeReading>, CpuError> {
        self.trees.iter().map(|(_, tree)| tree.read()).collect()
    }
}

/// CPU seconds of this process, those of its threads that ended included.
///
/// # Errors
///
/// When the system has no such clock.
pub fn own_cpu_s() -> Result<f64, CpuError> {
    let now = ClockId::CLOCK_PROCESS_CPUTIME_ID.now();
    now.map(seconds).map_err(|source| CpuError::Clock {
        pid: std::process::id(),
        source,
    })
}

/// CPU seconds of the calling thread.
///
/// # Errors
///
/// When the system has no such clock.
pub fn thread_cpu_s() -> Result<f64, CpuError> {
    let now = ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    now.map(seconds).map_err(|source| CpuError::Clock {
        pid: std::process::id(),
        source,
    })
}

fn seconds(time: nix::sys::time::TimeSpec) -> f64 {
    std::time::Duration::from(time).as_secs_f64()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::unix::process::CommandExt as _;

    use super::*;

    #[test]
    fn the_own_clock_shows_work_and_not_waiting() {
        let clocks = Clocks::new(Servers::default(), &[]);
        let before = clocks.before().unwrap();
        let mut spun = 0_u64;
        while own_cpu_s().unwrap() - before.own < 0.02 {
            spun = std::hint::black_box(spun + 1);
        }
        let used = clocks.since(&before).unwrap();
        assert!(used.cpu_s["client"] >= 0.02);
        assert_eq!(used.cpu_s.len(), 1);
    }

    #[test]
    fn what_goes_among_processes_that_are_not_judged_blurs_nothing() {
        for (judged, flags) in [(Process::Redis, 1), (Process::Client, 0)] {
            let mut child = std::process::Command::new("cat")
                .stdin(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let redis = Some(std::process::id());
            let servers = Servers {
                redis,
                ..Servers::default()
            };
            let clocks = Clocks::new(servers, &[]).judging(&[judged]);
            let before = clocks.before().unwrap();
            drop(child.stdin.take());
            child.wait().unwrap();
            let used = clocks.since(&before).unwrap();
            let ended = used.flags.iter().filter(|it| it.ends_with("ended"));
            assert_eq!(ended.count(), flags, "{used:?}");
        }
    }

    #[test]
    fn an_autovacuum_is_told_whatever_is_judged() {
        let mut worker = std::process::Command::new("cat")
            .arg0("postgres: autovacuum worker ruleiq")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It has a name only some time after it has begun.
        let name = format!("/proc/{}/cmdline", worker.id());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while std::fs::read(&name).unwrap().is_empty() {
            assert!(std::time::Instant::now() < deadline, "it has no name");
            std::thread::yield_now();
        }
        let servers = Servers {
            postgres: Some(std::process::id()),
            ..Servers::default()
        };
        let clocks = Clocks::new(servers, &[]).judging(&[Process::Client]);
        // It was there before: that it began is no news, that it runs is.
        let before = clocks.before().unwrap();
        let used = clocks.since(&before).unwrap();
        drop(worker.stdin.take());
        worker.wait().unwrap();
        assert_eq!(used.flags, [tree::AUTOVACUUM]);
    }

    #[test]
    fn a_server_that_is_gone_is_told() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let clocks = Clocks::new(Servers::default(), &[(Process::Server, pid)]);
        let error = clocks.before().unwrap_err();
        assert!(error.to_string().contains(&pid.to_string()), "{error}");
    }
}
