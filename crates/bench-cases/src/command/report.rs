//! `report FILE`: renders a stored report again, its figures computed from its rounds.

use std::path::Path;

use ruleiq_bench::{report::file, summarise::estimate_again, verdict::settle};

use super::run::{code, deliver, rules};
use crate::Plan;

pub(super) fn report(path: &Path, plan: &Plan) -> anyhow::Result<u8> {
    let mut report = file::read(path)?;
    let rules = rules(report.quick);
    for row in &mut report.results {
        estimate_again(row, &rules);
    }
    settle(&mut report.results, &rules);
    // Nothing in a scale study by itself is judged.
    let is_study = report.results.is_empty() && !report.scale_study.is_empty();
    let is_saved = deliver(plan, &report)?;
    Ok(match code(&report, plan.lenient) {
        _ if is_study && is_saved => 0,
        0 if !is_saved => super::INVALID,
        code => code,
    })
}
