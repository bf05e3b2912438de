//! How much memory this process and everything it started used at once, at most.
//!
//! The proportional set size counts a page that several processes share once, so the sum over
//! processes is what they really took. Linux tells it in `/proc`; elsewhere there is no answer.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(50);

/// Looks once a second until it is ended.
pub(super) struct PeakMemory {
    ended: Arc<AtomicBool>,
    watcher: JoinHandle<Option<u64>>,
}

impl PeakMemory {
    pub(super) fn watch() -> PeakMemory {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let watcher = thread::spawn(move || {
            let mut peak = used_bytes();
            let mut next = Instant::now() + INTERVAL;
            while !seen.load(Ordering::Relaxed) {
                thread::sleep(POLL);
                if Instant::now() >= next {
                    peak = peak.max(used_bytes());
                    next = Instant::now() + INTERVAL;
                }
            }
            peak
        });
        PeakMemory { ended, watcher }
    }

    /// The most that was seen, in bytes.
    pub(super) fn end(self) -> Option<u64> {
        self.ended.store(true, Ordering::Relaxed);
        self.watcher.join().ok().flatten()
    }
}

/// The memory of this process and its descendants. Those of another user do not count where the
/// system does not let us look.
fn used_bytes() -> Option<u64> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let pid = entry.file_name().to_str().and_then(|it| it.parse().ok());
        let stat = fs::read_to_string(entry.path().join("stat"));
        if let (Some(pid), Ok(stat)) = (pid, stat)
            && let Some(parent) = parent(&stat)
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut sum = 0;
    let mut pending = vec![std::process::id()];
    while let Some(pid) = pending.pop() {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        sum += proportional_bytes(&rollup).unwrap_or_default();
        pending.extend(children.remove(&pid).into_iter().flatten());
    }
    Some(sum)
}

/// The parent in a line of `/proc/PID/stat`. The name before it may hold anything.
fn parent(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

fn proportional_bytes(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|it| it.strip_prefix("Pss:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_lines_are_read() {
        assert_eq!(parent("12 (a) b (c) S 34 12 12 0"), Some(34));
        assert_eq!(parent("12"), None);
        let rollup = "55-7f ---p 00:00 0 [rollup]\nRss:   900 kB\nPss:      512 kB\n";
        assert_eq!(proportional_bytes(rollup), Some(512 * 1024));
        assert_eq!(proportional_bytes(""), None);
    }
}
