//! CPU per operation stacked by process: ours above, the control's below.

use std::{collections::BTreeMap, fmt::Write};

use super::{at, escape};
use crate::report::figure::Figure;

const BAR: f64 = 11.0;

/// Both are drawn to the scale of the larger one.
pub(in crate::report) fn stacked(
    title: &str,
    ours: &BTreeMap<String, f64>,
    control: &BTreeMap<String, f64>,
) -> String {
    let bars: Vec<_> = [ours, control]
        .into_iter()
        .filter(|it| !it.is_empty())
        .collect();
    let largest = bars.iter().map(|it| total(it)).fold(0.0, f64::max);
    let mut height = 2.0;
    let mut out = String::new();
    for bar in &bars {
        let mut left = 0.0;
        for (process, us) in *bar {
            let share = if largest > 0.0 { us / largest } else { 0.0 };
            let width = share.clamp(0.0, 1.0) * 100.0;
            write!(
                out,
                r#"<rect class="p-{}" x="{}%" y="{height}" width="{}%" height="{BAR}"><title>{}: {}</title></rect>"#,
                known(process),
                at(left),
                at(width),
                escape(process),
                Figure::plain("us", *us)
            )
            .ok();
            left += width;
        }
        height += BAR + 2.0;
    }
    format!(
        r#"<svg class="bars" role="img" height="{height}"><title>{}</title>{out}</svg>"#,
        escape(title)
    )
}

pub(in crate::report) fn total(cpu: &BTreeMap<String, f64>) -> f64 {
    cpu.values().sum()
}

/// The processes that have a colour.
fn known(process: &str) -> &str {
    match process {
        "client" | "server" | "postgres" | "redis" => process,
        _ => "other",
    }
}
