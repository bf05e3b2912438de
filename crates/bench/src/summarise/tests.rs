#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{simulated::Simulated, *};
use crate::{
    Target,
    report::{BaselineMode, TargetVerdict},
    verdict::Outcome,
};

fn rows(case: &Simulated) -> Vec<Row> {
    summarise(&case.run(), &Rules::full())
}

fn the<'a>(rows: &'a [Row], metric: &str) -> &'a Row {
    rows.iter().find(|it| it.metric == metric).unwrap()
}

#[test]
fn a_row_has_value_ratio_noise_and_target() {
    let rows = rows(&Simulated {
        cost_us: vec![22.0, 20.0],
        targets: vec![Target::ratio_at_most(1.2)],
        ..Simulated::default()
    });
    let row = &rows[0];
    assert_eq!(
        (row.metric.as_str(), row.unit.as_str()),
        ("cpu_per_op", "us")
    );
    assert!((row.value.unwrap() - 22.0).abs() < 0.8, "{:?}", row.value);
    assert!((row.ratio.unwrap() - 1.1).abs() < 0.03, "{:?}", row.ratio);
    assert!(row.ratio_ci_low < row.ratio && row.ratio < row.ratio_ci_high);
    assert!(row.ci_low < row.value && row.value < row.ci_high);
    assert!(row.aa_s.unwrap() > 0.0 && row.aa_floor.unwrap() > 0.0);
    assert!(row.mde.unwrap() < 0.10);
    assert_eq!((row.role, row.verdict), (RowRole::Goal, Verdict::Met));
    // Redis is not one of the processes that count, and is shown all the same.
    assert!((row.cpu["client"] / row.cpu["postgres"] - 1.5).abs() < 0.01);
    assert!(row.cpu["redis"] > row.value.unwrap());
    assert_eq!(row.counts.ok, 24 * 10_000);
    assert_eq!(row.rounds.len(), 12);
    let names: Vec<&str> = row.rounds[0].order.split(' ').collect();
    assert_eq!(names.len(), 6, "{names:?}");
    assert!(names.iter().all(|it| ["A", "A2", "B"].contains(it)));
}

#[test]
fn each_control_and_peer_has_a_row_and_the_first_carries_the_target() {
    let rows = rows(&Simulated {
        roles: vec![Role::Subject, Role::Control, Role::Control, Role::Peer],
        cost_us: vec![20.0, 20.0, 10.0, 40.0],
        targets: vec![Target::ratio_at_most(1.2).critical()],
        ..Simulated::default()
    });
    let cpu: Vec<&Row> = rows.iter().filter(|it| it.metric == "cpu_per_op").collect();
    let ratios: Vec<f64> = cpu.iter().map(|it| it.ratio.unwrap()).collect();
    for (ratio, expect) in ratios.iter().zip([1.0, 2.0, 0.5]) {
        assert!((ratio / expect - 1.0).abs() < 0.05, "{ratios:?}");
    }
    assert_eq!(cpu[0].role, RowRole::Critical);
    assert!(
        cpu[1..]
            .iter()
            .all(|it| it.target.is_none() && it.role == RowRole::Info)
    );
    // The noise of the run stands in the rows whose control has no second arm.
    assert!(cpu[1].aa_s.is_some() && cpu[2].aa_s == cpu[1].aa_s);
    assert_eq!(Outcome::of(&rows), Outcome::Fine);
}

#[test]
fn percentiles_are_printed_only_where_they_mean_something() {
    let case = Simulated {
        timed: 150,
        targets: vec![
            Target::value_at_most("latency_p95", 5_000.0).critical_beyond(10_000.0),
            Target::value_at_most("latency_p99", 5_000.0).critical(),
        ],
        ..Simulated::default()
    };
    let rows = rows(&case);
    let p95 = the(&rows, "latency_p95");
    let (low, value, high) = (
        p95.ci_low.unwrap(),
        p95.value.unwrap(),
        p95.ci_high.unwrap(),
    );
    assert!(low <= value && value <= high, "{low} {value} {high}");
    assert!((250.0..350.0).contains(&value), "{value}");
    assert_eq!(p95.verdict, Verdict::Met);
    assert!(p95.control.as_ref().unwrap().value.is_some() && p95.ratio.is_some());
    assert!(p95.histogram.is_none() && the(&rows, "cpu_per_op").histogram.is_some());
    let summary = the(&rows, "cpu_per_op").summary.clone().unwrap();
    assert!(summary.median_us < summary.p95_us.unwrap());
    assert!((summary.throughput - 20_000.0).abs() < 1.0);
    // 3,600 latencies: 36 beyond the 99th percentile.
    let p99 = the(&rows, "latency_p99");
    assert_eq!((p99.value, p99.verdict), (None, Verdict::Inconclusive));
    assert!(p99.reasons[0].contains("needs 10000"), "{:?}", p99.reasons);
    assert_eq!(summary.p99_us, None);
    assert_eq!(Outcome::of(&rows), Outcome::Undecided);
}

#[test]
fn a_ratio_without_its_control_is_no_control() {
    let mut alone = Simulated {
        roles: vec![Role::Subject],
        targets: vec![Target::ratio_at_most(1.2).critical()],
        ..Simulated::default()
    };
    let said = rows(&alone);
    assert_eq!(said[0].verdict, Verdict::NoControl);
    assert!(said[0].value.is_some() && said[0].aa_s.is_some());
    assert_eq!(Outcome::of(&said).exit_code(), 3);
    alone.targets = vec![Target::value_at_most("cpu_per_op", 30.0).critical()];
    assert_eq!(rows(&alone)[0].verdict, Verdict::Met);

    let mut measured = Simulated {
        targets: vec![Target::ratio_at_most(1.2)],
        ..Simulated::default()
    }
    .run();
    measured.sides[1].missing = Some("pgbench is not installed".to_owned());
    for block in &mut measured.blocks {
        block.slices.retain(|it| it.0 == crate::ArmOf::Side(0));
    }
    let rows = summarise(&measured, &Rules::full());
    let row = &rows[0];
    assert_eq!(row.verdict, Verdict::NoControl);
    assert!(row.reasons.contains(&"pgbench is not installed".to_owned()));
    assert_eq!(row.control.as_ref().unwrap().value, None);
    assert_eq!(the(&rows, "wait_us").control, None);
    assert_eq!(the(&rows, "wait_us").verdict, Verdict::Measured);
    let mut again = row.clone();
    estimate_again(&mut again, &Rules::full());
    assert_eq!(again.verdict, Verdict::NoControl);
    assert!(
        again
            .reasons
            .contains(&"pgbench is not installed".to_owned())
    );
}

#[test]
fn errors_and_wrong_answers_make_every_row_invalid() {
    let mut measured = Simulated::default().run();
    let slices = &mut measured.blocks[3].slices;
    let slice = slices
        .iter_mut()
        .find(|it| it.0 == crate::ArmOf::Side(0))
        .unwrap();
    slice.1.wrong = 1;
    slice.1.errors.insert("refused".to_owned(), 2);
    let rows = summarise(&measured, &Rules::full());
    assert!(rows.iter().all(|it| it.verdict == Verdict::Invalid));
    assert_eq!(Outcome::of(&rows).exit_code(), 2);
    let counts = &rows[0].counts;
    assert_eq!((counts.wrong, counts.errors["refused"]), (1, 2));
    assert_eq!(counts.ops, counts.ok + 3);
    assert!(rows[0].reasons[0].contains("refused"));
}

#[test]
fn an_unmeasured_target_is_not_passed() {
    let rows = rows(&Simulated {
        targets: vec![Target::ratio_of_at_most("bytes_out", 1.01).critical()],
        ..Simulated::default()
    });
    let row = the(&rows, "bytes_out");
    assert_eq!(
        row.target.as_ref().unwrap().verdict,
        TargetVerdict::Undecided
    );
    assert_eq!(Outcome::of(&rows), Outcome::Undecided);
}

#[test]
fn exact_counts_need_no_blocks() {
    let mut measured = Simulated {
        roles: vec![Role::Subject, Role::Control, Role::Baseline],
        cost_us: vec![20.0; 3],
        blocks: 1,
        targets: vec![Target::ratio_of_at_most("bytes_out", 1.01).critical()],
        ..Simulated::default()
    }
    .run();
    for (side, (bytes, allocations)) in [(1_005.0, 13.0), (1_000.0, 3.0), (1_005.0, 12.0)]
        .into_iter()
        .enumerate()
    {
        let counts = &mut measured.sides[side].counts;
        counts.insert("bytes_out".to_owned(), bytes);
        counts.insert("allocations_per_op".to_owned(), allocations);
        counts.insert("allocated_bytes_per_op".to_owned(), 64.0 * allocations);
        counts.insert("advice_found".to_owned(), allocations);
    }
    let rows = summarise(&measured, &Rules::quick());
    let informational = the(&rows, "allocated_bytes_per_op");
    assert_eq!(informational.verdict, Verdict::Measured);
    assert!(informational.baseline.as_ref().unwrap().ratio > 1.05);
    assert_eq!(the(&rows, "advice_found").verdict, Verdict::Improved);
    let bytes = the(&rows, "bytes_out");
    assert_eq!(bytes.unit, "bytes");
    assert!((bytes.ratio.unwrap() - 1.005).abs() < 1e-9);
    assert_eq!(bytes.target.as_ref().unwrap().verdict, TargetVerdict::Met);
    assert_eq!(bytes.verdict, Verdict::Same);
    assert_eq!(the(&rows, "allocations_per_op").verdict, Verdict::Regressed);
    assert_eq!(Outcome::of(&rows), Outcome::Failed);
}

#[test]
fn an_earlier_revision_is_compared_in_two_looks() {
    let mut case = Simulated {
        roles: vec![Role::Subject, Role::Control, Role::Baseline],
        cost_us: vec![22.0, 20.0, 20.0],
        ..Simulated::default()
    };
    let first = case.run();
    assert_eq!(second_look(&first, &Rules::full()), Some(20));
    let row = &summarise(&first, &Rules::full())[0];
    assert_eq!(row.verdict, Verdict::Inconclusive);

    case.second_blocks = 20;
    let both = case.run();
    assert_eq!(second_look(&both, &Rules::full()), None);
    let rows = summarise(&both, &Rules::full());
    let baseline = rows[0].baseline.clone().unwrap();
    assert_eq!((rows[0].verdict, baseline.stage), (Verdict::Regressed, 2));
    assert_eq!(baseline.mode, BaselineMode::Interleaved);
    assert!((baseline.ratio - 1.1).abs() < 0.03);
    assert!(the(&rows, "throughput").baseline.is_some());
    assert_eq!(the(&rows, "throughput").verdict, Verdict::Measured);
    assert_eq!(Outcome::of(&rows), Outcome::Failed);

    case.cost_us = vec![20.0; 3];
    case.second_blocks = 0;
    let same = case.run();
    assert_eq!(second_look(&same, &Rules::full()), None);
    assert_eq!(summarise(&same, &Rules::full())[0].verdict, Verdict::Same);
}

#[test]
fn seven_blocks_pass_nothing() {
    let said = rows(&Simulated {
        roles: vec![Role::Subject, Role::Control, Role::Baseline],
        cost_us: vec![10.0, 20.0, 10.0],
        blocks: 7,
        targets: vec![Target::ratio_at_most(1.2).critical()],
        ..Simulated::default()
    });
    let row = &said[0];
    assert_eq!(row.verdict, Verdict::Inconclusive);
    assert_eq!(
        row.target.as_ref().unwrap().verdict,
        TargetVerdict::Undecided
    );
    assert!(row.reasons.iter().any(|it| it.contains("needs 8")));
    assert!(row.value.is_some() && row.ci_low.is_none());
    assert_eq!(Outcome::of(&said).exit_code(), 3);
}

#[test]
fn a_row_computed_again_from_its_rounds_is_the_same() {
    let case = Simulated {
        roles: vec![Role::Subject, Role::Control, Role::Baseline],
        cost_us: vec![22.0, 20.0, 20.0],
        second_blocks: 8,
        timed: 60,
        targets: vec![
            Target::ratio_at_most(1.05),
            Target::value_at_most("latency_p95", 5_000.0),
        ],
        ..Simulated::default()
    };
    for row in rows(&case) {
        let mut again = row.clone();
        estimate_again(&mut again, &Rules::full());
        assert!(again == row, "{}", row.metric);
    }
}

#[test]
fn disturbed_blocks_are_told_and_kept() {
    let mut measured = Simulated::default().run();
    measured.blocks[2].slices[0]
        .1
        .flags
        .push("steal 4 %".to_owned());
    let row = &summarise(&measured, &Rules::full())[0];
    assert_eq!(row.rounds[2].flags, ["steal 4 %"]);
    let told = row
        .reasons
        .iter()
        .find(|it| it.contains("1 of 12 blocks"))
        .unwrap();
    assert!(told.contains("without them the ratio is"), "{told}");
}

#[test]
fn a_noisy_run_says_so() {
    let noisy = rows(&Simulated {
        noise: 0.2,
        ..Simulated::default()
    });
    assert!(
        noisy[0]
            .reasons
            .iter()
            .any(|it| it.contains("sure to be seen"))
    );
    assert!(!noise(&noisy).mde_10pct_ok);
    let calm = noise(&rows(&Simulated::default()));
    assert!(calm.mde_10pct_ok && calm.aa_floor > 0.0 && calm.aa_floor < 0.05);
}

#[test]
fn figures_have_rows_and_a_subject_without_slices_has_one() {
    let said = rows(&Simulated::default());
    let wait = the(&said, "wait_us");
    assert_eq!(wait.unit, "us");
    assert!((wait.value.unwrap() - 10.0).abs() < 0.5);
    assert!(said[0].figures["size_max"] > 20.0);

    let mut measured = Simulated::default().run();
    measured.blocks.clear();
    let none = summarise(&measured, &Rules::full());
    assert_eq!((none.len(), none[0].verdict), (1, Verdict::Invalid));
}

/// The earlier revision's side is lost, whatever else the row would say.
fn without_earlier(targets: Vec<Target>) -> Vec<Row> {
    let mut measured = Simulated {
        roles: vec![Role::Subject, Role::Control, Role::Baseline],
        cost_us: vec![20.0; 3],
        targets,
        ..Simulated::default()
    }
    .run();
    measured.sides[2].missing = Some("it cannot be set up".to_owned());
    for block in &mut measured.blocks {
        block.slices.retain(|it| it.0 != crate::ArmOf::Side(2));
    }
    summarise(&measured, &Rules::full())
}

#[test]
fn a_comparison_that_never_took_place_is_undecided() {
    for targets in [
        vec![],
        vec![Target::ratio_at_most(2.0)],
        vec![Target::ratio_at_most(1.0)],
    ] {
        let mut said = without_earlier(targets);
        assert_eq!(said[0].verdict, Verdict::Inconclusive);
        assert!(said[0].reasons.contains(&"it cannot be set up".to_owned()));
        assert_eq!(Outcome::of(&said).exit_code(), 3);
        let before = said[0].clone();
        estimate_again(&mut said[0], &Rules::full());
        assert!(said[0] == before, "{:?}", said[0]);
        assert_eq!(the(&said, "throughput").not_compared, None);
    }
}

#[test]
fn an_undecided_goal_is_no_open_comparison() {
    let case = Simulated {
        roles: vec![Role::Subject, Role::Control, Role::Baseline],
        cost_us: vec![20.0; 3],
        timed: 600,
        ..Simulated::default()
    };
    let p95 = the(&rows(&case), "latency_p95").value.unwrap();
    let rows = rows(&Simulated {
        targets: vec![Target::value_at_most("latency_p95", p95)],
        ..case
    });
    let row = the(&rows, "latency_p95");
    assert_eq!(row.verdict, Verdict::Inconclusive);
    assert!(row.baseline.is_some());
    assert_eq!(Outcome::of(&rows).exit_code(), 0, "{:?}", rows[0].reasons);
}

#[test]
fn a_zero_in_one_block_is_not_left_out() {
    let mut measured = Simulated::default().run();
    for (_, slice) in measured.blocks[..4]
        .iter_mut()
        .flat_map(|it| &mut it.slices)
    {
        slice.figures.insert("wait_us".to_owned(), 0.0);
    }
    for (_, slice) in measured.blocks[4..]
        .iter_mut()
        .flat_map(|it| &mut it.slices)
    {
        slice.figures.insert("wait_us".to_owned(), 9.0);
    }
    let rows = summarise(&measured, &Rules::full());
    let wait = the(&rows, "wait_us");
    assert!(wait.value.unwrap() < 8.9, "{:?}", wait.value);
    assert_eq!(wait.ci_low, Some(0.0));
}

#[test]
fn the_ratio_without_disturbed_blocks_is_computed_like_the_ratio() {
    let mut measured = Simulated::default().run();
    // A block without effect on the estimate: it has no slice of the subject.
    measured.blocks[2]
        .slices
        .retain(|it| it.0 != crate::ArmOf::Side(0));
    measured.blocks[2].slices[0]
        .1
        .flags
        .push("steal 4 %".to_owned());
    let row = &summarise(&measured, &Rules::full())[0];
    let expect = format!("without them the ratio is {:.3}", row.ratio.unwrap());
    assert!(
        row.reasons.iter().any(|it| it.contains(&expect)),
        "{:?}",
        row.reasons
    );
}

#[test]
fn percentiles_of_slices_have_no_mean() {
    let mut measured = Simulated::default().run();
    for (_, slice) in measured.blocks.iter_mut().flat_map(|it| &mut it.slices) {
        slice.figures.insert("wait_p95_us".to_owned(), 9.0);
        slice.figures.insert("top_us".to_owned(), 9.0);
    }
    let figures = &summarise(&measured, &Rules::full())[0].figures;
    assert!(figures.contains_key("top_us") && !figures.contains_key("wait_p95_us"));
}

#[test]
fn connections_opened_anew_make_a_row_invalid() {
    for name in ["reopened", "reconnects"] {
        let mut measured = Simulated::default().run();
        let figures = &mut measured.blocks[3].slices[0].1.figures;
        figures.insert(name.to_owned(), 2.0);
        let rows = summarise(&measured, &Rules::full());
        assert_eq!(rows[0].verdict, Verdict::Invalid, "{name}");
        assert!(
            rows[0].reasons[0].contains("2 connections"),
            "{:?}",
            rows[0].reasons
        );
        measured.blocks[3].slices[0]
            .1
            .figures
            .insert(name.to_owned(), 0.0);
        assert_ne!(
            summarise(&measured, &Rules::full())[0].verdict,
            Verdict::Invalid
        );
    }
}

#[test]
fn a_process_without_a_clock_makes_no_cpu_time() {
    let mut measured = Simulated {
        targets: vec![Target::ratio_at_most(2.0).critical()],
        ..Simulated::default()
    }
    .run();
    for (_, slice) in measured.blocks.iter_mut().flat_map(|it| &mut it.slices) {
        slice.cpu_s.remove("postgres");
    }
    let rows = summarise(&measured, &Rules::full());
    assert_eq!((rows[0].value, rows[0].ratio), (None, None));
    assert!(
        rows[0].reasons.iter().any(|it| it.contains("`postgres`")),
        "{:?}",
        rows[0].reasons
    );
    assert_ne!(Outcome::of(&rows), Outcome::Fine);
    measured.targets.clear();
    let row = &summarise(&measured, &Rules::full())[0];
    assert_eq!(row.verdict, Verdict::Inconclusive);
}

#[test]
fn a_lost_control_is_not_taken_for_the_subject() {
    let mut measured = Simulated {
        cost_us: vec![40.0, 20.0],
        ..Simulated::default()
    }
    .run();
    for block in &mut measured.blocks {
        block.slices.retain(|it| it.0 != crate::ArmOf::Side(1));
    }
    let row = &summarise(&measured, &Rules::full())[0];
    assert_eq!((row.aa_s, row.aa_floor), (None, None));
}
