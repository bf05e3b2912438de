//! The stored run to compare with. What can be known to differ is refused before anything is
//! measured.

use ruleiq_bench::{
    Measured,
    baseline::{Refusal, Refused, refusals},
    report::{Control, Git, Report, Row, file},
    run::{Outcome, Profile, RunPlan},
    worker::CaseInfo,
};

use super::{assemble, assemble::Facts};
use crate::Plan;

/// Reads it, if there is to be one.
pub(super) fn read(plan: &Plan) -> anyhow::Result<Option<Report>> {
    let Some(path) = &plan.baseline else {
        return Ok(None);
    };
    Ok(Some(file::read(path)?))
}

/// Takes a stored run of a changed tree as one of its commit, where the plan allows that, and
/// answers what the report has to say of it.
pub(super) fn pardon(plan: &Plan, then: &mut Git) -> Option<String> {
    let is_pardoned = plan.allow_dirty && std::mem::take(&mut then.dirty);
    is_pardoned.then(|| {
        "the stored run that this one is held against is of a tree with changes that were not \
         committed: nobody can build it again"
            .to_owned()
    })
}

/// Refuses it for every reason that does not need a measurement: machine, servers, settings,
/// controls, names.
pub(super) fn refuse(
    plan: &Plan,
    run_plan: &RunPlan,
    facts: &Facts,
    chosen: &[CaseInfo],
    then: &Report,
) -> anyhow::Result<()> {
    let nothing = Outcome {
        measured: begun(&run_plan.profile, chosen),
        is_partial: false,
        fault: None,
    };
    let mut now = assemble::report(plan, run_plan, facts.clone(), &nothing);
    for row in &mut now.results {
        let is_it = |it: &&CaseInfo| {
            it.name.component == row.component
                && it.name.case == row.case
                && it.name.variant == row.variant
        };
        if let Some(case) = chosen.iter().find(is_it) {
            let stored = then.results.iter().find(|it| is_alike(it, row));
            row.control = stored.and_then(|it| control(it, case, &run_plan.profile));
        }
    }
    let mut reasons = refusals(&now, then, &run_plan.rules);
    reasons.extend(other_seed(run_plan.seed, then.settings.seed));
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Refused(reasons).into())
}

/// The cases before their first block.
fn begun(profile: &Profile, chosen: &[CaseInfo]) -> Vec<Measured> {
    let begin = |it: &CaseInfo| Measured::begin(it, &profile.sides(it), None);
    chosen.iter().map(begin).collect()
}

fn is_alike(one: &Row, other: &Row) -> bool {
    (&one.component, &one.case, &one.variant, &one.metric)
        == (&other.component, &other.case, &other.variant, &other.metric)
}

/// The control that the case's row is going to have, as far as its sides tell: that of the stored
/// row, in the version that is here now.
fn control(stored: &Row, case: &CaseInfo, profile: &Profile) -> Option<Control> {
    let stored = stored.control.as_ref()?;
    let sides = profile.sides(case);
    let mut sides = sides.into_iter().filter_map(|it| case.sides.get(it));
    let side = sides.find(|it| it.name == stored.name)?;
    Some(Control {
        version: side.version.clone(),
        ..stored.clone()
    })
}

/// Other inputs have other sizes, which are compared exactly.
fn other_seed(seed: u64, stored: u64) -> Option<Refusal> {
    (seed != stored).then(|| Refusal::Differs {
        what: "the seed".to_owned(),
        then: stored.to_string(),
        now: seed.to_string(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use ruleiq_bench::{Rules, summarise};

    use super::*;
    use crate::{Options, cases};

    fn chosen() -> CaseInfo {
        let all = cases::all(&Options::default());
        let mut all = all.iter().map(CaseInfo::of);
        all.find(|it| it.name.case == "json_10k_zstd").unwrap()
    }

    /// The first row of the case, as a stored run has it.
    fn stored(case: &CaseInfo) -> Row {
        let measured = begun(&Profile::full(), std::slice::from_ref(case));
        let mut rows = summarise(&measured[0], &Rules::full()).into_iter();
        let mut row = rows.find(|it| it.metric == "cpu_per_op").unwrap();
        row.control = Some(Control {
            name: case.sides[1].name.clone(),
            version: case.sides[1].version.clone(),
            role: case.sides[1].role,
            value: Some(1.0),
            settings_equal: true,
        });
        row
    }

    #[test]
    fn a_control_is_known_before_it_is_measured() {
        let case = chosen();
        let row = stored(&case);
        let profile = Profile::full();
        assert_eq!(control(&row, &case, &profile), row.control);

        let mut newer = case;
        newer.sides[1].version = "9".to_owned();
        assert_eq!(control(&row, &newer, &profile).unwrap().version, "9");

        newer.sides[1].name = "another".to_owned();
        assert_eq!(control(&row, &newer, &profile), None);
    }

    #[test]
    fn a_baseline_of_a_changed_tree_is_taken_where_allowed_and_told() {
        let check = |allow_dirty: bool, dirty: bool, is_left: bool, is_told: bool| {
            let plan = Plan {
                allow_dirty,
                ..Plan::default()
            };
            let mut git = Git {
                dirty,
                ..Git::default()
            };
            let told = pardon(&plan, &mut git);
            let why = format!("{allow_dirty} {dirty}: {told:?}");
            assert_eq!((git.dirty, told.is_some()), (is_left, is_told), "{why}");
        };
        check(false, false, false, false);
        check(false, true, true, false);
        check(true, false, false, false);
        check(true, true, false, true);
    }

    #[test]
    fn other_inputs_are_no_measure() {
        assert_eq!(other_seed(5, 5), None);
        let refused = other_seed(6, 5).unwrap().to_string();
        assert!(refused.contains("the seed was `5` and is `6`"), "{refused}");
    }
}
