//! The buckets of durations: which one a duration falls into, and what a bucket stands for.
//!
//! Two sets of limits cut the nanoseconds into buckets, and one index serves both. The log-linear
//! limits cut each octave into 64 equal parts (the scheme of `HdrHistogram`), so that the middle of
//! a bucket is within 1/128 of all that is in it. The 14 limits of [`BOUNDS_NS`] are cut in
//! between, so that the buckets below each add up to exactly what Prometheus calls `le`.

/// The limits of the exported histogram: those of OpenTelemetry's semantic conventions for HTTP
/// server durations, 5 ms to 10 s.
pub(crate) const BOUNDS_NS: [u64; 14] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// The number of buckets.
pub(crate) const BUCKETS: usize = ((OCTAVES as usize + 1) << PARTS_BITS) + BOUNDS_NS.len();

/// An octave has `1 << PARTS_BITS` parts.
const PARTS_BITS: u32 = 6;

/// Octaves above the first 64 ns.
const OCTAVES: u32 = 36;

/// What is longer (73 minutes) shares the last bucket.
const LONGEST_NS: u64 = (1 << (PARTS_BITS + OCTAVES)) - 1;

/// The bucket of a duration. A longer duration never has a lower one.
pub(crate) fn bucket_of(ns: u64) -> usize {
    // Both terms never fall as the duration grows, so no two pairs of them have the same sum.
    log_linear_of(ns) + BOUNDS_NS.partition_point(|bound| *bound < ns)
}

/// A duration within 1/128 of all that fall into the bucket, up to 73 minutes.
pub(crate) fn middle_ns(bucket: usize) -> u64 {
    let part = bucket - BOUNDS_NS.partition_point(|bound| bucket_of(*bound) < bucket);
    let shift = (part >> PARTS_BITS).saturating_sub(1);
    let lower = (part - (shift << PARTS_BITS)) as u64;
    (lower << shift) + ((1 << shift) >> 1)
}

fn log_linear_of(ns: u64) -> usize {
    let ns = ns.min(LONGEST_NS);
    let octave = (ns | (1 << PARTS_BITS)).ilog2() - PARTS_BITS;
    // The first 64 ns have no octave: there a part is a nanosecond, as in the first octave.
    let part = (ns >> octave) as usize;
    ((octave as usize) << PARTS_BITS) + part
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Durations of every magnitude, with the limits of both kinds among them.
    fn any_ns() -> impl Strategy<Value = u64> {
        let limit = prop_oneof![
            prop::sample::select(BOUNDS_NS.to_vec()),
            (0..64_u32).prop_map(|bits| 1 << bits),
        ];
        prop_oneof![
            (any::<u64>(), 0..64_u32).prop_map(|(ns, shift)| ns >> shift),
            (limit, 0..3_u64).prop_map(|(at, off)| (at + off).saturating_sub(1)),
        ]
    }

    proptest! {
        #[test]
        fn a_longer_duration_has_no_lower_bucket(a in any_ns(), b in any_ns()) {
            let (short, long) = (a.min(b), a.max(b));
            prop_assert!(bucket_of(short) <= bucket_of(long));
            prop_assert!(bucket_of(long) < BUCKETS);
        }

        #[test]
        fn the_middle_is_within_its_bound(ns in any_ns()) {
            let off = middle_ns(bucket_of(ns)).abs_diff(ns.min(LONGEST_NS));
            prop_assert!(u128::from(off) * 128 <= u128::from(ns), "off by {off} ns");
        }

        #[test]
        fn a_bound_parts_what_it_holds_from_what_it_does_not(ns in any_ns()) {
            for bound in BOUNDS_NS {
                prop_assert_eq!(bucket_of(ns) <= bucket_of(bound), ns <= bound);
            }
        }
    }

    #[test]
    fn the_ends_have_the_first_and_the_last_bucket() {
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }
}
