//! Reports as runs write them, drawn from a fixed seed.

use std::{collections::BTreeMap, time::Duration};

use ruleiq_bench::{
    Histogram, Role, TargetOf,
    report::{
        Better, Control, Counts, Curve, CurvePoint, Git, Growth, GrowthPoint, Host, Instructions,
        Kind, Noise, Report, Round, Row, RowRole, RowTarget, SCHEMA, Scale, SelfCheck, Server,
        Settings, Summary, TargetVerdict, Toolchain, Verdict,
    },
};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

/// Draws, always the same.
pub(crate) struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About normal, of spread 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// The least that is a report.
pub(crate) fn minimal() -> Report {
    Report {
        schema: SCHEMA.to_owned(),
        id: Uuid::from_u128(7),
        started: OffsetDateTime::from_unix_timestamp(1_795_600_800).unwrap(),
        duration_s: 0.4,
        kind: Kind::Measure,
        partial: false,
        quick: true,
        host: Host::default(),
        toolchain: Toolchain::default(),
        git: Git::default(),
        servers: Vec::new(),
        scale: Scale::default(),
        settings: Settings::default(),
        noise: Noise::default(),
        results: Vec::new(),
        curves: Vec::new(),
        scale_study: Vec::new(),
        instructions: Vec::new(),
        self_check: SelfCheck::default(),
        warnings: Vec::new(),
    }
}

/// A full run of several components, with everything that a report can have.
pub(crate) fn rich() -> Report {
    Report {
        duration_s: 1_843.2,
        quick: false,
        host: host(),
        toolchain: toolchain(),
        git: Git {
            revision: "b3348376a1fd2c0c4a7f6f2c9a5b8a1d90c3e7aa".to_owned(),
            dirty: true,
            against: None,
        },
        servers: servers(),
        scale: Scale {
            name: "demo".to_owned(),
            rows: map([
                ("answers", 1_200_000),
                ("questions", 10_000),
                ("users", 500),
            ]),
            data_bytes: 412_000_000,
            fits_in_shared_buffers: false,
        },
        settings: Settings {
            seed: 42,
            slice_s: 0.35,
            blocks: 12,
            order: "mirrored".to_owned(),
            concurrency: Some(50),
            iterations: None,
            runtime_threads: 2,
        },
        noise: Noise {
            aa_s: 0.027,
            aa_floor: 0.018,
            mde_10pct_ok: true,
            steal_pct: 0.3,
            psi_cpu_some: Some(3.5),
            throttled: 0,
            load1: 0.82,
        },
        results: crate::sample_rows::rows(&mut Draws(0x9E37_79B9_7F4A_7C15)),
        curves: curves(),
        scale_study: growths(),
        instructions: vec![
            instruction("negotiate/browser", 1_432.0),
            instruction("key/three_parts", 611.0),
            instruction("histogram/record", 38.0),
        ],
        self_check: SelfCheck {
            null_case_ns: Some(1.1),
            client_ceiling_rps: Some(61_234.0),
            littles_law_worst: Some(0.021),
        },
        warnings: vec![
            "the tree differs from its revision; commit, so that the figures can be made again"
                .to_owned(),
            "one processor was busy with something else in 3 of 400 slices; end it and run again"
                .to_owned(),
        ],
        ..minimal()
    }
}

fn host() -> Host {
    Host {
        cpu: "AMD EPYC 9B14".to_owned(),
        cores: 2,
        kernel: "6.18.5".to_owned(),
        virt: Some("kvm".to_owned()),
        governor: None,
        memory_mb: 7_961,
        cgroup: map([("cpu_max", "max 100000".to_owned())]),
        fingerprint: "5e0c9d1ab2f47733".to_owned(),
    }
}

fn toolchain() -> Toolchain {
    Toolchain {
        rustc: "1.95.0".to_owned(),
        profile: "release".to_owned(),
        lto: "off".to_owned(),
        debug_assertions: false,
        target_cpu: "x86-64".to_owned(),
        allocator: "system".to_owned(),
    }
}

fn servers() -> Vec<Server> {
    vec![
        Server {
            name: "postgres".to_owned(),
            version: "17.2".to_owned(),
            settings: map([
                ("shared_buffers", "128MB".to_owned()),
                ("fsync", "on".to_owned()),
                ("jit", "off".to_owned()),
            ]),
        },
        Server {
            name: "redis".to_owned(),
            version: "8.0.1".to_owned(),
            settings: map([("save", String::new()), ("io-threads", "1".to_owned())]),
        },
    ]
}

fn instruction(name: &str, per_op: f64) -> Instructions {
    Instructions {
        name: name.to_owned(),
        per_op,
    }
}

/// Latencies with a tail: most around `median_us`, one in two hundred ten times that.
pub(crate) fn latencies(draws: &mut Draws, count: usize, median_us: f64) -> Histogram {
    let mut histogram = Histogram::new();
    for _ in 0..count {
        let tail = if draws.next() < 0.005 { 8.0 } else { 1.0 };
        let us = median_us * (0.25 * draws.normal()).exp() * tail;
        histogram.record(Duration::from_secs_f64(us / 1e6));
    }
    histogram
}

fn curves() -> Vec<Curve> {
    let mut draws = Draws(77);
    [
        ("ruleiq-server", 4_210.0, 1.0),
        ("plain actix", 6_890.0, 0.62),
    ]
    .into_iter()
    .map(|(side, ceiling, scale)| Curve {
        component: "http".to_owned(),
        case: "question_detail_cached".to_owned(),
        side: side.to_owned(),
        ceiling,
        client_ceiling: 61_234.0,
        knee: Some(ceiling * 0.78),
        points: [0.25, 0.5, 0.7, 0.9]
            .into_iter()
            .map(|share| curve_point(&mut draws, share, ceiling, scale))
            .collect(),
        repeats: Vec::new(),
    })
    .collect()
}

fn curve_point(draws: &mut Draws, share: f64, ceiling: f64, scale: f64) -> CurvePoint {
    let service = latencies(draws, 12_000, 310.0 * scale);
    let latency = latencies(draws, 12_000, 310.0 * scale / (1.02 - share));
    let at = |histogram: &Histogram| {
        [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)]
            .into_iter()
            .map(|(name, q)| {
                let us = histogram.quantile(q).unwrap().as_secs_f64() * 1e6;
                (name.to_owned(), us)
            })
            .collect()
    };
    CurvePoint {
        share,
        offered: share * ceiling,
        answered: share * ceiling * 0.998,
        counts: Counts {
            ops: 12_000,
            ok: 11_990,
            censored: 10,
            ..Counts::default()
        },
        latency_us: at(&latency),
        service_us: at(&service),
        lag_us: map([("p50", 4.0), ("p99", 41.0), ("max", 210.0)]),
        histogram: latency.encode(),
        histogram_service: service.encode(),
        cpu: map([
            ("client", 31.0),
            ("server", 212.0 * scale),
            ("redis", 18.0 * scale),
        ]),
        flags: (share > 0.8 && scale < 1.0)
            .then(|| "the client was at 71 % of its own ceiling".to_owned())
            .into_iter()
            .collect(),
    }
}

fn growths() -> Vec<Growth> {
    let point = |size: u64, postgres: f64, hit: f64| GrowthPoint {
        size,
        cpu: map([("client", 24.0), ("postgres", postgres)]),
        latency_us: map([("p50", postgres * 1.6), ("p99", postgres * 5.0)]),
        figures: map([("shared_buffers_hit_ratio", hit)]),
    };
    vec![
        Growth {
            what: "questions".to_owned(),
            component: "database".to_owned(),
            case: "indexed_search".to_owned(),
            points: vec![
                point(1_000, 31.0, 1.0),
                point(10_000, 33.0, 1.0),
                point(100_000, 41.0, 0.97),
                point(1_000_000, 160.0, 0.61),
            ],
            exponent: Some(0.21),
            bend: Some(
                "postgres costs 3.9 times as much from 100,000 to 1,000,000 questions: the share \
                 of pages found in shared_buffers falls from 97 % to 61 %."
                    .to_owned(),
            ),
        },
        Growth {
            what: "connections".to_owned(),
            component: "pools".to_owned(),
            case: "point_select".to_owned(),
            points: vec![
                point(1, 30.0, 1.0),
                point(10, 31.0, 1.0),
                point(100, 36.0, 1.0),
                point(1_000, 58.0, 1.0),
            ],
            exponent: Some(0.06),
            bend: None,
        },
    ]
}

pub(crate) fn map<V, const N: usize>(pairs: [(&str, V); N]) -> BTreeMap<String, V> {
    pairs.map(|(k, v)| (k.to_owned(), v)).into()
}

/// What a row is made from.
pub(crate) struct Made {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) ratio: f64,
    /// The half-width of the interval, on logs.
    pub(crate) half: f64,
    pub(crate) control: Option<(&'static str, &'static str)>,
    pub(crate) bound: Option<f64>,
    pub(crate) verdict: Verdict,
    pub(crate) cpu: &'static [(&'static str, f64)],
}

/// A row of CPU per operation, with its blocks and histograms.
pub(crate) fn row(draws: &mut Draws, made: &Made) -> Row {
    let (component, case) = made.name.split_once('/').unwrap();
    let has_control = made.control.is_some();
    let ratio = has_control.then_some(made.ratio);
    let median = made.value * 2.2;
    let histogram = latencies(draws, 12_000, median);
    let control = latencies(draws, 12_000, median / made.ratio);
    Row {
        component: component.to_owned(),
        case: case.to_owned(),
        variant: BTreeMap::new(),
        about: format!("What {case} costs, with its answer checked."),
        metric: "cpu_per_op".to_owned(),
        unit: "us".to_owned(),
        better: Better::Lower,
        role: RowRole::Goal,
        value: Some(made.value),
        ci_low: Some(made.value * (-made.half).exp()),
        ci_high: Some(made.value * made.half.exp()),
        confidence: 0.99,
        control: made.control.map(|(name, version)| Control {
            name: name.to_owned(),
            version: version.to_owned(),
            role: Role::Control,
            value: Some(made.value / made.ratio),
            settings_equal: true,
        }),
        ratio,
        ratio_ci_low: ratio.map(|it| it * (-made.half).exp()),
        ratio_ci_high: ratio.map(|it| it * made.half.exp()),
        aa_s: has_control.then_some(made.half * 1.2),
        aa_floor: has_control.then_some(made.half * 0.8),
        mde: has_control.then_some(made.half * 2.1),
        baseline: None,
        not_compared: None,
        target: made.bound.map(|bound| RowTarget {
            op: "<=".to_owned(),
            value: bound,
            critical_value: None,
            of: TargetOf::Ratio,
            critical: false,
            finest: 0.0,
            verdict: target_verdict(made.verdict),
        }),
        verdict: made.verdict,
        reasons: Vec::new(),
        counts: Counts {
            ops: 412_345,
            ok: 412_345,
            ..Counts::default()
        },
        cpu: map_of(made.cpu, made.value),
        control_cpu: map_of(made.cpu, made.value / made.ratio),
        summary: Some(summary(&histogram)),
        histogram: Some(histogram.encode()),
        control_histogram: has_control.then(|| control.encode()),
        figures: BTreeMap::new(),
        settings: json!({"connections": 16, "statement": "SELECT 1", "prepared": true}),
        rounds: rounds(draws, made),
    }
}

fn map_of(shares: &[(&str, f64)], total: f64) -> BTreeMap<String, f64> {
    let one = |(name, share): &(&str, f64)| ((*name).to_owned(), share * total);
    shares.iter().map(one).collect()
}

fn target_verdict(verdict: Verdict) -> TargetVerdict {
    match verdict {
        Verdict::Met => TargetVerdict::Met,
        Verdict::Missed => TargetVerdict::Missed,
        Verdict::Critical => TargetVerdict::Critical,
        Verdict::NoControl => TargetVerdict::NoControl,
        _ => TargetVerdict::Undecided,
    }
}

fn summary(histogram: &Histogram) -> Summary {
    let us = |q| histogram.quantile(q).unwrap().as_secs_f64() * 1e6;
    Summary {
        mean_us: histogram.mean().unwrap().as_secs_f64() * 1e6,
        median_us: us(0.5),
        p95_us: Some(us(0.95)),
        p99_us: Some(us(0.99)),
        max_us: us(1.0),
        throughput: 1.7e6 / us(0.5),
    }
}

fn rounds(draws: &mut Draws, made: &Made) -> Vec<Round> {
    let control = made.value / made.ratio;
    let spread = made.half * 1.4;
    (1..=12)
        .map(|block| {
            let hour = 1.0 + 0.04 * draws.normal();
            let mut pair = |value: f64| -> Vec<f64> {
                let slice = |_| value * hour * (spread * draws.normal()).exp();
                (0..2).map(slice).collect()
            };
            Round {
                block,
                stage: if block > 8 { 2 } else { 1 },
                order: "A B A2 A2 B A".to_owned(),
                a: pair(control),
                b: pair(made.value),
                a2: pair(control),
                earlier: Vec::new(),
                flags: (block == 5)
                    .then(|| "steal 4 %".to_owned())
                    .into_iter()
                    .collect(),
            }
        })
        .collect()
}
