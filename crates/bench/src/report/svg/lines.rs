//! Lines over two axes, as wide as a card of a page.

use std::fmt::Write;

use super::{Axis, at, escape};

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 350.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 190.0;

/// A line and its place in the legend.
#[derive(Debug)]
pub(in crate::report) struct Line {
    pub(in crate::report) name: String,
    /// Its colour and dashes: `ours`, `control`, `l0` to `l4`, with `dashed` or `dotted`.
    pub(in crate::report) class: &'static str,
    pub(in crate::report) points: Vec<(f64, f64)>,
    /// Whether each point has a dot.
    pub(in crate::report) has_dots: bool,
}

/// What is written on an axis at a figure.
pub(in crate::report) type Label = fn(f64) -> String;

/// Lines over two axes.
#[derive(Debug)]
pub(in crate::report) struct Chart {
    pub(in crate::report) title: String,
    pub(in crate::report) about: String,
    pub(in crate::report) x: (Axis, Label, &'static str),
    pub(in crate::report) y: (Axis, Label),
    pub(in crate::report) lines: Vec<Line>,
    /// Vertical marks, each with its class: the knee of a curve.
    pub(in crate::report) marks: Vec<(f64, &'static str, String)>,
}

impl Chart {
    /// A figure with its legend.
    pub(in crate::report) fn figure(&self) -> String {
        let mut legend = String::new();
        for line in &self.lines {
            write!(
                legend,
                r#"<li><svg class="key" width="26" height="10" aria-hidden="true"><line class="line {}" x1="1" x2="25" y1="5" y2="5"/></svg>{}</li>"#,
                line.class,
                escape(&line.name)
            )
            .ok();
        }
        for (_, class, name) in &self.marks {
            write!(
                legend,
                r#"<li><svg class="key" width="26" height="10" aria-hidden="true"><line class="{class}" x1="13" x2="13" y1="0" y2="10"/></svg>{}</li>"#,
                escape(name)
            )
            .ok();
        }
        format!(
            "<figure><figcaption>{}</figcaption>{}<ul class=\"legend\">{legend}</ul></figure>",
            escape(&self.title),
            self.svg()
        )
    }

    pub(in crate::report) fn svg(&self) -> String {
        let x = self.x.0.drawn(LEFT, RIGHT);
        let y = self.y.0.drawn(BOTTOM, TOP);
        let mut out = format!(
            r#"<svg class="chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}"><title>{}</title><desc>{}</desc>"#,
            escape(&self.title),
            escape(&self.about)
        );
        for tick in y.ticks(6) {
            let place = at(y.place(tick));
            let text = escape(&(self.y.1)(tick));
            write!(
                out,
                r#"<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{place}" y2="{place}"/><text x="{}" y="{place}" dy="4" text-anchor="end">{text}</text>"#,
                LEFT - 6.0
            )
            .ok();
        }
        for tick in x.ticks(6) {
            let place = x.place(tick);
            let anchor = if place > RIGHT - 14.0 {
                "end"
            } else {
                "middle"
            };
            let place = at(place);
            let text = escape(&(self.x.1)(tick));
            write!(
                out,
                r#"<line class="grid" x1="{place}" x2="{place}" y1="{TOP}" y2="{BOTTOM}"/><text x="{place}" y="{}" text-anchor="{anchor}">{text}</text>"#,
                BOTTOM + 15.0
            )
            .ok();
        }
        let middle = at(f64::midpoint(LEFT, RIGHT));
        write!(
            out,
            r#"<text class="axis" x="{middle}" y="{}" text-anchor="middle">{}</text>"#,
            HEIGHT - 6.0,
            escape(self.x.2)
        )
        .ok();
        for (value, class, _) in &self.marks {
            let place = at(x.place(*value));
            write!(
                out,
                r#"<line class="{class}" x1="{place}" x2="{place}" y1="{TOP}" y2="{BOTTOM}"/>"#
            )
            .ok();
        }
        for line in &self.lines {
            draw(&mut out, line, x, y);
        }
        out + "</svg>"
    }
}

fn draw(out: &mut String, line: &Line, x: Axis, y: Axis) {
    let places: Vec<(String, String)> = line
        .points
        .iter()
        .filter(|it| it.0.is_finite() && it.1.is_finite())
        .map(|it| (at(x.place(it.0)), at(y.place(it.1))))
        .collect();
    let points: Vec<String> = places.iter().map(|(x, y)| format!("{x},{y}")).collect();
    let class = line.class;
    write!(
        out,
        r#"<polyline class="line {class}" points="{}"/>"#,
        points.join(" ")
    )
    .ok();
    for (x, y) in places.iter().filter(|_| line.has_dots) {
        write!(
            out,
            r#"<circle class="dot {class}" cx="{x}" cy="{y}" r="2.6"/>"#
        )
        .ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_axes_a_title_and_its_lines() {
        let chart = Chart {
            title: "a & b".to_owned(),
            about: "for those who do not see it".to_owned(),
            x: (Axis::log_between(1.0, 100.0), |it| format!("{it}"), "size"),
            y: (Axis::from_zero([10.0].into_iter()), |it| format!("{it} µs")),
            lines: vec![Line {
                name: "<ours>".to_owned(),
                class: "ours",
                points: vec![(1.0, 2.0), (10.0, f64::NAN), (100.0, 10.0)],
                has_dots: true,
            }],
            marks: vec![(10.0, "knee", "the knee".to_owned())],
        };
        insta::assert_snapshot!(chart.figure().replace("><", ">\n<"));
    }
}
