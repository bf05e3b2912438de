//! What small bodies take of memory. It is read off the whole process, so this test has one of its own.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, sync::Arc};

use ruleiq_compression::{Coding, Config, Encoder};

const MIB: usize = 1024 * 1024;

/// The most memory that this process has had.
fn most_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<usize>().unwrap() * 1024
}

/// From level 5 on, brotli has a hash table of 33 MB for windows below 128 KiB, however small the body.
#[test]
fn a_small_body_does_not_take_the_large_hash_table() {
    let body = "a list of controls, ".repeat(75);
    for brotli_level in 5..=8 {
        let config = Config {
            brotli_level,
            cpu_budget_us: u64::MAX,
            ..Config::default()
        };
        let before = most_bytes();
        let encoder = Arc::new(Encoder::new(&config).unwrap());
        encoder.encode(Coding::Brotli, body.as_bytes()).unwrap();
        let mut out = Vec::new();
        let mut stream = encoder.stream(Coding::Brotli).unwrap();
        stream.write(body.as_bytes(), &mut out).unwrap();
        stream.finish(&mut out).unwrap();
        let more = most_bytes() - before;
        assert!(more < 16 * MIB, "{more} bytes at level {brotli_level}");
    }
}
