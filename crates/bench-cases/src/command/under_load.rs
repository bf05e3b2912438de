//! What curves come to: whether they may be read, and how answers under load meet their target.
//!
//! The target is judged where the load does not wait for the server: a closed loop sends nothing
//! while the server stands still, and shows one slow answer per connection.

use ruleiq_bench::{
    Histogram, Target,
    report::{Curve, CurvePoint, Report, Round, Row, RowRole, RowTarget, TargetVerdict, Verdict},
    stats::Interval,
    verdict::{Rules, Seen, judge_target},
};

const COMPONENT: &str = "http";
const METRIC: &str = "latency_p95";
/// The share of the ceiling at which the target is judged.
const SHARE: f64 = 0.7;
/// Up to this share of the ceiling, nothing may fail.
const SOUND: f64 = 0.9;
/// Microseconds.
const BOUND: f64 = 200_000.0;
const CRITICAL: f64 = 500_000.0;
const P: f64 = 0.95;
/// Standard deviations on either side, for a confidence of 99 %.
const WIDTH: f64 = 2.576;

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
    curve.points.iter().filter_map(fault).collect()
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
    let point = curve
        .points
        .iter()
        .find(|it| (it.share - SHARE).abs() < 1e-6);
    let seen = point.and_then(|it| p95(&Histogram::decode(&it.histogram).ok()?));
    let (verdict, why) = judge_target(&target, seen, false, rules);
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
        "open loop at {:.0} % of the ceiling, from the scheduled moment to the answer; the \
         interval is that of one slice's requests",
        SHARE * 100.0
    ));
    row.reasons.extend(why);
    let Some(point) = point else { return };
    row.reasons.extend(point.flags.iter().cloned());
    row.counts = point.counts.clone();
    row.cpu = point.cpu.clone();
    row.histogram = Some(point.histogram.clone());
    row.rounds = vec![Round {
        block: 1,
        stage: 1,
        order: "B".to_owned(),
        a: Vec::new(),
        b: row.value.into_iter().collect(),
        a2: Vec::new(),
        earlier: Vec::new(),
        flags: point.flags.clone(),
    }];
}

/// P95 in microseconds between two of the latencies by their ranks, if there are enough.
fn p95(latency: &Histogram) -> Option<Seen> {
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let n = latency.len() as f64;
    let half = WIDTH * (P * (1.0 - P) / n).sqrt();
    let us = |q: f64| Some(latency.quantile(q.min(1.0))?.as_secs_f64() * 1e6);
    let (low, value, high) = (us(P - half)?, us(P)?, us(P + half)?);
    Some(Seen {
        value,
        interval: latency.supports(P).then_some(Interval { low, high }),
        is_exact: false,
        blocks: 1,
        s: None,
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
        let curve = json!({
            "component": "http", "case": "assessment", "side": side, "ceiling": 1.0,
            "client_ceiling": 1.0, "points": points,
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
