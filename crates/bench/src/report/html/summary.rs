//! The head of a page, and the guide's tables.

use std::fmt::Write;

use super::{
    table::{Table, badge, breakable, class},
    titled,
};
use crate::report::{
    Report, Row, Verdict,
    digest::{by_case, compared, disturbed, is_guide, median_mde, verdicts, worst},
    figure::{Figure, duration, percent, ratio},
    svg::escape,
};

/// What was run, and how it went.
pub(super) fn section(report: &Report) -> String {
    let length = if report.quick {
        "quick run"
    } else {
        "full run"
    };
    let mut out = format!(
        "<header>\n<h1>Benchmarks</h1>\n<p class=\"lead\">{} · {length} · {} · {}</p>\n",
        escape(report.kind.word()),
        escape(&report.started_words()),
        duration(report.duration_s)
    );
    out += "<ul class=\"counts\">";
    for (verdict, count) in verdicts(report) {
        write!(
            out,
            "<li class=\"{}\"><b>{count}</b> {} {}</li>",
            class(verdict.tone()),
            verdict.sign(),
            verdict.word()
        )
        .ok();
    }
    out += "</ul>\n<dl class=\"facts\">\n";
    for (name, text) in facts(report) {
        writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&text)).ok();
    }
    out += "</dl>\n";
    out + &notes(report) + "</header>\n"
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let noise = &report.noise;
    let mut text = format!(
        "control against itself: s {}, floor {}",
        percent(noise.aa_s),
        percent(noise.aa_floor)
    );
    if let Some(mde) = median_mde(report) {
        text += &format!("; sees {} in 9 of 10 runs", percent(mde));
    }
    let (cases, disturbed) = disturbed(report);
    if disturbed > 0 {
        text +=
            &format!("; half of the blocks or more were disturbed in {disturbed} of {cases} cases");
    }
    let servers = Some(report.server_words()).filter(|it| !it.is_empty());
    let scale = Some(report.scale_words()).filter(|_| !report.scale.name.is_empty());
    let all = [
        ("Host", Some(report.host_words())),
        ("Revision", Some(report.revision_words())),
        ("Servers", servers),
        ("Data", scale),
        ("Noise", Some(text).filter(|_| !report.results.is_empty())),
    ];
    all.into_iter()
        .filter_map(|(name, text)| Some((name, text?)))
        .collect()
}

fn notes(report: &Report) -> String {
    let mut notes: Vec<&str> = Vec::new();
    if report.partial {
        notes.push("The run was ended before its end: what is missing was not measured.");
    }
    if report.quick {
        notes.push("A quick run claims nothing finer than 15 %.");
    }
    if !report.noise.mde_10pct_ok && !report.results.is_empty() {
        notes.push("The run was too noisy to see a difference of 10 %.");
    }
    notes.extend(report.warnings.iter().map(String::as_str));
    if notes.is_empty() {
        return String::new();
    }
    let items = notes.iter().map(|it| format!("<li>{}</li>", escape(it)));
    format!("<ul class=\"notes\">{}</ul>\n", items.collect::<String>())
}

/// How this state does against an earlier one.
pub(super) fn earlier(report: &Report) -> String {
    let rows = compared(report);
    if rows.is_empty() {
        return String::new();
    }
    let heads = ["Case", ">Now", ">Now/then", ">99 %", "Verdict"];
    let mut table = Table::new("", "", &heads);
    for row in rows {
        let Some(then) = &row.baseline else { continue };
        let (value, between) = ratio(then.ratio, Some((then.ci_low, then.ci_high)));
        table.row(&[
            format!(
                "{} <small>{}</small>",
                breakable(&row.name()),
                escape(&row.metric_word())
            ),
            row.figure().map_or_else(none, |it| escape(&it.to_string())),
            value,
            between.unwrap_or_default(),
            badge(row.verdict, &row.verdict_words()),
        ]);
    }
    titled(
        "earlier",
        "Now against the earlier state",
        "Less than 1 is cheaper now. A change needs a second look, an interval without 1, and more \
         than the noise.",
        &table.end(),
    )
}

/// The guide's table of targets, its summary of latencies, and the five worst.
pub(super) fn targets(report: &Report) -> String {
    let body = guide(report);
    let targets = titled(
        "targets",
        "Targets",
        "P95 of what users wait for, against the bounds of the guide.",
        &body,
    );
    let worst = titled("worst", "The five worst", "", &worst_five(report));
    let latencies = titled(
        "latency",
        "Latency and throughput",
        "Wall time depends on what else the machine did. It is shown, and judges no code.",
        &summaries(report),
    );
    format!("<div class=\"pair\">{worst}{targets}</div>{latencies}")
}

fn guide(report: &Report) -> String {
    let rows: Vec<&Row> = report.results.iter().filter(|it| is_guide(it)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let heads = ["Operation", ">Target", ">Critical", ">Measured", "Verdict"];
    let mut table = Table::new("", "", &heads);
    for row in rows {
        let Some(target) = &row.target else { continue };
        let show = |value: f64| escape(&Figure::plain(&row.unit, value));
        let verdict = match row.verdict {
            Verdict::Invalid => badge(row.verdict, &row.verdict_words()),
            _ => format!(
                "<span class=\"badge {}\">{}</span>",
                class(target.verdict.tone()),
                target.verdict.word()
            ),
        };
        table.row(&[
            breakable(&row.name()),
            show(target.value),
            target.critical_value.map_or_else(none, show),
            row.figure().map_or_else(none, |it| escape(&it.to_string())),
            verdict,
        ]);
    }
    table.end()
}

fn summaries(report: &Report) -> String {
    let heads = [
        "Case",
        ">Mean",
        ">Median",
        ">P95",
        ">P99",
        ">Max",
        ">Per second",
    ];
    let mut table = Table::new("", "", &heads);
    let mut is_empty = true;
    for case in by_case(report) {
        let Some(summary) = case.rows.iter().find_map(|it| it.summary.as_ref()) else {
            continue;
        };
        is_empty = false;
        let us = |value: f64| escape(&Figure::plain("us", value));
        table.row(&[
            breakable(&case.name),
            us(summary.mean_us),
            us(summary.median_us),
            summary.p95_us.map_or_else(none, us),
            summary.p99_us.map_or_else(none, us),
            us(summary.max_us),
            Figure::plain("count", summary.throughput.round()),
        ]);
    }
    if is_empty { String::new() } else { table.end() }
}

fn worst_five(report: &Report) -> String {
    let mut out = String::new();
    for it in worst(report) {
        let (how, tone) = match it.beyond > 0.0 {
            true => (format!("{} beyond {}", percent(it.beyond), it.what), "bad"),
            false => (
                format!("{} within {}", percent(it.beyond.abs()), it.what),
                "plain",
            ),
        };
        writeln!(
            out,
            "<li><span>{} <small>{}</small></span> <b class=\"{tone}\">{how}</b></li>",
            breakable(&it.row.name()),
            escape(&it.row.metric_word())
        )
        .ok();
    }
    if !out.is_empty() {
        out = format!("<ol class=\"worst\">\n{out}</ol>\n");
    }
    out
}

pub(super) fn none() -> String {
    "–".to_owned()
}
