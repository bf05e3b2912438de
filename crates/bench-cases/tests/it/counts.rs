//! What is counted exactly is exact.

use std::{collections::BTreeMap, sync::Arc};

use ruleiq_bench::{Budget, Case, Fault};
use ruleiq_bench_cases::{Env, cases};

use crate::{cases::TINY, surroundings::Surroundings};

fn case<'a>(all: &'a [Case<Env>], name: &str) -> &'a Case<Env> {
    all.iter().find(|it| it.name().to_string() == name).unwrap()
}

async fn counts_of(case: &Case<Env>, env: &Arc<Env>) -> Vec<BTreeMap<String, f64>> {
    let mut counts = Vec::new();
    for side in case.sides() {
        match side.set_up(Arc::clone(env)).await {
            Ok(mut arm) => counts.push(arm.counts().await.unwrap()),
            // A program of somebody else's need not be there.
            Err(Fault::Failed(_)) if counts.len() >= 2 => {}
            Err(fault) => panic!("{}: {fault}", side.name()),
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_counts_as_many_statements_as_a_case_says() {
    let surroundings = Surroundings::new().await;
    let env = Arc::new(surroundings.env.clone());
    let all = cases::all(&TINY);
    for (name, expected) in [
        ("database/simple_select", 1.0),
        ("database/bulk_insert", 1.0),
        ("pools/checkout", 0.0),
        ("pools/concurrent_requests", 3.0),
    ] {
        for counts in counts_of(case(&all, name), &env).await {
            assert_eq!(counts.get("statements_per_op"), Some(&expected), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn advice_makes_the_guides_searches_cheaper_than_no_index_does() {
    let surroundings = Surroundings::new().await;
    let env = Arc::new(surroundings.env.clone());
    let all = cases::all(&TINY);
    let counts = counts_of(case(&all, "optimizer/guide_indexes"), &env).await;
    let cost = |side: usize| counts[side]["plan_cost"];
    let (advised, guide, none) = (cost(0), cost(1), cost(2));
    assert!(guide <= advised && advised < none, "{counts:?}");
    // Those of the guide that serve a foreign key.
    assert!(counts[0]["advice_found"] >= 3.0, "{counts:?}");
    assert!(!counts[1].contains_key("advice_found"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_wait_are_seen_to_wait() {
    let surroundings = Surroundings::new().await;
    let env = Arc::new(surroundings.env.clone());
    let options = ruleiq_bench_cases::Options {
        concurrency: Some(50),
        ..TINY
    };
    let all = cases::all(&options);
    let case = case(&all, "pools/concurrent_requests");
    for side in case.sides() {
        let mut arm = side.set_up(Arc::clone(&env)).await.unwrap();
        let budget = Budget::Operations(5_000);
        let figures = arm.run(budget).await.unwrap().figures;
        let waits = (figures["wait_mean_us"], figures["wait_us_max"]);
        assert!(waits.0 > 0.0 && waits.1 >= waits.0, "{figures:?}");
        assert!(
            (figures["utilization_max"] - 1.0).abs() < 1e-9,
            "{figures:?}"
        );
    }
}
