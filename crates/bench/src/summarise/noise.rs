//! The noise of a whole run.

use crate::{
    report::{Noise, Row},
    stats::median,
    verdict::Rules,
};

/// How noisy a run was by its rows: the medians over the cases. What the machine says (steal,
/// pressure, load) is left at its default.
pub fn noise(rows: &[Row]) -> Noise {
    let middle = |of: fn(&Row) -> Option<f64>| {
        let main = rows.iter().filter(|it| it.metric == "cpu_per_op");
        median(&main.filter_map(of).collect::<Vec<f64>>())
    };
    Noise {
        aa_s: middle(|it| it.aa_s).unwrap_or(0.0),
        aa_floor: middle(|it| it.aa_floor).unwrap_or(0.0),
        mde_10pct_ok: middle(|it| it.mde).is_some_and(|it| it <= Rules::full().effect),
        ..Noise::default()
    }
}
