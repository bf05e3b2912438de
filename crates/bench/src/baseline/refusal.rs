//! Why two runs cannot be compared, and why one is no baseline. All reasons at once.

use std::fmt;

use super::facts::{Facts, differences, of_runs, of_servers};
use crate::{
    report::{Report, Row, SCHEMA, Verdict},
    stats::{holm, median, rank_sum_p, shift},
    summarise::against_control,
    verdict::{Rules, percent},
};

/// The fewest blocks of a baseline: fewer have no 99 % interval.
const FEWEST_BLOCKS: usize = 8;
/// The halves of a run may differ by this much, as a share, whatever its noise.
const HALVES: f64 = 0.05;

/// One reason why a stored run is no measure for another.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its schema is another one.
    #[error("its schema is `{0}`, and this program reads `{SCHEMA}`: measure it again")]
    Schema(String),
    /// It comes from another machine.
    #[error("it was measured on another machine (`{then}`, this one is `{now}`): measure it here")]
    Host {
        /// The stored fingerprint.
        then: String,
        /// This machine's.
        now: String,
    },
    /// Something differs that changes figures.
    #[error("{what} was `{then}` and is `{now}`: measure both alike")]
    Differs {
        /// What: `profile`, `postgres: shared_buffers`, `settings of pools/checkout`.
        what: String,
        /// In the stored run.
        then: String,
        /// In this one.
        now: String,
    },
    /// A program was built with debug assertions.
    #[error("debug assertions were on: measure with the release profile")]
    DebugAssertions,
    /// The tree was not the commit that it names.
    #[error("its tree was dirty, so nobody can build it again: commit, then measure")]
    Dirty,
    /// It was ended before its end.
    #[error("it is partial: let it run to its end")]
    Partial,
    /// A row of it must not be read.
    #[error("`{0}` is invalid in it: measure it again")]
    Invalid(String),
    /// A case has too few blocks.
    #[error("`{case}` has {blocks} blocks, and 8 are needed: measure with `--blocks 12`")]
    FewBlocks {
        /// The case.
        case: String,
        /// How many it has.
        blocks: usize,
    },
    /// It was too noisy to see what is asked for.
    #[error(
        "it sees differences of {} at best, and {} is asked for: measure with more blocks, or on a \
         quieter machine",
        percent(.seen.ln_1p()),
        percent(.asked.ln_1p())
    )]
    Noisy {
        /// The smallest difference that it sees, as a share.
        seen: f64,
        /// What is asked for.
        asked: f64,
    },
    /// Its first half and its second half differ.
    #[error("`{case}` differs by {} between the halves of the run: measure again", percent(*.by))]
    Halves {
        /// The case.
        case: String,
        /// By how much, on logs.
        by: f64,
    },
    /// No case is in both runs.
    #[error("the two runs have no case in common")]
    NothingInCommon,
}

/// All the reasons against a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused(pub Vec<Refusal>);

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the stored run cannot be compared with this one")?;
        for reason in &self.0 {
            write!(out, "\n  - {reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// Every reason against comparing `now` with the stored `then`; empty where there is none.
pub fn refusals(now: &Report, then: &Report, rules: &Rules) -> Vec<Refusal> {
    if then.schema != SCHEMA {
        return vec![Refusal::Schema(then.schema.clone())];
    }
    let mut reasons = Vec::new();
    if now.host.fingerprint != then.host.fingerprint {
        reasons.push(Refusal::Host {
            then: then.host.fingerprint.clone(),
            now: now.host.fingerprint.clone(),
        });
    }
    if now.toolchain.debug_assertions || then.toolchain.debug_assertions {
        reasons.push(Refusal::DebugAssertions);
    }
    reasons.extend(of_runs(now, then));
    reasons.extend(of_servers(now, then));
    reasons.extend(of_rows(now, then));
    reasons.extend(unfit(then, rules));
    reasons
}

/// What differs and is no reason against a comparison, but has to be known.
pub fn warnings(now: &Report, then: &Report) -> Vec<String> {
    let (before, after) = (&then.toolchain.rustc, &now.toolchain.rustc);
    if before == after {
        return Vec::new();
    }
    vec![format!(
        "the toolchain differs: rustc was {before} and is {after}, which may be what changed"
    )]
}

/// Every reason against keeping a run as a baseline for later ones; empty where there is none.
///
/// Both halves of the run must agree as far as its noise lets them.
pub fn may_be_saved(report: &Report, rules: &Rules) -> Vec<Refusal> {
    let mut reasons = unfit(report, rules);
    if report.toolchain.debug_assertions {
        reasons.push(Refusal::DebugAssertions);
    }
    let rows: Vec<&Row> = main_rows(report).collect();
    let halves: Vec<Option<Halves>> = rows.iter().map(|it| Halves::of(it)).collect();
    let p: Vec<f64> = halves.iter().flatten().map(|it| it.p).collect();
    let mut raised = holm(&p).into_iter();
    for (row, halves) in rows.iter().zip(halves) {
        let Some(halves) = halves else {
            continue;
        };
        let p = raised.next().unwrap_or(1.0);
        if p < 0.01 && halves.shift.abs() > halves.allowed {
            reasons.push(Refusal::Halves {
                case: name(row),
                by: halves.shift,
            });
        }
    }
    reasons
}

/// The second half of a row's blocks against the first.
struct Halves {
    /// On logs.
    shift: f64,
    p: f64,
    /// Halves differ by twice as much as the whole's floor by chance.
    allowed: f64,
}

impl Halves {
    fn of(row: &Row) -> Option<Halves> {
        let first_look: Vec<_> = row.rounds.iter().filter(|it| it.stage <= 1).collect();
        let (first, second) = first_look.split_at(first_look.len() / 2);
        let first = against_control(first.iter().copied(), true);
        let second = against_control(second.iter().copied(), true);
        let floor = row.aa_floor.unwrap_or(0.0).ln_1p();
        Some(Halves {
            shift: shift(&first, &second, 0.99)?.middle,
            p: rank_sum_p(&first, &second),
            allowed: (2.0 * floor).max(HALVES.ln_1p()),
        })
    }
}

/// Reasons that lie in one run alone.
fn unfit(report: &Report, rules: &Rules) -> Vec<Refusal> {
    let mut reasons = Vec::new();
    if report.git.dirty {
        reasons.push(Refusal::Dirty);
    }
    if report.partial {
        reasons.push(Refusal::Partial);
    }
    let mut invalid: Vec<String> = report
        .results
        .iter()
        .filter(|it| it.verdict == Verdict::Invalid)
        .map(name)
        .collect();
    invalid.dedup();
    reasons.extend(invalid.into_iter().map(Refusal::Invalid));
    for row in main_rows(report) {
        let blocks = row.rounds.iter().filter(|it| !it.b.is_empty()).count();
        // A run that was interrupted has been told as such.
        if blocks < FEWEST_BLOCKS && !report.partial {
            reasons.push(Refusal::FewBlocks {
                case: name(row),
                blocks,
            });
        }
    }
    let seen: Vec<f64> = main_rows(report).filter_map(|it| it.mde).collect();
    if let Some(seen) = median(&seen).filter(|it| *it > rules.effect) {
        reasons.push(Refusal::Noisy {
            seen,
            asked: rules.effect,
        });
    }
    reasons
}

/// The rows of CPU time, the first of each case.
pub(super) fn main_rows(report: &Report) -> impl Iterator<Item = &Row> {
    let rows = &report.results;
    rows.iter().enumerate().filter_map(move |(i, row)| {
        let is_same = |it: &Row| name(it) == name(row) && it.metric == row.metric;
        let is_first = !rows[..i].iter().any(is_same);
        (row.metric == "cpu_per_op" && is_first).then_some(row)
    })
}

/// `pools/point_select`, with its variant.
pub(super) fn name(row: &Row) -> String {
    crate::CaseName {
        component: row.component.clone(),
        case: row.case.clone(),
        variant: row.variant.clone(),
    }
    .to_string()
}

/// What differs between the rows of one case and metric.
fn of_rows(now: &Report, then: &Report) -> Vec<Refusal> {
    let mut reasons = Vec::new();
    let mut is_any = false;
    for row in main_rows(now) {
        let Some(stored) = main_rows(then).find(|it| name(it) == name(row)) else {
            continue;
        };
        is_any = true;
        let case = name(row);
        let facts = |row: &Row| -> Facts {
            let control = row.control.as_ref();
            [
                (
                    "control",
                    control.map(|it| format!("{} {}", it.name, it.version)),
                ),
                ("settings", Some(row.settings.to_string())),
                ("unit", Some(row.unit.clone())),
            ]
            .into_iter()
            .filter_map(|(what, value)| Some((format!("{what} of {case}"), value?)))
            .collect()
        };
        reasons.extend(differences(&facts(stored), &facts(row)));
    }
    if !is_any {
        reasons.push(Refusal::NothingInCommon);
    }
    reasons
}
