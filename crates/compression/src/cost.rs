//! What encoding costs, from measurements.
//!
//! CPU per byte of JSON at 10 and 100 KB; see the example `compare`, which measures it. Other
//! machines and other content differ by a factor of two or so, which the decisions that rest
//! on this can bear: at which level a body is encoded, and whether where it is or on another thread.

use std::time::Duration;

use crate::Coding;

/// The CPU time that a body of `size_bytes` is likely to take.
pub(crate) fn predict(coding: Coding, level: i32, size_bytes: usize) -> Duration {
    let ns_per_byte = match (coding, level) {
        (Coding::Brotli, ..=1) => 5,
        (Coding::Brotli, 2) => 8,
        (Coding::Brotli, 3) => 10,
        (Coding::Brotli, 4) => 15,
        (Coding::Brotli, 5) => 26,
        (Coding::Brotli, 6..=9) => 60,
        (Coding::Brotli, _) => 1000,
        (Coding::Zstd, ..=1) => 2,
        (Coding::Zstd, 2..=3) => 3,
        (Coding::Zstd, 4..=6) => 11,
        (Coding::Zstd, 7..=12) => 40,
        (Coding::Zstd, _) => 300,
        (Coding::Gzip, ..=1) => 4,
        (Coding::Gzip, 2..=4) => 9,
        (Coding::Gzip, 5..=6) => 12,
        (Coding::Gzip, _) => 40,
    };
    Duration::from_nanos(ns_per_byte * size_bytes as u64)
}
