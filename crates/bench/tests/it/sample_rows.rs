//! The rows of the rich sample.

use ruleiq_bench::{
    TargetOf,
    report::{Better, Row, RowRole, RowTarget, TargetVerdict, Verdict},
};

use crate::sample::{Draws, Made, map, row};

const DATABASE: &[(&str, f64)] = &[("client", 0.35), ("postgres", 0.65)];
const CLIENT: &[(&str, f64)] = &[("client", 1.0)];
const REDIS: &[(&str, f64)] = &[("client", 0.62), ("redis", 0.38)];
const HTTP: &[(&str, f64)] = &[
    ("client", 0.12),
    ("server", 0.58),
    ("postgres", 0.22),
    ("redis", 0.08),
];

type Line = (
    &'static str,
    f64,
    f64,
    f64,
    Option<(&'static str, &'static str)>,
    Option<f64>,
    Verdict,
    &'static [(&'static str, f64)],
);

const BARE: Option<(&str, &str)> = Some(("tokio-postgres", "0.7.18"));
const DEADPOOL: Option<(&str, &str)> = Some(("deadpool-postgres", "0.14.2"));
const FRED: Option<(&str, &str)> = Some(("fred", "10.1.0"));
const CODEC: Option<(&str, &str)> = Some(("zstd", "0.14.0"));
const PLAIN: Option<(&str, &str)> = Some(("plain actix handler", "4.18.0"));
const QUICK: Option<(&str, &str)> = Some(("quick_cache", "0.7.0"));

const LINES: [Line; 21] = [
    (
        "database/simple_select",
        61.2,
        1.02,
        0.021,
        BARE,
        None,
        Verdict::Measured,
        DATABASE,
    ),
    (
        "database/complex_join",
        812.0,
        1.004,
        0.012,
        BARE,
        None,
        Verdict::Measured,
        DATABASE,
    ),
    (
        "database/aggregation",
        2_410.0,
        0.998,
        0.009,
        BARE,
        None,
        Verdict::Measured,
        DATABASE,
    ),
    (
        "database/bulk_insert",
        5_210.0,
        1.01,
        0.03,
        BARE,
        None,
        Verdict::Measured,
        DATABASE,
    ),
    (
        "pools/point_select",
        57.3,
        1.036,
        0.018,
        DEADPOOL,
        Some(1.05),
        Verdict::Inconclusive,
        DATABASE,
    ),
    (
        "pools/checkout",
        1.92,
        3.1,
        0.04,
        DEADPOOL,
        Some(2.5),
        Verdict::Missed,
        CLIENT,
    ),
    (
        "pools/concurrent_requests",
        118.0,
        1.11,
        0.05,
        DEADPOOL,
        Some(1.05),
        Verdict::Missed,
        DATABASE,
    ),
    (
        "cache/l1_hit",
        0.084,
        0.52,
        0.02,
        QUICK,
        Some(0.6),
        Verdict::Met,
        CLIENT,
    ),
    (
        "cache/l1_hit_2",
        0.097,
        0.57,
        0.07,
        QUICK,
        Some(0.6),
        Verdict::Inconclusive,
        CLIENT,
    ),
    (
        "cache/l2_hit_1",
        31.0,
        1.08,
        0.02,
        FRED,
        Some(1.15),
        Verdict::Met,
        REDIS,
    ),
    (
        "cache/l2_hit_64",
        12.4,
        1.21,
        0.025,
        FRED,
        Some(1.15),
        Verdict::Missed,
        REDIS,
    ),
    (
        "cache/mget_100",
        210.0,
        1.24,
        0.03,
        FRED,
        Some(1.3),
        Verdict::Met,
        REDIS,
    ),
    (
        "cache/delete_pattern",
        4_100.0,
        1.0,
        0.05,
        None,
        Some(1.3),
        Verdict::NoControl,
        REDIS,
    ),
    (
        "cache/key",
        0.141,
        1.45,
        0.06,
        QUICK,
        Some(1.5),
        Verdict::Inconclusive,
        CLIENT,
    ),
    (
        "compression/json_10k_zstd",
        21.3,
        0.36,
        0.012,
        CODEC,
        Some(0.4),
        Verdict::Met,
        CLIENT,
    ),
    (
        "compression/json_100k_br",
        940.0,
        0.17,
        0.01,
        CODEC,
        Some(0.2),
        Verdict::Met,
        CLIENT,
    ),
    (
        "compression/br_1k5",
        44.0,
        0.98,
        0.02,
        CODEC,
        None,
        Verdict::Measured,
        CLIENT,
    ),
    (
        "compression/not_eligible",
        0.31,
        1.06,
        0.03,
        CODEC,
        Some(1.1),
        Verdict::Met,
        CLIENT,
    ),
    (
        "optimizer/advice_time",
        18_200.0,
        1.0,
        0.04,
        None,
        None,
        Verdict::Measured,
        DATABASE,
    ),
    (
        "http/question_detail_cached",
        214.0,
        1.62,
        0.03,
        PLAIN,
        None,
        Verdict::Measured,
        HTTP,
    ),
    (
        "http/a_rather_long_endpoint_name_with_<angle>_brackets_&_quotes\"",
        388.0,
        2.4,
        0.05,
        PLAIN,
        None,
        Verdict::Invalid,
        HTTP,
    ),
];

pub(crate) fn rows(draws: &mut Draws) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, value, ratio, half, control, bound, verdict, cpu) in LINES {
        let made = Made {
            name,
            value,
            ratio,
            half,
            control,
            bound,
            verdict,
            cpu,
        };
        let mut row = row(draws, &made);
        say_why(&mut row);
        if row.component == "compression" && row.control.is_some() && bound == Some(0.4) {
            rows.push(row.clone());
            row = bytes_out(row);
        }
        if let Some((bound, critical)) = guide(name) {
            rows.push(row.clone());
            row = p95(row, bound, critical);
        }
        rows.push(row);
    }
    rows
}

fn guide(name: &str) -> Option<(f64, f64)> {
    match name {
        "database/simple_select" => Some((5_000.0, 10_000.0)),
        "database/complex_join" => Some((50_000.0, 100_000.0)),
        "cache/l2_hit_1" => Some((50.0, 5_000.0)),
        "http/question_detail_cached" => Some((200_000.0, 500_000.0)),
        _ => None,
    }
}

fn say_why(row: &mut Row) {
    match row.verdict {
        Verdict::Inconclusive => row
            .reasons
            .push("the bar is inside the interval; needs 14 more blocks".to_owned()),
        Verdict::Invalid => {
            row.counts.wrong = 3;
            row.counts.errors = map([("status 500", 12)]);
            row.reasons
                .push("3 answers were wrong: <script>alert(1)</script>".to_owned());
        }
        Verdict::NoControl => row
            .reasons
            .push("redis-benchmark is not installed; install redis-tools".to_owned()),
        _ => {}
    }
    if row.case == "br_1k5" {
        row.variant = map([("level", "5".to_owned())]);
    }
}

/// Exact: no interval, and the same in every block.
fn bytes_out(row: Row) -> Row {
    Row {
        metric: "bytes_out".to_owned(),
        unit: "bytes".to_owned(),
        value: Some(1_813.0),
        ci_low: Some(1_813.0),
        ci_high: Some(1_813.0),
        ratio: Some(1.0),
        ratio_ci_low: Some(1.0),
        ratio_ci_high: Some(1.0),
        target: row.target.clone().map(|it| RowTarget { value: 1.01, ..it }),
        histogram: None,
        control_histogram: None,
        summary: None,
        aa_s: None,
        aa_floor: None,
        mde: None,
        rounds: Vec::new(),
        ..row
    }
}

fn p95(row: Row, bound: f64, critical: f64) -> Row {
    let value = row.summary.as_ref().and_then(|it| it.p95_us).unwrap();
    let verdict = if value <= bound {
        (Verdict::Met, TargetVerdict::Met)
    } else {
        (Verdict::Missed, TargetVerdict::Missed)
    };
    Row {
        metric: "latency_p95".to_owned(),
        better: Better::Lower,
        role: RowRole::Critical,
        value: Some(value),
        ci_low: Some(value * 0.96),
        ci_high: Some(value * 1.05),
        target: Some(RowTarget {
            op: "<=".to_owned(),
            value: bound,
            critical_value: Some(critical),
            of: TargetOf::Value,
            critical: true,
            finest: 0.0,
            verdict: verdict.1,
        }),
        verdict: verdict.0,
        histogram: None,
        control_histogram: None,
        ..row
    }
}
