//! Every case with all its rows, its blocks and its settings.

use std::fmt::Write;

use super::{
    summary::none,
    table::{Table, badge, breakable, class},
    titled,
};
use crate::report::{
    Report, Row,
    digest::{CaseRows, by_case},
    figure::{Figure, count, percent, ratio},
    svg::{escape, strip},
    wording::Tone,
};

const LEAD: &str = "All metrics of each case, its blocks in the order in which they ran (large: ours \
                    over the control, small: the control over itself, shaded: disturbed), its counts \
                    and the settings of both sides.";

pub(super) fn section(report: &Report) -> String {
    let body: String = by_case(report).iter().map(case).collect();
    titled("cases", "Every case", LEAD, &body)
}

fn case(case: &CaseRows<'_>) -> String {
    let gravest = crate::report::Verdict::ALL
        .into_iter()
        .find(|it| case.rows.iter().any(|row| row.verdict == *it));
    let (word, tone) = gravest.map_or(("", Tone::Plain), |it| (it.word(), it.tone()));
    let mut out = format!(
        "<details><summary>{} <span class=\"badge {}\">{word}</span></summary>\n",
        breakable(&case.name),
        class(tone)
    );
    if let Some(row) = case.rows.first() {
        writeln!(out, "<p>{}</p>", escape(&row.about)).ok();
    }
    out += &rows(case);
    if let Some(row) = case.first(|it| strip(it).is_some()) {
        out += &strip(row).unwrap_or_default();
    }
    for row in case.rows.iter().filter(|it| !it.reasons.is_empty()) {
        let reasons = row.reasons.join("; ");
        writeln!(
            out,
            "<p><b>{}</b>: {}</p>",
            escape(&row.metric_word()),
            escape(&reasons)
        )
        .ok();
    }
    if let Some(row) = case.rows.first() {
        out += &counts(row);
        if !row.settings.is_null() {
            let settings = serde_json::to_string_pretty(&row.settings).unwrap_or_default();
            writeln!(out, "<pre>{}</pre>", escape(&settings)).ok();
        }
    }
    out + "</details>\n"
}

fn rows(case: &CaseRows<'_>) -> String {
    let heads = [
        "Metric",
        ">Ours",
        "Control",
        ">Control's",
        ">Ratio",
        ">Noise",
        ">Sees",
        ">Earlier",
        ">Bar",
        "Verdict",
    ];
    let mut table = Table::new("", "", &heads);
    for row in &case.rows {
        let control = row.control.as_ref();
        let name = control.map_or_else(none, |it| format!("{} {}", it.name, it.version));
        let value = control.and_then(|it| it.value);
        let earlier = row.baseline.as_ref().map_or_else(none, |it| {
            let (value, between) = ratio(it.ratio, Some((it.ci_low, it.ci_high)));
            format!("{value} {}", between.unwrap_or_default())
        });
        table.row(&[
            escape(&row.metric_word()),
            row.figure().map_or_else(none, |it| escape(&it.to_string())),
            escape(&name),
            value.map_or_else(none, |it| escape(&Figure::plain(&row.unit, it))),
            row.ratio.map_or_else(none, |it| {
                let (value, between) = ratio(it, row.ratio_ci_low.zip(row.ratio_ci_high));
                format!("{value} {}", between.unwrap_or_default())
            }),
            row.aa_floor
                .map_or_else(none, |it| format!("± {}", percent(it))),
            row.mde.map_or_else(none, percent),
            earlier,
            escape(&row.target_word().unwrap_or_else(none)),
            badge(row.verdict, &row.verdict_words()),
        ]);
    }
    table.end()
}

fn counts(row: &Row) -> String {
    let counts = &row.counts;
    let mut parts = vec![format!("{} operations", count(counts.ops))];
    let named = [
        ("wrong", counts.wrong),
        ("late", counts.late),
        ("never begun", counts.skipped),
        ("unfinished", counts.censored),
        ("out of range", counts.out_of_range),
    ];
    let seen = named.into_iter().filter(|it| it.1 > 0);
    parts.extend(seen.map(|(name, many)| format!("{} {name}", count(many))));
    let errors = counts.errors.iter();
    parts.extend(errors.map(|(name, many)| format!("{} × {name}", count(*many))));
    for (name, value) in &row.figures {
        parts.push(format!("{} {value}", name.replace('_', " ")));
    }
    format!("<p>{}</p>\n", escape(&parts.join(", ")))
}
