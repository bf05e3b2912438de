//! Latency by percentile and under load, and cost as something grows.

use std::collections::BTreeMap;

use super::{
    table::{Table, breakable},
    titled,
};
use crate::{
    Histogram,
    report::{
        Curve, Growth, Report,
        digest::by_case,
        figure::{Figure, count, fixed, percent},
        svg::{Axis, Chart, Label, Line, escape},
    },
};

const SHARES: [&str; 5] = ["l0", "l1", "l2", "l3", "l4"];

fn us(value: f64) -> String {
    Figure::new("us", (value * 1e6).round() / 1e6, None).to_string()
}

/// 1/(1 − q) as a percentile.
fn percentile(beyond: f64) -> String {
    let nines = (1.0 - 1.0 / beyond) * 100.0;
    let decimals = if beyond < 500.0 {
        0
    } else {
        1 + usize::from(beyond > 5_000.0)
    };
    format!("{} %", fixed(nines, decimals))
}

/// Each percentile up to the one that a single value lies beyond, as (1/(1 − q), µs).
fn by_percentile(histogram: &Histogram) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    #[expect(clippy::cast_precision_loss, reason = "a count of operations")]
    let most = histogram.len() as f64;
    for step in 0..=60 {
        let beyond = 10_f64.powf(f64::from(step) / 10.0);
        if beyond > most.max(1.0) {
            break;
        }
        if let Some(value) = histogram.quantile(1.0 - 1.0 / beyond) {
            points.push((beyond, value.as_secs_f64() * 1e6));
        }
    }
    points
}

fn line(name: &str, class: &'static str, text: Option<&String>) -> Option<Line> {
    let histogram = Histogram::decode(text?).ok()?;
    let points = by_percentile(&histogram);
    (points.len() > 1).then(|| Line {
        name: name.to_owned(),
        class,
        points,
        has_dots: false,
    })
}

fn percentile_chart(title: String, lines: Vec<Line>) -> Option<String> {
    if lines.is_empty() {
        return None;
    }
    let all = || lines.iter().flat_map(|it| it.points.iter());
    let last = all().map(|it| it.0).fold(100.0, f64::max);
    let values: Vec<f64> = all().map(|it| it.1).collect();
    let chart = Chart {
        about: "Latency by percentile; both axes are logarithms.".to_owned(),
        title,
        x: (
            Axis::log_between(1.0, last),
            percentile as Label,
            "percentile",
        ),
        y: (Axis::log(values.into_iter(), 0.06), us),
        lines,
        marks: Vec::new(),
    };
    Some(chart.figure())
}

/// One picture per case, and one per curve with both its histograms.
pub(super) fn percentiles(report: &Report) -> String {
    let mut out: Vec<String> = by_case(report)
        .iter()
        .filter_map(|case| {
            let row = case.first(|it| it.histogram.is_some())?;
            let control = row.control.as_ref().map_or("control", |it| &it.name);
            let lines = [
                line("ours", "ours", row.histogram.as_ref()),
                line(control, "control dashed", row.control_histogram.as_ref()),
            ];
            percentile_chart(case.name.clone(), lines.into_iter().flatten().collect())
        })
        .collect();
    out.extend(report.curves.iter().filter_map(curve_percentiles));
    let lead = "The further right, the rarer: 99 % is one in a hundred. Percentiles come from \
                merged histograms and are never averaged; the last stretch stands on few values.";
    titled("percentiles", "Latency by percentile", lead, &cards(&out))
}

fn curve_percentiles(curve: &Curve) -> Option<String> {
    let shares = curve.points.iter().zip(SHARES);
    let mut lines: Vec<Line> = shares
        .filter_map(|(point, class)| {
            let name = format!("at {}, from the schedule", percent(point.share));
            line(&name, class, Some(&point.histogram))
        })
        .collect();
    if let Some(point) = curve.points.last() {
        let name = format!("at {}, from sending", percent(point.share));
        lines.extend(line(
            &name,
            "control dotted",
            Some(&point.histogram_service),
        ));
    }
    percentile_chart(
        format!("{}/{}, {}", curve.component, curve.case, curve.side),
        lines,
    )
}

fn cards(figures: &[String]) -> String {
    match figures.is_empty() {
        true => String::new(),
        false => format!("<div class=\"cards\">\n{}</div>\n", figures.join("\n")),
    }
}

/// Latency against offered rate, all sides of a case in one picture.
pub(super) fn curves(report: &Report) -> String {
    let mut cases: Vec<(String, Vec<&Curve>)> = Vec::new();
    for curve in &report.curves {
        let name = format!("{}/{}", curve.component, curve.case);
        match cases.iter_mut().find(|it| it.0 == name) {
            Some(case) => case.1.push(curve),
            None => cases.push((name, vec![curve])),
        }
    }
    let body: Vec<String> = cases
        .iter()
        .map(|(name, curves)| {
            format!(
                "<div class=\"beside\">{}{}</div>",
                curve_chart(name, curves).figure(),
                curve_table(name, curves)
            )
        })
        .collect();
    let lead = "Requests begin when the schedule says so, whether or not earlier ones have been \
                answered; those that were never answered count. The knee is the highest rate at \
                which P99 stays within its bound and nothing fails.";
    titled("curves", "Latency under load", lead, &body.concat())
}

fn curve_chart(name: &str, curves: &[&Curve]) -> Chart {
    let mut lines = Vec::new();
    let mut marks = Vec::new();
    let styles = [
        ("ours", "ours dotted", "knee ours"),
        ("control", "control dotted", "knee control"),
    ];
    for (curve, style) in curves.iter().zip(styles) {
        for (percentile, class) in [("p99", style.0), ("p50", style.1)] {
            let points = curve.points.iter().filter_map(|it| {
                let latency = it.latency_us.get(percentile)?;
                Some((it.offered, *latency))
            });
            lines.push(Line {
                name: format!("{}, {}", curve.side, percentile.to_uppercase()),
                class,
                points: points.collect(),
                has_dots: true,
            });
        }
        if let Some(knee) = curve.knee {
            marks.push((knee, style.2, format!("knee of {}", curve.side)));
        }
    }
    let all = || lines.iter().flat_map(|it| it.points.iter());
    let ends: Vec<f64> = all()
        .map(|it| it.0)
        .chain(marks.iter().map(|it| it.0))
        .collect();
    let values: Vec<f64> = all().map(|it| it.1).collect();
    Chart {
        title: name.to_owned(),
        about: "Latency over the offered rate; latency is on a logarithm.".to_owned(),
        x: (
            Axis::from_zero(ends.into_iter()),
            |it| fixed(it, 0),
            "requests per second, offered",
        ),
        y: (Axis::log(values.into_iter(), 0.06), us),
        lines,
        marks,
    }
}

fn curve_table(name: &str, curves: &[&Curve]) -> String {
    let heads = [
        "Side",
        ">Of ceiling",
        ">Offered",
        ">Answered",
        ">P50",
        ">P99",
        ">P99 from sending",
        ">Lag P99",
        ">CPU",
        "Flags",
    ];
    let mut table = Table::new("", &format!("{name}, requests per second"), &heads);
    let named = |figures: &BTreeMap<String, f64>, name: &str| {
        figures
            .get(name)
            .map_or_else(super::summary::none, |it| us(*it))
    };
    for curve in curves {
        for point in &curve.points {
            table.row(&[
                breakable(&curve.side),
                percent(point.share),
                fixed(point.offered, 0),
                fixed(point.answered, 0),
                named(&point.latency_us, "p50"),
                named(&point.latency_us, "p99"),
                named(&point.service_us, "p99"),
                named(&point.lag_us, "p99"),
                Figure::plain("us", point.cpu.values().sum()),
                format!("<small>{}</small>", escape(&point.flags.join("; "))),
            ]);
        }
    }
    table.end()
}

/// Cost over size.
pub(super) fn growths(report: &Report) -> String {
    let body: Vec<String> = report
        .scale_study
        .iter()
        .map(|it| {
            format!(
                "<div class=\"beside\">{}<div>{}<p>{}</p></div></div>",
                growth_chart(it).figure(),
                growth_table(it),
                escape(
                    it.bend
                        .as_deref()
                        .unwrap_or("It bends nowhere within these sizes.")
                )
            )
        })
        .collect();
    let lead = "Cost as data, connections or keys grow; both axes are logarithms, so that a \
                straight line is a power of the size.";
    titled("scale", "Scale study", lead, &body.concat())
}

fn growth_chart(growth: &Growth) -> Chart {
    let points = |of: &dyn Fn(&crate::report::GrowthPoint) -> Option<f64>| {
        let all = growth.points.iter();
        #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
        let placed = all.filter_map(|it| Some((it.size as f64, of(it)?)));
        placed.collect::<Vec<_>>()
    };
    let mut lines = vec![Line {
        name: "CPU per operation".to_owned(),
        class: "ours",
        points: points(&|it| Some(it.cpu.values().sum())),
        has_dots: true,
    }];
    for (name, class) in [("p50", "control dotted"), ("p99", "control dashed")] {
        lines.push(Line {
            name: format!("latency, {}", name.to_uppercase()),
            class,
            points: points(&|it| it.latency_us.get(name).copied()),
            has_dots: true,
        });
    }
    lines.retain(|it| !it.points.is_empty());
    let all = || lines.iter().flat_map(|it| it.points.iter());
    let sizes: Vec<f64> = all().map(|it| it.0).collect();
    let values: Vec<f64> = all().map(|it| it.1).collect();
    Chart {
        title: format!(
            "{}/{}: cost{}",
            growth.component,
            growth.case,
            growth.exponent.map_or_else(
                || format!(" by {}", growth.what),
                |it| format!(" ∝ {}^{it:.2}", growth.what)
            )
        ),
        about: "Cost over size; both axes are logarithms.".to_owned(),
        x: (
            Axis::log(sizes.into_iter(), 0.03),
            |it| fixed(it, 0),
            "size",
        ),
        y: (Axis::log(values.into_iter(), 0.06), us),
        lines,
        marks: Vec::new(),
    }
}

fn growth_table(growth: &Growth) -> String {
    let size = format!(">{}", growth.what);
    let mut table = Table::new(
        "",
        "",
        &[&size, ">CPU/op", ">P50", ">P99", "What explains it"],
    );
    for point in &growth.points {
        let named = |name: &str| {
            let value = point.latency_us.get(name);
            value.map_or_else(super::summary::none, |it| us(*it))
        };
        let why: Vec<String> = point
            .figures
            .iter()
            .map(|(name, value)| {
                let value = Figure::plain("count", *value);
                format!("{} {value}", name.replace('_', " "))
            })
            .collect();
        table.row(&[
            count(point.size),
            Figure::plain("us", point.cpu.values().sum()),
            named("p50"),
            named("p99"),
            format!("<small>{}</small>", escape(&why.join(", "))),
        ]);
    }
    table.end()
}
