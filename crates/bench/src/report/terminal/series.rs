//! What was measured along an axis.

use std::collections::BTreeMap;

use super::{
    super::{
        Report,
        figure::{Figure, count, percent},
    },
    paper::{Paper, Part},
};

/// Latency under load.
pub(super) fn curves(paper: &mut Paper, report: &Report) {
    if report.curves.is_empty() {
        return;
    }
    paper.heading("Latency under load, from the scheduled moment");
    let mut rows = Vec::new();
    for curve in &report.curves {
        for point in &curve.points {
            let name = format!("{}/{} {}", curve.component, curve.case, curve.side);
            rows.push(vec![
                Part::from(name),
                percent(point.share).into(),
                rate(point.offered).into(),
                rate(point.answered).into(),
                named(&point.latency_us, "p50").into(),
                named(&point.latency_us, "p99").into(),
                named(&point.lag_us, "p99").into(),
            ]);
        }
    }
    let heads = [
        "case and side",
        ">of ceiling",
        ">offered/s",
        ">answered/s",
        ">P50",
        ">P99",
        ">lag P99",
    ];
    paper.table(&heads, rows);
    for curve in &report.curves {
        let knee = match curve.knee {
            Some(knee) => format!("its knee is at {} /s", rate(knee)),
            None => "no knee within what was offered".to_owned(),
        };
        paper.line(&format!(
            "{}/{} {}: ceiling {} /s, {knee}.",
            curve.component,
            curve.case,
            curve.side,
            rate(curve.ceiling)
        ));
        for point in curve.points.iter().filter(|it| !it.flags.is_empty()) {
            let text = format!("at {}: {}", percent(point.share), point.flags.join("; "));
            paper.note(&text);
        }
    }
}

/// Cost as something grows.
pub(super) fn growths(paper: &mut Paper, report: &Report) {
    for growth in &report.scale_study {
        paper.heading(&format!(
            "{}/{} as {} grow{}",
            growth.component,
            growth.case,
            growth.what,
            growth
                .exponent
                .map_or_else(String::new, |it| format!(": cost ∝ size^{it:.2}"))
        ));
        let row = |point: &super::super::GrowthPoint| {
            vec![
                Part::from(count(point.size)),
                Figure::plain("us", point.cpu.values().sum()).into(),
                named(&point.latency_us, "p50").into(),
                named(&point.latency_us, "p99").into(),
            ]
        };
        let rows = growth.points.iter().map(row).collect();
        let size = format!(">{}", growth.what);
        paper.table(&[&size, ">CPU/op", ">P50", ">P99"], rows);
        let bend = growth.bend.as_deref();
        paper.line(bend.unwrap_or("It bends nowhere within these sizes."));
    }
}

/// Instructions of hot paths.
pub(super) fn instructions(paper: &mut Paper, report: &Report) {
    if report.instructions.is_empty() {
        return;
    }
    paper.heading("Instructions");
    let row = |it: &super::super::Instructions| {
        vec![
            Part::from(it.name.as_str()),
            Figure::plain("count", it.per_op.round()).into(),
        ]
    };
    paper.table(
        &["hot path", ">per operation"],
        report.instructions.iter().map(row).collect(),
    );
}

fn named(figures: &BTreeMap<String, f64>, name: &str) -> String {
    let value = figures.get(name);
    value.map_or_else(|| "–".to_owned(), |it| Figure::plain("us", *it))
}

fn rate(value: f64) -> String {
    Figure::plain("count", value.round())
}
