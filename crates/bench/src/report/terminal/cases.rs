//! The rows of a report.

use super::{
    super::{
        Report, Row, Summary, Verdict,
        digest::{by_case, compared, is_guide},
        figure::{Figure, ratio},
    },
    paper::{INTERVAL, Paper, Part},
};
use crate::TargetOf;

/// Columns that a table of all figures needs; then of all but the control's.
const WIDE: u16 = 140;
const MEDIUM: u16 = 100;

/// One row per case that was compared with an earlier state, and for what else changed.
pub(super) fn earlier(paper: &mut Paper, report: &Report) {
    let rows = compared(report);
    let rows: Vec<Vec<Part>> = rows.into_iter().filter_map(earlier_row).collect();
    if rows.is_empty() {
        return;
    }
    paper.heading(
        "Now against the earlier state, by CPU per operation where no other metric is named",
    );
    paper.table(&["case", ">now", ">now/then", INTERVAL, "verdict"], rows);
}

fn earlier_row(row: &Row) -> Option<Vec<Part>> {
    let then = row.baseline.as_ref()?;
    let (value, between) = ratio(then.ratio, Some((then.ci_low, then.ci_high)));
    Some(vec![
        named(row).into(),
        ours(row).into(),
        value.into(),
        between.unwrap_or_default().into(),
        Part::toned(row.verdict_words(), row.verdict.tone()),
    ])
}

/// One row per case and judged metric.
pub(super) fn rows(paper: &mut Paper, report: &Report) {
    let rows: Vec<&Row> = by_case(report)
        .iter()
        .flat_map(|it| it.headline())
        .collect();
    if rows.is_empty() {
        return;
    }
    paper.heading("Ours over the control, by CPU per operation where no other metric is named");
    match paper.width() {
        WIDE.. => paper.table(
            &[
                "case", ">ours", ">control", "", ">ratio", INTERVAL, ">target", "verdict",
            ],
            rows.iter().map(|it| wide(it)).collect(),
        ),
        MEDIUM.. => paper.table(
            &["case", ">ours", ">ratio", INTERVAL, ">target", "verdict"],
            rows.iter().map(|it| medium(it)).collect(),
        ),
        _ => rows.iter().for_each(|it| narrow(paper, it)),
    }
    if paper.width() < WIDE {
        controls(paper, &rows);
    }
}

/// What the ratios are over, where a table has no room for it.
fn controls(paper: &mut Paper, rows: &[&Row]) {
    let mut names: Vec<String> = Vec::new();
    for control in rows.iter().filter_map(|it| it.control.as_ref()) {
        let name = format!("{} {}", control.name, control.version);
        let name = name.trim_end_matches(" -").to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if !names.is_empty() {
        paper.line(&format!("Controls: {}.", names.join(" · ")));
    }
}

fn wide(row: &Row) -> Vec<Part> {
    let mut cells = medium(row);
    let control = row.control.as_ref();
    let value = control.and_then(|it| it.value);
    let value = value.map_or_else(none, |it| Figure::plain(&row.unit, it));
    let name = control.map_or_else(String::new, |it| format!("{} {}", it.name, it.version));
    cells.splice(2..2, [value.into(), name.into()]);
    cells
}

fn medium(row: &Row) -> Vec<Part> {
    let (ratio, between) = ratio_of(row);
    let (words, tone) = row.bar_words();
    vec![
        named(row).into(),
        ours(row).into(),
        ratio.into(),
        between.into(),
        row.target_word().unwrap_or_else(none).into(),
        Part::toned(words, tone),
    ]
}

/// The case, and the metric if it is another than the usual one.
fn named(row: &Row) -> String {
    match row.metric.as_str() {
        "cpu_per_op" => row.name(),
        _ => format!("{} {}", row.name(), row.metric_word()),
    }
}

/// Two lines without a table.
fn narrow(paper: &mut Paper, row: &Row) {
    let name = format!("{} {}", row.name(), row.metric_word());
    paper.item(row.verdict.sign(), &name, row.verdict.tone());
    let (ratio, between) = ratio_of(row);
    let mut parts = vec![ours(row)];
    if row.ratio.is_some() {
        parts.push(format!("× {ratio} {between}").trim_end().to_owned());
    }
    parts.extend(row.target_word());
    parts.push(row.bar_words().0);
    paper.line(&format!("  {}", parts.join("  ")));
}

fn ours(row: &Row) -> String {
    row.figure().map_or_else(none, |it| it.to_string())
}

fn ratio_of(row: &Row) -> (String, String) {
    let interval = row.ratio_ci_low.zip(row.ratio_ci_high);
    let Some(value) = row.ratio else {
        return (none(), String::new());
    };
    let (value, between) = ratio(value, interval);
    (value, between.unwrap_or_default())
}

fn none() -> String {
    "–".to_owned()
}

/// What keeps rows from being read.
pub(super) fn why(paper: &mut Paper, report: &Report) {
    let unclear = |row: &&Row| {
        let verdicts = [
            Verdict::Invalid,
            Verdict::Critical,
            Verdict::Regressed,
            Verdict::Missed,
            Verdict::NoControl,
            Verdict::Inconclusive,
        ];
        verdicts.contains(&row.verdict) && !row.reasons.is_empty()
    };
    let rows: Vec<&Row> = report.results.iter().filter(unclear).collect();
    if !rows.is_empty() {
        paper.heading("Why");
    }
    for row in rows {
        let text = format!(
            "{} {}: {}",
            row.name(),
            row.metric_word(),
            row.reasons.join("; ")
        );
        paper.item(row.verdict.sign(), &text, row.verdict.tone());
    }
}

/// The guide's table of targets.
pub(super) fn guide(paper: &mut Paper, report: &Report) {
    let rows: Vec<Vec<Part>> = report
        .results
        .iter()
        .filter(|it| is_guide(it))
        .filter_map(guide_row)
        .collect();
    if rows.is_empty() {
        return;
    }
    paper.heading("Targets");
    paper.table(
        &[
            "operation",
            ">target P95",
            ">critical",
            ">measured",
            "verdict",
        ],
        rows,
    );
}

fn guide_row(row: &Row) -> Option<Vec<Part>> {
    let target = row.target.as_ref().filter(|it| it.of == TargetOf::Value)?;
    let show = |value: f64| Figure::plain(&row.unit, value);
    let verdict = match row.verdict {
        Verdict::Invalid => Part::toned(row.verdict_words(), row.verdict.tone()),
        _ => Part::toned(target.verdict.word(), target.verdict.tone()),
    };
    Some(vec![
        row.name().into(),
        show(target.value).into(),
        target.critical_value.map_or_else(none, show).into(),
        ours(row).into(),
        verdict,
    ])
}

/// The guide's summary of latencies.
pub(super) fn summaries(paper: &mut Paper, report: &Report) {
    let rows: Vec<Vec<Part>> = by_case(report)
        .iter()
        .filter_map(|case| {
            let summary = case.rows.iter().find_map(|it| it.summary.as_ref())?;
            Some(summary_row(&case.name, summary))
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    paper.heading("Latency and throughput (shown, and never judged against a control)");
    paper.table(
        &["case", ">mean", ">median", ">P95", ">P99", ">max", ">per s"],
        rows,
    );
}

fn summary_row(name: &str, summary: &Summary) -> Vec<Part> {
    let us = |value: f64| Figure::plain("us", value);
    vec![
        name.into(),
        us(summary.mean_us).into(),
        us(summary.median_us).into(),
        summary.p95_us.map_or_else(none, us).into(),
        summary.p99_us.map_or_else(none, us).into(),
        us(summary.max_us).into(),
        Figure::plain("count", summary.throughput.round()).into(),
    ]
}
