//! The names of metrics, and what follows from them.

use crate::report::Better;

/// The figures of a latency histogram: the metric's name and its quantile, none for the mean.
pub(super) const LATENCIES: [(&str, Option<f64>); 4] = [
    ("latency_mean", None),
    ("latency_p50", Some(0.50)),
    ("latency_p95", Some(0.95)),
    ("latency_p99", Some(0.99)),
];

/// The unit of a metric.
pub(super) fn unit(metric: &str) -> &'static str {
    let ends = |suffixes: &[&str]| suffixes.iter().any(|it| metric.ends_with(it));
    match metric {
        "cpu_per_op" => "us",
        "throughput" => "ops/s",
        _ if metric.starts_with("latency_") || ends(&["_us"]) => "us",
        _ if metric.contains("bytes") => "bytes",
        _ if ends(&[
            "ratio",
            "share",
            "utilization",
            "utilization_max",
            "fraction",
        ]) =>
        {
            "share"
        }
        _ => "count",
    }
}

/// The direction in which a metric improves; a target's own direction is surer.
pub(super) fn better(metric: &str) -> Better {
    let is_higher =
        ["throughput", "advice_found"].contains(&metric) || metric.contains("hit_ratio");
    if is_higher {
        Better::Higher
    } else {
        Better::Lower
    }
}

/// Whether a count is shown and not judged by an earlier one: how large a block an allocator is
/// asked for may change without any more work, and what begins with `sampled_` depends on a draw or
/// a clock.
pub(crate) fn is_informational(metric: &str) -> bool {
    metric == "allocated_bytes_per_op" || metric.starts_with("sampled_")
}

/// Figures that are percentiles of a slice: a mean of them is the percentile of nothing.
pub(super) fn is_percentile(name: &str) -> bool {
    let percentile = name.strip_suffix("_us").and_then(|it| it.rsplit_once("_p"));
    percentile.is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|it| it.is_ascii_digit()))
}

/// Figures of an open loop that are counts of the row, and no rows of their own.
pub(super) const COUNTED: [&str; 3] = ["late", "skipped", "censored"];
