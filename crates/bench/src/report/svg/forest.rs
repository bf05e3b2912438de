//! Ratios with their intervals, one picture per row of a table, all on one axis. Places are
//! percentages, so that a picture is as wide as its column.

use std::fmt::Write;

use super::{Axis, at, escape};
use crate::report::{Row, figure::bound};

/// The height of a row, in pixels.
const HEIGHT: f64 = 26.0;
const MIDDLE: f64 = HEIGHT / 2.0;

/// What is drawn in one row.
#[derive(Debug, Default)]
pub(in crate::report) struct Forest {
    pub(in crate::report) ratio: f64,
    pub(in crate::report) interval: Option<(f64, f64)>,
    /// Half-width of the interval of the control against itself.
    pub(in crate::report) floor: Option<f64>,
    pub(in crate::report) target: Option<f64>,
    /// Class of the mark: `good`, `bad`, `unsure`, `plain`.
    pub(in crate::report) class: &'static str,
    /// What a reader who does not see it is told.
    pub(in crate::report) title: String,
}

/// One axis for the ratios of all rows: 1 is on it, and so are all bars.
pub(in crate::report) fn ratio_axis<'a>(rows: impl Iterator<Item = &'a Row>) -> Axis {
    let figures = rows.flat_map(|row| {
        let target = row.target.as_ref().filter(|_| row.ratio.is_some());
        let target = target.filter(|it| it.of == crate::TargetOf::Ratio);
        [
            row.ratio,
            row.ratio_ci_low,
            row.ratio_ci_high,
            target.map(|it| it.value),
        ]
    });
    let around_one = [Some(0.9), Some(1.1)];
    Axis::log(figures.chain(around_one).flatten(), 0.06).drawn(0.0, 100.0)
}

impl Forest {
    pub(in crate::report) fn svg(&self, axis: Axis) -> String {
        let mut out = format!(
            r#"<svg class="forest" role="img" height="{HEIGHT}"><title>{}</title>"#,
            escape(&self.title)
        );
        for tick in axis.ticks(7) {
            vertical(&mut out, "grid", axis.place(tick), 0.0, HEIGHT);
        }
        if let Some(floor) = self.floor {
            let [low, high] = [-floor, floor].map(|it| axis.place(it.exp()));
            let (left, width) = (at(low), at((high - low).max(0.2)));
            write!(
                out,
                r#"<rect class="noise" x="{left}%" y="3" width="{width}%" height="20"/>"#
            )
            .ok();
        }
        vertical(&mut out, "one", axis.place(1.0), 0.0, HEIGHT);
        if let Some(target) = self.target {
            vertical(&mut out, "target", axis.place(target), 2.0, HEIGHT - 2.0);
        }
        if let Some((low, high)) = self.interval {
            let [low, high] = [low, high].map(|it| axis.place(it));
            let class = self.class;
            let (left, right) = (at(low), at(high));
            write!(
                out,
                r#"<line class="span {class}" x1="{left}%" x2="{right}%" y1="{MIDDLE}" y2="{MIDDLE}"/>"#
            )
            .ok();
            for end in [low, high] {
                vertical(
                    &mut out,
                    &format!("span {class}"),
                    end,
                    MIDDLE - 4.0,
                    MIDDLE + 4.0,
                );
            }
        }
        let place = at(axis.place(self.ratio));
        let class = self.class;
        write!(
            out,
            r#"<circle class="mark {class}" cx="{place}%" cy="{MIDDLE}" r="4.5"/></svg>"#
        )
        .ok();
        out
    }

    /// The head of the column: the axis with its figures.
    pub(in crate::report) fn head(axis: Axis) -> String {
        let mut out = r#"<svg class="forest" aria-hidden="true" height="20">"#.to_owned();
        for tick in axis.ticks(7) {
            let place = axis.place(tick);
            let anchor = match place {
                ..4.0 => "start",
                96.0.. => "end",
                _ => "middle",
            };
            let place = at(place);
            let text = bound((tick * 1e6).round() / 1e6);
            write!(
                out,
                r#"<text x="{place}%" y="14" text-anchor="{anchor}">{text}</text>"#
            )
            .ok();
        }
        out + "</svg>"
    }
}

fn vertical(out: &mut String, class: &str, place: f64, top: f64, bottom: f64) {
    let (x, top, bottom) = (at(place), at(top), at(bottom));
    write!(
        out,
        r#"<line class="{class}" x1="{x}%" x2="{x}%" y1="{top}" y2="{bottom}"/>"#
    )
    .ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_noise_target_interval_and_ratio() {
        let row = Forest {
            ratio: 2.0,
            interval: Some((1.0, 4.0)),
            floor: Some(0.1),
            target: Some(1.05),
            class: "bad",
            title: "a<b".to_owned(),
        };
        let axis = Axis::log_between(0.25, 4.0).drawn(0.0, 100.0);
        insta::assert_snapshot!(row.svg(axis).replace("><", ">\n<"));
        insta::assert_snapshot!(Forest::head(axis).replace("><", ">\n<"));
    }
}
