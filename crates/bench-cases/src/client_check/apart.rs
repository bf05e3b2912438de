//! The server on one processor and its clients on another.

use std::{fs, io};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// While this lives, a server has one processor and this process another, with all that either
/// starts: a scheduler that moves them to one now and then adds more to a request than any client
/// does.
#[derive(Debug)]
pub(super) struct Apart {
    /// What this process had before.
    usual: CpuSet,
}

impl Apart {
    /// None where there is one processor alone, or the system does not let them be chosen.
    pub(super) fn keep(server: u32) -> Option<Apart> {
        let usual = sched_getaffinity(Pid::this()).ok()?;
        let mut of_both = (0..CpuSet::count()).filter(|it| usual.is_set(*it).unwrap_or(false));
        let (of_server, ours) = (of_both.next()?, of_both.next()?);
        let apart = Apart { usual };
        let place = |process: &str, processor| {
            let mut only = CpuSet::new();
            only.set(processor)?;
            place(process, &only)
        };
        place("self", ours).ok()?;
        place(&server.to_string(), of_server).ok()?;
        Some(apart)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // Nothing but the speed of what follows depends on it.
        drop(place("self", &self.usual));
    }
}

/// Places every thread that a process has; those that they start inherit it.
fn place(process: &str, on: &CpuSet) -> io::Result<()> {
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let name = thread?.file_name();
        let id = name.to_str().and_then(|it| it.parse().ok());
        let id = id.ok_or(io::ErrorKind::InvalidData)?;
        sched_setaffinity(Pid::from_raw(id), on)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn processors() -> usize {
        let set = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let count = (0..CpuSet::count()).filter(|it| set.is_set(*it).unwrap());
        count.count()
    }

    #[test]
    fn both_have_one_processor_each_and_get_theirs_back() {
        let before = processors();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let apart = Apart::keep(child.id());
        let (ours, its) = (
            sched_getaffinity(Pid::from_raw(0)).unwrap(),
            sched_getaffinity(Pid::from_raw(child.id().cast_signed())).unwrap(),
        );
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(apart.is_some(), before > 1);
        if apart.is_some() {
            assert_eq!(processors(), 1);
            assert_ne!(ours, its);
        }
        drop(apart);
        assert_eq!(processors(), before);
    }
}
