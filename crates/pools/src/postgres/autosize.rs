//! The base size on large machines.

use std::{fs, num::NonZeroUsize, path::Path, thread};

const GIB: u64 = 1 << 30;

/// The base size of a pool on a machine with so many processors and so much memory: twice the
/// given one from 8 processors and 16 GiB, one and a half times from 4 and 8 GiB.
///
/// Memory counts in whole GiB, rounded up: of a machine's 16, the kernel keeps a part to itself.
pub fn autosized(size: NonZeroUsize, processors: usize, memory_bytes: u64) -> NonZeroUsize {
    let memory_gib = memory_bytes.div_ceil(GIB);
    let half = NonZeroUsize::new(size.get() / 2);
    if processors >= 8 && memory_gib >= 16 {
        size.saturating_add(size.get())
    } else if processors >= 4 && memory_gib >= 8 {
        size.saturating_add(half.map_or(0, NonZeroUsize::get))
    } else {
        size
    }
}

/// The size on this machine, within the limits of its container.
pub(crate) fn for_this_machine(size: NonZeroUsize) -> NonZeroUsize {
    // It knows the quotas of both versions of control groups, and the affinity.
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    autosized(size, processors, memory_bytes(Path::new("/")))
}

/// The memory that this process may use, zero where it cannot be found out.
fn memory_bytes(root: &Path) -> u64 {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let installed = installed_bytes(&read("proc/meminfo"));
    let groups = read("proc/self/cgroup");
    let limits = limit_files(&groups)
        .into_iter()
        .filter_map(|path| limit_bytes(&read(&path)));
    limits.chain([installed]).min().unwrap_or(installed)
}

/// `MemTotal` of `/proc/meminfo`, proc(5).
fn installed_bytes(meminfo: &str) -> u64 {
    let total = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|it| it.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map_or(0, |kib| kib.saturating_mul(1024))
}

/// The files with the memory limits of this process's control group and those around it, from
/// `/proc/self/cgroup`, cgroups(7): `0::/path` in version 2, `4:memory:/path` in version 1.
fn limit_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (mount, file) = if id == "0" && controllers.is_empty() {
            ("sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|it| it == "memory") {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let mut group = path.trim_matches('/');
        loop {
            let slash = if group.is_empty() { "" } else { "/" };
            files.push(format!("{mount}{slash}{group}/{file}"));
            match group.rsplit_once('/') {
                Some((parent, _)) => group = parent,
                None if group.is_empty() => break,
                None => group = "",
            }
        }
    }
    files
}

/// A limit, or `None` for `max` and what cannot be read. Version 1 writes a huge number for none,
/// which is larger than any installed memory.
fn limit_bytes(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_follows_processors_and_memory() {
        let check = |size, processors, memory_gib, expect| {
            let size = NonZeroUsize::new(size).unwrap();
            let sized = autosized(size, processors, memory_gib * GIB).get();
            assert_eq!(sized, expect, "{size}, {processors}, {memory_gib}");
        };
        check(10, 1, 1, 10);
        check(10, 4, 7, 10);
        check(10, 3, 64, 10);
        check(10, 4, 8, 15);
        check(10, 8, 15, 15);
        check(10, 7, 64, 15);
        check(10, 8, 16, 20);
        check(10, 128, 1024, 20);
        check(1, 4, 8, 1);
        check(1, 8, 16, 2);
        check(5, 4, 8, 7);
        check(usize::MAX, 8, 16, usize::MAX);
    }

    #[test]
    fn what_the_kernel_keeps_to_itself_does_not_count() {
        let size = NonZeroUsize::new(10).unwrap();
        assert_eq!(autosized(size, 8, 16 * GIB - 400_000_000).get(), 20);
        assert_eq!(autosized(size, 8, 15 * GIB).get(), 15);
    }

    #[test]
    fn control_groups_of_both_versions_are_found() {
        assert_eq!(
            limit_files("0::/system.slice/app.service\n"),
            [
                "sys/fs/cgroup/system.slice/app.service/memory.max",
                "sys/fs/cgroup/system.slice/memory.max",
                "sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(limit_files("0::/\n"), ["sys/fs/cgroup/memory.max"]);
        assert_eq!(
            limit_files("5:cpu,cpuacct:/a\n4:memory:/docker/abc\n0::/\n"),
            [
                "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes",
                "sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "sys/fs/cgroup/memory.max",
            ]
        );
        assert!(limit_files("nonsense\n\n1:cpu\n").is_empty());
    }

    #[test]
    fn limits_and_totals_are_read() {
        assert_eq!(limit_bytes("8589934592\n"), Some(8 * GIB));
        assert_eq!(limit_bytes("max\n"), None);
        assert_eq!(limit_bytes(""), None);
        let meminfo = "MemFree: 1 kB\nMemTotal:       16384 kB\n";
        assert_eq!(installed_bytes(meminfo), 16_384 * 1024);
        assert_eq!(installed_bytes(""), 0);
    }

    #[test]
    fn the_nearest_limit_wins() {
        let root = std::env::temp_dir().join(format!("ruleiq-autosize-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/meminfo", "MemTotal: 33554432 kB\n");
        assert_eq!(memory_bytes(&root), 32 * GIB);
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        write("sys/fs/cgroup/a/memory.max", "4294967296\n");
        assert_eq!(memory_bytes(&root), 4 * GIB);
        fs::remove_dir_all(&root).unwrap();
    }
}
