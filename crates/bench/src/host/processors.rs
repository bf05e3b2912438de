//! Which processor runs what.

use std::{fs, io};

use nix::{
    errno::Errno,
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// The processors that this process may use.
#[derive(Clone, Debug)]
pub struct Processors {
    all: CpuSet,
    places: Vec<usize>,
}

impl Processors {
    /// None where there is one alone, or the system does not tell them.
    pub fn of_this_process() -> Option<Processors> {
        let all = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let is_ours = |place: &usize| all.is_set(*place).unwrap_or(false);
        let places: Vec<usize> = (0..CpuSet::count()).filter(is_ours).collect();
        (places.len() > 1).then_some(Processors { all, places })
    }

    /// Keeps a process to one of them, the `n`-th, over and over: all its threads, and what these
    /// start from then on.
    ///
    /// # Errors
    ///
    /// When the process has ended, or is not ours to place.
    pub fn keep(&self, pid: u32, n: usize) -> io::Result<()> {
        let mut one = CpuSet::new();
        one.set(self.places[n % self.places.len()])?;
        place(pid, &one)
    }

    /// Gives all of them back to a process.
    ///
    /// # Errors
    ///
    /// As [`keep`](Self::keep).
    pub fn free(&self, pid: u32) -> io::Result<()> {
        place(pid, &self.all)
    }
}

fn place(pid: u32, on: &CpuSet) -> io::Result<()> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = thread?.file_name();
        let id = name.to_str().and_then(|it| it.parse().ok());
        let id = id.ok_or(io::ErrorKind::InvalidData)?;
        match sched_setaffinity(Pid::from_raw(id), on) {
            // It has ended meanwhile.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_has_one_processor_until_it_is_freed() {
        // On a machine with one there is nothing to place.
        let Some(processors) = Processors::of_this_process() else {
            return;
        };
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        let has = || sched_getaffinity(pid).unwrap();
        let before = has();
        let mut seen = Vec::new();
        for n in 0..3 {
            processors.keep(child.id(), n).unwrap();
            seen.push(has());
        }
        processors.free(child.id()).unwrap();
        let after = has();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_ne!(seen[0], seen[1]);
        let round = 2 % processors.places.len();
        assert_eq!(seen[2] == seen[0], round == 0);
        assert_eq!(after, before);
        assert!(processors.keep(u32::MAX, 0).is_err());
    }
}
