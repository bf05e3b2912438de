//! The list of cases as a whole, and what cases leave behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruleiq_bench::{Budget, Role, TargetOf};
use ruleiq_bench_cases::{Options, cases};

use crate::surroundings::Surroundings;

#[test]
fn no_two_cases_have_one_name_and_each_says_what_it_measures() {
    for tiny in [false, true] {
        let options = Options {
            tiny,
            ..Options::default()
        };
        let mut names = BTreeSet::new();
        for case in cases::all(&options) {
            assert!(names.insert(case.name().clone()), "{} twice", case.name());
            assert!(case.about().ends_with('.'), "{}", case.name());
        }
    }
}

#[test]
fn a_small_input_changes_no_name_and_no_side() {
    let list = |tiny| {
        let options = Options {
            tiny,
            ..Options::default()
        };
        let sides = |case: &ruleiq_bench::Case<_>| -> Vec<String> {
            case.sides().iter().map(|it| it.name().to_owned()).collect()
        };
        cases::all(&options)
            .iter()
            .map(|it| (it.name().clone(), sides(it)))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(list(false), list(true));
}

#[test]
fn what_is_judged_by_a_ratio_has_a_control() {
    for case in cases::all(&Options::default()) {
        let by_ratio = case.targets().iter().any(|it| it.of == TargetOf::Ratio);
        let controls = case.sides().iter().filter(|it| it.role() == Role::Control);
        assert!(!by_ratio || controls.count() > 0, "{}", case.name());
    }
}

#[test]
fn the_sides_of_a_case_are_told_apart_and_have_a_version() {
    for case in cases::all(&Options::default()) {
        let mut names = BTreeSet::new();
        for side in case.sides() {
            assert!(names.insert(side.name()), "{}", case.name());
            assert!(!side.version().is_empty(), "{}", case.name());
        }
        assert!(case.settings().is_object(), "{}", case.name());
    }
}

#[test]
fn the_guides_targets_are_there() {
    let all = cases::all(&Options::default());
    for (name, good, critical) in [
        ("database/simple_select", 5_000.0, 10_000.0),
        ("database/complex_join", 50_000.0, 100_000.0),
        ("cache/l2_hit_1", 2_000.0, 5_000.0),
        ("cache/set", 3_000.0, 10_000.0),
        ("http/assessment", 200_000.0, 500_000.0),
    ] {
        let case = all.iter().find(|it| it.name().to_string() == name).unwrap();
        let mut targets = case.targets().iter();
        let target = targets.find(|it| it.metric == "latency_p95").unwrap();
        assert_eq!((target.of, target.bound), (TargetOf::Value, good));
        assert_eq!(
            (target.critical_bound, target.is_critical),
            (Some(critical), true)
        );
        assert!(case.is_quick());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_in_the_database() {
    let surroundings = Surroundings::new().await;
    let env = Arc::new(surroundings.env.clone());
    let owner = surroundings.database.client().await;
    let contents = "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'ruleiq_bench%'),
                           (SELECT count(*) FROM assessment_questions)";
    let contents = async || {
        let row = owner.query_one(contents, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    let before = contents().await;
    assert_eq!(before.0, 0);
    for case in cases::all(&crate::cases::TINY) {
        if !["database/bulk_insert", "pools/point_select"].contains(&&*case.name().to_string()) {
            continue;
        }
        let mut arm = case.sides()[0].set_up(Arc::clone(&env)).await.unwrap();
        arm.run(Budget::Operations(20)).await.unwrap();
        assert_eq!(
            contents().await,
            (1, before.1),
            "while {} runs",
            case.name()
        );
        drop(arm);
        assert_eq!(contents().await, before, "after {}", case.name());
    }
}
