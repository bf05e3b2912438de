//! Ratios with their intervals, bars and noise, row by row.

use std::fmt::Write;

use super::{
    summary::none,
    table::{badge, breakable, class},
    titled,
};
use crate::{
    TargetOf,
    report::{
        Report, Row,
        digest::by_case,
        figure::{Figure, ratio},
        svg::{Axis, Forest, escape, ratio_axis},
    },
};

const LEAD: &str = "Each ratio is ours over the control's, from slices that ran in turn; less than \
                    1 is cheaper. The line through a mark is its interval. The grey band is the \
                    control against itself: a difference inside it means nothing. The dashed line \
                    is the bar.";

pub(super) fn section(report: &Report) -> String {
    let rows: Vec<&Row> = by_case(report)
        .iter()
        .flat_map(|it| it.headline())
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let axis = ratio_axis(rows.iter().copied());
    let mut out = format!(
        "<table class=\"forests\" role=\"table\"><thead role=\"rowgroup\"><tr role=\"row\">\
         <th role=\"columnheader\" scope=\"col\">Case</th>\
         <th role=\"columnheader\" scope=\"col\" class=\"n\">Ours</th>\
         <th role=\"columnheader\" scope=\"col\" class=\"n\">Control</th>\
         <th role=\"columnheader\" scope=\"col\" class=\"plot\"><span class=\"hidden\">Ratio</span>{}</th>\
         <th role=\"columnheader\" scope=\"col\" class=\"n\">Ratio</th>\
         <th role=\"columnheader\" scope=\"col\" class=\"n\">Bar</th>\
         <th role=\"columnheader\" scope=\"col\">Verdict</th></tr></thead>\n",
        Forest::head(axis)
    );
    let mut component = "";
    for row in rows {
        if row.component != component {
            component = &row.component;
            writeln!(
                out,
                "<tbody role=\"rowgroup\"><tr role=\"row\" class=\"group\"><th role=\"rowheader\" scope=\"rowgroup\" colspan=\"7\">{}</th></tr></tbody>",
                escape(component)
            )
            .ok();
        }
        out += &line(row, axis);
    }
    out += "</table>\n";
    titled("verdicts", "Ratios", LEAD, &out)
}

fn line(row: &Row, axis: Axis) -> String {
    let name = row.name();
    let name = name.split_once('/').map_or(name.as_str(), |it| it.1);
    let control = row.control.as_ref().map_or_else(none, |it| {
        let value = it
            .value
            .map_or_else(none, |it| Figure::plain(&row.unit, it));
        format!(
            "{} <small>{} {}</small>",
            escape(&value),
            escape(&it.name),
            escape(&it.version)
        )
    });
    let (shown, between) = match row.ratio {
        Some(value) => ratio(value, row.ratio_ci_low.zip(row.ratio_ci_high)),
        None => (none(), None),
    };
    let between = between.map_or_else(String::new, |it| format!(" <small>{it}</small>"));
    let reasons = match row.reasons.is_empty() {
        true => String::new(),
        false => format!("<small>{}</small>", escape(&row.reasons.join("; "))),
    };
    let ours = row.figure().map_or_else(none, |it| it.to_string());
    format!(
        "<tbody role=\"rowgroup\"><tr role=\"row\"><th role=\"rowheader\" scope=\"row\">{} <small>{}</small></th>\
         <td role=\"cell\" class=\"n ours\">{}</td><td role=\"cell\" class=\"n control\">{control}</td>\
         <td role=\"cell\" class=\"plot\">{}</td><td role=\"cell\" class=\"n ratio\">{shown}{between}</td>\
         <td role=\"cell\" class=\"n bar\">{}</td><td role=\"cell\" class=\"verdict\">{} {reasons}</td></tr></tbody>\n",
        breakable(name),
        escape(&row.metric_word()),
        escape(&ours),
        picture(row, axis),
        escape(&row.target_word().unwrap_or_else(none)),
        verdict(row),
    )
}

/// The reasons stand beside it, and say how many more blocks it needs.
fn verdict(row: &Row) -> String {
    if row.baseline.is_none() {
        let word = format!("{} {}", row.verdict.sign(), row.verdict.word());
        return badge(row.verdict, &word);
    }
    let (words, tone) = row.bar_words();
    format!(
        "<span class=\"badge {}\">{}</span>",
        class(tone),
        escape(&words)
    )
}

fn picture(row: &Row, axis: Axis) -> String {
    let Some(value) = row.ratio.filter(|it| *it > 0.0) else {
        return "<span class=\"missing\">no ratio</span>".to_owned();
    };
    let target = row.target.as_ref().filter(|it| it.of == TargetOf::Ratio);
    let interval = row.ratio_ci_low.zip(row.ratio_ci_high);
    let (shown, between) = ratio(value, interval);
    Forest {
        ratio: value,
        interval,
        floor: row.aa_floor,
        target: target.map(|it| it.value),
        class: class(row.bar_words().1),
        title: format!("{}: {shown} {}", row.name(), between.unwrap_or_default()),
    }
    .svg(axis)
}
