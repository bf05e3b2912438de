//! What reports for people say of a run as a whole.

use super::{Better, Report, Row, RowRole, Verdict};
use crate::{TargetOf, verdict::gates};

/// The rows of one case and variant.
pub(super) struct CaseRows<'a> {
    pub(super) name: String,
    pub(super) rows: Vec<&'a Row>,
}

/// By case, in the order in which they first appear.
pub(super) fn by_case(report: &Report) -> Vec<CaseRows<'_>> {
    let mut cases: Vec<CaseRows<'_>> = Vec::new();
    for row in &report.results {
        let name = row.name();
        match cases.iter_mut().find(|it| it.name == name) {
            Some(case) => case.rows.push(row),
            None => cases.push(CaseRows {
                name,
                rows: vec![row],
            }),
        }
    }
    cases
}

impl<'a> CaseRows<'a> {
    /// The rows that say what the case is judged by, without those of the guide's table; one row
    /// if there are none.
    pub(super) fn headline(&self) -> Vec<&'a Row> {
        let judged = |row: &&&Row| {
            (row.role != RowRole::Info && !is_guide(row)) || row.verdict == Verdict::Invalid
        };
        let rows: Vec<&Row> = self.rows.iter().filter(judged).copied().collect();
        if !rows.is_empty() {
            return rows;
        }
        let cpu = self.rows.iter().find(|it| it.metric == "cpu_per_op");
        cpu.or(self.rows.first()).copied().into_iter().collect()
    }

    /// The first row that `pick` accepts.
    pub(super) fn first(&self, pick: impl Fn(&Row) -> bool) -> Option<&'a Row> {
        self.rows.iter().copied().find(|it| pick(it))
    }
}

/// The rows that say how this state does against an earlier one: one per case, and what else changed.
pub(super) fn compared(report: &Report) -> Vec<&Row> {
    let is_change = |it: &Row| matches!(it.verdict, Verdict::Improved | Verdict::Regressed);
    let rows = report.results.iter();
    rows.filter(|it| it.baseline.is_some() && (gates(&it.metric) || is_change(it)))
        .collect()
}

/// How many cases there are, and in how many at least half of the blocks were disturbed.
pub(super) fn disturbed(report: &Report) -> (usize, usize) {
    let is_disturbed = |case: &CaseRows<'_>| {
        let rounds = case.rows.first().map_or(&[][..], |it| &it.rounds);
        let flagged = rounds.iter().filter(|it| !it.flags.is_empty()).count();
        flagged > 0 && 2 * flagged >= rounds.len()
    };
    let cases = by_case(report);
    let disturbed = cases.iter().filter(|it| is_disturbed(it)).count();
    (cases.len(), disturbed)
}

/// Whether it belongs in the guide's table of targets: P95 against a bound of its own.
pub(super) fn is_guide(row: &Row) -> bool {
    let of_value = row.target.as_ref().map(|it| it.of) == Some(TargetOf::Value);
    of_value && row.metric == "latency_p95"
}

/// How many cases have each verdict, the gravest first; a case has that of its gravest row.
pub(super) fn verdicts(report: &Report) -> Vec<(Verdict, usize)> {
    let gravest: Vec<Verdict> = by_case(report)
        .iter()
        .filter_map(|case| {
            let has = |it: &Verdict| case.rows.iter().any(|row| row.verdict == *it);
            Verdict::ALL.into_iter().find(has)
        })
        .collect();
    Verdict::ALL
        .into_iter()
        .map(|it| (it, gravest.iter().filter(|other| **other == it).count()))
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// A row and how far it is beyond what it is held against: 0.1 is 10 % worse, less than 0 better.
pub(super) struct Distance<'a> {
    pub(super) row: &'a Row,
    pub(super) beyond: f64,
    /// `its bar`, `the earlier state`.
    pub(super) what: &'static str,
}

/// The five that are furthest beyond, the worst first.
pub(super) fn worst(report: &Report) -> Vec<Distance<'_>> {
    let readable = |row: &&Row| row.verdict != Verdict::Invalid;
    let mut all: Vec<Distance<'_>> = report
        .results
        .iter()
        .filter(readable)
        .filter_map(distance)
        .collect();
    all.sort_by(|a, b| b.beyond.total_cmp(&a.beyond));
    all.truncate(5);
    all
}

fn distance(row: &Row) -> Option<Distance<'_>> {
    let (ratio, is_lower_better, what) = match (&row.baseline, &row.target) {
        (Some(baseline), _) => (
            baseline.ratio,
            row.better == Better::Lower,
            "the earlier state",
        ),
        (None, Some(target)) => {
            let figure = match target.of {
                TargetOf::Ratio => row.ratio?,
                TargetOf::Value => row.value?,
            };
            (figure / target.value, target.op != ">=", "its bar")
        }
        (None, None) => return None,
    };
    let beyond = if is_lower_better { ratio } else { 1.0 / ratio } - 1.0;
    beyond.is_finite().then_some(Distance { row, beyond, what })
}

/// The median over the rows of the smallest difference that a run like this one would see.
pub(super) fn median_mde(report: &Report) -> Option<f64> {
    let cpu = report.results.iter().filter(|it| it.metric == "cpu_per_op");
    let mut all: Vec<f64> = cpu.filter_map(|it| it.mde).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}
