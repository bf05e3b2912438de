//! A case block by block: ours against the control, and the control against itself, as points.

use std::fmt::Write;

use super::{Axis, at, escape};
use crate::report::{Row, figure::ratio};

const TOP: f64 = 8.0;
const BOTTOM: f64 = 112.0;
const HEIGHT: f64 = 132.0;
/// Where points begin and end, in percent.
const LEFT: f64 = 7.0;
const RIGHT: f64 = 99.0;

/// One block.
struct Point {
    block: usize,
    ours: f64,
    control: Option<f64>,
    flags: String,
}

/// None where fewer than two blocks have both sides.
pub(in crate::report) fn strip(row: &Row) -> Option<String> {
    let points: Vec<Point> = row.rounds.iter().filter_map(point).collect();
    if points.len() < 2 {
        return None;
    }
    let figures = points.iter().flat_map(|it| [Some(it.ours), it.control]);
    let axis = Axis::log(figures.flatten().chain([1.0]), 0.08).drawn(BOTTOM, TOP);
    let name = escape(&row.name());
    let mut out = format!(
        r#"<svg class="strip" role="img" height="{HEIGHT}"><title>{name} block by block</title><desc>Each block's ratio of ours to the control, and of the control's second arm to its first.</desc>"#
    );
    for tick in axis.ticks(4) {
        let y = at(axis.place(tick));
        let class = if (tick - 1.0).abs() < 1e-9 {
            "one"
        } else {
            "grid"
        };
        let text = ratio(tick, None).0;
        write!(
            out,
            r#"<line class="{class}" x1="{LEFT}%" x2="100%" y1="{y}" y2="{y}"/><text x="{}%" y="{y}" dy="4" text-anchor="end">{text}</text>"#,
            LEFT - 1.0
        )
        .ok();
    }
    #[expect(clippy::cast_precision_loss, reason = "a number of blocks")]
    let step = (RIGHT - LEFT) / points.len() as f64;
    let mut left = LEFT + step / 2.0;
    let every = points.len().div_ceil(16);
    for (index, point) in points.iter().enumerate() {
        draw(&mut out, point, axis, left, step, index % every == 0);
        left += step;
    }
    Some(out + "</svg>")
}

fn draw(out: &mut String, point: &Point, axis: Axis, left: f64, step: f64, is_named: bool) {
    let block = point.block;
    let (x, beside) = (at(left), at(left + step * 0.22));
    if !point.flags.is_empty() {
        let (edge, width) = (at(left - step * 0.45), at(step * 0.9));
        write!(
            out,
            r#"<rect class="flagged" x="{edge}%" y="{TOP}" width="{width}%" height="{}"><title>block {block}: {}</title></rect>"#,
            BOTTOM - TOP,
            escape(&point.flags)
        )
        .ok();
    }
    let (one, ours) = (at(axis.place(1.0)), at(axis.place(point.ours)));
    if let Some(control) = point.control {
        let y = at(axis.place(control));
        write!(
            out,
            r#"<circle class="again" cx="{beside}%" cy="{y}" r="3"><title>block {block}, control against itself: {}</title></circle>"#,
            ratio(control, None).0
        )
        .ok();
    }
    write!(
        out,
        r#"<line class="stem" x1="{x}%" x2="{x}%" y1="{one}" y2="{ours}"/><circle class="ours" cx="{x}%" cy="{ours}" r="4"><title>block {block}: {}</title></circle>"#,
        ratio(point.ours, None).0
    )
    .ok();
    if is_named {
        write!(
            out,
            r#"<text x="{x}%" y="{}" text-anchor="middle">{block}</text>"#,
            HEIGHT - 5.0
        )
        .ok();
    }
}

fn point(round: &crate::report::Round) -> Option<Point> {
    let control = mean_log(&round.a)?;
    let against = |other: &[f64]| mean_log(other).map(|it| (it - control).exp());
    Some(Point {
        block: round.block,
        ours: against(&round.b)?,
        control: against(&round.a2),
        flags: round.flags.join("; "),
    })
}

fn mean_log(values: &[f64]) -> Option<f64> {
    let logs: f64 = values.iter().map(|it| it.ln()).sum();
    #[expect(clippy::cast_precision_loss, reason = "a few slices")]
    let mean = logs / values.len() as f64;
    mean.is_finite().then_some(mean)
}
