//! The benchmark endpoint as the program serves it.

use std::time::Duration;

use reqwest::Method;
use ruleiq_test_support::eventually;

use crate::server::{Server, json_of, problem_of};

const PATH: &str = "/api/v1/performance/benchmark";
const ON: (&str, &str) = ("ENABLE_BENCHMARK_ENDPOINT", "true");

#[tokio::test]
async fn in_production_it_is_off_and_says_how_to_turn_it_on() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let detail = problem_of(server.get(&admin, PATH).await, 403, "benchmark_disabled").await;
    assert!(
        detail.contains("ENABLE_BENCHMARK_ENDPOINT=true"),
        "{detail}"
    );
    let ada = server.user("ada").await;
    problem_of(server.get(&ada, PATH).await, 403, "admin_only").await;
}

#[tokio::test]
async fn administrators_measure_the_service_with_their_token() {
    let server = Server::start_with(&[ON]).await;
    let (ada, admin) = (server.user("ada").await, server.admin().await);
    server.assessment(&ada, 1).await;
    problem_of(server.get(&ada, PATH).await, 403, "admin_only").await;

    let with_cookie = server.request(Method::GET, PATH);
    let with_cookie = with_cookie.header("Cookie", format!("access_token={}", admin.token));
    problem_of(with_cookie.send().await.unwrap(), 401, "token_missing").await;
    let unknown = server
        .get(&admin, &format!("{PATH}?component=engine"))
        .await;
    problem_of(unknown, 400, "unknown_component").await;
    let none = server.get(&admin, &format!("{PATH}?iterations=0")).await;
    problem_of(none, 400, "invalid_iterations").await;

    let report = server.get(&admin, &format!("{PATH}?iterations=20")).await;
    let report = json_of(report, 200).await;
    assert_eq!(report["schema"], "ruleiq-bench/1");
    let rows = report["results"].as_array().unwrap();
    for (component, case) in [
        ("database", "simple_select"),
        ("database", "complex_join"),
        ("cache", "l2_hit_1"),
        ("pools", "checkout"),
        ("compression", "encoder_10k_zstd"),
    ] {
        let row = rows
            .iter()
            .find(|it| it["component"] == component && it["case"] == case);
        let row = row.unwrap_or_else(|| panic!("no {component}/{case}: {report}"));
        assert_eq!(row["counts"]["ok"], 20, "{row}");
        assert_ne!(row["verdict"], "invalid", "{row}");
    }
}

#[tokio::test]
async fn a_run_takes_turns_and_ends_with_its_client() {
    let server = Server::start_with(&[ON]).await;
    let admin = server.admin().await;
    let long = server
        .request(
            Method::GET,
            &format!("{PATH}?component=compression&iterations=10000"),
        )
        .bearer_auth(&admin.token)
        .send();
    let mut running = tokio::spawn(long);
    let short = format!("{PATH}?component=pools&iterations=1");
    // A short run that came first would have the turn, so none is tried before the long one has it.
    let early = tokio::time::timeout(Duration::from_millis(500), &mut running).await;
    assert!(early.is_err(), "the long run has ended: {early:?}");
    problem_of(server.get(&admin, &short).await, 409, "benchmark_running").await;
    running.abort();
    eventually(Duration::from_secs(5), || async {
        server.get(&admin, &short).await.status() == 200
    })
    .await;
}
