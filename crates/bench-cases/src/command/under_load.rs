//! What curves come to: whether they may be read, and how answers under load meet their target.
//!
//! The target is judged where the load does not wait for the server: a closed loop sends nothing
//! while the server stands still, and shows one slow answer per connection.

use ruleiq_bench::{
    Histogram, Target,
    report::{Curve, CurvePoint, Report, Round, Row, RowRole, RowTarget, TargetVerdict, Verdict},
    stats::{Interval, estimate, mad_s},
    verdict::{Rules, Seen, judge_target},
};

use crate::curve::JUDGED;

const COMPONENT: &str = "http";
const METRIC: &str = "latency_p95";
/// Up to this share of the ceiling, nothing may fail.
const SOUND: f64 = 0.9;
/// Microseconds.
const BOUND: f64 = 200_000.0;
const CRITICAL: f64 = 500_000.0;
const P: f64 = 0.95;
const FEW: &str = "a slice has fewer answers than the 2,000 that P95 needs";

/// Says of the latencies of cases what they are.
pub(super) fn mark_closed(report: &mut Report) {
    let is_latency = |it: &&mut Row| it.component == COMPONENT && it.metric.starts_with("latency_");
    for row in report.results.iter_mut().filter(is_latency) {
        row.reasons.push(
            "closed loop: what one of its clients waits; what a stall delays is hidden".to_owned(),
        );
    }
}

/// A row for each endpoint that has curves.
pub(super) fn rows(results: &[Row], curves: &[Curve], rules: &Rules) -> Vec<Row> {
    // The subject's curve is the first of each endpoint.
    let is_first = |i: usize| curves[..i].iter().all(|it| it.case != curves[i].case);
    let subjects = (0..curves.len()).filter(|i| is_first(*i));
    let rows = subjects.filter_map(|i| {
        let (ours, case) = (&curves[i], &curves[i].case);
        let of_it = || curves.iter().filter(|it| it.case == *case);
        let mut row = template(results, Some(case))?;
        judge(&mut row, ours, rules);
        let faults: Vec<String> = of_it().flat_map(faults).collect();
        if !faults.is_empty() {
            row.verdict = Verdict::Invalid;
            row.reasons.splice(0..0, faults);
        }
        Some(row)
    });
    rows.collect()
}

/// The row that says why there are no curves.
pub(super) fn not_measured(results: &[Row], why: &str) -> Option<Row> {
    let mut row = template(results, None)?;
    row.verdict = Verdict::Invalid;
    row.reasons = vec![format!("latency under load was not measured: {why}")];
    Some(row)
}

/// What makes a curve one that must not be read.
fn faults(curve: &Curve) -> Vec<String> {
    let fault = |point: &CurvePoint| {
        let errors: u64 = point.counts.errors.values().sum();
        let wrong = point.counts.wrong;
        let is_sound = wrong == 0 && (errors == 0 || point.share > SOUND);
        (!is_sound).then(|| {
            let (side, share) = (&curve.side, point.share * 100.0);
            let first = point.counts.errors.keys().next();
            let first = first.map(|it| format!(", such as: {it}"));
            format!(
                "{side} at {share:.0} % of its ceiling: {errors} errors and {wrong} wrong \
                 answers{}",
                first.unwrap_or_default()
            )
        })
    };
    curve
        .points
        .iter()
        .chain(&curve.repeats)
        .filter_map(fault)
        .collect()
}

/// A row of an endpoint, or of any, with all figures taken out.
fn template(results: &[Row], case: Option<&str>) -> Option<Row> {
    let rows = || results.iter().filter(|it| it.component == COMPONENT);
    let mut of_it = rows().filter(|it| case.is_none_or(|case| it.case == case));
    let mut row = of_it.next()?.clone();
    row.variant.clear();
    row.variant.insert("load".into(), "open_70_percent".into());
    METRIC.clone_into(&mut row.metric);
    "us".clone_into(&mut row.unit);
    row.better = ruleiq_bench::report::Better::Lower;
    row.role = RowRole::Critical;
    (row.value, row.ci_low, row.ci_high) = (None, None, None);
    (row.ratio, row.ratio_ci_low, row.ratio_ci_high) = (None, None, None);
    (row.aa_s, row.aa_floor, row.mde) = (None, None, None);
    (row.control, row.baseline, row.not_compared) = (None, None, None);
    (row.summary, row.histogram, row.control_histogram) = (None, None, None);
    (row.target, row.verdict) = (None, Verdict::Measured);
    row.reasons.clear();
    row.cpu.clear();
    row.control_cpu.clear();
    row.figures.clear();
    row.rounds.clear();
    row.counts = ruleiq_bench::report::Counts::default();
    Some(row)
}

fn judge(row: &mut Row, curve: &Curve, rules: &Rules) {
    let target = Target::value_at_most(METRIC, BOUND).critical_beyond(CRITICAL);
    let all = curve.points.iter().chain(&curve.repeats);
    let slices: Vec<&CurvePoint> = all.filter(|it| (it.share - JUDGED).abs() < 1e-6).collect();
    let p95s: Option<Vec<f64>> = slices.iter().map(|it| p95(it)).collect();
    let seen = p95s.as_deref().and_then(|it| seen(it, rules));
    let (mut verdict, mut why) = match &p95s {
        Some(_) => judge_target(&target, seen, false, rules),
        None => (TargetVerdict::Undecided, Some(FEW.to_owned())),
    };
    let flagged = slices.iter().filter(|it| !it.flags.is_empty()).count();
    // A client that is late makes answers later: what meets the target all the same does.
    if flagged * 2 > slices.len() && verdict != TargetVerdict::Met {
        verdict = TargetVerdict::Undecided;
        why = Some(format!(
            "{flagged} of {} slices are about the client or the machine rather than the server",
            slices.len()
        ));
    }
    row.confidence = rules.confidence;
    row.value = seen.map(|it| it.value);
    row.ci_low = seen.and_then(|it| it.interval).map(|it| it.low);
    row.ci_high = seen.and_then(|it| it.interval).map(|it| it.high);
    row.verdict = match verdict {
        TargetVerdict::Met => Verdict::Met,
        TargetVerdict::Missed => Verdict::Missed,
        TargetVerdict::Critical => Verdict::Critical,
        TargetVerdict::Undecided | TargetVerdict::NoControl => Verdict::Inconclusive,
    };
    row.target = Some(RowTarget {
        op: "<=".to_owned(),
        value: BOUND,
        critical_value: Some(CRITICAL),
        of: target.of,
        critical: true,
        finest: rules.finest,
        verdict,
    });
    row.reasons.push(format!(
        "open loop at {:.0} % of the ceiling, from the scheduled moment to the answer",
        JUDGED * 100.0
    ));
    row.reasons.extend(why);
    tell(row, &slices);
}

/// Puts into a row what its slices were.
fn tell(row: &mut Row, slices: &[&CurvePoint]) {
    let mut latency = Histogram::new();
    for (i, slice) in slices.iter().enumerate() {
        for flag in &slice.flags {
            if !row.reasons.contains(flag) {
                row.reasons.push(flag.clone());
            }
        }
        row.counts.add(&slice.counts);
        if let Ok(its) = Histogram::decode(&slice.histogram) {
            latency.merge(&its);
        }
        row.rounds.push(Round {
            block: i + 1,
            stage: 1,
            order: "B".to_owned(),
            a: Vec::new(),
            b: p95(slice).into_iter().collect(),
            a2: Vec::new(),
            earlier: Vec::new(),
            flags: slice.flags.clone(),
        });
    }
    if let Some(first) = slices.first() {
        row.cpu = first.cpu.clone();
        row.histogram = Some(latency.encode());
    }
}

/// P95 of a slice in microseconds, if it has answers enough.
fn p95(slice: &CurvePoint) -> Option<f64> {
    let latency = Histogram::decode(&slice.histogram).ok()?;
    let p95 = latency.quantile(P).filter(|_| latency.supports(P))?;
    Some(p95.as_secs_f64() * 1e6)
}

/// What slices show of P95, each of them one observation.
fn seen(p95s: &[f64], rules: &Rules) -> Option<Seen> {
    let logs: Vec<f64> = p95s.iter().map(|it| it.ln()).collect();
    let seen = estimate(&logs, rules.confidence)?;
    Some(Seen {
        value: seen.middle.exp(),
        interval: seen.interval.map(|it| Interval {
            low: it.low.exp(),
            high: it.high.exp(),
        }),
        is_exact: false,
        blocks: p95s.len(),
        s: mad_s(&logs),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use ruleiq_bench::verdict::Outcome;
    use serde_json::json;

    use super::*;

    fn results() -> Vec<Row> {
        let row = json!({
            "component": "http", "case": "assessment", "metric": "latency_p95", "unit": "us",
            "better": "lower", "role": "goal", "confidence": 0.99, "verdict": "measured",
            "counts": {},
        });
        vec![serde_json::from_value(row).unwrap()]
    }

    /// A curve whose answers all took so long.
    fn curve(side: &str, ms: u64) -> Curve {
        let mut histogram = Histogram::new();
        for _ in 0..4_000 {
            histogram.record(Duration::from_millis(ms));
        }
        let point = |share: f64| {
            json!({
                "share": share, "offered": 1.0, "answered": 1.0, "counts": {}, "latency_us": {},
                "service_us": {}, "lag_us": {}, "histogram": histogram.encode(),
                "histogram_service": "", "cpu": {},
            })
        };
        let points = [0.25, 0.5, 0.7, 0.9, 1.2].map(point);
        let repeats = [0.7; 7].map(point);
        let curve = json!({
            "component": "http", "case": "assessment", "side": side, "ceiling": 1.0,
            "client_ceiling": 1.0, "points": points, "repeats": repeats,
        });
        serde_json::from_value(curve).unwrap()
    }

    fn outcome(curves: &[Curve]) -> Outcome {
        let rows = rows(&results(), curves, &Rules::full());
        assert_eq!(rows.len(), 1);
        Outcome::of(&rows)
    }

    #[test]
    fn the_target_is_judged_under_load() {
        let plain = || curve("plain", 900);
        assert_eq!(outcome(&[curve("ours", 5), plain()]), Outcome::Fine);
        assert_eq!(outcome(&[curve("ours", 300), plain()]), Outcome::Fine);
        assert_eq!(outcome(&[curve("ours", 700), plain()]), Outcome::Failed);
        let few = Curve {
            points: Vec::new(),
            ..curve("ours", 5)
        };
        assert_eq!(outcome(&[few]), Outcome::Undecided);
        let once = Curve {
            repeats: Vec::new(),
            ..curve("ours", 700)
        };
        assert_eq!(outcome(&[once]), Outcome::Undecided);
    }

    #[test]
    fn a_miss_that_may_be_the_clients_is_undecided() {
        let flagged = |ms| {
            let mut curve = curve("ours", ms);
            for point in curve.points.iter_mut().chain(&mut curve.repeats) {
                point.flags.push("the client was late".into());
            }
            curve
        };
        assert_eq!(outcome(&[flagged(700)]), Outcome::Undecided);
        assert_eq!(outcome(&[flagged(5)]), Outcome::Fine);
    }

    #[test]
    fn errors_and_wrong_answers_under_load_make_the_run_invalid() {
        let with = |at: usize, wrong: u64, errors: u64| {
            let (ours, mut plain) = (curve("ours", 5), curve("plain", 5));
            let counts = &mut plain.points[at].counts;
            counts.wrong = wrong;
            if errors > 0 {
                counts.errors.insert("status 500".into(), errors);
            }
            outcome(&[ours, plain])
        };
        assert_eq!(with(0, 0, 0), Outcome::Fine);
        assert_eq!(with(3, 0, 1), Outcome::Invalid);
        assert_eq!(with(4, 1, 0), Outcome::Invalid);
        // Beyond the ceiling, requests may fail.
        assert_eq!(with(4, 0, 1), Outcome::Fine);
    }

    #[test]
    fn curves_that_could_not_be_measured_make_the_run_invalid() {
        let row = not_measured(&results(), "wrong answer").unwrap();
        assert_eq!(Outcome::of(&[row]), Outcome::Invalid);
    }
}
