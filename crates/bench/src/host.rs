//! The machine: what it is, and what disturbs a slice on it.

mod disturbance;
mod processors;

use std::{collections::BTreeMap, fs, path::Path};

use crate::report::Host;
pub use disturbance::{Disturbance, Moment, load1};
pub use processors::Processors;

/// What this machine is. What cannot be read is absent.
pub fn facts() -> Host {
    let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
    let mut host = Host {
        cpu: field(&cpuinfo, "model name")
            .or_else(|| field(&cpuinfo, "CPU part"))
            .unwrap_or_default(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
        virt: virtualization(&cpuinfo),
        governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        memory_mb: memory_mb(&read("/proc/meminfo").unwrap_or_default()),
        cgroup: cgroup_limits(),
        fingerprint: String::new(),
    };
    host.fingerprint = fingerprint(&host);
    host
}

/// A hash of the coarse facts that do not change by themselves: model, cores, limits, and the
/// kernel's major version. Clock rates and minor versions would split one machine into two.
fn fingerprint(host: &Host) -> String {
    let major = host.kernel.split('.').next().unwrap_or_default();
    let text = format!("{}\n{}\n{:?}\n{major}", host.cpu, host.cores, host.cgroup);
    // FNV-1a: the same in every build, unlike the standard library's hasher.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn virtualization(cpuinfo: &str) -> Option<String> {
    if cpuinfo.is_empty() {
        return None;
    }
    let flags = field(cpuinfo, "flags").unwrap_or_default();
    if !flags.split(' ').any(|it| it == "hypervisor") {
        return Some("none".to_owned());
    }
    let vendor = read("/sys/class/dmi/id/sys_vendor");
    Some(
        read("/sys/hypervisor/type")
            .or(vendor)
            .unwrap_or_else(|| "hypervisor".to_owned()),
    )
}

fn memory_mb(meminfo: &str) -> u64 {
    field(meminfo, "MemTotal")
        .and_then(|it| it.split(' ').next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}

/// The limits of this process's control group (version 2), or of the root's.
fn cgroup_limits() -> BTreeMap<String, String> {
    ["cpu.max", "memory.max"]
        .into_iter()
        .filter_map(|file| {
            let limit = cgroup_file(file)?;
            (!limit.starts_with("max")).then(|| (file.replace('.', "_"), limit))
        })
        .collect()
}

fn cgroup_file(file: &str) -> Option<String> {
    let groups = read("/proc/self/cgroup")?;
    let own = groups.lines().find_map(|it| it.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    [root.join(own), root.to_owned()]
        .iter()
        .find_map(|it| read(it.join(file)))
}

/// The first `key : value` of a file in `/proc`.
fn field(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_does_not_change_with_a_minor_kernel() {
        let host = |kernel: &str, cores| Host {
            cpu: "a processor".into(),
            cores,
            kernel: kernel.into(),
            ..Host::default()
        };
        let of = |kernel, cores| fingerprint(&host(kernel, cores));
        assert_eq!(of("6.1.0-13", 2), of("6.12.3", 2));
        assert_ne!(of("6.1.0-13", 2), of("7.0.1", 2));
        assert_ne!(of("6.1.0-13", 2), of("6.1.0-13", 4));
    }

    #[test]
    fn this_machine_has_a_processor_and_memory() {
        let host = facts();
        assert!(host.cores > 0 && host.memory_mb > 0 && !host.kernel.is_empty());
        assert_eq!(host.fingerprint, facts().fingerprint);
    }
}
