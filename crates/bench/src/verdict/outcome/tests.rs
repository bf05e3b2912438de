use super::*;
use crate::{
    Target,
    summarise::{simulated::Simulated, summarise},
};

/// The rows of a case against an earlier revision, measured twice.
fn compared(cost_us: f64, seed: u64) -> Vec<Row> {
    let measured = Simulated {
        roles: vec![Role::Subject, Role::Control, Role::Baseline],
        cost_us: vec![cost_us, 20.0, 20.0],
        second_blocks: 20,
        seed,
        ..Simulated::default()
    }
    .run();
    summarise(&measured, &Rules::full())
}

#[test]
fn invalid_goes_before_failed_before_undecided_before_fine() {
    let with = |verdict: Verdict| {
        let mut rows = compared(20.0, 1);
        rows[0].verdict = verdict;
        rows
    };
    let fine = with(Verdict::Same);
    let undecided = with(Verdict::Inconclusive);
    let failed = with(Verdict::Regressed);
    let invalid = with(Verdict::Invalid);
    for (sets, code) in [
        (vec![&fine], 0),
        (vec![&fine, &undecided], 3),
        (vec![&undecided, &failed], 1),
        (vec![&failed, &invalid, &undecided], 2),
        (vec![], 2),
    ] {
        let rows: Vec<Row> = sets.into_iter().flatten().cloned().collect();
        assert_eq!(Outcome::of(&rows).exit_code(), code);
    }
}

#[test]
fn a_peer_that_fails_is_no_fault_of_ours() {
    let measured = Simulated {
        roles: vec![Role::Subject, Role::Peer],
        ..Simulated::default()
    };
    let mut rows = summarise(&measured.run(), &Rules::full());
    let peer = rows.iter_mut().find(|it| it.control.is_some());
    peer.expect("the peer has a row").verdict = Verdict::Invalid;
    assert_eq!(Outcome::of(&rows), Outcome::Fine);
}

#[test]
fn the_looser_bound_decides_the_exit_code() {
    let at = |cost_us: f64, noise: f64, blocks: usize| {
        let measured = Simulated {
            cost_us: vec![cost_us, 20.0],
            noise,
            blocks,
            targets: vec![Target::value_at_most("cpu_per_op", 20.0).critical_beyond(40.0)],
            ..Simulated::default()
        };
        Outcome::of(&summarise(&measured.run(), &Rules::full()))
    };
    assert_eq!(at(15.0, 0.02, 12), Outcome::Fine);
    assert_eq!(
        at(20.0, 0.02, 12),
        Outcome::Fine,
        "undecided, and far from critical"
    );
    assert_eq!(
        at(30.0, 0.02, 12),
        Outcome::Fine,
        "missed, and not critical"
    );
    assert_eq!(at(40.0, 0.05, 12), Outcome::Undecided);
    assert_eq!(at(60.0, 0.02, 12), Outcome::Failed);
    assert_eq!(at(15.0, 0.02, 5), Outcome::Undecided);
}

#[test]
fn goals_do_not_touch_the_exit_code() {
    let with = |bound| {
        let measured = Simulated {
            targets: vec![Target::ratio_at_most(bound)],
            ..Simulated::default()
        };
        Outcome::of(&summarise(&measured.run(), &Rules::full()))
    };
    assert_eq!((with(0.5), with(1.0)), (Outcome::Fine, Outcome::Fine));
}

#[test]
fn a_goal_without_its_control_is_undecided() {
    let measured = Simulated {
        roles: vec![Role::Subject],
        cost_us: vec![20.0],
        targets: vec![Target::ratio_at_most(1.0)],
        ..Simulated::default()
    };
    let rows = summarise(&measured.run(), &Rules::full());
    assert_eq!(rows[0].verdict, Verdict::NoControl);
    assert_eq!(Outcome::of(&rows).exit_code(), 3);
}

#[test]
fn one_change_among_many_cases_must_be_surer() {
    let named = |seed: u64| {
        let mut rows = compared(20.0, seed);
        rows.iter_mut()
            .for_each(|it| it.case = format!("case_{seed}"));
        rows
    };
    let mut rows: Vec<Row> = (0..5).flat_map(named).collect();
    let mut changed = compared(22.0, 99);
    settle(&mut changed, &Rules::full());
    assert_eq!(changed[0].verdict, Verdict::Regressed);
    if let Some(baseline) = &mut changed[0].baseline {
        baseline.p = 0.004;
    }
    rows.extend(changed.clone());
    settle(&mut rows, &Rules::full());
    let last = rows.len() - changed.len();
    assert_eq!(rows[last].verdict, Verdict::Inconclusive);
    assert!(rows[last].reasons.iter().any(|it| it.contains("chance")));
}

/// A run of many cases, all changed by half, and each with targets, latencies and counts beside.
#[test]
fn sixty_changed_cases_hold_their_ground_in_quick_runs_too() {
    let rules = Rules::quick();
    let mut rows = Vec::new();
    for seed in 0..60 {
        let measured = Simulated {
            roles: vec![Role::Subject, Role::Control, Role::Baseline],
            cost_us: vec![30.0, 20.0, 20.0],
            blocks: rules.blocks,
            second_blocks: rules.second_blocks,
            targets: vec![Target::ratio_at_most(9.0), Target::ratio_at_most(8.0)],
            seed,
            ..Simulated::default()
        };
        let mut measured = measured.run();
        measured.name.case = format!("case_{seed}");
        rows.extend(summarise(&measured, &rules));
    }
    settle(&mut rows, &rules);
    let gating = rows.iter().filter(|it| it.metric == "cpu_per_op");
    assert_eq!(gating.clone().count(), 120);
    for row in gating {
        assert_eq!(row.verdict, Verdict::Regressed, "{:?}", row.reasons);
    }
}

#[test]
fn only_cases_are_counted_as_asked() {
    let mut rows = compared(22.0, 99);
    if let Some(baseline) = &mut rows[0].baseline {
        baseline.p = 0.006;
    }
    assert!(rows[1..].iter().any(|it| it.baseline.is_some()));
    let again = rows[0].clone();
    rows.push(again);
    settle(&mut rows, &Rules::full());
    assert_eq!(rows[0].verdict, Verdict::Regressed, "{:?}", rows[0].reasons);
}

#[test]
fn a_quick_run_near_the_looser_bound_is_undecided() {
    let at = |cost_us: f64| {
        let measured = Simulated {
            cost_us: vec![cost_us, 20.0],
            targets: vec![Target::value_at_most("cpu_per_op", 20.0).critical_beyond(40.0)],
            ..Simulated::default()
        };
        Outcome::of(&summarise(&measured.run(), &Rules::quick()))
    };
    assert_eq!(at(30.0), Outcome::Fine);
    assert_eq!(at(37.0), Outcome::Undecided);
    assert_eq!(at(43.0), Outcome::Undecided);
    assert_eq!(at(50.0), Outcome::Failed);
}
