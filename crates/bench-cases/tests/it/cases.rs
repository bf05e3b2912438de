//! Each side of each case is set up, answers rightly, and does its operation.

use std::sync::Arc;

use ruleiq_bench::{Budget, Case, CaseName, Fault, Role, Side};
use ruleiq_bench_cases::{Env, Options, cases};
use ruleiq_performance::benchmark::{Benchmark, ruleiq_cases};

use crate::surroundings::Surroundings;

/// Enough for each task of each case.
const OPERATIONS: u64 = 64;
/// Enough where an operation is a whole workload.
const WORKLOADS: u64 = 4;

pub(crate) const TINY: Options = Options {
    concurrency: Some(4),
    tiny: true,
};

async fn check_component(component: &str, surroundings: Surroundings) {
    let env = Arc::new(surroundings.env.clone());
    let all = cases::all(&TINY);
    let cases: Vec<&Case<Env>> = all
        .iter()
        .filter(|it| it.name().component == component)
        .collect();
    assert!(!cases.is_empty(), "`{component}` has no case");
    for case in cases {
        for side in case.sides() {
            let what = format!("{}, {}", case.name(), side.name());
            let operations = match component {
                "optimizer" => WORKLOADS,
                _ => OPERATIONS,
            };
            match run(side, &env, operations).await {
                Ok(()) => {}
                // A program of somebody else's need not be there.
                Err(Fault::Failed(why))
                    if side.role() == Role::Peer && why.contains("not installed") => {}
                Err(fault) => panic!("{what}: {fault}"),
            }
        }
    }
}

async fn run(side: &Side<Env>, env: &Arc<Env>, operations: u64) -> Result<(), Fault> {
    let mut arm = side.set_up(Arc::clone(env)).await?;
    arm.check().await?;
    let tally = arm.run(Budget::Operations(operations)).await?;
    if tally.operations == 0 || tally.wrong > 0 || !tally.errors.is_empty() {
        return Err(Fault::Failed(format!(
            "{} done, {} wrong, errors {:?}",
            tally.operations, tally.wrong, tally.errors
        )));
    }
    for (name, count) in arm.counts().await? {
        assert!(count.is_finite() && count >= 0.0, "{name} is {count}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_cases_answer_rightly_on_both_sides() {
    check_component("database", Surroundings::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pool_cases_answer_rightly_on_all_sides() {
    check_component("pools", Surroundings::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn optimizer_cases_answer_rightly_on_all_sides() {
    check_component("optimizer", Surroundings::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cache_cases_answer_rightly_on_all_sides() {
    check_component("cache", Surroundings::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compression_cases_answer_rightly_on_all_sides() {
    check_component("compression", Surroundings::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_cases_answer_rightly_on_both_sides() {
    check_component("http", Surroundings::new().await.with_server()).await;
}

#[test]
fn a_running_service_measures_cases_of_the_same_names() {
    let known: Vec<_> = cases::all(&TINY)
        .iter()
        .map(|it| it.name().clone())
        .collect();
    for name in Benchmark::new(ruleiq_cases()).case_names() {
        let is_known = |it: &CaseName| it.component == name.component && it.case == name.case;
        assert!(known.iter().any(is_known), "there is no case {name}");
    }
}
